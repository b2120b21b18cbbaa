"""Group commit: who was told that a record is stored finds it in the log once, whatever the log does meanwhile."""

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.errors import JournalFull, LogFull, LogUnavailable, TooLarge
from shared.record_log import producer as module
from shared.record_log.journal import Append, Journal
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.producer import Producer, new_name
from shared.record_log.record_log import RECORD_MAX_BYTES, ProducerRewound
from tests.harness.wait import until

KEY = b"k"


class Log:
    """A log in memory that keeps the rules of a real one and fails as it is told."""

    name = "memory"

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.records: list[bytes] = []
        self.seqs: dict[tuple[int, str], int] = {}
        self.calls: list[tuple[int, str, int, int]] = []
        self.under_way: set[int] = set()
        self.is_away = self.is_deaf = self.is_full = False
        #: What arrived after its client had given up; `arrive` stores it.
        self.is_late = False
        self.late: list[tuple[int, str, int, list[bytes]]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def partition_of(self, key: bytes) -> int:
        return key[0] % self.partitions

    async def prepare(self, topic: str) -> None:
        if self.is_away:
            raise LogUnavailable

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], *, producer: str, seq: int
    ) -> None:
        assert partition not in self.under_way, "two appends of a partition at a time"
        self.calls.append((partition, producer, seq, len(records)))
        self.under_way.add(partition)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            if self.is_late:
                self.late.append((partition, producer, seq, [value for _, value in records]))
            if self.is_away or self.is_late:
                raise LogUnavailable
            last = self.seqs.get((partition, producer), 0)
            if seq < last:
                raise ProducerRewound
            if seq > last:
                if self.is_full:
                    raise LogFull
                self.records += [value for _, value in records]
                self.seqs[partition, producer] = seq
            if self.is_deaf:
                raise LogUnavailable
        finally:
            self.under_way.discard(partition)

    def arrive(self) -> None:
        """Store what comes late, unless something newer was there before."""
        for partition, producer, seq, values in self.late:
            if seq > self.seqs.get((partition, producer), 0):
                self.records += values
                self.seqs[partition, producer] = seq
        self.late = []


@asynccontextmanager
async def producing(
    log: Log, folder: Path | None, *, stops: bool = True, journal_bytes: int = 1 << 20, **sizes: int
) -> AsyncIterator[Producer]:
    """A producer over the log, with a journal in the folder if there is one."""
    name = new_name()
    journal = Journal.create(folder, name, journal_bytes) if folder is not None else None
    bounds = {"records_max": 10_000, "bytes_max": 1 << 24, "most": 1000} | sizes
    producer = Producer(log, "hits", name, journal, **bounds)  # type: ignore[arg-type]
    await producer.start()
    yield producer
    if stops:
        await producer.stop(1)
        return
    for task in producer._tasks:  # as a kill does: nothing is finished
        task.cancel()
    await asyncio.gather(*producer._tasks, return_exceptions=True)
    await producer._journal_lock.acquire()  # a thread would write to whatever gets the number of the descriptor next
    if journal is not None:
        os.close(journal._descriptor)


async def many(producer: Producer, *values: bytes) -> list[Any]:
    return await asyncio.gather(*(producer.append(KEY, value) for value in values), return_exceptions=True)


def waiting(folder: Path) -> int:
    return sum(path.stat().st_size - 8 for path in folder.glob("*.journal"))


async def test_what_was_appended_is_in_the_log(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        assert await producer.append(KEY, b"one") == "log"
        assert log.records == [b"one"]


async def test_requests_that_come_together_share_an_append_and_keep_their_order(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.gate.clear()
        first = asyncio.create_task(producer.append(KEY, b"0"))
        await until(lambda: log.calls)
        rest = asyncio.create_task(many(producer, *(str(n).encode() for n in range(1, 101))))
        await asyncio.sleep(0.01)
        log.gate.set()
        assert await first == "log"
        assert await rest == ["log"] * 100
    assert log.records == [str(n).encode() for n in range(101)]
    assert [(seq, size) for _, _, seq, size in log.calls] == [(1, 1), (2, 100)]


async def test_partitions_do_not_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN_S", 0.0)
    log = Log(2)
    async with producing(log, tmp_path) as producer:
        log.gate.clear()
        tasks = [asyncio.create_task(producer.append(bytes([n]), b"x")) for n in range(2)]
        await until(lambda: len(log.under_way) == 2)
        log.gate.set()
        await asyncio.gather(*tasks)


async def test_records_share_an_append_whatever_their_keys(tmp_path: Path) -> None:
    log = Log(4)
    async with producing(log, tmp_path) as producer:
        log.gate.clear()
        tasks = [asyncio.create_task(producer.append(bytes([n]), b"%d" % n)) for n in range(41)]
        await until(lambda: log.calls)
        log.gate.set()
        await asyncio.gather(*tasks)
    assert len(log.calls) <= 2
    assert sorted(log.records) == sorted(b"%d" % n for n in range(41))


async def test_records_avoid_a_partition_that_fails_and_reach_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TURN_S", 0.0)
    log = Log(4)
    async with producing(log, tmp_path) as producer:
        assert [await producer.append(KEY, b"x") for _ in range(8)] == ["log"] * 8
        assert {partition for partition, *_ in log.calls} == set(range(4))
        producer._lines[2].is_failing = True
        log.calls.clear()
        assert [await producer.append(KEY, b"x") for _ in range(8)] == ["log"] * 8
        assert {partition for partition, *_ in log.calls} == {0, 1, 3}


async def test_the_queue_is_bounded_in_records_and_bytes(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path, records_max=10) as producer:
        answers = await many(producer, *[b"x"] * 15)
        assert [type(answer) for answer in answers] == [str] * 10 + [LogFull] * 5
        assert await producer.append(KEY, b"x") == "log"
    async with producing(log, tmp_path, bytes_max=101) as producer:
        answers = await many(producer, *[b"x" * 49] * 3)
        assert [type(answer) for answer in answers] == [str] * 2 + [LogFull]
    with pytest.raises(TooLarge):
        await producer.append(KEY, b"x" * RECORD_MAX_BYTES)


async def test_a_full_log_refuses_and_takes_the_next_again(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.is_full = True
        assert {type(answer) for answer in await many(producer, b"1", b"2")} == {LogFull}
        log.is_full = False
        assert await producer.append(KEY, b"3") == "log"
    assert log.records == [b"3"]
    assert waiting(tmp_path) == 0


@pytest.mark.parametrize("how", ["is_away", "is_deaf"])
async def test_while_the_log_is_away_records_go_to_the_journal_and_then_to_the_log_once(
    tmp_path: Path, how: str
) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        setattr(log, how, True)
        assert await many(producer, b"1", b"2") == ["journal"] * 2
        assert await many(producer, b"3") == ["journal"]
        assert waiting(tmp_path) > 0
        assert producer.failing_s() > 0
        setattr(log, how, False)
        await until(lambda: waiting(tmp_path) == 0)
        assert producer.failing_s() == 0
        assert await producer.append(KEY, b"4") == "log"
    assert log.records == [b"1", b"2", b"3", b"4"]


async def test_what_may_still_arrive_is_not_refused_though_the_log_is_full_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, disk = Log(), threading.Event()
    write = Journal.write

    def slow(journal: Journal, appends: Sequence[Append]) -> list[int]:
        assert disk.wait(10)
        return write(journal, appends)

    monkeypatch.setattr(Journal, "write", slow)
    async with producing(log, tmp_path) as producer:
        log.is_late = True
        task = asyncio.create_task(producer.append(KEY, b"1"))
        await until(lambda: log.calls)
        log.is_late, log.is_full = False, True
        await until(lambda: len(log.calls) > 3)
        log.arrive()
        disk.set()
        assert await task in ("log", "journal")
        log.is_full = False
        await until(lambda: producer.failing_s() == 0)
    assert log.records == [b"1"]


async def test_an_unknown_error_is_an_unknown_outcome(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.error = RuntimeError("what is this")
        assert await producer.append(KEY, b"1") == "journal"
        log.error = None
        await until(lambda: waiting(tmp_path) == 0)
    assert log.records == [b"1"]


async def test_without_a_journal_nothing_is_promised(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, None) as producer:
        log.is_deaf = True
        assert [type(answer) for answer in await many(producer, b"1", b"2")] == [LogUnavailable] * 2
        assert [type(answer) for answer in await many(producer, b"3")] == [LogUnavailable]
        log.is_deaf = False
        await until(lambda: producer.failing_s() == 0)
        assert await producer.append(KEY, b"4") == "log"
    assert log.records == [b"1", b"2", b"4"]


async def test_a_full_journal_refuses_and_nothing_of_it_is_stored(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path, journal_bytes=300) as producer:
        log.is_away = True
        assert await producer.append(KEY, b"1") == "journal"
        assert [type(answer) for answer in await many(producer, b"2" * 300)] == [JournalFull]
        assert await producer.append(KEY, b"3") == "journal"
        log.is_away = False
        await until(lambda: waiting(tmp_path) == 0)
        assert await producer.append(KEY, b"4") == "log"
    assert log.records == [b"1", b"3", b"4"]


async def test_what_may_be_in_the_log_is_repeated_though_the_journal_is_full(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path, journal_bytes=8) as producer:
        log.is_deaf = True
        with pytest.raises(LogUnavailable):  # nobody knows
            await producer.append(KEY, b"1")
        with pytest.raises(JournalFull):  # it was never sent
            await producer.append(KEY, b"2")
        log.is_deaf = False
        await until(lambda: producer.failing_s() == 0)
        assert await producer.append(KEY, b"3") == "log"
    assert log.records == [b"1", b"3"]
    assert [seq for _, _, seq, _ in log.calls] == sorted(seq for _, _, seq, _ in log.calls)


async def test_a_request_that_went_away_harms_nobody(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.gate.clear()
        gone, stays = (asyncio.create_task(producer.append(KEY, value)) for value in (b"1", b"2"))
        await until(lambda: log.calls)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        log.gate.set()
        assert await stays == "log"
        assert (producer._records, producer._bytes) == (0, 0)


async def test_a_stop_sends_what_waits(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.gate.clear()
        task = asyncio.create_task(many(producer, *[b"x"] * 700))
        await until(lambda: producer._records == 700)
        asyncio.get_running_loop().call_later(0.05, log.gate.set)
    assert await task == ["log"] * 700
    assert waiting(tmp_path) == 0
    with pytest.raises(LogUnavailable):  # nobody would send it
        await producer.append(KEY, b"late")


async def test_a_stop_leaves_what_the_log_did_not_take_in_the_journal(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path) as producer:
        log.gate.clear()  # a log that is silent for longer than the stop waits
        tasks = [asyncio.create_task(producer.append(KEY, value)) for value in (b"1", b"2")]
        await until(lambda: log.calls)
    assert await asyncio.gather(*tasks) == ["journal"] * 2
    log.gate.set()
    await replayed(tmp_path, log)
    assert log.records == [b"1", b"2"]


async def test_a_stop_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, disk, is_closed = Log(), threading.Event(), threading.Event()
    write, close = Journal.write, Journal.close

    def slow(journal: Journal, appends: Sequence[Append]) -> list[int]:
        assert disk.wait(10)
        assert not is_closed.is_set(), "the file was taken from the thread that writes"
        return write(journal, appends)

    def closing(journal: Journal) -> None:
        is_closed.set()
        close(journal)

    monkeypatch.setattr(Journal, "write", slow)
    monkeypatch.setattr(Journal, "close", closing)
    async with producing(log, tmp_path) as producer:
        log.is_away = True
        task = asyncio.create_task(producer.append(KEY, b"1"))
        await until(producer._journal_lock.locked)
        asyncio.get_running_loop().call_later(0.2, disk.set)
    assert await task == "journal"
    log.is_away = False
    await replayed(tmp_path, log)
    assert log.records == [b"1"]


async def test_what_is_offered_is_stored_and_told(tmp_path: Path) -> None:
    log = Log()
    told: list[object] = []
    async with producing(log, tmp_path) as producer:
        assert all(producer.offer(KEY, str(number).encode(), told.append) for number in range(1000))
        await until(lambda: len(told) == 1000)
        log.is_away = True
        assert producer.offer(KEY, b"last", told.append)
        await until(lambda: len(told) == 1001)
        log.is_away = False
        await until(lambda: waiting(tmp_path) == 0)
        assert (producer._records, producer._bytes) == (0, 0)
    assert told == ["log"] * 1000 + ["journal"]
    assert log.records == [*(str(number).encode() for number in range(1000)), b"last"]
    assert not producer.offer(KEY, b"late", told.append)


async def test_what_is_offered_is_bounded_too(tmp_path: Path) -> None:
    log = Log()
    told: list[object] = []
    async with producing(log, tmp_path, records_max=10) as producer:
        log.gate.clear()
        assert [producer.offer(KEY, b"x", told.append) for _ in range(12)] == [True] * 10 + [False] * 2
        with pytest.raises(LogFull):
            await producer.append(KEY, b"x")
        log.gate.set()
        await until(lambda: len(told) == 10)


async def test_one_answer_that_breaks_keeps_nobody_waiting(tmp_path: Path) -> None:
    log = Log()
    told: list[object] = []

    def broken(outcome: object) -> None:
        raise OSError("the client is gone")

    async with producing(log, tmp_path) as producer:
        producer.offer(KEY, b"1", broken)
        producer.offer(KEY, b"2", told.append)
        await until(lambda: told)
    assert log.records == [b"1", b"2"]


async def replayed(folder: Path, log: Log) -> None:
    """Another worker sends what the journals of the folder hold."""
    orphans = Orphans(folder, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: not list(folder.glob("*.journal")))
    await orphans.stop()


async def test_a_journal_that_nobody_may_read_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, adopt = Log(), Journal.adopt
    for name in ("a", "b"):
        journal = Journal.create(tmp_path, name, 1 << 20)
        journal.write([Append("hits", 0, name, 1, [(KEY, name.encode())])])
        os.close(journal._descriptor)

    def refusing(path: Path) -> Journal | None:
        if path.name == "a.journal":
            raise PermissionError(13, "Permission denied")
        return adopt(path)

    monkeypatch.setattr(Journal, "adopt", refusing)
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: log.records)
    await orphans.stop()
    assert log.records == [b"b"]


async def test_what_the_log_will_never_take_is_kept_for_a_person(tmp_path: Path) -> None:
    log = Log()
    journal = Journal.create(tmp_path, "p", 1 << 20)
    journal.write([Append("hits", 0, "p", 1, [(KEY, b"x")] * 2)])
    os.close(journal._descriptor)
    log.error = ValueError("an append has 1 to 1 records, not 2")
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: list(tmp_path.glob("*.bad-*")))
    await orphans.stop()


async def test_a_dead_workers_journal_is_sent_by_another_once(tmp_path: Path) -> None:
    log = Log()
    async with producing(log, tmp_path, stops=False) as producer:
        log.is_deaf = True
        assert await many(producer, b"1") == ["journal"]
        log.is_deaf, log.is_away = False, True
        assert await many(producer, b"2", b"3") == ["journal"] * 2
    log.is_away = False
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: not list(tmp_path.glob("*.journal")))
    await orphans.stop()
    assert log.records == [b"1", b"2", b"3"]


async def test_a_journal_that_was_sent_in_part_is_sent_again_without_harm(tmp_path: Path) -> None:
    log = Log()
    journal = Journal.create(tmp_path, "p", 1 << 20)
    journal.write([Append("hits", 0, "p", seq, [(KEY, str(seq).encode())]) for seq in range(1, 6)])
    os.close(journal._descriptor)
    log.records, log.seqs = [b"1", b"2", b"3"], {(0, "p"): 3}
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: not list(tmp_path.glob("*.journal")))
    await orphans.stop()
    assert log.records == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_journal_of_more_partitions_is_kept_for_a_person(tmp_path: Path) -> None:
    log = Log()
    journal = Journal.create(tmp_path, "p", 1 << 20)
    journal.write([Append("hits", 2, "p", 1, [(KEY, b"x")])])
    os.close(journal._descriptor)
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: list(tmp_path.glob("*.bad-*")))
    await orphans.stop()
    assert log.records == []


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("seed", range(12))
async def test_acknowledged_is_once_and_refused_is_never_whatever_happens(
    tmp_path: Path, seed: int, partitions: int
) -> None:
    """Lives that end by a kill at any moment, over a log that is away, deaf and full by chance."""
    chance, log = random.Random(seed), Log(partitions)
    stored: set[bytes] = set()
    refused: set[bytes] = set()

    async def one(producer: Producer, value: bytes) -> None:
        with contextlib.suppress(LogUnavailable):
            try:
                await producer.append(bytes([chance.randrange(4)]), value)
                stored.add(value)
            except (LogFull, JournalFull):
                refused.add(value)

    for life in range(3):
        size = chance.choice([200, 2000, 1 << 20])
        async with producing(log, tmp_path, stops=False, journal_bytes=size) as producer:
            tasks = []
            for number in range(60):
                log.is_away, log.is_deaf, log.is_full = (chance.random() < 0.3 for _ in range(3))
                tasks.append(asyncio.create_task(one(producer, f"{life}-{number}".encode())))
                await asyncio.sleep(chance.choice([0, 0, 0, 0.002, 0.01]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    log.is_away = log.is_deaf = log.is_full = False
    orphans = Orphans(tmp_path, log)  # type: ignore[arg-type]
    orphans.start()
    await until(lambda: not list(tmp_path.glob("*.journal")))
    await orphans.stop()
    assert len(log.records) == len(set(log.records))
    assert stored <= set(log.records)
    assert not refused & set(log.records)
    assert stored
