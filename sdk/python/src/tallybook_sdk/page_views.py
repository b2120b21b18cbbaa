"""What page views of `asgi`, `wsgi` and `django` have in common: an event of the type `page_view` after the answer.

It says the route's template, the status, the milliseconds and the host of the referrer: no address, no user agent, no
query. Without a user, and for a browser that sends `Sec-GPC: 1`, nothing is recorded. These are product events; hits
and page views of the topic have routes of their own.
"""

import time
from typing import Any, Protocol
from urllib.parse import urlsplit

#: The type of the events.
EVENT_TYPE = "page_view"


class Recorder(Protocol):
    """A Client, an AsyncClient or the fixture `tally`."""

    def event(self, type: str, user_id: str | int, properties: dict[str, Any] | None = None) -> str:
        """Record an event."""


def record(
    tally: Recorder, user: str | int | None, route: str | None, status: int, began: float, referrer: str, gpc: str
) -> None:
    """Record one page view, if there is somebody who may be recorded. `began` is of time.perf_counter."""
    if user is None or user == "" or gpc.strip() == "1":
        return
    properties: dict[str, Any] = {"status": status, "ms": round((time.perf_counter() - began) * 1000)}
    if route:
        properties["route"] = route
    if host := _host(referrer):
        properties["referrer"] = host
    tally.event(EVENT_TYPE, user, properties)


def _host(referrer: str) -> str | None:
    try:
        return urlsplit(referrer).hostname
    except ValueError:
        return None
