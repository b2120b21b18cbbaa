"""A yardstick: the questions of `loadtest.analytics` asked of DuckDB, as if an application kept its events in one.

It has it easier: its table is within this process, holds each event once and nothing but what the questions need, and
answers in rows, not over HTTP.
"""

from pathlib import Path
from typing import Any

import duckdb

from loadtest.tools.servers import cores
from shared.events.table import EVENTS
from shared.stores.clickhouse import ClickHouse

_LOADED = f"""
SELECT event_date, user_id, toString(event_type) AS event_type FROM {EVENTS}
WHERE toYYYYMM(event_date) = {{month:UInt32}} ORDER BY event_date
"""  # noqa: S608 - constants

QUESTIONS = {
    "dau": "SELECT event_date, count(DISTINCT user_id) FROM events GROUP BY ALL ORDER BY ALL",
    "top_events": "SELECT event_type, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC, event_type LIMIT 10",
    "retention_of_12_weeks": """
        WITH active AS (
            SELECT DISTINCT user_id, date_diff('day', DATE '2026-01-01', event_date) // 7 AS week
            FROM events WHERE event_date < DATE '2026-01-01' + 12 * 7
        ), came AS (SELECT user_id, min(week) AS cohort FROM active GROUP BY ALL)
        SELECT cohort, week, count(*) FROM active JOIN came USING (user_id) GROUP BY ALL ORDER BY ALL""",
}


class Duck:
    """A database in a folder, on all cores."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._db = duckdb.connect(str(folder / "events.duckdb"), config={"threads": cores()})

    async def load(self, tables: ClickHouse, months: list[int]) -> None:
        """Take over the events of these months, `202601` and so on, in the order of their days."""
        self._db.execute("CREATE OR REPLACE TABLE events (event_date DATE, user_id VARCHAR, event_type VARCHAR)")
        for month in months:
            file = self._folder / "month.parquet"
            file.write_bytes(await tables.file(_LOADED, {"month": month}, "Parquet"))
            self._db.execute(f"INSERT INTO events SELECT * FROM read_parquet('{file}')")  # noqa: S608 - our own folder
            file.unlink()
        self._db.execute("CHECKPOINT")

    def asked(self, question: str) -> list[tuple[Any, ...]]:
        """The rows that answer one of QUESTIONS."""
        return self._db.execute(QUESTIONS[question]).fetchall()


def told(question: str, answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The same rows out of tallybook's answer."""
    if question == "dau":
        return [(day["date"], day["users"]) for day in answer["days"]]
    if question == "top_events":
        return [(one["event_type"], one["count"]) for one in answer["events"]]
    return [
        (number, number + later, users)
        for number, cohort in enumerate(answer["cohorts"])
        for later, users in enumerate(cohort["users"])
        if users
    ]
