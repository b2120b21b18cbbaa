"""Options that several commands have, and their settings."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from shared.settings import Settings, load

#: `--data-dir`, which every command takes.
DATA_DIR = click.option("--data-dir", metavar="DIR", help="Folder of lanes, sockets and embedded servers.")
#: `--json` of a command that lists.
JSON_LINES = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
#: `--json` of a command that prints one thing.
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
#: `--yes` of a command that cannot be undone.
YES = click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")

#: `90d` or `12h`.
_SPAN = re.compile(r"([1-9][0-9]{0,4})([dh])")


def configured(process: str, **flags: Any) -> Settings:
    """Load the settings and set up logging as they say. Raises SettingsError."""
    from shared.telemetry.logging import configure

    settings = load(**flags)
    configure(settings, process)
    return settings


def moment(text: str) -> datetime:
    """Return the moment that `--expires` names: after a span from now, or in ISO 8601. Raises BadParameter."""
    now = datetime.now(UTC)
    if found := _SPAN.fullmatch(text):
        return now + (timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1])))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a span (90d, 12h) nor an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no zone: add Z")
    if moment <= now:
        raise click.BadParameter(f"{text} is over")
    return moment
