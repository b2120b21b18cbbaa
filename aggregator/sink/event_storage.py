"""Measure how many product events are hot and cold."""

from shared.events.cold_storage import is_cold_ever
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import statement
from shared.telemetry.metrics import EVENTS_DUE, EVENTS_STORED_BYTES, EVENTS_STORED_ROWS

_PLACES = statement("aggregator/sink/event_storage.sql")


async def report(settings: Settings, clickhouse: ClickHouse) -> None:
    """Update the storage gauges. Raises CLICKHOUSE_ERRORS."""
    days = settings.events_cold_days if is_cold_ever(settings) else 0
    found = {place: figures for place, *figures in await clickhouse.query(_PLACES, {"days": days})}
    for place in ("hot", "cold"):
        rows, size, due = found.get(place, (0, 0, 0))
        EVENTS_STORED_ROWS.labels(place).set(rows)
        EVENTS_STORED_BYTES.labels(place).set(size)
        if place == "hot":
            EVENTS_DUE.set(due)
