"""Collect the context of an event: the trace, and the bound fields of the structured log.

The module uses Sentry, OpenTelemetry and structlog only if the application has imported them. Headers and log fields
come from outside. What cannot be carried is left out, and nothing here raises into the caller's transaction.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import msgspec

#: Bytes of the JSON. When the fields of the log make it larger, the trace travels alone.
CARRIED_MAX_BYTES = 16 * 1024
#: https://www.w3.org/TR/trace-context/
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
#: Headers that carry a trace, and how long each may be: W3C Trace Context 3.3.1.5, and W3C Baggage 3.3.2.
_HEADERS = {"traceparent": 55, "tracestate": 512, "sentry-trace": 64, "baggage": 8192}
#: What these specifications let a value be made of.
_VALUE = re.compile(r"[\t\x20-\x7e]+")

_NONE: Mapping[str, str] = {}

_headers: ContextVar[Mapping[str, str]] = ContextVar("tallybook_outbox_headers")


@contextmanager
def carrying(headers: Mapping[str, str]) -> Iterator[None]:
    """Give events that are published inside the trace of these headers, such as those of the current request."""
    found = _sound({name.lower(): value for name, value in headers.items() if isinstance(name, str)})
    token = _headers.set(found)
    try:
        yield
    finally:
        _headers.reset(token)


def carried() -> str:
    """Return the current trace and log fields as a JSON object."""
    loaded = sys.modules
    trace = _trace()
    bound = loaded["structlog"].contextvars.get_contextvars() if "structlog" in loaded else _NONE
    if not bound:
        return _encoded(trace) if trace else "{}"
    text = _encoded({**trace, "log": dict(_fields(bound))})
    return text if len(text) <= CARRIED_MAX_BYTES else _encoded(trace)


def trace_id() -> str | None:
    """Return the id of the current trace, or None."""
    trace = _trace()
    if found := trace.get("traceparent"):
        return found.split("-")[1]
    return trace.get("sentry-trace", "").partition("-")[0] or None


def _trace() -> Mapping[str, str]:
    """Return the headers of the current trace."""
    trace = _headers.get(_NONE)
    if "opentelemetry" in sys.modules:
        trace = {**trace, **_told(_opentelemetry)}
    if "sentry_sdk" in sys.modules:
        trace = {**trace, **_told(_sentry)}
    return trace


def _encoded(carried: Mapping[str, Any]) -> str:
    return msgspec.json.encode(carried).decode()


def _sound(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that conform to their specifications."""
    found = {
        name: value
        for name, most in _HEADERS.items()
        if isinstance(value := headers.get(name), str) and len(value) <= most and _VALUE.fullmatch(value)
    }
    if not _TRACEPARENT.fullmatch(found.get("traceparent", "")):
        found.pop("traceparent", None)
        found.pop("tracestate", None)  # which means nothing alone
    return found


def _fields(bound: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the log fields as JSON values. A field whose `__str__` raises is left out."""
    for name, value in bound.items():
        with suppress(Exception):  # of a foreign __str__
            yield _text(str(name)), _plain(value)


def _plain(value: Any) -> Any:
    """Return the value of a log field: as it is if JSON has it, else as text."""
    if value is None or type(value) in (bool, int, float):
        return value
    return _text(value if type(value) is str else str(value)[:1000])


def _text(text: str) -> str:
    """Return the text with each lone surrogate replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _told(by: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return the trace headers of a library, or none if it fails."""
    try:
        return _sound(by())
    except Exception:  # a foreign library must not undo the work of the caller
        return {}


def _opentelemetry() -> dict[str, str]:
    from opentelemetry.propagate import inject  # missing in a namespace without the API in it

    headers: dict[str, str] = {}
    inject(headers)
    return headers


def _sentry() -> dict[str, str]:
    import sentry_sdk

    if not sentry_sdk.get_client().dsn:  # without one Sentry is off, though it was initialized
        return {}
    return {"sentry-trace": sentry_sdk.get_traceparent() or "", "baggage": sentry_sdk.get_baggage() or ""}
