"""Broken sinks, which the tests of each way into ClickHouse have to notice."""

import uuid

import pytest

from aggregator.sink import partition
from aggregator.sink.partition import Partition
from tests.harness.record_first import record_before_insert


def random_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were none: no block would ever be known again."""
    monkeypatch.setattr(Partition, "token", lambda self, batch: uuid.uuid4().hex)


def done_before_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor moves before its rows are stored."""
    monkeypatch.setattr(partition, "deliver", record_before_insert)
