"""`python -m tests.chaos.sdk.run --seconds 120 --seed 7`: attack the client, and judge it by ledgers of applications.

    --scene NAME    this scene only
    --js            the client for JavaScript, in the scenes that it has: it neither forks nor spools
    --mutants       break the client in every known way: each has to be caught

Exit code 1: a promise was broken, or a mutant survived.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.testing import FakeServer, Received
from tests.chaos.sdk.mutants import MUTANTS
from tests.harness.process import ROOT
from tests.harness.subjects.js_sdk import built

#: Seconds in which an application has to settle everything once the faults have ended.
PATIENCE_S = 30.0
#: Seconds that a service remembers ids of clicks in the scene `window`: a client may repeat within 2 of them.
WINDOW_S = 8
_APPS = 2


class Scene(NamedTuple):
    """What applications do, and what is done to them."""

    faults: float = 0.3
    forks: bool = False
    is_spooled: bool = False
    #: Seconds between two kills of applications; 0 is none.
    kill_s: float = 0.0
    #: Seconds of an outage in which what arrives is done and never answered.
    deaf_s: float = 0.0
    window_s: int = 600
    conflicts: bool = False
    #: Seconds between the death of the last application and its heir.
    heir_s: float = 0.0


SCENES = {
    "faults": Scene(conflicts=True),
    "forks": Scene(faults=0.1, forks=True),
    "kills": Scene(faults=0.8, is_spooled=True, kill_s=1.5),
    "window": Scene(faults=0.0, deaf_s=WINDOW_S + 4, window_s=WINDOW_S),
    "late heir": Scene(faults=0.0, is_spooled=True, kill_s=1.5, deaf_s=60, window_s=WINDOW_S, heir_s=WINDOW_S + 1),
}


#: Scenes and mutants of the client for JavaScript; `app.mjs` has the mutants.
JS_SCENES = ("faults", "window")
JS_MUTANTS = (
    *("a new id for each attempt", "dropped on 401", "no window of clicks", "flush ignores the batch in flight"),
    *("a conflict is stored", "Retry-After ignored"),
)


class Broken(AssertionError):
    """A promise that was broken."""


class Service(FakeServer):
    """A service that fails by chance, forgets ids of clicks after their window, and sees who ignores `Retry-After`."""

    def __init__(self, chance: random.Random, scene: Scene) -> None:
        self._chance, self._scene = chance, scene
        self.is_calm = self.is_deaf = False
        self._held: dict[str, float] = {}
        self._taken_at: dict[tuple[int, str], float] = {}
        self.early = 0
        self.clicked: Counter[int] = Counter()
        super().__init__()
        self.limits = {"clicks": {"windowS": scene.window_s}}

    def _answer(self, request: Received) -> Answer | None:
        if request.method == "POST":
            with self._lock:
                sender = f"{request.path} {request.headers['x-process']}" if "x-process" in request.headers else ""
                self.early += bool(sender) and time.monotonic() < self._held.get(sender, 0.0)
                fault = self._fault(len(request.json()))
            if isinstance(fault, Answer):
                wait_s = float(fault.headers.get("retry-after", 0))
                self._held[sender] = time.monotonic() + wait_s * 0.9
                return fault
            if fault == "reset":
                return None
            answer = super()._answer(request)
            return None if fault == "lost" else answer
        return super()._answer(request)

    def _fault(self, items: int) -> Answer | str | None:
        if self.is_deaf:
            return "lost"
        if self.is_calm or self._chance.random() >= self._scene.faults:
            return None
        return self._chance.choice(
            [
                *("lost", "lost", "reset"),
                Answer(503, {"retry-after": "1"}, b'{"code":"unavailable"}'),
                Answer(429, {"retry-after": "1"}, b'{"code":"limited"}'),
                Answer(409, {}, b'{"code":"conflict"}'),
                Answer(401, {}, b'{"code":"unauthorized"}'),
                Answer(308, {"location": "https://elsewhere.example/"}, b""),
                Answer(200, {"content-type": "text/html"}, b"<html>welcome</html>"),
                Answer(413, {}, b"<html>too large</html>") if items > 1 else "lost",
            ]
        )

    def _take_clicks(self, request: Received) -> Answer:
        now = time.monotonic()
        for name in [one for one, at in self._taken_at.items() if now - at > self._scene.window_s]:
            del self._taken_at[name], self.counted[name]
        before = set(self.counted)
        answer = super()._take_clicks(request)
        for name in set(self.counted) - before:
            self._taken_at[name] = now
            self.clicked[name[0]] += self.counted[name]
        return answer

    def _take_events(self, request: Received) -> Answer:
        items = request.json()
        answer = json.loads(super()._take_events(request).body)
        for item, result in zip(items, answer["results"], strict=True):
            if self.events[item["event_id"]] != item:
                result["status"] = "conflict"
        return Answer(202, {}, json.dumps(answer).encode())


class Run:
    """Applications under attack."""

    def __init__(self, folder: Path, scene: str, seed: int, mutant: str = "", *, is_js: bool = False) -> None:
        self.scene, self.folder, self.mutant = SCENES[scene], folder, mutant
        python = [sys.executable, "-W", "ignore", "-m", "tests.chaos.sdk.app"]
        self.command = ["node", "tests/chaos/sdk/app.mjs"] if is_js and built() else python
        self.chance = random.Random(seed)
        self.service = Service(random.Random(seed + 1), self.scene)
        self.apps: list[subprocess.Popen[bytes]] = []
        self.log = (folder / "log").open("ab")

    def launch(self, seconds: float) -> "subprocess.Popen[bytes]":
        spool = str(self.folder / "spool") if self.scene.is_spooled else None
        plan = {
            **{"url": self.service.url, "folder": str(self.folder), "spool": spool, "seconds": seconds},
            **{"seed": self.chance.getrandbits(32), "mutant": self.mutant, "forks": self.scene.forks},
            **{"conflicts": self.scene.conflicts, "patience_s": PATIENCE_S},
        }
        return subprocess.Popen([*self.command, json.dumps(plan)], cwd=ROOT, stdout=self.log, stderr=self.log)

    def play(self, seconds: float) -> Counter[str]:
        """Run the scene, and judge it. Return what happened. Raises Broken."""
        until = time.monotonic() + seconds
        self.apps = [self.launch(seconds) for _ in range(_APPS)]
        try:
            if self.scene.deaf_s:
                time.sleep(min(1.5, seconds / 2))
                self.service.is_deaf = True
            deaf_until = time.monotonic() + min(self.scene.deaf_s, max(seconds, self.scene.window_s + 4))
            while time.monotonic() < until:
                time.sleep(self.scene.kill_s or 0.1)
                if self.scene.kill_s:
                    self.kill_one(until)
            if self.scene.heir_s:
                for app in self.apps:
                    app.kill()
                    app.wait()
                self.service.is_deaf = False
                time.sleep(self.scene.heir_s)
                self.apps = [self.launch(0.1)]
            elif self.scene.deaf_s:
                time.sleep(max(0.0, deaf_until - time.monotonic()))
            self.service.is_calm, self.service.is_deaf = True, False
            for app in self.apps:
                try:
                    app.wait(PATIENCE_S + 60)
                except subprocess.TimeoutExpired:
                    raise Broken("an application hangs") from None
            if self.scene.is_spooled:
                self.launch(0.1).wait(PATIENCE_S + 60)
            return self.judge()
        finally:
            for app in self.apps:
                app.kill()
                app.wait()
            self.service.close()
            self.log.close()

    def kill_one(self, until: float) -> None:
        number = self.chance.randrange(len(self.apps))
        self.apps[number].kill()
        self.apps[number].wait()
        self.apps[number] = self.launch(max(0.2, until - time.monotonic()))

    # -- the judge -----------------------------------------------------------------------------------------------------

    def judge(self) -> Counter[str]:
        """Compare the ledgers with what the service has."""
        asked, called = Books(), Books()
        seen: Counter[str] = Counter()
        sums: Counter[str] = Counter()
        for path in self.folder.glob("*.ledger"):
            for line in path.read_text().splitlines():
                try:
                    kind, *what = json.loads(line)
                except ValueError:  # the last line of a process that was killed
                    continue
                self.read(kind, what, asked, called, sums)
                seen[kind] += 1
        rows = set(self.service.events)
        _check(seen["event"] > 20 and seen["click"] > 20, f"too little was recorded: {seen}")
        _check(rows <= asked.events, f"{len(rows - asked.events)} events that nobody recorded")
        lost = len(called.events - rows)
        _check(lost <= sums["gone"], f"{lost} events lost, {sums['gone']} of them told")
        counted = self.service.clicked
        for banner, count in counted.items():
            _check(count <= asked.clicks[banner], f"banner {banner}: {count} for {asked.clicks[banner]} clicks")
        missing = sum(called.clicks.values()) - sum(counted.values())
        _check(missing <= sums["gone"], f"{missing} clicks lost, {sums['gone']} records told")
        if not self.scene.kill_s:
            told = sums["stored"] + sums["duplicate"]
            there = len(rows) + sum(counted.values())
            _check(told <= there <= told + sums["outcome_unknown"], f"told {told}, there are {there}: {sums}")
            _check(sums["conflict"] == seen["conflict"], f"{sums['conflict']} of {seen['conflict']} conflicts told")
        _check(not self.service.early, f"{self.service.early} requests before Retry-After was over")
        return seen + sums

    def read(self, kind: str, what: list[Any], asked: "Books", called: "Books", sums: Counter[str]) -> None:
        match kind, what:
            case "event?" | "event", [name]:
                (asked if kind == "event?" else called).events.add(name)
            case "click?" | "click", [banner, count]:
                (asked if kind == "click?" else called).clicks[banner] += count
            case "unbalanced", [difference]:
                raise Broken(f"a report misses {difference} under way")
            case "hung", _:
                raise Broken("a child hangs")
            case "unflushed", [left]:
                raise Broken(f"flush returned True with {left} records pending")
            case "report", [difference, stored, duplicate, rejected, dropped]:
                _check(difference == 0, f"a report misses {difference}")
                _check(rejected.keys() <= {"conflict"}, f"rejected: {rejected}")
                _check(dropped.keys() <= {"outcome_unknown", "closed"}, f"dropped: {dropped}")
                sums.update(stored=stored, duplicate=duplicate, conflict=rejected.get("conflict", 0), **dropped)
                sums["gone"] += sum(dropped.values())


class Books:
    """Events and clicks by name."""

    def __init__(self) -> None:
        self.events: set[str] = set()
        self.clicks: Counter[int] = Counter()


def _check(is_so: bool, what: str) -> None:
    if not is_so:
        raise Broken(what)


def play(scene: str, seconds: float, seed: int, mutant: str = "", *, is_js: bool = False) -> Counter[str]:
    """Run one scene in a folder of its own. Raises Broken."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return Run(Path(folder), scene, seed, mutant, is_js=is_js).play(seconds)
        except Broken as broken:
            broken.add_note((Path(folder) / "log").read_text()[-2000:])
            raise


def main() -> int:
    """Run every scene, then every mutant if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--scene", choices=SCENES)
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--js", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    scenes = [options.scene] if options.scene else list(JS_SCENES if options.js else SCENES)
    for scene in scenes:
        print(scene, dict(play(scene, options.seconds / len(scenes), options.seed, is_js=options.js)))
    survived = 0
    for name in (JS_MUTANTS if options.js else MUTANTS) if options.mutants else ():
        try:
            play(MUTANTS[name].scene, 6.0, options.seed, name, is_js=options.js)
        except Broken as broken:
            print(f"{name}: caught: {broken}")
        else:
            survived += 1
            print(f"{name}: SURVIVED")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
