"""What the service returns, under the names that `docs/openapi.json` gives its answers.

A name in the answer that is no good name in Python has another one here: `tsFrom` and `from` are `since`, `tsTo` and
`to` are `until`. A test compares each struct with the document.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

BannerId = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Moment = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
Step = Literal["minute", "hour", "day"]
Window = Literal["day", "week"]
State = Literal["ok", "degraded", "unavailable"]

# -- clicks ------------------------------------------------------------------------------------------------------------


class Bucket(Struct):
    """Clicks of one minute, hour or day. While `final` is false they may still grow."""

    timestamp: Moment
    count: Natural
    final: bool


class _Covered(Struct, kw_only=True, rename="camel"):
    """The range of an answer, and the moment at which it was true."""

    since: Moment = field(name="tsFrom")
    until: Moment = field(name="tsTo")
    as_of: Moment
    partial: bool | UnsetType = UNSET
    missing: list[str] | UnsetType = UNSET


class _Stepped(_Covered, kw_only=True, rename="camel"):
    """The step of an answer with buckets, and the zone in which hours and days begin."""

    step: Step
    tz: str | UnsetType = UNSET


class BannerStatistics(_Stepped, kw_only=True, rename="camel"):
    """Clicks of one banner."""

    banner_id: BannerId
    total: Natural
    stats: list[Bucket]


class BannerSeries(Struct, kw_only=True, rename="camel"):
    """Clicks of one banner among several."""

    banner_id: BannerId
    total: Natural
    stats: list[Bucket]


class Statistics(_Stepped, kw_only=True, rename="camel"):
    """Clicks of several banners, in the order in which they were asked for."""

    total: Natural
    banners: list[BannerSeries]


class Place(Struct, rename="camel"):
    """A banner and its clicks in the range."""

    banner_id: BannerId
    count: Positive
    before: Natural | UnsetType = UNSET


class Top(_Covered, kw_only=True, rename="camel"):
    """The most clicked banners, best first."""

    tz: str | UnsetType = UNSET
    banners: list[Place]
    next: str | UnsetType = UNSET


# -- hits and pages ----------------------------------------------------------------------------------------------------


class TrackerBucket(Struct):
    """Hits of one minute, hour or day."""

    timestamp: Moment
    count: Natural
    users: Natural
    bots: Natural


class TrackerCount(Struct, kw_only=True):
    """Hits of a tracker in a range."""

    tracker_id: UUID
    since: str = field(name="from")
    until: str = field(name="to")
    tz: str
    count: Natural
    users: Natural
    bots: Natural
    step: Step | UnsetType = UNSET
    stats: list[TrackerBucket] | UnsetType = UNSET


class PageSums(Struct, kw_only=True):
    """What a number of page views adds up to."""

    views: Natural
    users: Natural
    average_duration_ms: Annotated[float, Meta(ge=0)]
    bounce_rate: Share


class PageBucket(PageSums, kw_only=True):
    """Page views of one minute, hour or day."""

    timestamp: Moment


class PagePlace(PageSums, kw_only=True):
    """Page views of one page."""

    page_id: str
    before: Natural | UnsetType = UNSET


class PageStatistics(Struct, kw_only=True):
    """Page views of a range: in all, by step, and of the most viewed pages."""

    since: Moment = field(name="from")
    until: Moment = field(name="to")
    as_of: Moment = field(name="asOf")
    fresh_until: Moment | UnsetType = field(name="freshUntil", default=UNSET)
    step: Step
    tz: str
    page_id: str | UnsetType = UNSET
    total: PageSums
    before: PageSums | UnsetType = UNSET
    stats: list[PageBucket]
    pages: list[PagePlace] | UnsetType = UNSET


# -- events ------------------------------------------------------------------------------------------------------------


class DayUsers(Struct):
    """Unique users of one day."""

    date: date
    users: Natural


class DailyUsers(Struct, kw_only=True):
    """Unique users of every day of a range."""

    first_day: date = field(name="from")
    last_day: date = field(name="to")
    tz: str
    segment: str | UnsetType = UNSET
    users: Natural
    error: float = 0.0
    days: list[DayUsers]


class TypeCount(Struct):
    """A type of events, and how often it occurred."""

    event_type: str
    count: Positive
    before: Natural | UnsetType = UNSET


class TopEvents(Struct, kw_only=True):
    """The most frequent types of events, best first."""

    first_day: date = field(name="from")
    last_day: date = field(name="to")
    tz: str
    segment: str | UnsetType = UNSET
    events: list[TypeCount]


class Cohort(Struct):
    """Users whose first activity lies in one window."""

    start: date
    size: Natural
    users: list[int]
    rates: list[float | None]


class Retention(Struct, kw_only=True):
    """Cohorts of users, and who came back."""

    start_date: date
    window: Window
    tz: str
    event_type: str | UnsetType = UNSET
    cohorts: list[Cohort]


class LoggedEvent(Struct, kw_only=True):
    """One entry of the event logs."""

    event_id: UUID
    event_type: str
    event_date_time: Moment
    environment: str
    metadata_version: Natural
    event_context: dict[str, Any]
    context: dict[str, Any]


class EventLogs(Struct, kw_only=True):
    """A page of event logs."""

    since: Moment = field(name="from")
    until: Moment = field(name="to")
    filter: str | UnsetType = UNSET
    events: list[LoggedEvent]
    next: str | UnsetType = UNSET


# -- what became of records --------------------------------------------------------------------------------------------


class Fault(Struct):
    """Why one item of clicks was not counted."""

    index: Natural
    pointer: str
    code: str
    detail: str


class Counted(Struct):
    """What became of the items of a bulk request."""

    items: Natural
    accepted: Natural = 0
    duplicate: Natural = 0
    rejected: Natural = 0
    clicks: Natural = 0
    impressions: Natural = 0
    duplicates: list[int] = []
    errors: list[Fault] = []


class Result(Struct):
    """What became of one event of an upload. Only a rejected one has `code`, `pointer` and `detail`."""

    status: Literal["accepted", "duplicate", "conflict", "rejected"]
    code: str = ""
    pointer: str = ""
    detail: str = ""


class Taken(Struct):
    """What became of the events of an upload: one result each, in their order."""

    accepted: Natural
    duplicate: Natural
    conflict: Natural
    rejected: Natural
    results: list[Result]


# -- the service -------------------------------------------------------------------------------------------------------


class Ready(Struct):
    """The state of the service and of every store."""

    status: State
    checks: dict[str, State]
    reasons: list[str] = []


class TableAccount(Struct, rename="camel"):
    """What a table of ClickHouse gets, in its own rows by where they are."""

    accepted: int | None
    stored: int
    duplicate: int
    dead_lettered: int
    skipped: int
    in_flight: int | None
    in_journals: int
    difference: int


class Accounts(Struct, rename="camel"):
    """Clicks by where they are, and rows of each table of ClickHouse."""

    accepted: int
    persisted: int
    open: int
    in_lanes: int
    difference: int
    records: dict[str, TableAccount]


class ClickLimits(Struct, rename="camel", frozen=True):
    """Bounds of `POST /stats`. Times are in seconds."""

    items_max: int = 10_000
    bytes_max: int = 1 << 20
    window_s: int = field(name="windowS", default=600)
    backdate_max_s: int = field(name="backdateMaxS", default=86_400)
    skew_max_s: int = field(name="skewMaxS", default=60)


class EventLimits(Struct, rename="camel", frozen=True):
    """Bounds of `POST /events`."""

    items_max: int = 10_000
    bytes_max: int = 5 << 20
    properties_bytes_max: int = 8_192


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of the service and the scopes of the key. Without `GET /limits` the documented defaults hold."""

    version: str = ""
    now: datetime | None = None
    clicks: ClickLimits = ClickLimits()
    events: EventLimits = EventLimits()
    scopes: list[str] = []
