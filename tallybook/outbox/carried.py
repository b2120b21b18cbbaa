"""What travels with an event from its writer to whoever looks for it later: the trace and the bound fields of the log.

Nothing is imported that the application has not imported: who does not use Sentry, OpenTelemetry or structlog has none
of it, and pays nothing.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

#: Bytes of the JSON. When the fields of the log make it larger, the trace travels alone.
CARRIED_MAX_BYTES = 16 * 1024
#: https://www.w3.org/TR/trace-context/
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
#: Headers that carry a trace.
_HEADERS = ("traceparent", "tracestate", "sentry-trace", "baggage")

_NONE: Mapping[str, str] = {}

_headers: ContextVar[Mapping[str, str]] = ContextVar("tallybook_outbox_headers")


@contextmanager
def carrying(headers: Mapping[str, str]) -> Iterator[None]:
    """Let events published inside carry the trace of these headers, such as those of the request that is answered."""
    found = {name.lower(): value for name, value in headers.items() if name.lower() in _HEADERS}
    if not _TRACEPARENT.fullmatch(found.get("traceparent", "")):
        found.pop("traceparent", None)
    token = _headers.set(found)
    try:
        yield
    finally:
        _headers.reset(token)


def carried() -> str:
    """The JSON object of what is bound here and now."""
    loaded = sys.modules
    trace = _headers.get(_NONE)
    if "opentelemetry" in loaded:
        trace = {**trace, **_opentelemetry()}
    if "sentry_sdk" in loaded:
        trace = {**trace, **_sentry(loaded["sentry_sdk"])}
    bound = loaded["structlog"].contextvars.get_contextvars() if "structlog" in loaded else _NONE
    if not bound:
        return _encoded(trace) if trace else "{}"
    text = _encoded({**trace, "log": {str(name): _plain(value) for name, value in bound.items()}})
    return text if len(text) <= CARRIED_MAX_BYTES else _encoded(trace)


def _encoded(carried: Mapping[str, Any]) -> str:
    return msgspec.json.encode(carried, enc_hook=str).decode()


def _plain(value: Any) -> Any:
    """A value of a log line, as text unless JSON has it."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)[:1000]


def _opentelemetry() -> dict[str, str]:
    try:
        from opentelemetry import propagate
    except ImportError:  # a namespace without the API in it
        return {}
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return {name: value for name, value in headers.items() if name in _HEADERS}


def _sentry(sentry_sdk: Any) -> dict[str, str]:
    if not sentry_sdk.get_client().dsn:  # without one Sentry is off, though it was initialized
        return {}
    headers = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    return {name: value for name, value in headers.items() if value}
