"""The engine stores good records once, buries bad ones alone, and blames the table when all are refused alike."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from aggregator.delivery import engine
from aggregator.delivery.engine import IN_A_ROW, Refusals, deliver


class Piece(NamedTuple):
    """Numbers; those below 0 are refused."""

    numbers: Sequence[int]

    @property
    def size(self) -> int:
        return len(self.numbers)


class Source:
    """A source in memory."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.stored: list[int] = []
        self.dead: list[int] = []
        self.refused = Refusals()
        self.rest: Sequence[int] = ()

    async def all(self, *numbers: int) -> None:
        """Deliver everything, piece by piece."""
        self.rest = numbers
        while self.rest:
            await deliver(self, Piece(self.rest))

    async def intend(self, piece: Piece) -> None:
        self.steps.append(f"intend {piece.size}")

    def read_ahead(self, piece: Piece) -> None:
        pass

    async def insert(self, piece: Piece) -> None:
        self.steps.append(f"insert {piece.size}")
        if min(piece.numbers) < 0:
            error = DatabaseError("Code: 6. DB::Exception: no number")
            error.code = 6  # type: ignore[attr-defined]
            raise error

    async def found(self, piece: Piece) -> int:
        return 0

    def is_unfit(self, piece: Piece) -> bool:
        return piece.numbers == (-2,)

    async def half(self, piece: Piece) -> Piece:
        return Piece(piece.numbers[: piece.size // 2])

    async def record(self, piece: Piece, refusal: Exception | None) -> None:
        self.steps.append(f"record {piece.size}")
        self.refused = self.refused.after(refusal)
        (self.dead if refusal else self.stored).extend(piece.numbers)
        self.rest = self.rest[piece.size :]

    async def patiently(self, store: str, step: Callable[[], Awaitable[Any]]) -> Any:
        return await step()


async def test_the_steps_have_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    monkeypatch.setattr(engine, "crash_point", source.steps.append)
    await source.all(1, 2)
    assert source.steps == ["cut", "intend 2", "intended", "insert 2", "inserted", "record 2", "recorded"]


async def test_one_bad_record_is_buried_alone() -> None:
    source = Source()
    await source.all(1, 2, -1, 4)
    assert (source.stored, source.dead) == ([1, 2, 4], [-1])
    assert source.refused == Refusals()


async def test_records_that_are_refused_alike_in_a_row_are_no_fault_of_theirs() -> None:
    source = Source()
    with pytest.raises(DatabaseError):
        await source.all(*[-1] * (IN_A_ROW + 1))
    assert source.dead == [-1] * (IN_A_ROW - 1)
    await source.all(-2)  # fits no table
    assert source.dead == [-1] * (IN_A_ROW - 1) + [-2]
    assert source.refused == Refusals("6", IN_A_ROW)


async def test_a_range_of_which_the_table_has_some_is_not_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def some(self: Any, piece: Piece) -> int:
        return 1

    monkeypatch.setattr(Source, "found", some)
    source = Source()
    with pytest.raises(DatabaseError):
        await source.all(1, -1)
    assert source.steps == ["intend 2", "insert 2"]
