"""What several commands share: the flag of the data folder, and the settings with their log."""

from typing import Any

import click

from shared.settings import Settings, load

#: `--data-dir`, which every command takes.
DATA_DIR = click.option("--data-dir", metavar="DIR", help="Folder of lanes, sockets and embedded servers.")


def configured(process: str, **flags: Any) -> Settings:
    """The settings, with logging set up as they say. Raises SettingsError."""
    from shared.telemetry.logging import configure

    settings = load(**flags)
    configure(settings, process)
    return settings
