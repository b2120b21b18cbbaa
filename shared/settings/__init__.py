"""What an operator decides: the settings, and how they are read from the environment.

fields       every setting with its meaning, bounds and default; and the values that only tests change
environment  reads them from `TALLYBOOK_*`
cookie       reads the attributes of the cookie `user_id`
check        compares them with one another: schemes, networks, origins, cookies, tokens, memory
removed      says of each variable that is no setting any more what became of it
"""

from shared.settings.environment import load
from shared.settings.fields import (
    NAMES,
    NOT_SETTINGS,
    PREFIX,
    SECRETS,
    Settings,
    SettingsError,
    is_loopback,
    masked,
    variable,
)
from shared.settings.removed import REMOVED

__all__ = [
    "NAMES",
    "NOT_SETTINGS",
    "PREFIX",
    "REMOVED",
    "SECRETS",
    "Settings",
    "SettingsError",
    "is_loopback",
    "load",
    "masked",
    "variable",
]
