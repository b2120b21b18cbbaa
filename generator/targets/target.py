"""Choose the sender of a URL."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from generator.ledger import Ledger
from generator.targets.sender import Patience, Sender
from generator.traffic.partitioner import Partitioner, Spread, partitioner
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import connect

#: The topic of page views.
TOPIC = "page_views"
_ROUTES = ("/events", "/stats")


class Producing(NamedTuple):
    """The options of a Kafka producer."""

    is_idempotent: bool = True
    is_transactional: bool = False
    abort_ratio: float = 0.0
    compression: Literal["none", "gzip"] = "none"
    linger_ms: float = 5.0


class Target(NamedTuple):
    """A target and its options."""

    url: str
    run: str
    seed: int
    spread: Spread
    topic: str = TOPIC
    patience: Patience = Patience()
    producing: Producing = Producing()
    token: str | None = None


def check(url: str) -> None:
    """Raise ValueError, with one sentence, for a URL that is no target."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        if parts.path not in _ROUTES:
            raise ValueError(f"an HTTP target ends with {' or '.join(_ROUTES)}, as http://127.0.0.1:8080/events")
    elif parts.scheme not in ("kafka", "redis", "rediss", "unix"):
        raise ValueError("a target begins with kafka://, redis://, rediss://, unix://, http:// or https://")
    elif not parts.netloc and parts.scheme != "unix":
        raise ValueError(f"a target has a host, as {parts.scheme}://127.0.0.1:9092")


@asynccontextmanager
async def sender(target: Target, settings: Settings, ledger: Ledger) -> AsyncIterator[Sender]:
    """Return the sender of a target, not yet open. Raises ModuleNotFoundError if its client is not installed."""
    scheme = urlsplit(target.url).scheme
    if scheme in ("http", "https"):
        from generator.targets.http import HttpSender

        headers = {"authorization": f"Bearer {target.token}"} if target.token else {}
        yield HttpSender(target.url, ledger, target.run, target.patience, headers)
    elif scheme == "kafka":
        from generator.targets.kafka import KafkaSender

        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is raised, and said once
        producing = target.producing
        yield KafkaSender(
            target.url.removeprefix("kafka://").rstrip("/"),
            target.topic,
            settings.log_partitions,
            _spread(target, settings.log_partitions),
            ledger,
            target.run,
            target.patience,
            linger_ms=producing.linger_ms,
            is_idempotent=producing.is_idempotent,
            transaction=f"tallybook-generator-{target.run}" if producing.is_transactional else None,
            abort_ratio=producing.abort_ratio,
            compression=producing.compression,
        )
    else:
        from generator.targets.streams import StreamsSender

        redis = connect(settings, target.url)
        partitions, most = settings.log_partitions, settings.log_records_max
        bounds = {target.topic: redis_memory.partition_bounds(settings)[TOPIC]}
        records_log = StreamsLog(redis, partitions, most, bytes_max=bounds)
        try:
            yield StreamsSender(
                redis,
                target.topic,
                records_log,
                most,
                _spread(target, partitions, records_log.partition_of),
                ledger,
                target.run,
                target.patience,
            )
        finally:
            await redis.aclose()


def _spread(target: Target, partitions: int, hashed: Callable[[bytes], int] | None = None) -> Partitioner:
    return partitioner(target.spread, partitions, target.seed, hashed)
