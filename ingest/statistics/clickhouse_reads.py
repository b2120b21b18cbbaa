"""Bound the ClickHouse statements that a worker runs at the same time.

A statement that scans many rows uses every core. Several at once finish no sooner, and delay the inserts. A statement
without a place waits shortly and is then refused. The client repeats it, which is better than a late insert.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import Busy
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, database
from shared.workload import READS

#: Statements of one worker at a time: one may be long, and a short one still gets through.
STATEMENTS_MOST = 2
#: Seconds that a statement waits for its place.
PATIENCE_S = 2.0


class Reads(ClickHouse):
    """Query with a bounded number of statements. `query` also raises Busy."""

    def __init__(self, settings: Settings, most: int = STATEMENTS_MOST, patience_s: float = PATIENCE_S) -> None:
        super().__init__(settings, database(settings), READS, is_reader=True)
        self._places = asyncio.Semaphore(most)
        self._patience_s = patience_s

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise Busy from None
        try:
            return await super().query(sql, parameters)
        finally:
            self._places.release()
