"""`python -m tests.chaos.records.run --seconds 120 --seed 7`: attack the record path, from hits and uploads to rows,
and judge it by the books of its clients, in which each record has a number, and each event its id.

    --log streams|kafka    which log; both, one after the other, unless named
    --faults A,B           these faults only
    --mutant NAME          run a broken service, which has to be caught: the exit code is then 0 if it was
    --mutants              the same for all of them, after the runs of the right one

    E1   at rest each record that was taken is one row or one letter, one that was refused is nowhere; each event that
         was acknowledged is one row
    E2   no place in the log has two rows
    E3   at any moment a table has below its cursor what the cursor says, and so have the letters
    E4   a count never falls
    E7   at rest `GET /accounting` has no difference, but for records that a Redis which came back older has forgotten

Exit code 1: a promise was broken, a mutant survived, or the run proved nothing.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import LogUnavailable, PostgresUnavailable
from shared.record_log.record_log import Position
from shared.stores.clickhouse import CLICKHOUSE_ERRORS
from shared.stores.postgres import POSTGRES_ERRORS
from tests.chaos.clicks.disk import SmallDisk
from tests.chaos.clicks.faults import Scene
from tests.chaos.clicks.run import Report, Run, judged
from tests.chaos.clicks.run import versions as counter_versions
from tests.chaos.clicks.shim import build
from tests.chaos.records import faults as records_faults
from tests.chaos.records.books import RecordBooks, numbers
from tests.chaos.records.crowd import RecordCrowd
from tests.chaos.records.mutants import LOG_OF, RECORD_MUTANTS
from tests.chaos.records.stage import RecordStage, versions
from tests.harness.http import ask
from tests.harness.wait import until

LOGS = ("streams", "kafka")
#: Chance of death at each crash point, per passage.
CRASH = {
    "append": 0.0005,
    "appended": 0.001,
    "journal_written": 0.02,
    "journal_synced": 0.02,
    "cut": 0.003,
    "intended": 0.006,
    "inserted": 0.006,
    "recorded": 0.003,
    "events_claimed": 0.01,
    "events_appended": 0.01,
    "upload_taken": 0.01,
}
#: Seconds that a mutant may live.
MUTANT_S = 150.0
#: Seconds in which everything has to be in its place once the faults have ended.
_SETTLE_S = 60.0
_AWAY = (*POSTGRES_ERRORS, *CLICKHOUSE_ERRORS, PostgresUnavailable, LogUnavailable)


class RecordReport(Report):
    """What a run did and found."""

    log: str = "streams"
    rows: int = 0
    letters: int = 0
    events: int = 0
    event_rows: int = 0
    items: int = 0
    item_rows: int = 0
    accounts: dict[str, int] = msgspec.field(default_factory=dict)
    forgotten: int = 0

    @property
    def proves_nothing(self) -> str:
        """Why a run without violations says nothing; empty if it does say something."""
        for name, count, least in (
            ("deaths", sum(self.deaths.values()), 1),
            ("unknown outcomes", self.outcomes.get("unknown", 0), 1),
            ("acknowledged records", self.acked, 500),
            ("acknowledged events", self.events, 200),
            ("acknowledged items of pages", self.items, 20),
            ("letters", self.accounts.get("deadLettered", 0), 1),
            ("audits", self.outcomes.get("audit", 0), 5),
            ("audits of events", self.outcomes.get("audit of events", 0), 1),
        ):
            if count < least:
                return f"only {count} {name}"
        return ""

    def lines(self) -> list[str]:
        """For people."""
        head, *rest = super().lines()
        told = [line for line in rest if not line.startswith("  clicks")]
        at = next((i for i, line in enumerate(told) if line.startswith("  VIOLATION")), len(told))
        accounts = ", ".join(f"{name} {n:,}" for name, n in self.accounts.items())
        records = (
            f"  records   {self.attempted:,} attempted, {self.acked:,} acknowledged, {self.rows:,} rows, "
            f"{self.letters:,} letters: {self.lost} lost, {self.doubled} doubled; settled in {self.settle_s:.1f} s"
        )
        events = f"  events    {self.events:,} acknowledged, {self.event_rows:,} rows"
        items = f"  items     {self.items:,} of pages acknowledged, {self.item_rows:,} rows"
        return [
            f"{self.log}: {head}",
            *told[:at],
            records,
            events,
            items,
            f"  books     {accounts}; forgotten by Redis {self.forgotten}",
            *told[at:],
        ]


class RecordRun(Run):
    """See Run."""

    def __init__(self, seed: int, library: Path, *, log: str, mutant: str = "", faults: Sequence[str] = ()) -> None:
        self._chance = random.Random(seed)
        self._folder = Path(tempfile.mkdtemp(prefix="tallybook-chaos-"))
        self._folder.chmod(0o755)
        self._disk = SmallDisk(self._folder, is_wanted=log == "streams" and not mutant)
        self._faults = records_faults.of(log)
        self._names = [name for name in faults or self._faults if name != "full_disk" or self._disk.is_there]
        crash = RECORD_MUTANTS[mutant].crash if mutant else ",".join(f"{name}={p}" for name, p in CRASH.items())
        self._stage: RecordStage = RecordStage(self._folder, seed, library, log=log, crash=crash, mutant=mutant)
        self._books: RecordBooks = RecordBooks()
        stage = self._stage
        self._crowd = RecordCrowd(
            stage.port, self._books, random.Random(seed + 1), stage.trackers, stage.make_log, stage.database
        )
        self._scene = Scene(self._stage, self._crowd, self._books, self._disk, self._chance)
        #: Events that were acknowledged at some moment, and the ends that the log had then.
        self._looked_for: tuple[set[str], list[Position]] | None = None
        self.report: RecordReport = RecordReport(
            seed, "log", mutant, versions=counter_versions() | versions(log), log=log
        )

    async def _audit(self) -> None:
        """E2, E3, and that no record has two rows, again and again."""
        while True:
            await asyncio.sleep(0.5)
            try:
                for address, rows in await self._stage.repeated():
                    self._books.fault("E1", f"{rows} rows of {address}")
                for identity, rows in await self._stage.repeated_events():
                    self._books.fault("E1", f"{rows} rows of event {identity}")
                for name, rows in await self._stage.repeated_items():
                    self._books.fault("E1", f"{rows} rows of item {name}")
                self._books.check_cursors(*await self._stage.cursors())
                await self._check_taken()
            except _AWAY:
                self._books.outcomes["audit failed"] += 1

    async def _check_taken(self) -> None:
        """Once the sinks are behind the end that the log had, the table has all that was acknowledged by then."""
        if self._looked_for is None:
            acked = set(self._books.events.acked)
            self._looked_for = (acked, await self._stage.ends("events"))
        acked, ends = self._looked_for
        if await self._stage.are_behind("events", ends):
            self._looked_for = None
            self._books.outcomes["audit of events"] += 1
            self._books.events.check_taken(acked, {str(identity) for identity, _ in await self._stage.events()})

    async def _finish(self) -> None:
        """No more faults: everything has to arrive, and to agree."""
        stage, books = self._stage, self._books
        await stage.heal()
        await self._crowd.pause()
        began = time.monotonic()
        if not await self._settle():
            return
        self.report.settle_s = time.monotonic() - began
        await self._check()
        self._crowd.resume()  # what comes after the faults arrives as well
        taken = len(books.taken)
        await until(lambda: len(books.taken) > taken + 50, "records after the faults")
        await self._crowd.pause()
        if not await self._settle():
            return
        self.report.lost, self.report.doubled = await self._check()
        await self._crowd.stop()
        codes = await stage.stop()
        if any(codes.values()):
            books.fault("stop", f"exit codes {codes}")
        for left in await stage.left_behind():
            books.fault("left behind", left)

    async def _settle(self) -> bool:
        """Every record in its place. False, and a fault: then nothing more can be said of them."""
        if await self._stage.settle(_SETTLE_S):
            return True
        self._books.fault("settled", f"still on their way: {await self._stage.books()}")
        return False

    async def _check(self) -> tuple[int, int]:
        """Everything, at rest."""
        stage, books, report = self._stage, self._books, self.report
        books.check_cursors(*await stage.cursors())
        rows, letters = await stage.rows(), await stage.letters()
        found = books.check_records(numbers(rows), numbers(letters))
        there, places = await stage.places()
        if there != places:
            books.fault("E2", f"{there} rows of {places} places in the log")
        report.rows, report.letters = len(rows), len(letters)
        events = [(str(identity), str(user)) for identity, user in await stage.events()]
        lost, doubled = books.events.check(events)
        report.events, report.event_rows = len(books.events.acked), len(events)
        items = await stage.items()
        lost, doubled = (sum(both) for both in zip((lost, doubled), books.check_items(items), strict=True))
        report.items, report.item_rows = len(books.items), len(items)
        accounts = (await ask(stage.port, "GET", "/accounting")).json()["records"]
        report.accounts = accounts["tracker_events"]
        report.forgotten = stage.forgotten["tracker_events"]
        for table in ("tracker_events", "events", "web_items"):
            if accounts[table]["difference"] != -stage.forgotten[table]:
                books.fault("E7", f"{table}: {accounts[table]}, and Redis forgot {stage.forgotten[table]}")
        for table, lying in (("tracker_events", len(rows)), ("events", len(events)), ("web_items", len(items))):
            if accounts[table]["stored"] != lying:
                books.fault("E7", f"{lying} rows of {table}, and the accounts say {accounts[table]['stored']}")
        return found[0] + lost, found[1] + doubled


def attack(seconds: float, seed: int, log: str, faults: Sequence[str] = ()) -> RecordReport:
    """The right service under every fault, or those named."""
    return _ran(seed, seconds, log=log, faults=faults)


def hunt(name: str, seed: int, seconds: float = MUTANT_S) -> RecordReport:
    """A mutant under the faults that should bring it out, until it is caught."""
    return _ran(seed, seconds, log=LOG_OF.get(name, "streams"), mutant=name, faults=RECORD_MUTANTS[name].faults)


def _ran(seed: int, seconds: float, **options: Any) -> RecordReport:
    folder = Path(tempfile.mkdtemp(prefix="tallybook-shim-"))
    folder.chmod(0o755)
    try:
        run = RecordRun(seed, build(folder), **options)
        asyncio.run(run.run(seconds, until_caught="mutant" in options))
        return run.report
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.records.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="of attack on each log; a mutant may live for 150")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--log", choices=LOGS, help="this log only")
    parser.add_argument("--faults", default="", help="some of them only, comma separated")
    parser.add_argument("--mutant", choices=RECORD_MUTANTS, help="run this broken service instead")
    parser.add_argument("--mutants", action="store_true", help="hunt all mutants as well")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mutants = [arguments.mutant] if arguments.mutant else list(RECORD_MUTANTS) if arguments.mutants else []
    faults = [name for name in arguments.faults.split(",") if name]
    print(f"SEED={arguments.seed}", flush=True)
    logs = () if arguments.mutant else (arguments.log,) if arguments.log else LOGS
    attacks = (attack(arguments.seconds, arguments.seed, log, faults) for log in logs)
    return judged(attacks, ((name, hunt(name, arguments.seed)) for name in mutants), "records")


if __name__ == "__main__":
    sys.exit(main())
