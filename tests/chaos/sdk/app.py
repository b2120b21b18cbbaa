"""An application that records under attack: `python -m tests.chaos.sdk.app '{...}'`.

Its ledger gets a line before each call and one after it, so that what a killed process had recorded is known. At the
end it closes its client and writes the report.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from tallybook_sdk import Answer, Client, Deadline, Request
from tallybook_sdk.sending import courier
from tallybook_sdk.sending.http import HttpTransport
from tests.chaos.sdk.mutants import MUTANTS

#: Seconds of a pause here, so that a run sees the end of it.
PAUSE_S = 0.3
THREADS = 3
BANNERS = 5


class Named(HttpTransport):
    """Tell the service which process sends."""

    def send(self, request: Request, deadline: Deadline) -> Answer:
        """Send with one header more."""
        headers = {**request.headers, "x-process": str(os.getpid())}
        return super().send(msgspec.structs.replace(request, headers=headers), deadline)


class App:
    """One process, and what it has recorded."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.chance = random.Random(plan["seed"])
        self.folder = Path(plan["folder"])
        self.tally = self.client()
        self.lock = threading.Lock()
        self.begin()

    def client(self) -> Client:
        options: dict[str, Any] = {"batch_age_s": 0.05, "batch_items": 50, "timeout_s": 1.0, "transport": Named()}
        return Client(self.plan["url"], spool=self.plan["spool"], **options)

    def begin(self) -> None:
        """Open a ledger of this process."""
        self.ledger = (self.folder / f"{os.getpid()}.ledger").open("a", buffering=1)

    def note(self, *what: object) -> None:
        with self.lock:
            self.ledger.write(json.dumps(what) + "\n")

    def record(self, chance: random.Random) -> None:
        """One call."""
        if chance.random() < 0.5:
            name = str(UUID(int=chance.getrandbits(128), version=4))
            self.note("event?", name)
            self.tally.event("chaos", 1, {"n": 1}, id=name)
            self.note("event", name)
            if self.plan["conflicts"] and chance.random() < 0.1:
                self.tally.event("chaos", 1, {"n": 2}, id=name)
                self.note("conflict", name)
        else:
            banner, count = chance.randint(1, BANNERS), chance.randint(1, 3)
            self.note("click?", banner, count)
            self.tally.click(banner, count)
            self.note("click", banner, count)

    def work(self, seed: int, until: float) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            self.record(chance)
            time.sleep(chance.random() * 0.01)

    def look(self, until: float) -> None:
        while time.monotonic() < until:
            if difference := self.tally.report().difference:
                self.note("unbalanced", difference)

    def fork(self) -> None:
        """Let a child record, and end as its kind does."""
        seed = self.chance.getrandbits(32)
        with self.lock:  # of the test; those of the client may be held by any thread
            pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        signal.alarm(30)  # a child that hangs
        self.lock = threading.Lock()
        self.begin()
        chance = random.Random(seed)
        for _ in range(chance.randint(1, 10)):
            self.record(chance)
        self.end()
        os._exit(0)

    def end(self) -> None:
        """Settle what can be, and write the report."""
        until = time.monotonic() + self.plan["patience_s"]
        is_settled = self.tally.flush(self.plan["patience_s"])
        left = self.tally.report().pending
        if is_settled and left and not self.plan["spool"]:
            self.note("unflushed", left)
        while self.plan["spool"] and self.tally.report().pending and time.monotonic() < until:
            time.sleep(0.05)  # what former processes left, which no flush waits for
        self.tally.close(0.5)
        report = self.tally.report()
        self.note("report", report.difference, report.stored, report.duplicate, report.rejected, report.dropped)
        self.note("adopted", report.adopted, report.recorded, report.pending)

    def run(self) -> None:
        self.children: list[int] = []
        until = time.monotonic() + self.plan["seconds"]
        threads = [
            threading.Thread(target=self.work, args=(self.chance.getrandbits(32), until), daemon=True)
            for _ in range(THREADS)
        ]
        if self.plan["forks"]:  # so that a fork often finds the client's lock held
            threads.append(threading.Thread(target=self.look, args=(until,), daemon=True))
        for one in threads:
            one.start()
        while time.monotonic() < until:
            time.sleep(0.1)
            if self.plan["forks"] and self.chance.random() < 0.5:
                self.fork()
        for one in threads:
            one.join()
        for pid in self.children:
            if status := os.waitpid(pid, 0)[1]:
                self.note("hung", status)
        self.end()


def main() -> None:
    """Run one application, with a mutant in it if one is named."""
    plan = json.loads(sys.argv[1])
    courier.PAUSE_S = PAUSE_S
    courier.BACKOFF_MOST_S = 0.5
    if plan["mutant"]:
        MUTANTS[plan["mutant"]].patch()
    App(plan).run()


if __name__ == "__main__":
    main()
