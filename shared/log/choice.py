"""Which log the settings name: Redis Streams unless `TALLYBOOK_LOG_URL` says kafka://."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.events import TOPIC as EVENTS
from shared.log.log import Log
from shared.log.streams import StreamsLog
from shared.redis_client import connect
from shared.settings import Settings

_KAFKA = "kafka://"


@asynccontextmanager
async def chosen_log(settings: Settings) -> AsyncIterator[Log]:
    """The log, which connects at first use. Raises ModuleNotFoundError for Kafka without its client."""
    url, records_max = settings.log_url, settings.log_records_max
    topics = {EVENTS: settings.events_blocks_max}
    if url is not None and url.startswith(_KAFKA):
        from shared.log.kafka import KafkaLog  # its client is an extra: tallybook[kafka]

        # Clients whose broker is away log ten lines a second; whoever asks for something gets an error and logs that.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        servers = url.removeprefix(_KAFKA).rstrip("/")
        kafka = KafkaLog(servers, settings.log_partitions, records_max, topics=topics)
        try:
            yield kafka
        finally:
            await kafka.close()
        return
    redis = connect(settings, url)
    try:
        yield StreamsLog(redis, settings.log_partitions, records_max, topics=topics)
    finally:
        await redis.aclose()
