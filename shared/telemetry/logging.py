"""Write log lines: JSON on stderr, or text on a terminal. An event is one line, whatever a client puts into a field.

The event is a stable name of snake_case (`docs/logs.md` has them all), everything else is a field. Our lines go from
structlog to the file directly; what libraries log through the standard library is bridged into the same form as
`library_message`. Fields can hold text of users, so control characters and line separators are escaped, and passwords
and keys are masked on the way out.
"""

import contextlib
import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Final, TextIO, cast

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from shared.masking import MASK, masked_text
from shared.settings import Settings

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

#: Characters that a terminal or a line-wise reader takes as layout: C0 and C1 controls, DEL, the line separators of
#: Unicode, and marks that change the direction of writing.
_LAYOUT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: The same without tab and newline, which tracebacks are made of.
_LAYOUT_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: Fields whose values are secrets, whatever they look like.
_SECRET_FIELDS: Final = frozenset(
    {
        "authorization",
        "proxy_authorization",
        "cookie",
        "set_cookie",
        "password",
        "secret",
        "token",
        "api_key",
        "x_api_key",
    }
)


def configure(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Set up logging of this process; `process` becomes a field of each line. Call it once, before the first line:
    loggers keep what they find at their first use. `stream` is stderr unless given."""
    sink = _Sink(stream)
    level = _LEVELS[settings.log_level]
    is_console = settings.log_format == "console" or (settings.log_format == "auto" and sink.isatty())
    structlog.configure(
        processors=_processors(process, is_console, has_colors=sink.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, sink)),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, Bridge)] + [Bridge()]
    root.setLevel(level)
    logging.captureWarnings(True)


class _Sink:
    """Where bytes of lines go: to a given file, else to what `sys.stderr` is at that moment. Loggers are made once and
    live on, but whoever captures output replaces stderr and closes it afterwards. A line that cannot be written is
    lost: a full disk or a reader that went away must not stop the work that the line tells of."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def _current(self) -> TextIO:
        return sys.stderr if self._stream is None else self._stream

    def isatty(self) -> bool:
        return self._current().isatty()

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._current().write(line.decode())

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._current().flush()


def _processors(process: str, is_console: bool, *, has_colors: bool) -> list[Processor]:
    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]
    if is_console:
        console = structlog.dev.ConsoleRenderer(
            colors=has_colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
        return [*shared, structlog.processors.format_exc_info, masked_fields, escaped_fields, console, _as_bytes]
    # Local variables would carry keys and addresses into the log.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [*shared, tracebacks, masked_fields, encoded]


def _as_bytes(_: WrappedLogger, __: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


def masked_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Process an event: mask passwords in URLs, and fields that are secrets by name."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: object, value: Any) -> Any:
    if isinstance(name, str) and name.lower().replace("-", "_") in _SECRET_FIELDS:
        return MASK
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {key: _masked(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(None, inner) for inner in value]
    if isinstance(value, bool | int | float | None):
        return value
    return _masked(None, repr(value))


def escaped_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Process an event: write control characters out, so that no field can move the cursor or begin a line. Lines of a
    traceback are set off, because the text of an exception can hold line ends of a client."""
    return {_LAYOUT.sub(_written_out, name): _escaped(name, value) for name, value in event.items()}


def _escaped(name: str, value: object) -> object:
    text = value if isinstance(value, str) else repr(value)
    if name == "exception":
        return _LAYOUT_BUT_LINES.sub(_written_out, "  | " + text.replace("\n", "\n  | "))
    clean = _LAYOUT.sub(_written_out, text)
    return value if clean == text else clean


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def encoded(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    """Return the line as JSON, as the last processor. No value of a field makes it raise."""
    ordered = {"timestamp": event.pop("timestamp", None), "event": event.pop("event", None), **event}
    try:
        line = msgspec.json.encode(ordered, enc_hook=repr)
    except Exception:  # lone surrogates, keys that are no text: what the standard library writes can still be read
        return json.dumps(ordered, default=repr, skipkeys=True).encode()
    if line.isascii() and b"\x7f" not in line:
        return line
    # Valid JSON strings may hold these as they are, but a terminal and `splitlines` do not expect them.
    return _LAYOUT.sub(lambda match: f"\\u{ord(match[0]):04x}", line.decode()).encode()


class Bridge(logging.Handler):
    """Turn lines that libraries log through the standard library into events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on. Errors go to `logging.Handler.handleError`."""
        try:
            log = structlog.get_logger()
            fields = {"logger": record.name, "message": record.getMessage(), "exc_info": record.exc_info or None}
            if record.levelno >= logging.ERROR:
                log.error("library_message", **fields)
            elif record.levelno >= logging.WARNING:
                log.warning("library_message", **fields)
            elif record.levelno >= logging.INFO:
                log.info("library_message", **fields)
            else:
                log.debug("library_message", **fields)
        except Exception:
            self.handleError(record)
