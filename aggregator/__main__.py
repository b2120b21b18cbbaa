"""`python -m aggregator`: the background service, with its settings from the environment."""

import uvloop

from aggregator.service import serve
from shared.garbage import collect_seldom
from shared.logging import configure
from shared.settings import load


def main() -> None:
    """Run the service until it is told to stop."""
    settings = load()
    configure(settings, "aggregator")
    collect_seldom()
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
