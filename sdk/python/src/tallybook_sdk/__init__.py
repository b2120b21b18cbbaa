"""Send data of an application to tallybook, and ask for its numbers.

client     Client and AsyncClient: count clicks and impressions, record events, read statistics
outbox     publish events in the application's own Postgres transaction
testing    what tests of an application use
asgi, wsgi, django    page views of a framework
mcp        tools for programs that speak the Model Context Protocol

    calls      every read, described once         reading    ask, and ask again
    records    what is recorded, as JSON          sending    move records to the service, each once
    models     what the service returns           errors     what is raised
    settings   address and key

The package needs msgspec and nothing of the service. The names below are imported when they are first used, so that
the outbox alone loads no HTTP.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallybook_sdk.client import AsyncClient, Client
    from tallybook_sdk.errors import (
        Forbidden,
        Invalid,
        Limited,
        NotConfigured,
        Problem,
        QueueFull,
        TallybookError,
        Unauthorized,
        Unavailable,
        Unreachable,
    )
    from tallybook_sdk.records import Click, Event, Unsendable
    from tallybook_sdk.sending.answers import Answer
    from tallybook_sdk.sending.courier import Rejected
    from tallybook_sdk.sending.http import Deadline, NotSent, Request, Transport
    from tallybook_sdk.sending.report import Report

__all__ = [
    "Answer",
    "AsyncClient",
    "Click",
    "Client",
    "Deadline",
    "Event",
    "Forbidden",
    "Invalid",
    "Limited",
    "NotConfigured",
    "NotSent",
    "Problem",
    "QueueFull",
    "Rejected",
    "Report",
    "Request",
    "TallybookError",
    "Transport",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Unsendable",
]

_ELSEWHERE = {
    "client": ("AsyncClient", "Client"),
    "records": ("Click", "Event", "Unsendable"),
    "sending.answers": ("Answer",),
    "sending.courier": ("Rejected",),
    "sending.http": ("Deadline", "NotSent", "Request", "Transport"),
    "sending.report": ("Report",),
}
_MODULES = {name: module for module, names in _ELSEWHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
