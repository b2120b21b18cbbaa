"""Product events in a real ClickHouse, the routes that read them, and what these should answer, said in Python."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx2
from starlette.applications import Starlette

from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from ingest.statistics import operations
from shared.events.table import TABLE
from shared.stores.clickhouse import ClickHouse

_tokens = count(1)
RECEIVED = datetime(2026, 4, 1, tzinfo=UTC)


class Event(NamedTuple):
    """What somebody did, and how late it was received."""

    number: int
    occurred_at: datetime
    user_id: str = "u"
    event_type: str = "view"
    properties: Mapping[str, Any] = {}
    delay_s: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """As the sink writes it."""
        return {
            "event_date": f"{self.occurred_at.astimezone(UTC):%Y-%m-%d}",
            "occurred_at": _text(self.occurred_at),
            "event_id": str(UUID(int=self.number)),
            "user_id": self.user_id,
            "event_type": self.event_type,
            "properties": json.dumps(self.properties),
            "received_at": _text(RECEIVED + timedelta(seconds=self.delay_s)),
            "log_partition": 0,
            "log_offset": self.number,
            "log_seq": self.delay_s,
        }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


async def store(clickhouse: ClickHouse, *batches: Iterable[Event]) -> None:
    """Add events, each batch with an insert of its own."""
    for batch in batches:
        if lines := "\n".join(json.dumps(event.row) for event in batch):
            await clickhouse.insert(TABLE, lines.encode(), f"test-{next(_tokens)}")


@asynccontextmanager
async def asking(clickhouse: ClickHouse | None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes that read events."""
    app = Starlette(routes=routes(operations.OPERATIONS), exception_handlers=HANDLERS)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"clickhouse": clickhouse}}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://here") as client:
        yield client


# -- models ------------------------------------------------------------------------------------------------------------


def counted(events: Iterable[Event]) -> list[Event]:
    """Each event once: of those with one number the one that was received first."""
    kept: dict[int, Event] = {}
    for event in sorted(events, key=lambda one: one.delay_s):
        kept.setdefault(event.number, event)
    return list(kept.values())


def day_of(event: Event, zone: str) -> date:
    """The local day of an event."""
    return event.occurred_at.astimezone(ZoneInfo(zone)).date()


def dau(events: Iterable[Event], first: date, last: date, zone: str) -> list[tuple[str, int]]:
    """Users by day, every day of the range."""
    users: dict[date, set[str]] = defaultdict(set)
    for event in counted(events):
        users[day_of(event, zone)].add(event.user_id)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [(str(day), len(users[day])) for day in days]


def top(events: Iterable[Event], first: date, last: date, zone: str, limit: int) -> list[tuple[str, int]]:
    """Types by how often they occurred, then by their bytes."""
    found = Counter(event.event_type for event in counted(events) if first <= day_of(event, zone) <= last)
    return sorted(found.items(), key=lambda item: (-item[1], item[0].encode()))[:limit]


def series(events: Iterable[Event], zone: str, step: str) -> dict[str, tuple[int, int]]:
    """(events, users) by the begin of their local hour or day, as the answer writes it. The zone's hours are whole."""
    found: dict[str, list[str]] = defaultdict(list)
    for event in counted(events):
        local = event.occurred_at.astimezone(ZoneInfo(zone))
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        begin = event.occurred_at.astimezone(UTC) - past
        if step == "day":
            begin = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        found[f"{begin:%Y-%m-%dT%H:%M:%SZ}"].append(event.user_id)
    return {begin: (len(users), len(set(users))) for begin, users in sorted(found.items())}


def retention(
    events: Sequence[Event], start: date, windows: int, days: int, zone: str, counts: Callable[[Event], bool]
) -> list[list[int]]:
    """The triangle, in the words of docs/analytics.md: a user is of the window of the first activity."""
    active: dict[str, set[int]] = defaultdict(set)
    for event in counted(events):
        if counts(event):
            active[event.user_id].add((day_of(event, zone) - start).days // days)
    triangle = []
    for cohort in range(windows):
        users = [of for of in active.values() if min(of) == cohort]
        triangle.append([sum(window in of for of in users) for window in range(cohort, windows)])
    return triangle
