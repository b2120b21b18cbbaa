"""Turn an object of the application into a row: a type, a JSON object, a time and an environment.

A msgspec Struct, a dataclass, an attrs class or a pydantic model is an event. The name of its class in snake case is
the event's type, and its fields are the context. `Event` overrides both.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from tallybook_sdk.outbox.carried import carried
from tallybook_sdk.outbox.errors import InvalidEvent
from tallybook_sdk.outbox.ids import random_id

#: Events of one call at most. Publish more by several calls in one transaction.
EVENTS_MAX = 10_000
#: Bytes of the JSON of one event at most. Keep larger data elsewhere and put its address into the event.
CONTEXT_MAX_BYTES = 256 * 1024
#: The environment of events that name none.
ENVIRONMENT_VARIABLE, ENVIRONMENT = "TALLYBOOK_ENVIRONMENT", "development"
_TYPE_MAX, _ENVIRONMENT_MAX = 200, 100
#: Types of fields whose JSON is one value.
_FLAT = frozenset({type(None), bool, bytes, date, datetime, Decimal, float, int, str, UUID})
#: The range of a DateTime64 of ClickHouse.
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=timezone.utc), datetime(2299, 12, 31, tzinfo=timezone.utc)

_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Event(Struct, frozen=True):
    """A payload with explicit attributes.

    Defaults: the payload's `event_type`, or the name of its class in snake case; a random id; the time of the INSERT;
    the environment of the process; the payload's `metadata_version`, or 1."""

    payload: Any
    event_type: str | None = None
    event_id: UUID | None = None
    event_date_time: datetime | None = None
    environment: str | None = None
    metadata_version: int | None = None


class Row(NamedTuple):
    """An event as it is stored. JSON and times are text, so that every driver stores the same."""

    event_id: UUID
    event_type: str
    environment: str
    event_context: str
    #: None: the time of the INSERT, by the clock of Postgres.
    event_date_time: str | None
    metadata_version: int
    context: str


class _Kind(NamedTuple):
    """The properties that all events of a class share; cached, because every transaction needs them."""

    #: The name of the class in snake case; empty for mappings.
    event_type: str
    encode: Callable[[Any], bytes]
    #: All fields, where they are known. If their values are flat, the JSON needs no further check.
    fields: tuple[str, ...] | None = None


def rows_of(events: tuple[object, ...]) -> list[Row]:
    """Return the rows of the events, in order. Raises InvalidEvent."""
    if len(events) > EVENTS_MAX:
        raise InvalidEvent(f"one call publishes {EVENTS_MAX:,} events at most, not {len(events):,}")
    context, environment = carried(), process_environment()
    rows = []
    for one in events:
        if isinstance(one, Event):
            payload, event_type, version = one.payload, one.event_type, one.metadata_version
            event_id, moment = _id(one.event_id) or random_id(), _moment(one.event_date_time)
            where = _checked(one.environment, "environment", _ENVIRONMENT_MAX) if one.environment else environment
        else:
            payload, event_type, version, event_id, moment, where = one, None, None, random_id(), None, environment
        kind = _kind(type(payload))  # type: ignore[arg-type]
        event_type = _type_of(payload, kind, event_type)
        if version is None:
            version = _asked(payload, "metadata_version", 1)
        if not isinstance(version, int) or not 0 <= version < 1 << 63:
            raise InvalidEvent(f"metadata_version of {event_type} has to be a whole number from 0, not {version!r}")
        rows.append(Row(event_id, event_type, where, _encoded(payload, kind, event_type), moment, version, context))
    return rows


@cache
def process_environment() -> str:
    """Return the environment of this process, read once. Raises InvalidEvent."""
    named = os.environ.get(ENVIRONMENT_VARIABLE) or ENVIRONMENT
    return _checked(named, ENVIRONMENT_VARIABLE, _ENVIRONMENT_MAX)


def snake_case(name: str) -> str:
    """Return a class name in snake case: `HTTPRequestFailed` is `http_request_failed`."""
    return _WORD.sub("_", name).lower()


@lru_cache(maxsize=1024)
def _kind(of: type) -> _Kind:
    if issubclass(of, Mapping):
        return _Kind("", _by_msgspec)
    name = _checked(snake_case(of.__name__), "event_type", _TYPE_MAX)
    if issubclass(of, Struct):
        return _Kind(name, _by_msgspec, of.__struct_fields__)
    if dataclasses.is_dataclass(of):
        return _Kind(name, _by_msgspec, tuple(field.name for field in dataclasses.fields(of)))
    if hasattr(of, "__attrs_attrs__"):
        return _Kind(name, _by_msgspec)
    if hasattr(of, "model_dump_json"):
        return _Kind(name, _by_pydantic)
    raise InvalidEvent(
        f"{of.__name__} is no event: publish a msgspec Struct, a dataclass, an attrs class,"
        " a pydantic model, or Event(mapping, event_type='...')"
    )


def _by_msgspec(payload: Any) -> bytes:
    return msgspec.json.encode(payload, enc_hook=plain)


def _by_pydantic(payload: Any) -> bytes:
    return str(payload.model_dump_json()).encode()


def plain(value: Any) -> Any:
    """Convert a value that msgspec cannot encode into one that it can. Raises TypeError."""
    for kind in (str, int, float):
        if isinstance(value, kind):  # of a subclass
            return kind(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):  # of pydantic
        return value.model_dump(mode="json")
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network | PurePath):
        return str(value)
    raise TypeError(f"{type(value).__qualname__} has no form in JSON")


def _type_of(payload: object, kind: _Kind, said: str | None) -> str:
    named = said or _asked(payload, "event_type", None)
    if named:
        return _checked(named, "event_type", _TYPE_MAX)
    if not kind.event_type:
        raise InvalidEvent("a mapping has no name of its own: publish Event(payload, event_type='...')")
    return kind.event_type


def _asked(payload: object, name: str, default: Any) -> Any:
    """Return an attribute of an event. Raises InvalidEvent if reading it fails."""
    try:
        return getattr(payload, name, default)
    except Exception as error:
        raise InvalidEvent(f"{name} of {type(payload).__name__} cannot be read: {error!r}") from error


def _checked(text: Any, what: str, most: int) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= most or "\0" in text or _SURROGATE.search(text):
        raise InvalidEvent(f"{what} has to be a text of 1 to {most} characters, not {text!r}")
    return text


def _id(said: UUID | None) -> UUID | None:
    if said is not None and not isinstance(said, UUID):
        raise InvalidEvent(f"event_id has to be a UUID, not {said!r}")
    return said


def _moment(said: datetime | None) -> str | None:
    if said is None:
        return None
    if not isinstance(said, datetime):
        raise InvalidEvent(f"event_date_time has to be a datetime with a time zone, not {said!r}")
    if said.tzinfo is None:
        raise InvalidEvent(f"event_date_time has no time zone: {said.isoformat()}")
    if not _EARLIEST <= said < _LATEST:
        raise InvalidEvent(f"event_date_time lies outside 1900 to 2299: {said.isoformat()}")
    return said.isoformat()


def _encoded(payload: Any, kind: _Kind, event_type: str) -> str:
    """Return an event's fields as a JSON object. Raises InvalidEvent."""
    try:
        encoded = kind.encode(payload)
        text = encoded.decode()
        if kind.fields is None or not all(type(getattr(payload, name, None)) in _FLAT for name in kind.fields):
            _check_names(encoded, text)
    except Exception as error:  # code of the application may raise anything
        raise InvalidEvent(f"{event_type} cannot be written as JSON: {error}") from error
    if not text.startswith("{"):
        raise InvalidEvent(f"{event_type} has to be a JSON object, not {text[:40]}")
    if len(encoded) > CONTEXT_MAX_BYTES:
        raise InvalidEvent(f"{event_type} has {len(encoded):,} bytes of JSON, and {CONTEXT_MAX_BYTES:,} are the most")
    return text


def _check_names(encoded: bytes, text: str) -> None:
    """Raise ValueError for invalid JSON, or for an object with a name twice: `{1: "a", "1": "b"}`."""
    if len(msgspec.json.encode(msgspec.json.decode(encoded))) != len(encoded):  # a name twice, or other white space
        json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"an object has one name twice: {', '.join(names)[:100]}")
