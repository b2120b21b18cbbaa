"""A reader of Kafka goes on as fast as before once what it could not unpack is behind it."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from shared.record_log.kafka.reader import _PAGE, KafkaReader
from shared.record_log.record_log import BEGIN, Limit

WHERE = TopicPartition("hits", 0)
RECORDS = 10 * _PAGE


class Consumer:
    """Hands out numbered records; its second fetch fails once."""

    asked: list[int]

    def __init__(self) -> None:
        self.asked = []
        self.at = 0

    def assign(self, _: object) -> None:
        pass

    def seek(self, _: object, offset: int) -> None:
        self.at = offset

    async def position(self, _: object) -> int:
        return self.at

    async def close(self) -> None:
        pass

    async def getmany(self, _: object, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.asked.append(max_records)
        if len(self.asked) == 2:
            raise CorruptRecordException
        found = range(self.at, min(self.at + max_records, RECORDS))
        self.at = found.stop
        return {WHERE: [SimpleNamespace(offset=at, key=None, value=b"v", timestamp=0, headers=()) for at in found]}


async def test_after_a_page_of_single_records_that_went_well_it_reads_whole_pages_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = Consumer()

    async def ends(_: TopicPartition) -> tuple[int, int]:
        return 0, RECORDS

    async def connected(reader: KafkaReader) -> Consumer:
        reader._consumer = consumer  # type: ignore[assignment]
        return consumer

    monkeypatch.setattr(KafkaReader, "_connected", connected)
    reader = KafkaReader("", WHERE, "tests", 1.0, ends)
    batch = await reader.read(BEGIN, {}, Limit(records=RECORDS, wait_s=10))
    assert [record.position.offset for record in batch.records] == list(range(RECORDS))
    assert consumer.asked == [_PAGE, _PAGE, *[1] * _PAGE, *[_PAGE] * (RECORDS // _PAGE - 2)]
