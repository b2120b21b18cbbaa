"""Deliver a batch into ClickHouse, each record once, whatever dies in between.

    cut       the source reads from its cursor on and makes rows of it
    intend    note the range in Postgres                       refused: another process has the cursor, drop the batch
    insert    under a token made of the range                  until the table has it
    record    the cursor, dead letters and books, in one transaction

No transaction spans the source and ClickHouse. Instead there are the intent before the insert, the token on it, the
same rows on replay, and the place of its record in each row. Without any one of them records would be lost or doubled.

**A batch with a row that can never be stored** shrinks to its first half, and so on down to one record, which becomes
a dead letter. A crash anywhere in there leaves an ordinary intent to replay. Before the batch shrinks, the engine asks
the table whether it has any of the range. If so, a view failed after the rows were written. Another token would store
them twice, so the same insert is repeated until somebody mends the view.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from shared.runtime.crash_points import crash_point
from shared.stores.clickhouse import CLICKHOUSE_ERRORS
from shared.stores.failures import judge

#: Records in a row that ClickHouse refuses with one code, after which the engine blames the table.
IN_A_ROW = 10

_T = TypeVar("_T")


class Refusals(NamedTuple):
    """The code with which ClickHouse refused the last records, and how many it refused in a row."""

    code: str | None = None
    in_a_row: int = 0

    def after(self, refusal: Exception | None) -> "Refusals":
        """Return the refusals after one more record, or after rows that were stored."""
        if refusal is None:
            return Refusals()
        code = judge(refusal).code
        return Refusals(code, self.in_a_row + 1 if code == self.code else 1)


class Piece(Protocol):
    """A batch, or a part of one."""

    @property
    def size(self) -> int:
        """The number of its records, or 0 if there is no row to insert."""


_P = TypeVar("_P", bound=Piece)


class Source(Protocol[_P]):
    """Where batches come from. Any method that waits may raise that the cursor is lost."""

    @property
    def refused(self) -> Refusals:
        """How ClickHouse refused the last records."""

    async def intend(self, piece: _P) -> None:
        """Note in Postgres what is about to be inserted, in place of a larger range."""

    def read_ahead(self, piece: _P) -> None:
        """Read what follows while the insert is on its way."""

    async def insert(self, piece: _P) -> None:
        """Insert the rows once, under their token. Raises CLICKHOUSE_ERRORS."""

    async def found(self, piece: _P) -> int:
        """Return how many rows of the range the table has."""

    async def half(self, piece: _P) -> _P:
        """Return the first half of a refused piece."""

    async def record(self, piece: _P, refusal: Exception | None) -> None:
        """Move the cursor behind the piece. With a refusal its only record is a dead letter."""

    async def patiently(self, store: str, step: Callable[[], Awaitable[_T]]) -> _T:
        """Run a step that needs a store: until it works, or once if a caller repeats the whole."""

    def is_unfit(self, piece: _P) -> bool:
        """Return whether the only record fits no table, however many of its kind there are."""


async def deliver(source: Source[_P], piece: _P) -> None:
    """Bring a batch to its end; or, if it cannot be stored as a whole, the first piece that can."""
    crash_point("cut")
    refusal = None
    while piece.size:
        await source.intend(piece)
        crash_point("intended")
        source.read_ahead(piece)
        refusal = await insert(source, piece)
        if refusal is None:
            crash_point("inserted")
            break
        if piece.size == 1:
            break
        piece, refusal = await source.half(piece), None
    await source.record(piece, refusal)
    crash_point("recorded")


async def insert(source: Source[_P], piece: _P) -> Exception | None:
    """Insert a piece. Return the error if the table will never have it because of one of its records."""

    async def once() -> Exception | None:
        try:
            await source.insert(piece)
        except CLICKHOUSE_ERRORS as error:
            if await _is_of_a_record(source, piece, error):
                return error
            raise
        return None

    return await source.patiently("clickhouse", once)


async def _is_of_a_record(source: Source[_P], piece: _P, error: Exception) -> bool:
    """Return whether a record is to blame, and not the table or a view behind it."""
    _, kind, code = judge(error)
    if kind != "data":
        return False
    is_repeated = code == source.refused.code and source.refused.in_a_row >= IN_A_ROW - 1
    if piece.size == 1 and is_repeated and not source.is_unfit(piece):
        return False
    return await source.found(piece) == 0
