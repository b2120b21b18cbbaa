"""Start and stop clients of Kafka within a time, and leave nothing behind."""

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

#: What a call can raise when Kafka is away, slow or refuses. aiokafka asserts what brokers tell it about partitions.
KAFKA_ERRORS = (KafkaError, OSError, asyncio.TimeoutError, AssertionError)

#: Clients that nobody waits for any more, until they are closed.
_unwanted: set[asyncio.Task[None]] = set()


def client_options(servers: str, timeout_s: float) -> dict[str, Any]:
    """Return the options of every client."""
    return {"bootstrap_servers": servers, "request_timeout_ms": int(timeout_s * 1000)}


async def start_client(client: Any, timeout_s: float) -> None:
    """Connect a producer, a consumer or an administrator, or leave nothing of it. Raises KAFKA_ERRORS.

    Connecting is never cut off: aiokafka 0.14 forgets its first connection when it is cancelled while it asks that one
    for the cluster (`AIOKafkaClient.bootstrap`). What nobody waits for any more ends by its own time limits, behind the
    caller's back.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(starting)
    except BaseException:
        closing = asyncio.create_task(_close_started(client, starting))
        _unwanted.add(closing)
        closing.add_done_callback(_unwanted.discard)
        raise


async def _close_started(client: Any, starting: asyncio.Future[None]) -> None:
    """Wait until it has connected, or cannot, and leave nothing of it."""
    await asyncio.gather(starting, return_exceptions=True)
    with contextlib.suppress(*KAFKA_ERRORS):
        await stop_client(client)


async def stop_client(client: Any) -> None:
    """Close a client of any kind without waiting for what it still wanted."""
    if isinstance(client, AIOKafkaProducer):
        await _stop_producer(client)
    elif isinstance(client, AIOKafkaConsumer):
        await _stop_consumer(client)
    else:
        await client.close()


async def _stop_producer(client: AIOKafkaProducer) -> None:
    """An idempotent producer never gives up a batch (aiokafka `Sender._can_retry`), so `stop` alone would wait for as
    long as Kafka is away."""
    sender, waiting = client._sender.sender_task, client._message_accumulator
    if sender is not None:
        sender.cancel()
        await asyncio.wait({sender})
    batches = waiting._pending_batches  # each takes itself out when its future is done
    batches.update(batch for queue in waiting._batches.values() for batch in queue)
    waiting._batches.clear()
    for batch in batches:
        if not batch.future.done():
            batch.future.set_exception(KafkaConnectionError("given up"))
    await client.stop()


async def _stop_consumer(client: AIOKafkaConsumer) -> None:
    """`stop` cancels its fetches and then awaits them, so it ends half-way in CancelledError when one was waiting
    (aiokafka 0.14 `Fetcher.close`)."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping})
    if not stopping.cancelled():
        await stopping
        return
    pending = set(client._fetcher._pending_tasks)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    await client._client.close()
