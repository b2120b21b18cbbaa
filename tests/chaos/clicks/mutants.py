"""Changes that break a promise, each made to the running code, with the faults that should bring it out.

A suite that does not catch them all proves nothing by passing.
"""

import asyncio
import copy
import hashlib
import inspect
import secrets
import textwrap
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import aggregator.clicks.minutes as minutes
from ingest.front.links import Links
from ingest.links import routes
from shared.counting import cells, drain, fleet, keyed, lane, links, reader
from shared.runtime.crash_points import crash_point
from shared.stores.redis_client import Script


class Mutant(NamedTuple):
    """One change. `crash` arms points, as TALLYBOOK_CRASH does; `faults` are drawn from by chance."""

    patch: Callable[[], None]
    faults: tuple[str, ...]
    crash: str = ""


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with other words in it, each of which has to be there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"the text to change is gone: {old}"
        text = text.replace(old, new)
    return text


def changed_script(script: Script, *changes: tuple[str, str]) -> Script:
    """The script with other text in it, under another hash."""
    other = copy.copy(script)
    other.source = changed(script.source, *changes)
    other._sha = hashlib.sha1(other.source.encode(), usedforsecurity=False).hexdigest()
    return other


# -- into Redis --------------------------------------------------------------------------------------------------------


def _no_seq_check() -> None:
    """A page that is sent again counts again."""
    drain._ADD = changed_script(
        drain._ADD,
        ("if seq == last then return { 'DUP', last } end\n", ""),
        ("if seq < last then return { 'PAST', last } end\n", ""),
    )


def _no_run_check() -> None:
    """After Redis went back in time, clicks join incarnations that the ledger has."""
    change = ("if redis.call('HGET', cur, '#run') ~= run then", "if false then")
    drain._ADD, keyed._KEYED = changed_script(drain._ADD, change), changed_script(keyed._KEYED, change)


def _freed_before_the_reply() -> None:
    """The page is given back when it is sent, not when Redis has it."""
    free, apply = lane.Lane.free, drain.Counter._apply

    async def send(self: Any, source: Any, seq: int) -> Any:
        blob, total = source.blob(seq), source.total(seq)
        free(source, seq)
        sent = copy.copy(source)
        sent.blob, sent.total = lambda _: blob, lambda _: total
        return await apply(self, sent, seq)

    drain.Counter._apply = send  # type: ignore[method-assign]
    lane.Lane.free = lambda self, seq: None  # type: ignore[method-assign]


def _published_before_it_is_written() -> None:
    """`used` is raised first, so a page may hold a key and a count that were never written."""

    def publish(self: Any, minute: int, banner: int, n: int) -> int:
        words, slot = self._words, self._page_at + lane._FIRST + lane._ENTRY * self._used
        self._used += 1
        words[self._page_at + lane._USED] = self._used
        crash_point("published")
        words[slot], words[slot + 1], words[slot + 2] = minute, banner, n
        return int(slot + 2)

    lane.Lane._publish = publish  # type: ignore[method-assign]


def _key_noted_before_the_click() -> None:
    """The key and the click in two steps: a worker that dies between them leaves a key without a click."""
    click = "add(KEYS[1], KEYS[2], found[minute], banner, n)\n    total = total + n\n"
    note = changed_script(keyed._KEYED, (click, ""))
    count = changed_script(
        keyed._KEYED,
        ("if redis.call('SISMEMBER', former, id) == 1 or redis.call('SADD', now, id) == 0 then", "if false then"),
    )

    async def in_two_steps(redis: Any, names: Sequence[str], arguments: Sequence[Any]) -> bytes:
        is_new: bytes = await note(redis, names, arguments)
        crash_point("noted")
        window, most, _, prefix, blob = arguments
        new = b"".join(blob[40 * i : 40 * i + 40] for i, one in enumerate(is_new) if one == ord("1"))
        if new:
            await count(redis, names, [window, most, secrets.token_hex(8), prefix, new])
        return is_new

    keyed._KEYED = in_two_steps  # type: ignore[assignment]


def _302_before_the_count() -> None:
    """Whoever follows a link is led on first and counted a moment later: a worker that dies meanwhile loses it."""
    take, counted = Links.take, routes._counted

    def led_on(self: Any, request: Any, connection: Any) -> Any:
        link = self._known(request.path[3:].decode())
        if link is None or not self._is_plain(link, request):
            return None
        asyncio.get_running_loop().call_later(_LATER_S, take, self, request, _Nobody())
        return self._answers.made(302, (("location", link.location),))

    async def later(state: Any, link: Any, **fields: Any) -> str:
        async def count() -> None:
            await asyncio.sleep(_LATER_S)
            await counted(state, link, **fields)

        if link.max_clicks is not None:
            return await counted(state, link, **fields)
        _tasks.add(asyncio.create_task(count()))
        return "person"

    Links.take, routes._counted = led_on, later  # type: ignore[method-assign,assignment]


#: Seconds between the two steps of a mutant, and the tasks that do the second.
_LATER_S = 0.05
_tasks = set[asyncio.Task[None]]()


class _Nobody:
    """The client of a late count, who has had its answer."""

    def answered(self, answer: bytes) -> None:
        pass


def _max_clicks_in_two_steps() -> None:
    """The clicks that a link has left are read first and taken later: two who come at once both take the last one."""
    take, taken = links.LinkClicks.take, links.LinkClicks.taken

    async def in_two_steps(self: Any, slug: str, most: int, minute: int, banner: int) -> bool:
        is_left = await taken(self, slug) < most
        await asyncio.sleep(_LATER_S)
        return is_left and await take(self, slug, 2**53 - 1, minute, banner)

    links.LinkClicks.take = in_two_steps  # type: ignore[method-assign]


# -- into Postgres -----------------------------------------------------------------------------------------------------


def _no_ledger() -> None:
    """Whoever has an incarnation adds it, whether it was added before or not."""
    again = "ON CONFLICT (incarnation) DO UPDATE SET applied_at = now()"
    minutes._LEDGER = changed(minutes._LEDGER, ("ON CONFLICT (incarnation) DO NOTHING", again))


def _dropped_before_commit() -> None:
    """Redis forgets an incarnation before Postgres has it for good."""
    persist = minutes.Minutes._move

    async def move(self: Any, shard: int, batch: Any) -> int:
        prefix = minutes.keys.prefix(shard)
        await minutes._DROP(self._redis, [prefix + "cur", prefix + "live"], [prefix, *batch])
        return await persist(self, shard, batch)

    minutes.Minutes._move = move  # type: ignore[method-assign]


def _open_after_the_seal() -> None:
    """A minute that was read for Postgres can still grow."""
    minutes._SEAL = changed_script(minutes._SEAL, ("redis.call('HDEL', KEYS[1], cur[i])", "local _ = 0"))
    minutes._DROP = changed_script(
        minutes._DROP, ("if redis.call('HGET', KEYS[1], string.match(id, '^%d+')) ~= id then", "if true then")
    )


def _seal_by_the_cell() -> None:
    """A cell of another kind than clicks is taken for a minute that lies far ahead, and is never sealed."""
    minutes._SEAL = changed_script(minutes._SEAL, ("cell % 2 ^ 40", "cell"))


def _kinds_among_clicks() -> None:
    """Whatever is counted goes into the table of clicks."""
    minutes.cells = SimpleNamespace(kind_of=lambda name: 0, minute_of=cells.minute_of)  # type: ignore[attr-defined]


def _kinds_outside_the_transaction() -> None:
    """What is no click is added after the transaction that writes the ledger."""
    add = "_KINDS, others.starts, others.banners, others.kinds, others.counts)\n"
    persist = changed(
        textwrap.dedent(inspect.getsource(minutes.Minutes._persist)),
        (f"        if others.counts:\n            await connection.execute({add}", ""),
        (
            "    FLUSH_ROWS.inc(",
            '    crash_point("kinds_late")\n'
            f"    if others.counts:\n        await self._pool.execute({add}"
            "    FLUSH_ROWS.inc(",
        ),
    )
    scope: dict[str, Any] = {}
    exec(persist, vars(minutes), scope)  # noqa: S102 - our own source
    minutes.Minutes._persist = scope["_persist"]  # type: ignore[method-assign]


# -- reading -----------------------------------------------------------------------------------------------------------


def _postgres_before_redis() -> None:
    """The reader looks against the stream, and what moves meanwhile passes it unseen, or is seen twice."""

    async def look(self: Any, banners: Any, start: int, end: int, kinds: Any, ask: Any, partial: bool) -> Any:
        rows, missing = await self._rows(ask(reader._Snapshot([], [], set(), False)), partial)
        return await self._snapshot(banners, start, end, kinds, partial), rows, missing

    reader.Reader._look = look  # type: ignore[method-assign]


def _lanes_left_out() -> None:
    """The reader does not look into the lanes."""
    fleet.Fleet.clicks = lambda self, views, banners, first, last: iter(())  # type: ignore[method-assign]


MUTANTS = {
    "no check of seq": Mutant(_no_seq_check, ("swallow_redis",), "applied=0.01"),
    "no check of run_id": Mutant(_no_run_check, ("restore_redis",)),
    "freed before the reply": Mutant(_freed_before_the_reply, ("kill_worker", "kill_redis"), "send=0.01"),
    "published before it is written": Mutant(_published_before_it_is_written, ("kill_worker",), "published=0.02"),
    "key noted before the click": Mutant(_key_noted_before_the_click, ("kill_worker",), "noted=0.02"),
    "302 before the count": Mutant(_302_before_the_count, ("kill_worker",)),
    "max_clicks in two steps": Mutant(_max_clicks_in_two_steps, ("forget_scripts",)),
    "no ledger": Mutant(_no_ledger, ("kill_aggregator",), "after_commit=0.2"),
    "dropped before commit": Mutant(_dropped_before_commit, ("kill_aggregator",), "before_commit=0.2,read=0.2"),
    "open after the seal": Mutant(_open_after_the_seal, ("redis_away", "step_clock")),
    "seal by the cell": Mutant(_seal_by_the_cell, ("forget_scripts",)),
    "kinds among clicks": Mutant(_kinds_among_clicks, ("forget_scripts",)),
    "kinds outside the transaction": Mutant(_kinds_outside_the_transaction, ("forget_scripts",), "kinds_late=0.3"),
    "Postgres before Redis": Mutant(_postgres_before_redis, ("forget_scripts",)),
    "lanes left out": Mutant(_lanes_left_out, ("redis_away",)),
}
