"""The operations that take product events: their routes, and what the document says of them."""

from ingest.events import routes
from ingest.events.recent_ids import WINDOW_S
from ingest.events.upload import Taken
from ingest.http.idempotency_key import parameter as idempotency_key
from ingest.http.openapi import Answer, Body, Operation
from shared.events.rows import Event

_EXAMPLE = {
    "event_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
    "occurred_at": "2026-03-01T12:00:00.250+02:00",
    "user_id": "u-17",
    "event_type": "purchase",
    "properties": {"country": "UA", "price": 12.5},
}

OPERATIONS = [
    Operation(
        method="GET",
        path=routes.PATH,
        handler=routes.may_upload,
        scope="events:write",
        summary="Ask whether a key may upload",
        description="Answers as an upload would as far as its headers go. A proxy asks it before it reads a body.",
        tag="events",
        answers={204: Answer("It may")},
    ),
    Operation(
        method="POST",
        path=routes.PATH,
        handler=routes.take_events,
        scope="events:write",
        body_use="read",
        summary="Take product events",
        description=f"Up to ${{events_max}} events in {routes.BODY_MAX} bytes: a JSON array, or NDJSON "
        "(`application/x-ndjson`), either of them plain or with `Content-Encoding: gzip`. `text/plain` and no type at "
        "all are read as an array. Each event has its own result; blank lines of NDJSON have none. The same "
        "`event_id` is stored and counted once, for ever; the first one counts. What comes again "
        f"within {WINDOW_S} seconds at least is reported as `duplicate`, or `conflict` if it says other things. "
        "Send the same upload again after any error. With an `Idempotency-Key` the first answer is given again for "
        "24 hours, or less when very many uploads have one.",
        tag="events",
        parameters=(idempotency_key("Names the upload, of this API key", "2026-03-01/7"),),
        body=Body(list[Event], "The events", example=[_EXAMPLE]),
        answers={
            202: Answer(
                "What became of the events",
                Taken,
                headers={"Idempotent-Replayed": "`true`: the answer of an earlier upload under the key"},
                example={
                    "accepted": 1,
                    "duplicate": 0,
                    "conflict": 0,
                    "rejected": 1,
                    "results": [
                        {"status": "accepted"},
                        {
                            "status": "rejected",
                            "code": "too_old",
                            "pointer": "/1/occurred_at",
                            "detail": "It lies more than 1830 days back",
                        },
                    ],
                },
            )
        },
        errors=routes.ERRORS,
        order=400,
    ),
]
