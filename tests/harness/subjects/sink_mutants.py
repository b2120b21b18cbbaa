"""Broken sinks, which the tests of each way into ClickHouse have to notice."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from aggregator.sink import partition
from aggregator.sink.partition import Partition
from shared.record_log.deduplication import Mark
from tests.harness.record_first import record_before_insert


def random_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were none: no block would ever be known again."""
    monkeypatch.setattr(Partition, "token", lambda self, batch: uuid.uuid4().hex)


def done_before_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor moves before its rows are stored."""
    monkeypatch.setattr(partition, "deliver", record_before_insert)


def by_the_first_alone(repeats: Callable[..., int]) -> Callable[..., int]:
    """Return a look for repeats for which the others in an entry have no number of their own."""

    def known(self: Any, producer: str, first: Mark, records: int = 1) -> int:
        found = repeats(self, producer, first, records)
        if producer in self.moved:
            self.moved[producer] = first
        return found

    return known
