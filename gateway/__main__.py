"""Run the embedded ClickHouse: `python -m gateway`. It reads its settings from the environment."""

import sys

from gateway.server import run
from shared.settings import SettingsError, load
from shared.telemetry.logging import configure


def main() -> None:
    """Run the gateway until it is told to stop."""
    settings = load()
    configure(settings, "clickhouse")
    try:
        run(settings)
    except SettingsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
