"""Traces of the relay in Sentry: each batch, joined to the traces in which its events were published.

Nothing of it runs where Sentry was not set up (`shared/telemetry/sentry.py`, or an application that calls the relay).
An event carries the headers of its writer's trace; a batch has thousands of them, so of the sampled ones a few are
continued.
"""

import contextlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement

_TRACES = statement("aggregator/outbox/relay.traces.sql")

#: Traces of writers that are continued for one batch.
TRACES_MAX = 10


class Times(NamedTuple):
    """Unix times of a batch and of its insert."""

    began: float
    insert_began: float
    insert_ended: float
    ended: float


def is_on() -> bool:
    """Return whether anybody would get a trace."""
    if "sentry_sdk" not in sys.modules:
        return False
    import sentry_sdk

    return sentry_sdk.is_initialized()


async def tell(pool: Pool, start: tuple[int, int], end: tuple[int, int], rows: int, times: Times) -> None:
    """Send the trace of a batch from behind `start` up to `end`, and one into each trace that its events came from. A
    database that is away by now costs the traces, and nothing else."""
    _send({}, rows, times)
    with contextlib.suppress(*POSTGRES_ERRORS):
        for row in await pool.fetch(_TRACES, str(start[0]), start[1], str(end[0]), end[1], TRACES_MAX):
            _send({"sentry-trace": row["trace"], "baggage": row["baggage"] or ""}, rows, times)


def _send(headers: Mapping[str, str], rows: int, times: Times) -> None:
    import sentry_sdk

    scope = sentry_sdk.Scope()  # its own: a task that relays may be in a trace already
    scope.set_client(sentry_sdk.get_client())
    continued = scope.continue_trace(dict(headers), op="queue.process", name="outbox relay", source="task")
    with sentry_sdk.scope.use_isolation_scope(scope):
        transaction = sentry_sdk.start_transaction(continued)
        transaction.start_timestamp = _moment(times.began)
        transaction.set_data("messaging.destination.name", "tallybook_outbox")
        transaction.set_data("messaging.batch.message_count", rows)
        span = transaction.start_child(
            op="db.query", name="INSERT INTO event_log", start_timestamp=_moment(times.insert_began)
        )
        span.set_data("db.system", "clickhouse")
        span.finish(end_timestamp=_moment(times.insert_ended))
        transaction.finish(end_timestamp=_moment(times.ended))


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
