"""`python -m aggregator`: the background service, with its settings from the environment."""

import uvloop

from aggregator.service import serve
from shared.runtime.gc_tuning import collect_seldom
from shared.settings import load
from shared.telemetry.logging import configure


def main() -> None:
    """Run the service until it is told to stop."""
    settings = load()
    configure(settings, "aggregator")
    collect_seldom()
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
