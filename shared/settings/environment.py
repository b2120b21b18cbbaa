"""Read the settings from the environment.

`TALLYBOOK_<FIELD>` is the variable. `TALLYBOOK_<FIELD>_FILE` names a file that holds the value, for secrets. An unknown
`TALLYBOOK_*` name is an error, so that a misspelt one is found.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from shared.settings.check import check
from shared.settings.fields import NAMES, NOT_SETTINGS, PREFIX, Settings, SettingsError, masked, variable
from shared.settings.removed import REMOVED

_FILE = "_FILE"
#: Fields by their variable.
_FIELDS = {variable(field.name): field for field in msgspec.structs.fields(Settings)}


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Return the settings of the environment; `overrides` (of command line flags) win. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            field, text = _found(name, text)
            if text != "":
                values[field.name] = _split(text) if isinstance(field.default, tuple) else text
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = Settings(**{name: _converted(name, value) for name, value in values.items()})
    check(settings)
    return settings


def _found(name: str, text: str) -> tuple[msgspec.structs.FieldInfo, str]:
    """Return the field of a variable and its text, from the file that it may name. Raises SettingsError."""
    if name in _FIELDS:
        return _FIELDS[name], text
    without = name.removesuffix(_FILE)
    if without in _FIELDS:
        return _FIELDS[without], _read(name, text) if text else ""
    if without in REMOVED:
        raise SettingsError(f"{name} is no setting any more: {REMOVED[without]}")
    near = get_close_matches(without.removeprefix(PREFIX).lower(), NAMES, n=1, cutoff=0.7)
    meant = f" Did you mean {variable(near[0])}?" if near else ""
    raise SettingsError(f"{name} is no setting.{meant} docs/configuration.md lists them all.")


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise SettingsError(f"{name} names {path}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name} names {path}, which is no UTF-8: save it as that") from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _converted(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, _FIELDS[variable(name)].type, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{variable(name)}={masked(value, name)} cannot be used: {error}") from None
