"""Make random page views: who views which page for how long, and which of them are faulty.

**The same seed makes the same events**: every draw comes from one `random.Random` in one order, through `random()`
alone, whose sequence Python promises to keep. Only the number of an event and the profile determine its content.

**Every event has an identity of its own**: (user_id, page_id, timestamp). Timestamps never go back, and the clock
advances a millisecond when an identity would repeat. So an identity that appears twice is a deliberate duplicate.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple

import msgspec

from generator.traffic.kinds import BOUNCE, BROKEN_JSON, DUPLICATE, EMPTY_PAGE, FAULTY, NEGATIVE_DURATION, NORMAL
from generator.traffic.profile import Profile

#: Good events among which a duplicate finds its original.
_RECENT = 1024
#: Milliseconds of views: of normal ones from the first to the second, of bounces too.
_NORMAL_MS, _BOUNCE_MS = (10_000, 600_000), (200, 4_999)

_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
_REGIONS: Final = ("DE-BE", "DE-BY", "FR-IDF", "GB-LND", "PL-MZ", "UA-30", "US-CA", "US-NY", "BR-SP", "IN-MH", "JP-13")


class Message(NamedTuple):
    """A message to send. `number` counts from 0; `of` is the number of a duplicate's original."""

    number: int
    kind: str
    key: bytes
    value: bytes
    of: int | None


class Audience(NamedTuple):
    """The numbers of pages and users, and the exponents of their Zipf distributions."""

    pages: int = 1_000
    users: int = 50_000
    page_exponent: float = 1.0
    user_exponent: float = 0.7


class Traffic:
    """The events of a seed, in order."""

    def __init__(self, seed: int, audience: Audience, profile: Profile) -> None:
        self._seed = seed
        self._random = Random(f"{seed} traffic").random  # noqa: S311 - no secret
        self._pages = [f"page-{number:05d}".encode() for number in range(1, audience.pages + 1)]
        self._page = zipf(audience.pages, audience.page_exponent, self._random)
        self._user = zipf(audience.users, audience.user_exponent, self._random)
        #: What is known of each user, as JSON: made when the user comes for the first time.
        self._users: list[tuple[bytes, bytes] | None] = [None] * audience.users
        self._number = 0
        self._ms, self._second, self._text = 0, -1, b""
        self._in_this_ms: set[tuple[int, int]] = set()
        self._recent: list[Message] = []
        self.follow(profile)

    @property
    def number(self) -> int:
        """Return the number of the next message."""
        return self._number

    def follow(self, profile: Profile) -> None:
        """Use other ratios from the next message on."""
        self._duplicates = profile.duplicate_ratio
        self._faulty = self._duplicates + profile.faulty_ratio
        self._bounces = self._faulty + profile.bounce_ratio
        self._faulty_ratio = profile.faulty_ratio

    def take(self, due_ms: Sequence[int]) -> list[Message]:
        """Return a message for each instant; instants are Unix milliseconds in order."""
        return [self._message(at_ms) for at_ms in due_ms]

    def _message(self, at_ms: int) -> Message:
        number = self._number
        self._number = number + 1
        chance = self._random()
        if chance < self._duplicates and self._recent:
            original = self._recent[int(self._random() * len(self._recent))]
            return Message(number, DUPLICATE, original.key, original.value, original.number)
        kind = NORMAL
        if self._duplicates <= chance < self._faulty:
            kind = FAULTY[int((chance - self._duplicates) / self._faulty_ratio * 3) % 3]
        elif self._faulty <= chance < self._bounces:
            kind = BOUNCE
        message = self._event(number, kind, at_ms)
        if kind in (NORMAL, BOUNCE):
            if len(self._recent) < _RECENT:
                self._recent.append(message)
            else:
                self._recent[number % _RECENT] = message
        return message

    def _event(self, number: int, kind: str, at_ms: int) -> Message:
        page_number, user_number = self._page(), self._user()
        user, about = self._users[user_number] or self._introduce(user_number)
        key = b"" if kind == EMPTY_PAGE else self._pages[page_number]
        value = b'{"page_id":"%b","user_id":"%b","view_duration_ms":%d,"timestamp":"%b"%b,"is_bounce":%b}' % (
            key,
            user,
            self._duration(kind),
            self._stamp(at_ms, user_number, page_number),
            about,
            b"true" if kind == BOUNCE else b"false",
        )
        if kind == BROKEN_JSON:
            value = value[: 1 + int(self._random() * (len(value) - 2))]
        return Message(number, kind, key, value, None)

    def _duration(self, kind: str) -> int:
        """Return milliseconds, log-uniform: short views are more common than long ones."""
        chance = self._random()
        if kind == BOUNCE:
            return _BOUNCE_MS[0] + int(chance * (_BOUNCE_MS[1] - _BOUNCE_MS[0] + 1))
        if kind == NEGATIVE_DURATION:
            return -1 - int(chance * _NORMAL_MS[1])
        return int(_NORMAL_MS[0] * (_NORMAL_MS[1] / _NORMAL_MS[0]) ** chance)

    def _stamp(self, at_ms: int, user: int, page: int) -> bytes:
        """Return the time as RFC 3339 in UTC with milliseconds, so that no identity repeats."""
        if at_ms > self._ms:
            self._ms = at_ms
            self._in_this_ms.clear()
        elif (user, page) in self._in_this_ms:
            self._ms += 1
            self._in_this_ms.clear()
        self._in_this_ms.add((user, page))
        second, ms = divmod(self._ms, 1000)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        return b"%b.%03dZ" % (self._text, ms)

    def _introduce(self, number: int) -> tuple[bytes, bytes]:
        """Return the fields of a user: one agent, address and region, some of them missing."""
        chance = Random(f"{self._seed} user {number}").random  # noqa: S311 - no secret
        about: dict[str, str] = {}
        if chance() < 0.95:
            about["user_agent"] = _AGENTS[int(chance() * len(_AGENTS))]
        if chance() < 0.95:  # addresses that are set aside for benchmarks and documents
            host = int(chance() * 131_072)
            is_new = chance() < 0.4
            about["ip_address"] = str((IPv6Address("2001:db8::") if is_new else IPv4Address("198.18.0.0")) + host)
        if chance() < 0.9:
            about["region"] = _REGIONS[int(chance() * len(_REGIONS))]
        text = b"," + msgspec.json.encode(about)[1:-1] if about else b""
        self._users[number] = known = f"user-{number + 1:06d}".encode(), text
        return known


def zipf(count: int, exponent: float, chance: Callable[[], float]) -> Callable[[], int]:
    """Return a function that draws ranks from 0: rank k has the weight 1 / (k + 1) ** exponent."""
    sums = list(accumulate(rank**-exponent for rank in range(1, count + 1)))
    total = sums[-1]

    def draw() -> int:
        return bisect(sums, chance() * total, 0, count - 1)

    return draw
