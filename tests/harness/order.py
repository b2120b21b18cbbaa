"""The order of test files."""

from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
#: Files in the order in which they begin: the longest first, so that none of them is left to one process at the end.
_FIRST = (
    "unit/shared/test_lane.py",  # its long ones
    "acceptance/test_up.py",
    "integration/ingest/test_http.py",
    "integration/ingest/test_hits.py",
    "integration/ingest/test_events.py",
    "integration/shared/test_cold_storage.py",
    "chaos",
    "acceptance",
    "integration/aggregator",
    "integration/gateway",
    "integration/ingest",
    "integration",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first, and those without servers last."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(_TESTS).as_posix()
        return next((n for n, first in enumerate(_FIRST) if path.startswith(first)), len(_FIRST))

    items.sort(key=place)
