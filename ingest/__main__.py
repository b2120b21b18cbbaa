"""`python -m ingest`: the HTTP service, with its settings from the environment."""

from ingest.server import server, work
from shared.runtime.process import forget_signal_handlers_in_children, raise_descriptor_limit
from shared.settings import load
from shared.telemetry.logging import configure


def main() -> None:
    """Run the service until it is told to stop."""
    settings = load()
    configure(settings, "ingest-main")
    raise_descriptor_limit()  # the workers inherit it
    forget_signal_handlers_in_children()
    server(settings).serve(work)


if __name__ == "__main__":
    main()
