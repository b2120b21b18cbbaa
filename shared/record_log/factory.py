"""Which log the settings name: Redis Streams unless `TALLYBOOK_LOG_URL` says kafka://. And where copies of dead letters
go."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shared.events.table import TOPIC as EVENTS
from shared.record_log.record_log import Log
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import connect

if TYPE_CHECKING:
    from shared.record_log.kafka.dead_letter_topic import LetterTopic

_KAFKA = "kafka://"


@asynccontextmanager
async def chosen_log(settings: Settings) -> AsyncIterator[Log]:
    """Return the log, which connects at first use. Raises ModuleNotFoundError for Kafka without its client."""
    url, records_max = settings.log_url, settings.log_records_max
    topics = {EVENTS: settings.events_blocks_max}
    if url is not None and url.startswith(_KAFKA):
        from shared.record_log.kafka.kafka_log import KafkaLog  # its client is an extra: tallybook[kafka]

        # Clients whose broker is away log ten lines a second; whoever asks for something gets an error and logs that.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        kafka = KafkaLog(_servers(url), settings.log_partitions, records_max, topics=topics)
        try:
            yield kafka
        finally:
            await kafka.close()
        return
    redis = connect(settings, url)
    try:
        bounds = redis_memory.partition_bounds(settings)
        yield StreamsLog(redis, settings.log_partitions, records_max, topics=topics, bytes_max=bounds)
    finally:
        await redis.aclose()


@asynccontextmanager
async def chosen_letters(settings: Settings) -> "AsyncIterator[LetterTopic | None]":
    """Return the topic for copies of dead letters, if there is to be one."""
    if settings.dead_letters_topic is None or settings.log_url is None:
        yield None
        return
    from shared.record_log.kafka.dead_letter_topic import LetterTopic  # needs the client of Kafka

    topic = LetterTopic(_servers(settings.log_url), settings.dead_letters_topic)
    try:
        yield topic
    finally:
        await topic.close()


def _servers(url: str) -> str:
    return url.removeprefix(_KAFKA).rstrip("/")
