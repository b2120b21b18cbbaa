"""From an object of the application to what is stored: a type, a JSON object, and when and where it happened.

A msgspec Struct, a dataclass, an attrs class or a pydantic model is an event. Its type is the name of its class in
snake case, its context its fields. `Event` gives what an object does not say itself.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from tallybook.outbox.carried import carried
from tallybook.outbox.errors import InvalidEvent

#: Bytes of the JSON of one event: what is larger belongs into a store of its own, and its address into the event.
CONTEXT_MAX_BYTES = 256 * 1024
#: Where this process runs, unless an event says so.
ENVIRONMENT_VARIABLE, ENVIRONMENT = "TALLYBOOK_ENVIRONMENT", "development"
_TYPE_MAX, _ENVIRONMENT_MAX = 200, 100
#: What a DateTime64 of ClickHouse can hold.
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2299, 12, 31, tzinfo=UTC)

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Event(Struct, frozen=True):
    """An event with what is said about it. What is left out is filled in: a random id, the class attributes
    `event_type` and `metadata_version` or the class's name and 1, now, and the environment of the process."""

    payload: Any
    event_type: str | None = None
    event_id: UUID | None = None
    event_date_time: datetime | None = None
    environment: str | None = None
    metadata_version: int | None = None


class Row(NamedTuple):
    """An event as it is stored; all of it text, so that no driver has a say in it."""

    event_id: str
    event_type: str
    event_date_time: str
    environment: str
    event_context: str
    metadata_version: int
    context: str


def rows(events: tuple[object, ...]) -> list[Row]:
    """What the events become, in their order. Raises InvalidEvent."""
    now, context = datetime.now(UTC), carried()
    return [_row(one if isinstance(one, Event) else Event(one), now, context) for one in events]


def snake_case(name: str) -> str:
    """`HTTPRequestFailed` is `http_request_failed`."""
    return _WORD.sub("_", name).lower()


def _row(event: Event, now: datetime, context: str) -> Row:
    payload = event.payload
    event_type = event.event_type or _type_of(payload)
    moment = event.event_date_time or now
    environment = event.environment or os.environ.get(ENVIRONMENT_VARIABLE) or ENVIRONMENT
    version = event.metadata_version
    if version is None:
        version = getattr(payload, "metadata_version", 1)
    _check(event_type, environment, moment, version)
    return Row(
        str(event.event_id or uuid4()),
        event_type,
        moment.isoformat(),
        environment,
        _encoded(payload, event_type),
        version,
        context,
    )


def _type_of(payload: object) -> str:
    if isinstance(payload, Mapping):
        raise InvalidEvent("a mapping has no name of its own: publish Event(payload, event_type='...')")
    return getattr(payload, "event_type", None) or snake_case(type(payload).__name__)


def _check(event_type: object, environment: str, moment: datetime, version: object) -> None:
    if not isinstance(event_type, str) or not 1 <= len(event_type) <= _TYPE_MAX or "\0" in event_type:
        raise InvalidEvent(f"event_type has to be a text of 1 to {_TYPE_MAX} characters, not {event_type!r}")
    if not 1 <= len(environment) <= _ENVIRONMENT_MAX or "\0" in environment:
        raise InvalidEvent(f"environment has to be a text of 1 to {_ENVIRONMENT_MAX} characters, not {environment!r}")
    if moment.tzinfo is None:
        raise InvalidEvent(f"event_date_time of {event_type} has no time zone: {moment.isoformat()}")
    if not _EARLIEST <= moment < _LATEST:
        raise InvalidEvent(f"event_date_time of {event_type} lies outside 1900 to 2299: {moment.isoformat()}")
    if not isinstance(version, int) or not 0 <= version < 1 << 63:
        raise InvalidEvent(f"metadata_version of {event_type} has to be a whole number from 0, not {version!r}")


def _encoded(payload: Any, event_type: str) -> str:
    """The JSON object of an event's fields."""
    try:
        if hasattr(payload, "model_dump_json"):  # pydantic
            text = str(payload.model_dump_json())
        elif isinstance(payload, Struct | Mapping) or dataclasses.is_dataclass(payload) or _is_attrs(payload):
            text = msgspec.json.encode(payload).decode()
        else:
            raise InvalidEvent(
                f"{type(payload).__name__} is no event: publish a msgspec Struct, a dataclass, an attrs class,"
                " a pydantic model, or Event(mapping, event_type='...')"
            )
    except (TypeError, ValueError, RecursionError) as error:  # of the encoders; pydantic's are ValueErrors
        raise InvalidEvent(f"{event_type} cannot be written as JSON: {error}") from error
    if not text.startswith("{"):
        raise InvalidEvent(f"{event_type} has to be a JSON object, not {text[:40]}")
    if len(text.encode()) > CONTEXT_MAX_BYTES:
        raise InvalidEvent(f"{event_type} has {len(text):,} bytes of JSON, and {CONTEXT_MAX_BYTES:,} are the most")
    return text


def _is_attrs(payload: object) -> bool:
    return hasattr(type(payload), "__attrs_attrs__")
