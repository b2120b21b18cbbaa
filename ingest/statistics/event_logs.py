"""`GET /logs`: event logs of a stretch of time, page by page, for whoever looks into an incident.

A page begins behind a place, (time, event id), not at a number: events that come meanwhile shift nothing, so nothing is
answered twice or left out that was there when the first page was read. The place is in the cursor of the page before.

`event_log` has every event once, because the relay inserts each batch under one token (`aggregator/outbox/relay.py`).
Where a batch is there twice all the same, its rows have the same places: here they are one event, at once and on every
page.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.http.query import choice, integer, invalid, malformed, query
from ingest.segments.condition import EVERYTHING, Condition, condition
from ingest.segments.fields import Document, Field, Id, Text
from ingest.segments.parser import LENGTH_MOST, parse
from ingest.segments.syntax import write
from ingest.statistics import csv, exports
from ingest.statistics.exports import Table
from ingest.statistics.range_ends import EdgeText, edge
from shared.errors import Busy, ClickHouseUnavailable, Invalid, Malformed
from shared.stores.postgres import statement

Order = Literal["desc", "asc"]

#: Days of a range, and events of a page.
DAYS_MOST, PAGE_MOST, _PAGE = 31, 1000, 100
#: Bytes of contexts in a page, beside its last event: one alone has up to 256 KiB.
PAGE_BYTES = 8 << 20
#: Characters of a type and of an environment, as the outbox takes them.
_TYPE_MOST, _ENVIRONMENT_MOST = 200, 100
#: Characters of a cursor: 40 bytes in base64.
_CURSOR_CHARACTERS = 54
_DAY = 86_400 * 1_000_000
#: First and last year that a DateTime64 of ClickHouse has, and so the outbox (`tallybook_sdk/outbox/event.py`).
YEARS = (1900, 2299)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NAMES = ("event_type", "environment", "from", "to", "filter", "order", "limit", "cursor")
#: What an answer depends on, beside the place at which it begins: a cursor is for the same question.
_QUESTION = ("event_type", "environment", "from", "to", "filter", "order")
_MEDIA = ("application/json", csv.MEDIA, exports.NDJSON)

_SQL = Template(statement("ingest/statistics/event_logs.page.sql"))
_BEHIND: Mapping[Order, str] = {"desc": "<", "asc": ">"}
_HEADERS = {"cache-control": "no-store", "vary": "accept"}


def _document(column: str) -> Document:
    """A column of the type JSON, looked into as the text that is answered."""
    return Document(lambda keys: f"JSONExtractRaw(toString({column}), {', '.join(keys)})")


#: What a filter of event logs may name.
FIELDS: Mapping[str, Field] = {
    "event_type": Text("event_type"),
    "environment": Text("environment"),
    "event_id": Id("event_id"),
    "metadata_version": Text("toString(metadata_version)"),
    "event_context": _document("event_context"),
    "context": _document("context"),
}


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

    from_: Annotated[datetime, Meta(tz=True, description="Begin of the range")] = msgspec.field(name="from")
    to: Annotated[datetime, Meta(tz=True, description="End of the range, which is not in it")]
    filter: Annotated[str, Meta(description="The filter in its shortest form")] | UnsetType = UNSET
    events: list[LoggedEvent]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


class _Place(NamedTuple):
    """Where a page ends: microseconds since 1970, and an event id."""

    at: int
    id: UUID


class _Asked(NamedTuple):
    """A question that was checked; microseconds since 1970."""

    since: int
    until: int
    order: Order
    filter: str | UnsetType
    of: Condition
    limit: int
    behind: _Place | None
    digest: bytes
    values: Mapping[str, str]

    @property
    def sql(self) -> str:
        order, behind = self.order.upper(), "true"
        if self.behind is not None:
            # Rows are compared as they are sorted: both by what ClickHouse takes for the order of UUIDs.
            place = "(fromUnixTimestamp64Micro({at:Int64}, 'UTC'), {id:UUID})"
            behind = f"(event_date_time, event_id) {_BEHIND[self.order]} {place}"
        return _SQL.substitute(order=order, behind=behind, segment=self.of.sql)

    @property
    def parameters(self) -> dict[str, Any]:
        since, until, place = self.since, self.until, {}
        if self.behind is not None:
            place = {"at": self.behind.at, "id": str(self.behind.id)}
            # The condition on pairs finds no index; this one does.
            since, until = (since, self.behind.at + 1) if self.order == "desc" else (self.behind.at, until)
        texts = {name: self.values.get(name, "") for name in ("event_type", "environment")}
        bounds = {"since": since, "until": until, "rows": self.limit, "bytes": PAGE_BYTES}
        return {**bounds, **texts, **place, **self.of.parameters}


async def event_logs(request: Request) -> Response:
    """Event logs of a range."""
    asked = _asked(query(request, _NAMES))
    found = await exports.rows(request, asked.sql, asked.parameters)
    events = _once(found)
    cursor = _cursor(events[-1][0], asked.digest) if events and found[0][-1] else UNSET
    media = csv.preferred(",".join(request.headers.getlist("accept")), _MEDIA)
    if media == "application/json":
        answer = {"from": _moment(asked.since), "to": _moment(asked.until), "filter": asked.filter}
        listed = [dict(zip(_COLUMNS, row, strict=True)) for _, row in events]
        content = {**answer, "events": listed, "next": cursor}
        content = {name: value for name, value in content.items() if value is not UNSET}
        response = Response(msgspec.json.encode(content), headers=_HEADERS, media_type=media)
    else:
        response = await exports.response(request, media, _table(asked, media, [row for _, row in events]))
    if cursor is not UNSET:
        link = urlencode({**asked.values, "cursor": cursor})
        response.headers["link"] = f'</logs?{link}>; rel="next"'
    return response


# -- questions ---------------------------------------------------------------------------------------------------------


def _asked(values: Mapping[str, str]) -> _Asked:
    """Raises Malformed or Invalid."""
    since, until = (edge(values, name, days, YEARS).epoch_us for name, days in (("from", 0), ("to", 1)))
    if since >= until:
        raise invalid("to", "has to be later than from: the range is [from, to), and a date is its whole day.")
    if until - since > DAYS_MOST * _DAY:
        raise invalid("to", f"is more than {DAYS_MOST} days after from, and that is the longest range.")
    for name, most in (("event_type", _TYPE_MOST), ("environment", _ENVIRONMENT_MOST)):
        if not 0 < len(values.get(name, " ")) <= most:
            raise invalid(name, f"has to have 1 to {most} characters.")
    order: Any = choice(values, "order", get_args(Order), "desc")
    text, of = _filter(values)
    limit = integer(values, "limit", 1, PAGE_MOST, _PAGE)
    question = msgspec.json.encode([values.get(name) for name in _QUESTION])
    digest = hashlib.blake2b(question, digest_size=16).digest()
    behind = _place(values["cursor"], digest, since, until) if "cursor" in values else None
    return _Asked(since, until, order, text, of, limit, behind, digest, values)


def _filter(values: Mapping[str, str]) -> tuple[str | UnsetType, Condition]:
    """The filter in its shortest form, and what it means. Raises Malformed or Invalid."""
    if "filter" not in values:
        return UNSET, EVERYTHING
    node = parse(values["filter"], FIELDS, "filter")
    return write(node), condition(node, FIELDS)


def _cursor(of: _Place, digest: bytes) -> str:
    """The place, for this question alone, as a text of a client."""
    return base64.urlsafe_b64encode(of.at.to_bytes(8, "big", signed=True) + of.id.bytes + digest).decode().rstrip("=")


def _place(cursor: str, digest: bytes, since: int, until: int) -> _Place:
    """The place of a cursor. Raises Malformed for what is none, or is one of another question."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    place = _Place(int.from_bytes(raw[:8], "big", signed=True), UUID(bytes=raw[8:24].ljust(16, b"\0")))
    if len(cursor) != _CURSOR_CHARACTERS or not since <= place.at < until or _cursor(place, raw[24:]) != cursor:
        raise malformed("cursor", "is none that an answer gave out. Take `next` of the page before, as it is.")
    if raw[24:] != digest:
        raise malformed("cursor", f"belongs to another question: {', '.join(_QUESTION)} have to stay as they were.")
    return place


# -- answers -----------------------------------------------------------------------------------------------------------

#: Columns of a file, as ClickHouse has them.
_COLUMNS = {
    "event_id": "UUID",
    "event_type": "String",
    "event_date_time": "DateTime64(6, 'UTC')",
    "environment": "String",
    "metadata_version": "UInt64",
    "event_context": "JSON",
    "context": "JSON",
}


def _once(found: Sequence[Sequence[Any]]) -> list[tuple[_Place, tuple[Any, ...]]]:
    """The events with their places, each once."""
    events = list[tuple[_Place, tuple[Any, ...]]]()
    for micros, event_id, event_type, environment, version, body, carried, _ in found:
        place = _Place(micros, UUID(event_id))
        if not events or events[-1][0] != place:
            row = (
                event_id,
                event_type,
                _moment(micros),
                environment,
                version,
                Raw(body.encode()),
                Raw(carried.encode()),
            )
            events.append((place, row))
    return events


def _table(asked: _Asked, media: str, rows: Sequence[Sequence[Any]]) -> Table:
    """The page as a file, named after the first day of its range."""
    if media == csv.MEDIA:
        times = csv.times([row[2] for row in rows])
        rows = [
            (*row[:2], at, *row[3:5], *(bytes(one).decode() for one in row[5:]))
            for row, at in zip(rows, times, strict=True)
        ]
    return Table(("logs", f"{_moment(asked.since):%Y%m%d}"), _COLUMNS, rows)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


# -- operations --------------------------------------------------------------------------------------------------------

_EXAMPLE_FILTER = "event_context.order.id:4711 and not context.log.level:debug"

OPERATIONS = [
    Operation(
        method="GET",
        path="/logs",
        handler=event_logs,
        scope="logs:read",
        body_use="refused",
        summary="Event logs of a range, page by page",
        description="Events that applications have published through the outbox, the newest first unless `order=asc`. "
        "While there are more, `next` and the header `Link` lead to the next page. New events shift no page. A page "
        f"ends early when its contexts have more than {PAGE_BYTES >> 20} MiB.",
        tag="logs",
        parameters=(
            Parameter(
                "from",
                EdgeText,
                "Begin of the range, a date in UTC or an RFC 3339 time, exact to the microsecond",
                required=True,
                example="2026-03-01T12:00:00Z",
            ),
            Parameter(
                "to",
                EdgeText,
                f"End of the range, {DAYS_MOST} days later at most; a date is in it as a whole, a time is not",
                required=True,
                example="2026-03-01T13:00:00Z",
            ),
            Parameter(
                "event_type",
                Annotated[str, Meta(min_length=1, max_length=_TYPE_MOST)],
                "Events of this type alone, which is what the table is sorted by",
                example="payment_failed",
            ),
            Parameter(
                "environment",
                Annotated[str, Meta(min_length=1, max_length=_ENVIRONMENT_MOST)],
                "Events of this environment alone",
                example="production",
            ),
            Parameter(
                "filter",
                Annotated[str, Meta(min_length=1, max_length=LENGTH_MOST)],
                "Only these events: comparisons of `event_type`, `environment`, `event_id`, `metadata_version`, "
                "`event_context.<key>` and `context.<key>`, in the grammar of `segment`. A fault names its character, "
                "from 0",
                example=_EXAMPLE_FILTER,
            ),
            Parameter("order", Order, "By time: `desc` (when not given) or `asc`"),
            Parameter("limit", Annotated[int, Meta(ge=1, le=PAGE_MOST)], f"Events of a page, {_PAGE} when not given"),
            Parameter(
                "cursor",
                Annotated[str, Meta(min_length=_CURSOR_CHARACTERS, max_length=_CURSOR_CHARACTERS)],
                "`next` of the page before; everything else but `limit` has to stay as it was",
            ),
        ),
        answers={
            200: Answer(
                "A page",
                EventLogs,
                _MEDIA,
                headers={"Link": "The address of the next page (`next`, RFC 8288); absent on the last one"},
                example={
                    "from": "2026-03-01T12:00:00Z",
                    "to": "2026-03-01T13:00:00Z",
                    "filter": _EXAMPLE_FILTER,
                    "events": [
                        {
                            "event_id": "0195a1b2-0000-4000-8000-000000000001",
                            "event_type": "payment_failed",
                            "event_date_time": "2026-03-01T12:34:56.789012Z",
                            "environment": "production",
                            "metadata_version": 1,
                            "event_context": {"order": {"id": 4711}},
                            "context": {"log": {"level": "error"}},
                        }
                    ],
                },
            )
        },
        errors=(Malformed, Invalid, ClickHouseUnavailable, Busy),
        order=430,
    )
]
