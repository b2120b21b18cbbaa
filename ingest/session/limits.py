"""Say what a client may send: the bounds of clicks and events, the time of the service, and the scopes of its key."""

import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.auth.scopes import caller_of
from ingest.clicks.operations import BODY_MAX as CLICKS_BYTES_MAX
from ingest.events.routes import BODY_MAX as EVENTS_BYTES_MAX
from ingest.http.json_answers import as_json
from ingest.http.query import query
from ingest.http.rate_limits import SKEW_MAX_S
from ingest.state import Request
from shared.settings import Settings

_VERSION = version("tallybook")


class ClickLimits(Struct, kw_only=True, rename="camel"):
    """Bounds of `POST /stats`."""

    items_max: Annotated[int, Meta(description="Items of a request")]
    bytes_max: Annotated[int, Meta(description="Bytes of a request")]
    window_s: Annotated[int, Meta(description="Seconds for which an `Idempotency-Key` or an id counts once")]
    backdate_max_s: Annotated[int, Meta(description="Seconds that a timestamp may lie in the past")]
    skew_max_s: Annotated[int, Meta(description="Seconds that a timestamp may lie in the future")]


class EventLimits(Struct, kw_only=True, rename="camel"):
    """Bounds of `POST /events`."""

    items_max: Annotated[int, Meta(description="Events of a request")]
    bytes_max: Annotated[int, Meta(description="Bytes of a request")]
    properties_bytes_max: Annotated[int, Meta(description="Bytes of the properties of an event")]


class Limits(Struct, kw_only=True, rename="camel"):
    """What a client may send here."""

    version: Annotated[str, Meta(description="Version of the service")]
    now: Annotated[datetime, Meta(tz=True, description="Time of the service, in UTC")]
    clicks: ClickLimits
    events: EventLimits
    scopes: (
        Annotated[list[str], Meta(description="Scopes of the key that was sent, sorted; absent without a key")]
        | UnsetType
    ) = UNSET


async def limits(request: Request) -> Response:
    """Return what a client may send. Raise Unauthorized for a key that is none."""
    query(request, ())
    is_named = "authorization" in request.headers and bool(request.state.settings.keyed)
    caller = await caller_of(request) if is_named else None
    return as_json(limits_of(request.state.settings, None if caller is None else caller.scopes))


def limits_of(settings: Settings, scopes: frozenset[str] | None) -> Limits:
    """Return the limits for a caller with these scopes."""
    return Limits(
        version=_VERSION,
        now=datetime.fromtimestamp(time.time(), UTC),
        clicks=ClickLimits(
            items_max=settings.bulk_items_max,
            bytes_max=CLICKS_BYTES_MAX,
            window_s=settings.idempotency_window_s,
            backdate_max_s=settings.backdate_max_s,
            skew_max_s=SKEW_MAX_S,
        ),
        events=EventLimits(
            items_max=settings.events_max,
            bytes_max=EVENTS_BYTES_MAX,
            properties_bytes_max=settings.event_properties_bytes_max,
        ),
        scopes=UNSET if scopes is None else sorted(scopes),
    )
