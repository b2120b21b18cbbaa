"""Run a plan: make messages when they are due, note them ahead, and send them, until there are enough or it is stopped.

The generator has a clock of its own, which begins at the plan's start and runs at `speed`. It determines timestamps and
paces. The real clock only determines when a due event is sent.
"""

import asyncio
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import structlog

from generator.ledger import Change, Ledger, Past, Plan
from generator.targets.sender import Sender
from generator.targets.ways import Ways
from generator.traffic import modes
from generator.traffic.profile import Profile
from generator.traffic.traffic import Message, Traffic
from shared.telemetry.metrics import GENERATOR_QUEUE

#: Messages that are made at a time, and that may be in flight.
_PIECE, _IN_FLIGHT = 1_000, 50_000
#: Seconds of the longest sleep: a stop, a change and a batch whose time has come wait no longer.
_LOOK_S = 0.05
#: Seconds over which the shown rate is taken.
_RATE_S = 1.0

log = structlog.get_logger()


@dataclass
class State:
    """The state of a run, for other threads to read."""

    profile: Profile
    number: int = 0
    settled: int = 0
    per_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    is_over: bool = False


class Run:
    """Send the messages of a plan."""

    def __init__(self, plan: Plan, sender: Sender, ways: Ways, ledger: Ledger, speed: float = 1.0) -> None:
        self._plan, self._sender, self._ways, self._ledger, self._speed = plan, sender, ways, ledger, speed
        self.sender, self.ledger = sender, ledger
        self.state = State(plan.profile)
        self._traffic = Traffic(plan.seed, plan.audience, plan.profile)
        self._wanted: Profile | None = None
        self._next_s = 0.0
        self._stop = asyncio.Event()
        self._after_s = plan.start_ms / 1000
        self._anchor()
        self._follow(plan.profile, 0)
        self._rated: tuple[float, int] = (time.monotonic(), 0)

    # -- from outside ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Make no more messages. Those that are made are sent."""
        self._stop.set()

    def want(self, profile: Profile) -> None:
        """Use another profile from the next message on. It is safe for threads."""
        self._wanted = profile

    @property
    def wanted(self) -> Profile:
        """Return the profile that is in use, or about to be."""
        return self._wanted or self.state.profile

    def status(self) -> dict[str, Any]:
        """Return figures for people and scripts."""
        state = self.state
        return {
            "run": self._plan.run,
            "made": state.number,
            "sent": dict(sorted(self.ledger.sent.items())),
            "refused_or_unknown": self.ledger.not_sent,
            "per_s": round(state.per_s, 1),
            "in_flight": self.sender.in_flight + self._ways.waiting,
            "retries": self.sender.retries,
            "seconds": round(time.monotonic() - state.began, 3),
        }

    # -- the run ---------------------------------------------------------------------------------------------------

    async def resume(self, past: Past) -> None:
        """Make earlier messages again, and settle those of unknown outcome. Raises TargetUnusable."""
        doubted: list[Message] = []
        changes = list(past.changes)
        while self._traffic.number < past.reach:
            while changes and changes[0].number <= self._traffic.number:
                self._apply(changes.pop(0))
            until = min(past.reach, changes[0].number if changes else past.reach, self._traffic.number + _PIECE)
            due_ms = [self._due_ms() for _ in range(until - self._traffic.number)]
            doubted += [one for one in self._traffic.take(due_ms) if one.number not in past.settled]
        for change in changes:
            self._apply(change)
        log.info("generator_resumed", number=past.reach, in_doubt=len(doubted))
        missing = await self._sender.missing(doubted, past.plan.ends, past.plan.ways)
        self._ledger.write()
        await self._send(missing)
        if self.state.profile.mode != "max":  # the time in which nobody ran is not made up for
            self._change(self.state.profile, time.time() if self._speed == 1 else self._after_s)
        self._anchor()

    async def run(self) -> bool:
        """Run until all is sent, or `stop`. Return whether it is complete. `settle` waits for what is in flight."""
        while not self._is_enough() and not self._stop.is_set():
            self._note_progress()
            if self._wanted is not None:
                profile, self._wanted = self._wanted, None
                self._change(profile, self._now_s() if profile.mode != "max" else self._after_s)
                self._anchor()
            due_ms = [] if self.state.profile.is_paused else self._due()
            if due_ms:
                await self._make(due_ms)
            else:
                await self._rest()
            await self._ways.tick()
        return self._is_enough()

    async def settle(self, timeout_s: float) -> bool:
        """Wait for what is in flight. Return whether all of it is settled."""
        deadline = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._ways.flush()
        except TimeoutError:
            pass
        while self._sender.in_flight and time.monotonic() < deadline:
            self._note_progress()
            await asyncio.sleep(0.005)
        self._note_progress()
        self.state.is_over = True
        return not self._sender.in_flight and not self._ways.waiting

    async def _make(self, due_ms: list[int]) -> None:
        messages = self._traffic.take(due_ms)
        self.state.number = self._traffic.number
        await self._send(messages)

    async def _send(self, messages: list[Message]) -> None:
        for at in range(0, len(messages), _PIECE):
            while self._sender.in_flight >= _IN_FLIGHT:
                self._note_progress()
                await asyncio.sleep(0.001)
            piece = messages[at : at + _PIECE]
            self._ledger.reach(piece[-1].number + 1)
            await self._ways.send(piece)
            await asyncio.sleep(0)

    def _is_enough(self) -> bool:
        return self._plan.events is not None and self._traffic.number >= self._plan.events

    # -- time ------------------------------------------------------------------------------------------------------

    def _anchor(self) -> None:
        """Set the generator's clock to the last instant."""
        self._anchored_at, self._anchored_s, self._since = time.monotonic(), self._after_s, 0

    def _now_s(self) -> float:
        """Return the time of the generator's clock."""
        return self._anchored_s + (time.monotonic() - self._anchored_at) * self._speed

    def _due(self) -> list[int]:
        """Return the instants that are due, in milliseconds."""
        left = _PIECE if self._plan.events is None else min(_PIECE, self._plan.events - self._traffic.number)
        profile = self.state.profile
        if profile.mode == "max":
            if profile.max_per_s:
                allowed = int((time.monotonic() - self._anchored_at) * profile.max_per_s) - self._since
                left = max(0, min(left, allowed))
            self._since += left
            return [self._due_ms() for _ in range(left)]
        now_s, due = self._now_s(), list[int]()
        while len(due) < left and self._next_s <= now_s:
            due.append(self._due_ms())
        return due

    def _due_ms(self) -> int:
        """Return the next instant, in milliseconds."""
        self._after_s = self._next_s
        self._next_s = self._mode.next(self._after_s)
        return int(self._after_s * 1000 + 1e-4)

    async def _rest(self) -> None:
        """Wait until something may be due."""
        wait_s = _LOOK_S
        if self.state.profile.mode != "max":
            wait_s = min(wait_s, max(0.0005, (self._next_s - self._now_s()) / self._speed))
        try:
            async with asyncio.timeout(wait_s):
                await self._stop.wait()
        except TimeoutError:
            pass

    # -- the profile -----------------------------------------------------------------------------------------------

    def _change(self, profile: Profile, after_s: float) -> None:
        change = Change(self._traffic.number, after_s, profile)
        self._ledger.change(change)
        self._apply(change)
        log.info("generator_profile_changed", number=change.number, mode=profile.mode)

    def _apply(self, change: Change) -> None:
        self._after_s = change.after_s
        self._follow(change.profile, change.number)

    def _follow(self, profile: Profile, number: int) -> None:
        """Restart the pace with a seed from the message number, so that earlier reads of the pace do not matter."""
        self.state.profile = profile
        self._traffic.follow(profile)
        rng = Random(f"{self._plan.seed} pace {number}")  # noqa: S311 - no secret
        self._mode = modes.made(profile.mode, profile, rng, self._after_s)
        self._next_s = self._mode.next(self._after_s)

    def _note_progress(self) -> None:
        self._ledger.write()
        GENERATOR_QUEUE.set(self._sender.in_flight + self._ways.waiting)
        settled = sum(self._ledger.sent.values()) + self._ledger.not_sent
        at, before = self._rated
        now = time.monotonic()
        if now - at >= _RATE_S:
            self.state.per_s = (settled - before) / (now - at)
            self._rated = now, settled
        self.state.settled = settled
