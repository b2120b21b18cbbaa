"""A crowd of clients on raw sockets, and their ledger: what they tried, and what was acknowledged."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from tests.harness.http import fetched

#: Seconds that a client waits for an answer, and between two of its clicks.
_ANSWER_S, _PAUSE_S = 10.0, 0.005


class Ledger:
    """What clients know: clicks per banner that they tried, and those of them that were acknowledged.

    The truth lies between, whatever was killed meanwhile: a click whose answer never came may have been counted or not.
    """

    def __init__(self) -> None:
        self.attempted: Counter[int] = Counter()
        self.acked: Counter[int] = Counter()

    def check(self, counted: dict[int, int]) -> None:
        """Compare with what the service says."""
        for banner, attempted in self.attempted.items():
            assert self.acked[banner] <= counted[banner] <= attempted, (
                f"banner {banner}: {self.acked[banner]} acknowledged, {counted[banner]} counted, {attempted} attempted"
            )


@contextlib.asynccontextmanager
async def crowd(port: int, ledger: Ledger, clients: int = 12, banners: int = 5) -> AsyncIterator[None]:
    """Clients that click as long as the block runs, and connect anew when a connection breaks."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_client(port, ledger, 1 + one % banners, stop)) for one in range(clients)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _client(port: int, ledger: Ledger, banner: int, stop: asyncio.Event) -> None:
    while not stop.is_set():
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not stop.is_set():
                await _click(reader, writer, ledger, banner)
        except (TimeoutError, OSError, EOFError):
            await asyncio.sleep(0.05)
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


async def _click(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Ledger, banner: int) -> None:
    ledger.attempted[banner] += 1
    writer.write(b"POST /stats/%d HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n" % banner)
    await writer.drain()
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _ANSWER_S)
    if answer.startswith(b"HTTP/1.1 204"):
        ledger.acked[banner] += 1
    else:
        raise EOFError("refused")
    await asyncio.sleep(_PAUSE_S)


def counted(port: int, banners: list[int]) -> dict[int, int]:
    """The total of each banner, of today and its neighbours. Raises OSError while the service cannot say."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin, end = (f"{today + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (-1, 2))
    totals = {}
    for banner in banners:
        answer = json.loads(fetched(port, f"/stats/{banner}?tsFrom={begin}&tsTo={end}&step=day"))
        assert answer["total"] == sum(point["count"] for point in answer["stats"])
        totals[banner] = answer["total"]
    return totals
