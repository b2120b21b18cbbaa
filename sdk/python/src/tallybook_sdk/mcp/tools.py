"""What each tool takes, and which routes it asks. The docstring of a struct is what a model reads of its tool."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType

#: Days of a range that nobody named, today included.
DAYS = 7


class Invalid(ValueError):
    """Arguments that no route takes."""


class Query(NamedTuple):
    """A path and its parameters. `many` names the list of the answer that `limit` bounds."""

    path: str
    parameters: list[tuple[str, Any]]
    many: str = ""


class Route(NamedTuple):
    """A route, and its names for the parameters of a tool."""

    path: str
    names: Mapping[str, str]
    needs: str = ""
    many: str = ""


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_TS = {"since": "tsFrom", "until": "tsTo"}
_FROM = {"since": "from", "until": "to"}
#: By tool and subject.
ROUTES: Mapping[str, Mapping[str, Route]] = {
    "series": {
        "banners": Route(
            "/stats",
            {"banners": "bannerIds", **_TS, **_same("step", "tz", "metrics", "traffic", "fill", "partial")},
            "banners",
        ),
        "all_banners": Route("/stats/total", _TS | _same("step", "tz", "fill", "partial")),
        "tracker": Route("/stats", _FROM | _same("tracker_id", "step", "tz", "fill"), "tracker_id"),
        "events": Route("/stats/events", _FROM | _same("step", "tz", "segment", "event_type", "fill")),
    },
    "top": {
        "banners": Route(
            "/stats/top", _TS | _same("tz", "limit", "cursor", "metric", "min", "traffic", "partial"), many="banners"
        ),
        "events": Route("/stats/top-events", _FROM | _same("tz", "limit", "segment"), many="events"),
        "trackers": Route("/stats/trackers/top", _FROM | _same("tz", "limit"), many="trackers"),
    },
    "dau": {"": Route("/stats/dau", _FROM | _same("tz", "segment", "approx"))},
    "retention": {"": Route("/stats/retention", _same("start_date", "windows", "window", "event_type", "tz"))},
    "pages": {
        "": Route("/stats/pages", _FROM | _same("step", "tz", "page_id", "limit", "fill"), many="pages"),
        "site": Route("/stats/web", _FROM | _same("site", "by", "traffic", "filter", "limit"), many="rows"),
    },
    "logs_search": {
        "": Route(
            "/logs",
            _FROM | _same("event_type", "environment", "filter", "order", "limit", "cursor"),
            many="events",
        )
    },
}

#: What `list_banners` asks: by id or name, or the clicked ones.
_BANNERS = Route("/banners", _same("q", "limit", "cursor"), many="banners")
_CLICKED = Route("/stats/top", _TS | _same("tz", "limit", "cursor"), many="banners")

# -- parameters --------------------------------------------------------------------------------------------------------

Since = Annotated[
    str,
    Meta(
        max_length=40,
        description="Begin of the range: a date (its whole day in `tz`) or an RFC 3339 time. "
        f"Without `since` and `until` the range is the last {DAYS} days, today included",
    ),
]
Until = Annotated[
    str, Meta(max_length=40, description="End of the range: a date is in it as a whole day, a time is not in it")
]
FirstDay = Annotated[
    str,
    Meta(
        max_length=40,
        description=f"First day, as 2026-03-01. Without `since` and `until` the last {DAYS} days, today included",
    ),
]
LastDay = Annotated[str, Meta(max_length=40, description="Last day, in the range")]
Zone = Annotated[str, Meta(max_length=64, description="Time zone of days and hours, as Europe/Berlin; default UTC")]
Step = Annotated[Literal["minute", "hour", "day"], Meta(description="Length of a bucket")]
Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most. A long answer may have fewer and says so")]
Cursor = Annotated[
    str, Meta(max_length=1024, description="`next` of the answer before, with the same arguments except `limit`")
]
Fill = Annotated[bool, Meta(description="Also the buckets where nothing happened, as 0")]
Partial = Annotated[bool, Meta(description="While a store is away: what is known, marked, in place of an error")]
Traffic = Annotated[
    Literal["human", "bots", "all"], Meta(description="Whose: of people (default), of machines, or of both")
]
Banner = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Banners = Annotated[list[Banner], Meta(min_length=1, max_length=100, description="Ids of banners")]
Tracker = Annotated[str, Meta(max_length=36, description="UUID of a tracker")]
Segment = Annotated[
    str,
    Meta(
        max_length=1000,
        description="Only these events, in the grammar of tallybook://segments, "
        "as `event_type:purchase and properties.country:UA`",
    ),
]
EventType = Annotated[str, Meta(max_length=200, description="Events of this type alone")]
Metric = Literal["clicks", "served", "viewable", "ctr"]
By = Annotated[
    Literal["hour", "day", "page", "entry", "exit", "host"]
    | Literal["referrer", "source", "medium", "campaign", "ad", "country"]
    | Literal["device", "browser", "os", "event", "out", "banner"],
    Meta(description="With `site`: what the rows are parted by; totals alone without it"),
]


class Tool(Struct, kw_only=True, forbid_unknown_fields=True):
    """A tool. Its subclasses say what it takes."""

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return what to ask. The only query of most tools has the empty name. Raises Invalid."""
        subject = getattr(self, "subject", "")
        route = ROUTES[_NAMES[type(self)]][subject]
        return {"": query(route, self.given(), now, f"with subject={subject}" if subject else "here")}

    def given(self) -> dict[str, Any]:
        """Return the arguments that have a value, without the subject."""
        found = {name: getattr(self, name) for name in self.__struct_fields__ if name != "subject"}
        return {name: one for name, one in found.items() if one is not UNSET}


def query(route: Route, given: Mapping[str, Any], now: datetime, about: str = "here") -> Query:
    """Return the query of a route. Raises Invalid."""
    if foreign := sorted(given.keys() - route.names.keys()):
        raise Invalid(f"`{foreign[0]}` has no meaning {about}. Allowed: {', '.join(sorted(route.names))}.")
    if route.needs and route.needs not in given:
        raise Invalid(f"`{route.needs}` is needed {about}.")
    if "since" in route.names:
        given = {**given, **dict(zip(("since", "until"), span(given, now), strict=True))}
    asked = [(name, _joined(given[one])) for one, name in route.names.items() if one in given]
    return Query(route.path, asked, route.many)


def _joined(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else value


def span(given: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    """Return the range that was named, or the last days. Raises Invalid."""
    if ("since" in given) != ("until" in given):
        raise Invalid("Give `since` and `until`, or neither.")
    if "since" in given:
        return given["since"], given["until"]
    try:
        today = now.astimezone(ZoneInfo(given.get("tz", "UTC"))).date()
    except (ValueError, KeyError, OSError):  # the service says what is wrong with the zone
        today = now.astimezone(timezone.utc).date()
    return (today - timedelta(days=DAYS - 1)).isoformat(), today.isoformat()


# -- tools -------------------------------------------------------------------------------------------------------------


class ListMetrics(Tool):
    """List what is counted: for each metric its unit, tool, freshness, exactness, longest range and scope."""

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return nothing: the catalogue is part of this program."""
        return {}


class ListBanners(Tool):
    """List banners that were clicked in a range, most clicks first, with their names. With `q`, search registered
    banners by id or name instead. Names are third-party text.
    """

    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET
    q: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Begin of an id, or a part of a name")]
        | UnsetType
    ) = UNSET
    limit: Limit = 20
    cursor: Cursor | UnsetType = UNSET

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return the query for a search, or the one for clicks. The names of the clicked ones are asked for later."""
        if self.q is not UNSET:
            return {"names": query(_BANNERS, self.given(), now)}
        return {"clicks": query(_CLICKED, self.given(), now)}


class Series(Tool):
    """Return counts over time: clicks and impressions of up to 100 banners, clicks of all banners together, hits of a
    tracker, or product events. Buckets of clicks with `final: false` may still grow.
    """

    subject: Annotated[
        Literal["banners", "all_banners", "tracker", "events"],
        Meta(description="What to count. `banners` needs `banners`, `tracker` needs `tracker_id`"),
    ]
    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    step: Step = "day"
    tz: Zone | UnsetType = UNSET
    banners: Banners | UnsetType = UNSET
    metrics: (
        Annotated[list[Metric], Meta(min_length=1, max_length=4, description="Of banners; default clicks")] | UnsetType
    ) = UNSET
    traffic: Traffic | UnsetType = UNSET
    tracker_id: Tracker | UnsetType = UNSET
    segment: Segment | UnsetType = UNSET
    event_type: EventType | UnsetType = UNSET
    fill: Fill | UnsetType = UNSET
    partial: Partial | UnsetType = UNSET


class Top(Tool):
    """Rank a range, best first: banners by clicks, impressions or CTR, types of product events by number, or trackers
    by hits. Event types are third-party text.
    """

    subject: Annotated[Literal["banners", "events", "trackers"], Meta(description="What to rank")]
    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET
    limit: Limit = 20
    metric: Annotated[Metric, Meta(description="What ranks banners; default clicks")] | UnsetType = UNSET
    min: (
        Annotated[int, Meta(ge=1, description="With metric=ctr: viewable impressions that a banner needs, default 100")]
        | UnsetType
    ) = UNSET
    traffic: Traffic | UnsetType = UNSET
    segment: Segment | UnsetType = UNSET
    cursor: Cursor | UnsetType = UNSET
    partial: Partial | UnsetType = UNSET


#: What `compare` asks. Series come by day, as only their totals are compared.
_COMPARED = {
    **ROUTES["series"],
    "dau": ROUTES["dau"][""],
    "pages": ROUTES["pages"][""],
    "site": ROUTES["pages"]["site"]._replace(needs="site"),
}
_BY_DAY: list[tuple[str, Any]] = [("step", "day")]


class Compare(Tool):
    """Compare the totals of two ranges by one route: both answers, difference (range - former range) and ratio (range /
    former range). Ranges may be of days or of times; two ranges of equal length compare best.
    """

    subject: Annotated[
        Literal["banners", "all_banners", "tracker", "events", "dau", "pages", "site"],
        Meta(description="`banners` needs `banners`, `tracker` needs `tracker_id`, `site` needs `site`"),
    ]
    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    against_since: (
        Annotated[
            str,
            Meta(max_length=40, description="Begin of the former range; by default as many days right before `since`"),
        ]
        | UnsetType
    ) = UNSET
    against_until: Annotated[str, Meta(max_length=40, description="End of the former range")] | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET
    banners: Banners | UnsetType = UNSET
    metrics: (
        Annotated[list[Metric], Meta(min_length=1, max_length=4, description="Of banners; default clicks")] | UnsetType
    ) = UNSET
    traffic: Traffic | UnsetType = UNSET
    tracker_id: Tracker | UnsetType = UNSET
    segment: Segment | UnsetType = UNSET
    event_type: EventType | UnsetType = UNSET
    site: Annotated[str, Meta(max_length=64, description="Name of a site")] | UnsetType = UNSET

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return both queries. Raises Invalid."""
        given = self.given()
        former = [given.pop(name) for name in ("against_since", "against_until") if name in given]
        if len(former) == 1:
            raise Invalid("Give `against_since` and `against_until`, or neither.")
        since, until = span(given, now)
        route = _COMPARED[self.subject]
        found = {}
        for name, (begin, end) in {"range": (since, until), "former": former or _days_before(since, until)}.items():
            one = query(route, {**given, "since": begin, "until": end}, now, f"with subject={self.subject}")
            found[name] = Query(one.path, one.parameters + _BY_DAY * ("step" in route.names))
        return found


def _days_before(since: str, until: str) -> tuple[str, str]:
    """Return as many days right before a range of days. Raises Invalid."""
    try:
        first, last = date.fromisoformat(since), date.fromisoformat(until)
    except ValueError:
        raise Invalid("With a range of times give `against_since` and `against_until`, too.") from None
    before = first - timedelta(days=1)
    return (before - (last - first)).isoformat(), before.isoformat()


class Dau(Tool):
    """Return the different users of each day who had a product event, and of the whole range. Days cannot be added: who
    came on two days is one user.
    """

    since: FirstDay | UnsetType = UNSET
    until: LastDay | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET
    segment: Segment | UnsetType = UNSET
    approx: Annotated[bool, Meta(description="Estimates, in half the time; `error` bounds them")] | UnsetType = UNSET


class Retention(Tool):
    """Return cohorts of users by the window of their first product event, and how many were active in later windows."""

    start_date: Annotated[str, Meta(max_length=40, description="First day of the first window, as 2026-03-02")]
    windows: Annotated[int, Meta(ge=1, le=60, description="How many windows; default 3")] | UnsetType = UNSET
    window: Annotated[Literal["day", "week"], Meta(description="Length of a window; default week")] | UnsetType = UNSET
    event_type: EventType | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET


class Pages(Tool):
    """Return page views. Without `site`: those of the topic page_views, by step and of the most viewed pages. With
    `site`: views, visitors and visits of a web site. Pages, referrers and campaigns are third-party text.
    """

    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    step: Step | UnsetType = UNSET
    tz: Zone | UnsetType = UNSET
    page_id: (
        Annotated[str, Meta(max_length=512, description="Without `site`: views of this page alone")] | UnsetType
    ) = UNSET
    fill: Fill | UnsetType = UNSET
    limit: Limit = 20
    site: (
        Annotated[str, Meta(max_length=64, description="Name of a site. Its ranges are days of its own zone")]
        | UnsetType
    ) = UNSET
    by: By | UnsetType = UNSET
    traffic: Traffic | UnsetType = UNSET
    filter: (
        Annotated[
            str,
            Meta(max_length=1000, description="With `site`: a condition on views, as `country:UA and device:mobile`"),
        ]
        | UnsetType
    ) = UNSET

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return the query, by day where nothing else was said. Raises Invalid."""
        if self.site is not UNSET:
            return {"": query(ROUTES["pages"]["site"], self.given(), now, "with `site`")}
        return {"": query(ROUTES["pages"][""], {"step": "day", **self.given()}, now)}


class LogsSearch(Tool):
    """Search event logs of applications, one page, the newest first. Types and contexts are third-party text, and may
    hold personal data.
    """

    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    event_type: EventType | UnsetType = UNSET
    environment: Annotated[str, Meta(max_length=100, description="Events of this environment alone")] | UnsetType = (
        UNSET
    )
    filter: (
        Annotated[str, Meta(max_length=1000, description="A condition, as `event_context.order.id:4711`")] | UnsetType
    ) = UNSET
    order: Annotated[Literal["asc", "desc"], Meta(description="By time; default desc")] | UnsetType = UNSET
    limit: Limit = 50
    cursor: Cursor | UnsetType = UNSET


class DataQuality(Tool):
    """Say how far the numbers can be trusted now: state of the stores and freshness of each table; with the scope admin
    also where every accepted record is (`difference` has to be 0) and which records could not be stored.
    """

    def queries(self, now: datetime) -> dict[str, Query]:
        """Return the queries of everybody and of administrators."""
        return {
            "ready": Query("/health/ready", []),
            "freshness": Query("/freshness", []),
            "accounting": Query("/accounting", []),
            "dead_letters": Query("/dead-letters", [("limit", 20)]),
        }


#: Name -> what the tool takes.
TOOLS: Mapping[str, type[Tool]] = {
    "list_metrics": ListMetrics,
    "list_banners": ListBanners,
    "series": Series,
    "top": Top,
    "compare": Compare,
    "dau": Dau,
    "retention": Retention,
    "pages": Pages,
    "logs_search": LogsSearch,
    "data_quality": DataQuality,
}
_NAMES = {tool: name for name, tool in TOOLS.items()}
#: Scopes that a tool needs beside none.
SCOPES = dict.fromkeys(TOOLS, "stats:read") | {"list_metrics": "", "logs_search": "logs:read", "data_quality": ""}
#: Scopes that parts of `data_quality` need.
PARTS = {"freshness": "stats:read", "accounting": "admin", "dead_letters": "admin"}


def is_allowed(scope: str, scopes: frozenset[str] | None) -> bool:
    """Return whether a key with these scopes opens it. None: there are no keys, or nobody knows."""
    return not scope or scopes is None or scope in scopes or "admin" in scopes
