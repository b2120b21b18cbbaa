"""What the statistics routes return: msgspec writes these types, and the OpenAPI document describes them."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ingest.http.openapi import BannerId
from ingest.statistics.ranges import Step

Window = Literal["day", "week"]
Metric = Literal["clicks", "served", "viewable", "ctr"]
Traffic = Literal["human", "all", "bots"]

# -- clicks ------------------------------------------------------------------------------------------------------------


class Bucket(Struct, gc=False):
    """Clicks of one minute, hour or day. While `final` is false they may still grow."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]
    count: Annotated[int, Meta(ge=0, description="Clicks of the bucket that lie in the range")]
    final: Annotated[bool, Meta(description="False while the count may still grow")]


class Covered(Struct, kw_only=True, rename="camel"):
    """What every answer says about its range and about the moment at which it was true."""

    ts_from: Annotated[datetime, Meta(tz=True, description="First minute of the range")]
    ts_to: Annotated[datetime, Meta(tz=True, description="End of the last minute of the range")]
    as_of: Annotated[
        datetime, Meta(tz=True, description="Every click acknowledged on this host before this is counted")
    ]
    partial: Annotated[bool, Meta(description="True when a store did not answer and `partial=true` was asked")] | (
        UnsetType
    ) = UNSET
    missing: Annotated[list[str], Meta(description="The stores that did not answer: redis, postgres")] | UnsetType = (
        UNSET
    )
    tz: Annotated[str, Meta(description="The zone in which hours and days begin, when one was given")] | UnsetType = (
        UNSET
    )


class Stepped(Covered, kw_only=True, rename="camel"):
    """What answers with buckets say about them."""

    step: Step


class BannerStatistics(Stepped, kw_only=True, rename="camel"):
    """Clicks of one banner. Buckets without clicks are left out, unless `fill=true`."""

    banner_id: BannerId
    total: Annotated[int, Meta(ge=0, description="All clicks of the range")]
    stats: list[Bucket]


class BannerSeries(Struct, kw_only=True, rename="camel"):
    """Clicks of one banner among several."""

    banner_id: BannerId
    total: Annotated[int, Meta(ge=0)]
    stats: list[Bucket]


class Statistics(Stepped, kw_only=True, rename="camel"):
    """Clicks of several banners, in the order in which they were asked for."""

    total: Annotated[int, Meta(ge=0, description="All clicks of all banners")]
    banners: list[BannerSeries]


class Total(Stepped, kw_only=True, rename="camel"):
    """Clicks of all banners together. Buckets without clicks are left out, unless `fill=true`."""

    total: Annotated[int, Meta(ge=0, description="All clicks of the range")]
    banners: Annotated[int, Meta(ge=0, description="Banners with clicks in the range")]
    stats: list[Bucket]


class Place(Struct, rename="camel"):
    """A banner and its count in the range."""

    banner_id: BannerId
    count: Annotated[int, Meta(ge=1)]
    before: Annotated[int, Meta(ge=0, description="Its count in the range to compare with")] | UnsetType = UNSET


class Top(Covered, kw_only=True, rename="camel"):
    """The banners with the highest counts, best first; of equal ones the lower id is first."""

    banners: list[Place]
    next: Annotated[str, Meta(description="The `cursor` of the next places; absent on the last page")] | UnsetType = (
        UNSET
    )


# -- clicks, impressions and their rate --------------------------------------------------------------------------------

_Clicks = Annotated[int, Meta(ge=0, description="Clicks")]
_Served = Annotated[int, Meta(ge=0, description="Impressions served")]
_Viewable = Annotated[int, Meta(ge=0, description="Impressions of which half was in view for a second")]
_Ctr = Annotated[float | None, Meta(description="Clicks / viewable; null when nothing was viewable")]
_Low = Annotated[
    float | None,
    Meta(description="Lower end of the interval of `ctr` (Wilson, 95 %); null when clicks exceed viewable"),
]
_High = Annotated[float | None, Meta(description="Upper end of the interval of `ctr`")]


class MetricBucket(Struct, kw_only=True, gc=False):
    """The metrics asked for, of one minute, hour or day."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]
    clicks: _Clicks | UnsetType = UNSET
    served: _Served | UnsetType = UNSET
    viewable: _Viewable | UnsetType = UNSET
    ctr: _Ctr | UnsetType = UNSET
    final: Annotated[bool, Meta(description="False while one of the counts may still grow")]


class Figures(Struct, kw_only=True, rename="camel"):
    """The metrics asked for, of the whole range."""

    clicks: _Clicks | UnsetType = UNSET
    served: _Served | UnsetType = UNSET
    viewable: _Viewable | UnsetType = UNSET
    ctr: _Ctr | UnsetType = UNSET
    ctr_low: _Low | UnsetType = UNSET
    ctr_high: _High | UnsetType = UNSET


class Measured(Struct, kw_only=True, rename="camel"):
    """Metrics of one banner among several."""

    banner_id: BannerId
    totals: Figures
    stats: list[MetricBucket]


class BannerMetrics(Stepped, kw_only=True, rename="camel"):
    """Metrics of one banner, when `metrics` or `traffic` was given."""

    banner_id: BannerId
    traffic: Traffic
    totals: Figures
    stats: list[MetricBucket]


class Metrics(Stepped, kw_only=True, rename="camel"):
    """Metrics of several banners, when `metrics` or `traffic` was given."""

    traffic: Traffic
    totals: Annotated[Figures, Meta(description="Those of all banners together")]
    banners: list[Measured]


class RatePlace(Struct, kw_only=True, rename="camel"):
    """A banner and its rate in the range."""

    banner_id: BannerId
    clicks: _Clicks
    viewable: _Viewable
    ctr: _Ctr
    ctr_low: _Low
    ctr_high: _High


class RateTop(Covered, kw_only=True, rename="camel"):
    """The banners with the highest rates, by `ctrLow`, best first; of equal ones the lower id is first."""

    banners: list[RatePlace]
    left_out: Annotated[
        int, Meta(ge=0, description="Banners with fewer viewable impressions than `min`, or with more clicks than them")
    ]


# -- hits --------------------------------------------------------------------------------------------------------------


class TrackerBucket(Struct, gc=False):
    """Hits of one minute, hour or day."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]
    count: Annotated[int, Meta(ge=0, description="Hits of the bucket that lie in the range")]
    users: Annotated[int, Meta(ge=0, description="Different users of them, those who opted out left out")]
    bots: Annotated[int, Meta(ge=0, description="Hits of machines among them")]


class TrackerCount(Struct, kw_only=True):
    """Hits of a tracker in a range, machines' included. With `step` also by bucket; those without hits are left out."""

    tracker_id: UUID
    from_: Annotated[str, Meta(description="The begin as it was asked for: a date, or an instant in UTC")] = field(
        name="from"
    )
    to: Annotated[str, Meta(description="The end as it was asked for: a date, or an instant in UTC")]
    tz: Annotated[str, Meta(description="The zone of dates, hours and days")]
    count: Annotated[int, Meta(ge=0, description="Hits of the range")]
    users: Annotated[
        int, Meta(ge=0, description="Different users of the range, those who opted out left out: no sum of buckets")
    ]
    bots: Annotated[int, Meta(ge=0, description="Hits of machines among them")]
    step: Step | UnsetType = UNSET
    stats: list[TrackerBucket] | UnsetType = UNSET


class TrackerPlace(Struct, gc=False):
    """A tracker and its hits in the range."""

    tracker_id: UUID
    value: Annotated[str, Meta(description="Its value of now; absent when it is no tracker any more")] | UnsetType
    count: Annotated[int, Meta(ge=1)]
    users: Annotated[int, Meta(ge=0)]
    bots: Annotated[int, Meta(ge=0)]


class TrackerTop(Struct, kw_only=True):
    """The trackers with the most hits, best first; of equal ones the first by id."""

    from_: Annotated[str, Meta(description="The begin as it was asked for: a date, or an instant in UTC")] = field(
        name="from"
    )
    to: Annotated[str, Meta(description="The end as it was asked for: a date, or an instant in UTC")]
    tz: Annotated[str, Meta(description="The zone of dates")]
    trackers: list[TrackerPlace]


# -- product events ----------------------------------------------------------------------------------------------------


class Ranged(Struct, kw_only=True):
    """What answers about a range of days say of it."""

    from_: Annotated[date, Meta(description="First day of the range")] = field(name="from")
    to: Annotated[date, Meta(description="Last day of the range")]
    tz: Annotated[str, Meta(description="The zone of the days")]
    segment: Annotated[str, Meta(description="The segment in its shortest form")] | UnsetType = UNSET


class DayUsers(Struct, gc=False):
    """Users of one day."""

    date: date
    users: Annotated[int, Meta(ge=0, description="Different users with an event of the segment on that day")]


class DailyUsers(Ranged, kw_only=True):
    """Unique users of every day of the range, those without any included."""

    users: Annotated[int, Meta(ge=0, description="Different users of the whole range: not the sum of its days")]
    error: Annotated[float, Meta(description="With `approx`: relative error that 99.7 % of the days stay below")] = 0.0
    days: list[DayUsers]


class EventSums(Struct):
    """Events and their users."""

    count: Annotated[int, Meta(ge=0, description="Events")]
    users: Annotated[int, Meta(ge=0, description="Different users of them")]


class EventBucket(EventSums, gc=False):
    """Events of one minute, hour or day."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]


class EventSeries(Struct, kw_only=True):
    """Events of a range: in all, and by bucket. Buckets without events are left out, unless `fill=true`."""

    from_: Annotated[str, Meta(description="The begin as it was asked for: a date, or an instant in UTC")] = field(
        name="from"
    )
    to: Annotated[str, Meta(description="The end as it was asked for: a date, or an instant in UTC")]
    step: Step
    tz: Annotated[str, Meta(description="The zone in which hours and days begin")]
    segment: Annotated[str, Meta(description="The segment in its shortest form")] | UnsetType = UNSET
    event_type: Annotated[str, Meta(description="The type, where one was asked for")] | UnsetType = UNSET
    total: Annotated[EventSums, Meta(description="Of the whole range: users are not the sum of the buckets")]
    stats: list[EventBucket]


class TypeCount(Struct, gc=False):
    """A type of events and how often it occurred."""

    event_type: str
    count: Annotated[int, Meta(ge=1)]
    before: Annotated[int, Meta(ge=0, description="How often in the range to compare with")] | UnsetType = UNSET


class TopEvents(Ranged, kw_only=True):
    """The most frequent types of events, best first; of equal ones the first by name."""

    events: list[TypeCount]


class Cohort(Struct, kw_only=True):
    """Users whose first activity lies in one window."""

    start: Annotated[date, Meta(description="First day of the window in which they came")]
    size: Annotated[int, Meta(ge=0, description="How many came")]
    users: Annotated[list[int], Meta(description="How many of them were active in that window, the next, and so on")]
    rates: Annotated[list[float | None], Meta(description="The same as shares of the size; null in an empty cohort")]


class Retention(Struct, kw_only=True):
    """A triangle: each later cohort has one window less behind it."""

    start_date: date
    window: Window
    tz: Annotated[str, Meta(description="The zone in which windows begin")]
    event_type: Annotated[str, Meta(description="What counts as activity, if not every event does")] | UnsetType = UNSET
    cohorts: list[Cohort]


# -- page views --------------------------------------------------------------------------------------------------------


class PageSums(Struct, kw_only=True):
    """What a number of views adds up to."""

    views: Annotated[int, Meta(ge=0, description="Page views")]
    users: Annotated[
        int, Meta(ge=0, description="Different users: exact up to some ten thousand, then within about 1 %")
    ]
    average_duration_ms: Annotated[float, Meta(ge=0, description="Mean duration of a view; 0 without views")]
    bounce_rate: Annotated[float, Meta(ge=0, le=1, description="Share of views that were bounces; 0 without views")]


class PageBucket(PageSums, kw_only=True):
    """Views of one minute, hour or day."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]


class PagePlace(PageSums, kw_only=True):
    """Views of one page."""

    page_id: str
    before: Annotated[int, Meta(ge=0, description="Its views in the range to compare with")] | UnsetType = UNSET


class PageStatistics(Struct, kw_only=True):
    """Page views of a range: in all, by bucket (those without views are left out, unless `fill=true`), and of the most
    viewed pages unless one page was asked for."""

    from_: Annotated[datetime, Meta(tz=True, description="Begin of the first bucket of the range")] = field(name="from")
    to: Annotated[datetime, Meta(tz=True, description="End of the last bucket of the range")]
    as_of: Annotated[
        datetime,
        Meta(
            tz=True,
            description="When this was asked, in UTC",
        ),
    ] = field(name="asOf")
    fresh_until: (
        Annotated[datetime, Meta(tz=True, description="Views that came in before are in; absent where nobody can say")]
        | UnsetType
    ) = field(name="freshUntil", default=UNSET)
    step: Step
    tz: Annotated[str, Meta(description="The zone in which hours and days begin")]
    page_id: str | UnsetType = UNSET
    total: PageSums
    before: Annotated[PageSums, Meta(description="What the range to compare with adds up to")] | UnsetType = UNSET
    stats: list[PageBucket]
    pages: list[PagePlace] | UnsetType = UNSET


# -- event logs --------------------------------------------------------------------------------------------------------


class LoggedEvent(Struct, kw_only=True):
    """One event of an application."""

    event_id: UUID
    event_type: str
    event_date_time: Annotated[datetime, Meta(tz=True, description="When it happened, in UTC, to the microsecond")]
    environment: str
    metadata_version: Annotated[int, Meta(ge=0)]
    event_context: Annotated[dict[str, Any], Meta(description="What the application said")]
    context: Annotated[dict[str, Any], Meta(description="Trace and log context of the writer")]


class EventLogs(Struct, kw_only=True):
    """A page of event logs."""

    from_: Annotated[datetime, Meta(tz=True, description="Begin of the range")] = field(name="from")
    to: Annotated[datetime, Meta(tz=True, description="End of the range, which is not in it")]
    filter: Annotated[str, Meta(description="The filter in its shortest form")] | UnsetType = UNSET
    events: list[LoggedEvent]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


# -- web pages ---------------------------------------------------------------------------------------------------------


class WebNumbers(Struct, rename="camel"):
    """Views, visits and visitors of a range."""

    views: Annotated[int, Meta(ge=0, description="Views of pages")]
    visits: Annotated[int, Meta(ge=0, description="Visits that began in the range")]
    bounce_rate: Annotated[float, Meta(description="Share of visits with one view and no event or link out")] | None
    duration: Annotated[float, Meta(description="Mean seconds from the first to the last item of a visit")] | None
    engaged: Annotated[float, Meta(description="Mean seconds for which pages of a visit were visible")] | None
    visitor_days: Annotated[int, Meta(ge=0, description="Visitors of each day, added up over the days")]
    unattributed: Annotated[int, Meta(ge=0, description="Views of nobody: they are in `views` and in nothing else")]


class WebRow(Struct, rename="camel"):
    """The same of one value."""

    value: Annotated[str, Meta(description="A day, an hour in UTC, a path, a name: what `by` asks for")]
    views: Annotated[int, Meta(ge=0, description="Views of the value, or in visits of it")]
    visits: Annotated[int, Meta(ge=0, description="Visits of the value that began in the range")]
    bounce_rate: float | None
    duration: float | None
    engaged: float | None
    visitor_days: Annotated[int, Meta(ge=0, description="Visitors of each day, added up over the days")]
    unattributed: Annotated[int, Meta(ge=0, description="Views of nobody")]
    items: Annotated[int, Meta(ge=0, description="Rows of the value: views, or events, or links out")] = 0


class WebStatistics(Struct, kw_only=True, rename="camel"):
    """Views, visits and visitors of a site, by a value of theirs."""

    site: Annotated[str, Meta(description="The site")]
    from_: Annotated[date, Meta(description="First day of the range")] = field(name="from")
    to: Annotated[date, Meta(description="Last day of the range")]
    tz: Annotated[str, Meta(description="The zone of the site, in which its days begin")]
    traffic: Traffic
    by: Annotated[str, Meta(description="What the rows are parted by")] | UnsetType = UNSET
    filter: Annotated[str, Meta(description="The filter, as it was understood")] | UnsetType = UNSET
    visitors: Annotated[int, Meta(ge=0, description="Different visitors, of a single day alone")] | UnsetType = UNSET
    totals: WebNumbers
    rows: list[WebRow] | UnsetType = UNSET
