"""Options that several commands have, and their settings."""

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


def configured(process: str, **flags: Any) -> Settings:
    """Load the settings and set up logging as they say. Raises SettingsError."""
    from shared.telemetry.logging import configure

    settings = load(**flags)
    configure(settings, process)
    return settings
