"""Page views as a misbehaving producer sends them, and what has to come of them."""

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

#: Milliseconds of a minute, an hour and a day.
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
#: Days for which minutes are kept.
MINUTES_DAYS = 7


class Sent(NamedTuple):
    """One message. `kind` is view, repeat (of an earlier one), or the reason for which it has to be refused."""

    kind: str
    key: bytes
    value: bytes
    page: str = ""
    user: str = ""
    ms: int = 0
    duration: int = 0
    is_bounce: bool = False


def view(page: str = "/a", user: str = "u", ms: int | None = None, duration: int = 200, **fields: Any) -> Sent:
    """A view that is all right."""
    ms = int(time.time() * 1000) if ms is None else ms
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    is_bounce = bool(fields.pop("is_bounce", False))
    event = {
        "page_id": page,
        "user_id": user,
        "view_duration_ms": duration,
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z",
        "is_bounce": is_bounce,
        **fields,
    }
    return Sent("view", page.encode(), json.dumps(event).encode(), page, user, ms, duration, is_bounce)


def faulty(reason: str, one: Sent) -> Sent:
    """The same message with something wrong."""
    event = json.loads(one.value)
    if reason == "malformed":
        value = one.value[:-7]
    else:
        event |= {
            "empty_page_id": {"page_id": ""},
            "negative_duration": {"view_duration_ms": -5},
            "time_out_of_range": {"timestamp": "1999-12-31T23:59:59.999Z"},
            "columns": {"user_id": 7},
        }[reason]
        value = json.dumps(event).encode()
    return Sent(reason, one.key, value)


def generate(seed: int, count: int, now_ms: int) -> list[Sent]:
    """Views of the last hours with 10 % bounces, 5 % faulty ones, 1 % repeats and some that are days late."""
    chance, sent = random.Random(seed), list[Sent]()
    reasons = ("malformed", "empty_page_id", "negative_duration", "time_out_of_range", "columns")
    while len(sent) < count:
        views = [one for one in sent[-200:] if one.kind == "view"]
        if views and chance.random() < 0.01:
            sent.append(chance.choice(views)._replace(kind="repeat"))
            continue
        late_ms = chance.randrange(2 * HOUR_MS)
        if chance.random() < 0.02:  # within the life of minutes, or well behind it
            late_ms = chance.choice((0, 8)) * DAY_MS + chance.randrange(6 * DAY_MS)
        is_bounce = chance.random() < 0.1
        one = view(
            page=f"/p{int(chance.paretovariate(1.0)) % 40}",
            user=f"u{int(chance.paretovariate(0.7)) % 500}",
            ms=now_ms - late_ms,
            duration=chance.randrange(5000) if is_bounce else chance.randrange(10_000, 600_000),
            is_bounce=is_bounce,
            region=chance.choice(("DE-BE", "US-CA", "")),
            user_agent='Mozilla/5.0 "ä"\\',
            ip_address=chance.choice(("203.0.113.9", "2001:db8::1")),
            spare="a name that is not known",
        )
        sent.append(faulty(chance.choice(reasons), one) if chance.random() < 0.05 else one)
    return sent


class Bucket(NamedTuple):
    """What views add up to."""

    views: int
    bounces: int
    duration: int
    users: int


def buckets(sent: Iterable[Sent], size_ms: int) -> dict[tuple[int, str], Bucket]:
    """(begin in epoch seconds, page) -> the sums of its views."""
    parts: dict[tuple[int, str], list[Sent]] = defaultdict(list)
    for one in sent:
        parts[one.ms // size_ms * size_ms // 1000, one.page].append(one)
    return {
        key: Bucket(
            len(views),
            sum(one.is_bounce for one in views),
            sum(one.duration for one in views),
            len({one.user for one in views}),
        )
        for key, views in parts.items()
    }


def rows(sent: Iterable[Sent]) -> Counter[tuple[Any, ...]]:
    """The rows of views."""
    return Counter((one.page, one.user, one.ms, one.duration, one.is_bounce) for one in sent)
