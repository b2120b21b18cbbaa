"""What travels with an event from its writer to whoever looks for it later: the trace and the bound fields of the log.

Nothing is imported that the application has not imported: who does not use Sentry, OpenTelemetry or structlog has none
of it, and pays nothing. Headers and log fields come from outside, so whatever cannot be carried is left behind:
nothing here raises into the transaction of the caller.
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
    """Let events published inside carry the trace of these headers, such as those of the request that is answered."""
    found = _sound({name.lower(): value for name, value in headers.items() if isinstance(name, str)})
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
        trace = {**trace, **_told(_opentelemetry)}
    if "sentry_sdk" in loaded:
        trace = {**trace, **_told(_sentry)}
    bound = loaded["structlog"].contextvars.get_contextvars() if "structlog" in loaded else _NONE
    if not bound:
        return _encoded(trace) if trace else "{}"
    text = _encoded({**trace, "log": dict(_fields(bound))})
    return text if len(text) <= CARRIED_MAX_BYTES else _encoded(trace)


def _encoded(carried: Mapping[str, Any]) -> str:
    return msgspec.json.encode(carried).decode()


def _sound(headers: Mapping[str, Any]) -> dict[str, str]:
    """Those of the headers that are as their specifications want them."""
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
    """The fields of a log line as JSON has them; one that says nothing of itself is left behind."""
    for name, value in bound.items():
        with suppress(Exception):  # of a foreign __str__
            yield _text(str(name)), _plain(value)


def _plain(value: Any) -> Any:
    """A value of a log line, as text unless JSON has it."""
    if value is None or type(value) in (bool, int, float):
        return value
    return _text(value if type(value) is str else str(value)[:1000])


def _text(text: str) -> str:
    """The text, with a replacement for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _told(by: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What a library says of its trace; nothing where that fails."""
    try:
        return _sound(by())
    except Exception:  # a foreign library must not undo the work of the caller
        return {}


def _opentelemetry() -> dict[str, str]:
    from opentelemetry import propagate  # missing in a namespace without the API in it

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def _sentry() -> dict[str, str]:
    import sentry_sdk

    if not sentry_sdk.get_client().dsn:  # without one Sentry is off, though it was initialized
        return {}
    return {"sentry-trace": sentry_sdk.get_traceparent() or "", "baggage": sentry_sdk.get_baggage() or ""}
