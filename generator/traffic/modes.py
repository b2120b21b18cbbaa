"""Compute when the next event is due. Instants are Unix seconds of the generator's clock; all randomness is seeded.

A mode returns `next(after)`, the first due instant later than `after`. It does not read the real clock, so a repeated
run has the same instants.
"""

import math
from datetime import datetime, timedelta
from random import Random
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from generator.traffic.profile import PlainMode, Profile, spans

#: How busy a site is by hour of the day, from 0 (the quietest) to 1. Between the hours it is interpolated. The shape is
#: the usual one of consumer sites: least at four in the morning, a plateau by day, most at eight in the evening.
CURVE: Final = (
    *(0.25, 0.15, 0.08, 0.03, 0.0, 0.03, 0.12, 0.28, 0.45, 0.58, 0.66, 0.70),
    *(0.72, 0.72, 0.70, 0.70, 0.72, 0.76, 0.84, 0.94, 1.0, 0.92, 0.70, 0.45),
)


class Mode(Protocol):
    """A pace."""

    def next(self, after_s: float) -> float:
        """Return when the next event is due, later than `after_s`."""
        ...


class Regular:
    """A Poisson process whose rate follows the hours of the day."""

    def __init__(self, profile: Profile, rng: Random) -> None:
        self._low, self._high = profile.regular_low_per_s, profile.regular_high_per_s
        self._is_diurnal, self._zone = profile.is_diurnal, ZoneInfo(profile.zone)
        self._random = rng

    def rate(self, at_s: float) -> float:
        """Return events a second: by the hour of the day, or the mean of both bounds."""
        busy = busyness(at_s, self._zone) if self._is_diurnal else 0.5
        return self._low + (self._high - self._low) * busy

    def next(self, after_s: float) -> float:
        """Return the next instant by thinning: a candidate of the highest rate stays with the ratio of the rates."""
        at_s = after_s
        while True:
            at_s -= math.log(1.0 - self._random.random()) / self._high
            if self._random.random() * self._high < self.rate(at_s):
                return at_s


class Bursts:
    """Bursts within a short window, and nothing between them. The first begins at once."""

    def __init__(self, profile: Profile, rng: Random, begin_s: float) -> None:
        self._profile = profile
        self._random = rng
        self._begin_s = begin_s
        self._due: list[float] = []

    def next(self, after_s: float) -> float:
        """Return the next instant of the current burst, or the first of the next one."""
        while self._due:
            at_s = self._due.pop()
            if at_s > after_s:
                return at_s
        one = self._profile
        if after_s > self._begin_s:
            self._begin_s += math.ceil((after_s - self._begin_s) / one.burst_every_s) * one.burst_every_s
        size = one.burst_low + int(self._random.random() * (one.burst_high - one.burst_low + 1))
        begin_s, self._begin_s = self._begin_s, self._begin_s + one.burst_every_s
        self._due = sorted(
            (begin_s + (1.0 - self._random.random()) * one.burst_window_s for _ in range(size)), reverse=True
        )
        return self._due.pop()


class Night:
    """One event in each slot of some seconds, at a random moment."""

    def __init__(self, profile: Profile, rng: Random) -> None:
        self._every_s = profile.night_every_s
        self._random = rng

    def next(self, after_s: float) -> float:
        """Return an instant in the next slot."""
        slot = math.floor(after_s / self._every_s) + 1
        return max((slot + self._random.random()) * self._every_s, math.nextafter(after_s, math.inf))


class Max:
    """Send as fast as the target accepts. By the generator's clock, events are a fixed step apart."""

    def __init__(self, profile: Profile) -> None:
        self._step_s = profile.max_step_ms / 1000

    def next(self, after_s: float) -> float:
        """Return the instant one step later."""
        return after_s + self._step_s


class Day:
    """A mode that changes with the time of day."""

    def __init__(self, profile: Profile, rng: Random) -> None:
        self._profile = profile
        self._random = rng
        self._zone = ZoneInfo(profile.zone)
        self._spans = spans(profile)
        self._mode: Mode | None = None
        self._until_s = -math.inf

    def next(self, after_s: float) -> float:
        """Return the next instant of the current mode, or the first of the next one."""
        while True:
            if self._mode is None or after_s >= self._until_s:
                name, self._until_s = self.at(after_s)
                self._mode = made(name, self._profile, self._random, after_s)
            at_s = self._mode.next(after_s)
            if at_s < self._until_s:
                return at_s
            after_s = self._until_s

    def at(self, at_s: float) -> tuple[PlainMode, float]:
        """Return the mode of an instant, and the instant at which it ends."""
        local = datetime.fromtimestamp(at_s, self._zone)
        minute = local.hour * 60 + local.minute
        name = next((mode for begin, mode in reversed(self._spans) if begin <= minute), self._spans[-1][1])
        following = next((begin for begin, _ in self._spans if begin > minute), None)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        day, minutes = (0, following) if following is not None else (1, self._spans[0][0])
        end = (midnight + timedelta(days=day)).replace(hour=minutes // 60, minute=minutes % 60, fold=local.fold)
        return name, max(end.timestamp(), at_s + 1.0)


def made(name: str, profile: Profile, rng: Random, begin_s: float) -> Mode:
    """Return the mode of a name, from `begin_s` on."""
    if name == "regular":
        return Regular(profile, rng)
    if name == "bursts":
        return Bursts(profile, rng, begin_s)
    if name == "night":
        return Night(profile, rng)
    return Day(profile, rng) if name == "day" else Max(profile)


def busyness(at_s: float, zone: ZoneInfo) -> float:
    """Return how busy the hour is, from 0 to 1."""
    local = datetime.fromtimestamp(at_s, zone)
    part = (local.minute * 60 + local.second) / 3600
    return CURVE[local.hour] * (1 - part) + CURVE[(local.hour + 1) % 24] * part
