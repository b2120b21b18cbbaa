"""The operations of sessions and limits: their routes, and what the document says of them."""

from typing import Any

from ingest.http.openapi import Answer, Body, Operation
from ingest.session import limits, routes
from shared.errors import Busy, Forbidden, Invalid, Limited, PostgresUnavailable, Unauthorized

_EXAMPLE_LIMITS: dict[str, Any] = {
    "version": "0.1.0",
    "now": "2026-03-01T12:34:56.789012Z",
    "clicks": {
        "itemsMax": 10_000,
        "bytesMax": 1_048_576,
        "windowS": 600,
        "backdateMaxS": 86_400,
        "skewMaxS": 60,
    },
    "events": {"itemsMax": 10_000, "bytesMax": 5_242_880, "propertiesBytesMax": 8192},
    "scopes": ["stats:read"],
}
_EXAMPLE_IN = {"state": "in", "name": "k3v7q2mzt4xa", "scopes": ["stats:read"], "expiresAt": "2026-03-02T00:34:56Z"}
_COOKIE = {"Set-Cookie": "The cookie of the session"}

OPERATIONS = [
    Operation(
        method="POST",
        path=routes.PATH,
        handler=routes.sign_in,
        body_use="later",
        summary="Sign in to the dashboard",
        description="Begin a session of the key or token in the Authorization header. Its cookie holds a random token "
        "instead of the key. It opens what `stats:read`, `logs:read` and `admin` open, to GET and HEAD of pages of "
        "this origin, and nothing else. It lasts 12 hours, or 30 days with `remember`, and ends with its key. A key "
        "has 100 sessions; the oldest makes room for one more.",
        tag="session",
        body=Body(routes.Wish, "How long to stay signed in", required=False, example={"remember": True}),
        answers={
            201: Answer("Signed in", routes.Session, headers=_COOKIE, example=_EXAMPLE_IN),
            200: Answer("No key is needed here, so there is no session", routes.Session, example={"state": "open"}),
        },
        errors=(Unauthorized, Forbidden, Limited, Invalid, PostgresUnavailable),
        order=600,
    ),
    Operation(
        method="GET",
        path=routes.PATH,
        handler=routes.session,
        body_use="refused",
        summary="Who is signed in?",
        description="What the cookie of a session says. `open`: no key is needed here. `out`: there is no session, or "
        "it is over.",
        tag="session",
        answers={
            200: Answer(
                "The session",
                routes.Session,
                example={
                    **_EXAMPLE_IN,
                    "service": {"minuteS": 60, "banners": "open", "clickhouse": True, "limits": _EXAMPLE_LIMITS},
                },
            )
        },
        errors=(PostgresUnavailable, Busy),
        order=610,
    ),
    Operation(
        method="DELETE",
        path=routes.PATH,
        handler=routes.sign_out,
        summary="Sign out",
        description="End the session of the cookie. Without one, nothing happens.",
        tag="session",
        answers={204: Answer("Signed out", headers={"Set-Cookie": "The cookie, forgotten"})},
        errors=(PostgresUnavailable,),
        order=620,
    ),
    Operation(
        method="GET",
        path="/limits",
        handler=limits.limits,
        body_use="refused",
        summary="What may a client send?",
        description="Bounds of clicks and events, and the time of the service, by which a client with a wrong clock "
        "can correct its own. Needs no key. With one, `scopes` says what it is good for.",
        tag="operation",
        answers={200: Answer("The limits", limits.Limits, example=_EXAMPLE_LIMITS)},
        errors=(Unauthorized, PostgresUnavailable, Busy),
        order=830,
    ),
]
