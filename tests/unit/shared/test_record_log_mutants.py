"""Changes that break what the producer and its journal promise, each of which a few lives with kills bring out.

A life ends as a machine does: what no fsync covered is cut off at a random byte. The log is away, deaf and full by
chance, and the disk refuses by chance. If a change went unseen here, passing would prove nothing.
"""

import asyncio
import contextlib
import inspect
import os
import random
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from shared.errors import JournalFull, LogFull, LogUnavailable
from shared.record_log import journal, orphaned_journals, producer
from shared.record_log.journal import Journal
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.producer import Producer
from tests.harness.wait import until
from tests.unit.shared.test_producer import Log, producing

pytestmark = [pytest.mark.slow, pytest.mark.beside]

_SEEDS = range(12)


class Mutant(NamedTuple):
    """A method of a class in a module, and the text in it that becomes another."""

    module: ModuleType
    owner: type
    method: str
    old: str
    new: str


MUTANTS = {
    "acknowledged before the append": Mutant(
        producer, Producer, "_take", "line.queue.append((key, value, done))", "done('log'); line.queue.append(_TOLD)"
    ),
    "acknowledged when it is sent": Mutant(
        producer, Producer, "_send", "batch.tries += 1", "batch.tries += 1; self._tell(batch, 'log')"
    ),
    "no fsync": Mutant(journal, Journal, "write", "sync_data(self._descriptor)", "pass"),
    "what a disk refused stays in the file": Mutant(
        journal, Journal, "write", "self._take_back()", "self.size = os.fstat(self._descriptor).st_size"
    ),
    "a repeat under a new number": Mutant(
        producer, Producer, "_send", "seq=append.seq", "seq=append.seq * 1000 + batch.tries"
    ),
    "a replay under new ids": Mutant(
        orphaned_journals, Orphans, "_send", "producer=append.producer", "producer=append.producer + '-again'"
    ),
    "the frame before a torn tail is cut, too": Mutant(
        journal,
        Journal,
        "_look_through",
        "if following is None:",
        "if following is None:\n                self.size = self._places.pop() if self._places else self.size",
    ),
    "the journal is emptied before the log has all of it": Mutant(
        producer, Producer, "_clear", "or any(line.backlog for line in self._lines)", ""
    ),
    "a journal is given up after its first append": Mutant(
        orphaned_journals, Orphans, "_send_all", "sent += 1", "sent += 1; break"
    ),
    "what may be in the log is refused as not stored": Mutant(
        producer, Producer, "_give_up", "self._tell(batch, LogUnavailable())", "self._tell(batch, error)"
    ),
}


def _told(outcome: object) -> None:
    """Whoever would wait has been told."""


def planted(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The method with other text in it."""
    source = textwrap.dedent(inspect.getsource(getattr(mutant.owner, mutant.method)))
    assert source.count(mutant.old) >= 1, f"no longer there: {mutant.old}"
    if mutant.method == "_clear":  # both looks at the backlog
        source = source.replace("if not any(line.backlog for line in self._lines):", "if True:")
    source = source.replace(mutant.old, mutant.new.replace("_TOLD", "(key, value, _told)"))
    names: dict[str, Any] = {**vars(mutant.module), "_told": _told}
    exec(compile(source, mutant.method, "exec"), names)  # noqa: S102 - our own text
    monkeypatch.setattr(mutant.owner, mutant.method, names[mutant.method])


class Disk:
    """What would be on the disk after a power cut, by file: as far as its last fsync."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
        self._chance = chance
        self._synced: dict[int, int] = {}
        real = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            if chance.random() < 0.1:
                raise OSError(5, "Input/output error")
            real(descriptor)
            about = os.fstat(descriptor)
            self._synced[about.st_ino] = about.st_size

        monkeypatch.setattr(os, "fdatasync", fdatasync)

    def cut(self, folder: Path) -> None:
        """Forget what was not synced, but for some bytes of it; a journal may have been emptied since."""
        for path in folder.glob("*.journal"):
            about = path.stat()
            kept = max(8, min(about.st_size, self._synced.get(about.st_ino, 8)))
            os.truncate(path, kept)
            with path.open("ab") as file:
                file.write(self._chance.randbytes(self._chance.choice([0, 0, 1, 12, 40])))


async def lived(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lives and the replay of what they left. Raises AssertionError for a broken promise."""
    chance, log = random.Random(seed), Log()
    disk = Disk(monkeypatch, chance)
    stored, refused = set[bytes](), set[bytes]()

    async def one(to: Producer, value: bytes) -> None:
        with contextlib.suppress(LogUnavailable):
            try:
                await to.append(bytes([chance.randrange(4)]), value)
                stored.add(value)
            except (LogFull, JournalFull):
                refused.add(value)

    for life in range(3):
        size = chance.choice([400, 4000, 1 << 20])
        async with producing(log, folder, stops=False, journal_bytes=size) as to:
            tasks = []
            for number in range(50):
                log.is_away, log.is_deaf, log.is_full = (chance.random() < 0.35 for _ in range(3))
                tasks.append(asyncio.create_task(one(to, f"{life}-{number}".encode())))
                await asyncio.sleep(chance.choice([0, 0, 0, 0.002, 0.01]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        disk.cut(folder)
    log.is_away = log.is_deaf = log.is_full = False
    last = Orphans(folder, log)  # type: ignore[arg-type]
    last.start()
    await until(lambda: not list(folder.glob("*.journal")))
    await last.stop()
    assert len(log.records) == len(set(log.records)), "counted twice"
    assert stored <= set(log.records), "acknowledged and gone"
    assert not refused & set(log.records), "refused and stored"


@pytest.mark.parametrize("seed", _SEEDS)
async def test_as_it_is_it_keeps_its_promises(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(tmp_path, seed, monkeypatch)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_change_that_breaks_a_promise_is_caught(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(MUTANTS[name], monkeypatch)
    for seed in range(60):
        with monkeypatch.context() as context:
            try:
                await lived(tmp_path / str(seed), seed, context)
            except AssertionError:
                return
    pytest.fail(f"nobody noticed: {name}")
