"""Return event logs of a range, page by page.

A page begins behind a place, (time, event id), not at a number. New events shift no page, so every event that was there
at the first page is returned once. The cursor of a page holds the place behind it.

`event_log` has every event once, because the relay inserts each batch under one token (`aggregator/outbox/relay.py`).
Where a batch is there twice all the same, its rows have the same places: here they are one event, at once and on every
page.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, UnsetType
from starlette.responses import Response

from ingest.http import cursor as cursors
from ingest.http.cursor import Place
from ingest.http.query import choice, integer, invalid, query
from ingest.segments.condition import Condition, asked_for
from ingest.segments.fields import Document, Field, Id, Text
from ingest.state import Request
from ingest.statistics import csv, exports
from ingest.statistics.exports import Table
from ingest.statistics.range_ends import edge
from shared.stores.postgres import statement

Order = Literal["desc", "asc"]

#: Days of a range, and events of a page.
DAYS_MOST, PAGE_MOST, PAGE = 31, 1000, 100
#: Bytes of contexts in a page, beside its last event: one alone has up to 256 KiB.
PAGE_BYTES = 8 << 20
#: Characters of a type and of an environment, as the outbox takes them.
TYPE_MOST, ENVIRONMENT_MOST = 200, 100
_DAY = 86_400 * 1_000_000
#: First and last year that a DateTime64 of ClickHouse has, and so the outbox (`tallybook_sdk/outbox/event.py`).
YEARS = (1900, 2299)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NAMES = ("event_type", "environment", "from", "to", "filter", "order", "limit", "cursor")
#: What an answer depends on, beside the place at which it begins: a cursor is for the same question.
_QUESTION = ("event_type", "environment", "from", "to", "filter", "order")
MEDIA = ("application/json", csv.MEDIA, exports.NDJSON)

_SQL = Template(statement("ingest/statistics/event_logs.page.sql"))
_BEHIND: Mapping[Order, str] = {"desc": "<", "asc": ">"}
_HEADERS = {"cache-control": "no-store", "vary": "accept"}


def _document(column: str) -> Document:
    """Return a JSON column as a field. Its values are compared as in the returned text."""
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


class _Asked(NamedTuple):
    """Hold a checked question; times in microseconds since 1970."""

    since: int
    until: int
    order: Order
    filter: str | UnsetType
    of: Condition
    limit: int
    behind: Place | None
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
    """Return a page of event logs."""
    asked = _asked(query(request, _NAMES))
    found = await exports.rows(request, asked.sql, asked.parameters)
    events = _once(found)
    cursor = cursors.written(events[-1][0], asked.digest) if events and found[0][-1] else UNSET
    media = csv.preferred(",".join(request.headers.getlist("accept")), MEDIA)
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
    """Return the checked question. Raise Malformed or Invalid."""
    since, until = (edge(values, name, days, YEARS).epoch_us for name, days in (("from", 0), ("to", 1)))
    if since >= until:
        raise invalid("to", "has to be later than from: the range is [from, to), and a date is its whole day.")
    if until - since > DAYS_MOST * _DAY:
        raise invalid("to", f"is more than {DAYS_MOST} days after from, and that is the longest range.")
    for name, most in (("event_type", TYPE_MOST), ("environment", ENVIRONMENT_MOST)):
        if not 0 < len(values.get(name, " ")) <= most:
            raise invalid(name, f"has to have 1 to {most} characters.")
    order: Any = choice(values, "order", get_args(Order), "desc")
    text, of = asked_for(values, "filter", FIELDS)
    limit = integer(values, "limit", 1, PAGE_MOST, PAGE)
    digest = cursors.digest_of(values, _QUESTION)
    behind = cursors.read(values["cursor"], digest, since, until, _QUESTION) if "cursor" in values else None
    return _Asked(since, until, order, text, of, limit, behind, digest, values)


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


def _once(found: Sequence[Sequence[Any]]) -> list[tuple[Place, tuple[Any, ...]]]:
    """Return each event once, with its place."""
    events = list[tuple[Place, tuple[Any, ...]]]()
    for micros, event_id, event_type, environment, version, body, carried, _ in found:
        place = Place(micros, UUID(event_id))
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
    """Return the page as a file, named after the first day of its range."""
    if media == csv.MEDIA:
        times = csv.times([row[2] for row in rows])
        rows = [
            (*row[:2], at, *row[3:5], *(bytes(one).decode() for one in row[5:]))
            for row, at in zip(rows, times, strict=True)
        ]
    return Table(("logs", f"{_moment(asked.since):%Y%m%d}"), _COLUMNS, rows)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
