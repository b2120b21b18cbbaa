"""Cells of all kinds and minutes in the real scripts: each is a name of its own, and is sealed when its minute is
over."""

import struct
from collections import Counter as Tally
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from aggregator.clicks import minutes as flushing
from shared.counting import cells, drain, keyed, keys, reader
from shared.counting.lane import BANNER_MAX
from tests.chaos.clicks.mutants import changed_script

MINUTE_S, GRACE_S = 60, 2
PREFIX = keys.prefix(0)
CUR, LIVE = PREFIX + "cur", PREFIX + "live"
LAST = 2**cells.MINUTE_BITS - 1

kinds = st.integers(0, 7)
#: Any, with those at the ends of the numbers and at the present more often.
minutes = st.integers(0, LAST) | st.sampled_from([0, 1, 29_000_000, LAST - 1, LAST])
entries = st.lists(
    st.tuples(kinds, minutes, st.sampled_from([1, 7, BANNER_MAX]), st.integers(1, 1000)), min_size=1, max_size=12
)
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

Entry = tuple[int, int, int, int]


@pytest.fixture
async def redis(redis_client: "Redis") -> AsyncIterator["Redis"]:
    """A Redis that each example empties."""
    yield redis_client
    await redis_client.flushall()


async def _added(redis: "Redis", given_: list[Entry]) -> Tally[tuple[int, int]]:
    """Count the entries as a page. Return what (cell, banner) has then."""
    await redis.flushall()
    blob = b"".join(struct.pack("<QQQ", cells.cell(kind, minute), banner, n) for kind, minute, banner, n in given_)
    names = [CUR, LIVE, PREFIX + "lane:a", PREFIX + "lanes"]
    assert (await drain._ADD(redis, names, [1, "0f", 1, PREFIX, "a", blob]))[0] == b"OK"
    expected: Tally[tuple[int, int]] = Tally()
    for kind, minute, banner, n in given_:
        expected[cells.cell(kind, minute), banner] += n
    return expected


def _counts(live: Any) -> dict[tuple[int, int], int]:
    """(cell, banner) -> count of what read.lua answers."""
    return {
        (int(name.partition(b":")[0]), int(banner)): int(n)
        for name, values in live
        for banner, n in zip(values[::2], values[1::2], strict=True)
    }


async def _sealed(redis: "Redis", script: Any) -> tuple[set[tuple[int, int]], int]:
    """(kind, minute) of each sealed incarnation, and how many are still open."""
    names, still_open = await script(redis, [CUR, LIVE], [MINUTE_S, GRACE_S])
    return {(cells.kind_of(name.decode()), cells.minute_of(name.decode())) for name in names}, still_open


@EXAMPLES
@given(entries)
async def test_every_cell_is_counted_and_read_by_its_own_name(redis: "Redis", given_: list[Entry]) -> None:
    expected = await _added(redis, given_)
    _, *live = await reader._READ(redis, [LIVE], [PREFIX, 0, 2**53 - 1])
    assert _counts(live) == expected
    opened = await redis.hgetall(CUR)
    for kind, minute, _, _ in given_:  # a range of one minute of one kind holds nothing else
        cell = cells.cell(kind, minute)
        assert opened[str(cell).encode()].decode() == f"{cell}:0f"
        _, *live = await reader._READ(redis, [LIVE], [PREFIX, cell, cell])
        assert _counts(live) == {at: n for at, n in expected.items() if at[0] == cell}


@EXAMPLES
@given(entries)
async def test_a_key_counts_once_in_a_cell_of_any_kind(redis: "Redis", given_: list[Entry]) -> None:
    await redis.flushall()
    blob = b"".join(
        struct.pack("<QQQ16s", cells.cell(kind, minute), banner, n, index.to_bytes(16))
        for index, (kind, minute, banner, n) in enumerate(given_)
    )
    names = [PREFIX + name for name in ("cur", "live", "keyed", "ids:now", "ids:former", "ids:since")]
    for expected in (b"1", b"0"):
        assert await keyed._KEYED(redis, names, [600, 10_000, "0f", PREFIX, blob]) == expected * len(given_)
    _, *live = await reader._READ(redis, [LIVE], [PREFIX, 0, 2**53 - 1])
    assert sum(_counts(live).values()) == sum(n for *_, n in given_) == int(await redis.hget(PREFIX + "keyed", "total"))


@EXAMPLES
@given(entries)
async def test_a_cell_of_any_kind_is_sealed_when_its_minute_is_over(redis: "Redis", given_: list[Entry]) -> None:
    await _added(redis, given_)
    now, _ = await redis.time()
    all_of = {(kind, minute) for kind, minute, _, _ in given_}
    over = {one for one in all_of if (one[1] + 1) * MINUTE_S + GRACE_S <= now}
    sealed, still_open = await _sealed(redis, flushing._SEAL)
    assert (sealed, still_open) == (over, len(all_of) - len(over))
    assert {name for name in await redis.hkeys(CUR) if name != b"#run"} == {
        str(cells.cell(*one)).encode() for one in all_of - over
    }


async def test_a_seal_that_takes_the_cell_for_a_minute_is_seen(redis: "Redis") -> None:
    """A mutant: without the remainder, what is no click of a person stays open for ever."""
    given_ = [(kind, 26_000_000, 7, 1) for kind in range(8)]
    await _added(redis, given_)
    sealed, still_open = await _sealed(redis, changed_script(flushing._SEAL, ("cell % 2 ^ 40", "cell")))
    assert (sealed, still_open) == ({(0, 26_000_000)}, 7)
    sealed, still_open = await _sealed(redis, flushing._SEAL)
    assert (sealed, still_open) == ({(kind, 26_000_000) for kind in range(8)}, 0)
