"""Suggest what a segment of events may name: fields and common values, from a sample.

A sample knows nothing of what is rare, so an answer says how many events it has seen and never that something is not
there. A value is suggested when several people have it: one that names a person is nobody else's.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.http.query import query, words
from ingest.segments.syntax import named, valued
from ingest.state import Request
from ingest.statistics import exports
from ingest.statistics.events import event_type_of
from shared.stores.postgres import statement

#: Events of a sample, days that it reaches back, and bytes of the properties of one.
ROWS_MOST, DAYS, BYTES_MOST = 2000, 30, 4096
#: Fields of an answer, values of a field, and characters of a value.
FIELDS_MOST, VALUES_MOST, VALUE_MAX = 200, 20, 64
#: Different users who have a value that is suggested.
PEOPLE_LEAST = 5
#: Characters of a text to search for.
WORDS_MOST = 100

_SAMPLE = statement("ingest/statistics/events.fields.sql")


class EventField(Struct):
    """A field as a segment names it."""

    field: str
    events: Annotated[int, Meta(ge=1, description="Events of the sample that have it")]
    values: Annotated[
        list[str],
        Meta(description=f"Values of {PEOPLE_LEAST} users or more, as a segment writes them, the most common first"),
    ]


class EventFields(Struct, kw_only=True):
    """Fields of events, those of most events first."""

    since: Annotated[date, Meta(description="First day of the sample, in UTC")]
    sampled: Annotated[int, Meta(ge=0, description="Events of the sample: others may have other fields and values")]
    fields: list[EventField]


async def event_fields(request: Request) -> Response:
    """Return fields of events and their common values, from a sample."""
    values = query(request, ("event_type", "q"))
    event_type, wanted = event_type_of(values), words(values, "q", WORDS_MOST).lower()
    since = datetime.now(UTC).date() - timedelta(days=DAYS)
    parameters = {"since": str(since), "event_type": event_type, "bytes": BYTES_MOST, "rows": ROWS_MOST}
    sample = await exports.rows(request, _SAMPLE, parameters)
    fields = await asyncio.to_thread(_fields, sample, wanted)
    return as_json(EventFields(since=since, sampled=len(sample), fields=fields))


def _fields(sample: Iterable[Sequence[Any]], wanted: str) -> list[EventField]:
    counts = Counter[str]()
    users: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event_type, user, properties in sample:
        for field, value in (("event_type", event_type), *_leaves(("properties",), _decoded(properties))):
            if wanted in field.lower():
                counts[field] += 1
                if value is not None and len(text := valued(value)) <= VALUE_MAX:
                    users[field][text].add(user)
    return [EventField(field, count, _common(users[field])) for field, count in counts.most_common(FIELDS_MOST)]


def _common(users: dict[str, set[str]]) -> list[str]:
    common = [(-len(who), value) for value, who in users.items() if len(who) >= PEOPLE_LEAST]
    return [value for _, value in sorted(common)[:VALUES_MOST]]


def _leaves(path: tuple[str, ...], document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a segment can compare: the name and the value of every text, number and boolean."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _leaves((*path, key), value)
        elif value is not None and not isinstance(value, list):
            yield named((*path, key)), value


def _decoded(properties: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(properties, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):  # an import of long ago
        return {}
