"""Every read of the service, described once. `Client` and `AsyncClient` make their methods from these functions.

A range of times is half-open, `[since, until)`. A range of days includes both, `first_day` and `last_day`. A time needs
a zone: a naive one is a ValueError.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from tallybook_sdk import models
from tallybook_sdk.models import Step, Window

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Call(Generic[T]):
    """One request that may be repeated, and the type of its answer."""

    def __init__(
        self,
        answer: type[T],
        path: str,
        parameters: Iterable[tuple[str, Any]] = (),
        *,
        also: frozenset[int] = frozenset(),
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        asked = [(name, _text(value)) for name, value in parameters if value is not None and value is not False]
        self.path = f"{path}?{urlencode(asked, quote_via=quote)}" if asked else path
        self.method = "GET" if body is None else "POST"
        self.body = body
        self.answer = answer
        #: Statuses beside 2xx whose bodies are answers, too.
        self.also = also
        #: Headers in the place of the client's own.
        self.headers = headers or {}

    def decoded(self, body: bytes) -> T:
        """Return the answer. Raises msgspec.DecodeError for what is none."""
        return msgspec.json.decode(body, type=self.answer)


def _text(value: object) -> str:
    """Return a parameter as the service reads it. Raises ValueError for a time without a zone."""
    if isinstance(value, bool):
        return "true"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: give one, as datetime.now(timezone.utc)")
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def stats(
    banner: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    step: Step = "minute",
    tz: str | None = None,
    fill: bool = False,
    partial: bool = False,
) -> Call[models.BannerStatistics]:
    """Return the clicks of one banner, by step. Without `since` the range is the hour before `until`."""
    asked = _range(since, until, step, tz, fill, partial)
    return Call(models.BannerStatistics, f"/stats/{quote(str(banner), safe='')}", asked)


def series(
    banners: Iterable[int],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    step: Step = "minute",
    tz: str | None = None,
    fill: bool = False,
    partial: bool = False,
) -> Call[models.Statistics]:
    """Return the clicks of several banners, by step."""
    asked = _range(since, until, step, tz, fill, partial)
    return Call(models.Statistics, "/stats", [("bannerIds", ",".join(map(str, banners))), *asked])


def top(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tz: str | None = None,
    limit: int | None = None,
    partial: bool = False,
) -> Call[models.Top]:
    """Return the most clicked banners of a range, best first."""
    asked = [("tsFrom", since), ("tsTo", until), ("tz", tz), ("limit", limit), ("partial", partial)]
    return Call(models.Top, "/stats/top", asked)


def hits(
    tracker_id: UUID | str, *, since: datetime, until: datetime, step: Step | None = None
) -> Call[models.TrackerCount]:
    """Return the hits of a tracker, with `step` by bucket, too."""
    asked = [("tracker_id", tracker_id), ("from", since), ("to", until), ("step", step)]
    return Call(models.TrackerCount, "/stats", asked)


def pages(
    *,
    since: datetime,
    until: datetime,
    step: Step | None = None,
    page_id: str | None = None,
    limit: int | None = None,
) -> Call[models.PageStatistics]:
    """Return page views, by step and of the most viewed pages."""
    asked = [("from", since), ("to", until), ("step", step), ("page_id", page_id), ("limit", limit)]
    return Call(models.PageStatistics, "/stats/pages", asked)


def dau(
    first_day: date, last_day: date, *, segment: str | None = None, tz: str | None = None, approx: bool = False
) -> Call[models.DailyUsers]:
    """Return the unique users of every day."""
    asked = [("from", first_day), ("to", last_day), ("segment", segment), ("tz", tz), ("approx", approx)]
    return Call(models.DailyUsers, "/stats/dau", asked)


def top_events(
    first_day: date, last_day: date, *, segment: str | None = None, tz: str | None = None, limit: int | None = None
) -> Call[models.TopEvents]:
    """Return the most frequent types of events."""
    asked = [("from", first_day), ("to", last_day), ("segment", segment), ("tz", tz), ("limit", limit)]
    return Call(models.TopEvents, "/stats/top-events", asked)


def retention(
    start_date: date,
    *,
    windows: int | None = None,
    window: Window | None = None,
    event_type: str | None = None,
    tz: str | None = None,
) -> Call[models.Retention]:
    """Return cohorts of users by their first activity, and who came back."""
    asked = [("start_date", start_date), ("windows", windows), ("window", window)]
    return Call(models.Retention, "/stats/retention", [*asked, ("event_type", event_type), ("tz", tz)])


def logs(
    *,
    since: datetime,
    until: datetime,
    event_type: str | None = None,
    environment: str | None = None,
    filter: str | None = None,
    order: Literal["asc", "desc"] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[models.EventLogs]:
    """Return one page of event logs, the newest first."""
    asked = [("from", since), ("to", until), ("event_type", event_type), ("environment", environment)]
    more = [("filter", filter), ("order", order), ("limit", limit), ("cursor", cursor)]
    return Call(models.EventLogs, "/logs", [*asked, *more])


def accounting() -> Call[models.Accounts]:
    """Return where every accepted click and every record is."""
    return Call(models.Accounts, "/accounting")


def ready() -> Call[models.Ready]:
    """Return the state of the service, also when it is `unavailable`."""
    return Call(models.Ready, "/health/ready", also=frozenset({503}))


def limits() -> Call[models.Limits]:
    """Return the bounds of the service and the scopes of the key."""
    return Call(models.Limits, "/limits")


def upload(body: bytes) -> Call[models.Taken]:
    """Send a JSON array of events. A repeat is safe, as each event has an id."""
    return Call(models.Taken, "/events", body=body)


def _range(
    since: datetime | None, until: datetime | None, step: str, tz: str | None, fill: bool, partial: bool
) -> list[tuple[str, Any]]:
    asked = [("tsFrom", since), ("tsTo", until), ("step", step)]
    return [*asked, ("tz", tz), ("fill", fill), ("partial", partial)]
