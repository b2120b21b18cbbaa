"""How Granian runs, in the workers and in the gateway alike."""

from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels


def embedded(*, idle_ms: int, headers_max: int, connections: int) -> dict[str, Any]:  # arguments of many types
    """Return the arguments of `granian.server.embed.Server` beside the application and its address.

    `idle_ms` bounds the wait for the headers of a request, and so for the next request of a connection. `headers_max`
    is in bytes.
    """
    return {
        "interface": Interfaces.ASGINL,
        "http": HTTPModes.http1,
        "http1_settings": HTTP1Settings(header_read_timeout=idle_ms, max_buffer_size=headers_max),
        "websockets": False,
        "backlog": connections,
        "backpressure": connections,
        "log_level": LogLevels.error,
        "log_dictconfig": logging_at("ERROR"),
    }


def logging_at(level: str) -> dict[str, Any]:
    """Return a configuration that sends what Granian logs from this level on into our own log."""
    return {"loggers": {"_granian": {"level": level, "propagate": True, "handlers": []}}}
