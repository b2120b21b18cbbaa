"""Every query of the dashboards and alerts is run: PromQL against a real Prometheus that scraped a real endpoint, SQL
against a real Postgres and a real ClickHouse."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
import yaml

from aggregator.sink.configured_pipelines import PAGE_VIEWS
from shared.counting.lane import Lane
from shared.record_log.record_log import Batch, Position, Record
from shared.settings import Settings
from shared.stores import clickhouse
from tallybook.metrics.endpoint import Endpoint, prepare
from tests.harness.http import request
from tests.harness.process import end, free_port
from tests.harness.services import require
from tests.harness.subjects.dashboards import ROOT, RULES, Query, alerts, promql, selectors, sql
from tests.harness.subjects.pages import view
from tests.harness.wait import PATIENCE_S, wait_for

#: Counts everything that can be counted, until its input ends.
FEED = """
import itertools, select, sys
from shared.telemetry import metrics as m
for n in itertools.count():
    m.HTTP_REQUESTS.labels("/stats/{bannerId}", "POST", "204").inc(10)
    m.HTTP_REQUESTS.labels("/stats/{bannerId}", "POST", "503").inc()
    m.HTTP_SECONDS.labels("/stats/{bannerId}").observe(0.003)
    for route in ("/stats/dau", "/stats/top-events", "/stats/retention"):
        m.HTTP_REQUESTS.labels(route, "GET", "503").inc()
        m.HTTP_SECONDS.labels(route).observe(0.02)
    m.CLICKS_REJECTED.labels("malformed").inc()
    m.CLICKS_DUPLICATE.inc()
    m.DRAIN_PAGES.labels("ok").inc()
    m.DRAIN_SECONDS.observe(0.002)
    m.FLUSHES.labels("ok").inc()
    m.FLUSH_SECONDS.observe(0.05)
    m.FLUSH_ROWS.inc(100)
    m.FLUSH_CLICKS.inc(1000)
    m.LAST_FLUSH.set_to_current_time()
    m.OPEN_MINUTES.set(2)
    m.OLDEST_OPEN_SECONDS.set(0.5)
    m.OVERDUE.set(0)
    m.COLLECT_ITEMS.labels("click", "accepted").inc()
    m.LINKS.labels("person").inc()
    m.LIVE_STREAMS.set(1)
    m.LIVE_FRAMES.labels("counts").inc()
    m.READS.labels("ok").inc()
    m.LOOP_ERRORS.labels("retention").inc()
    for use in ("total", "hits"):
        m.REDIS_USED.labels(use).set(100)
        m.REDIS_BOUND.labels(use).set(1000)
    m.SINK_LAG.labels("tracker_events").set(n)
    m.SINK_OLDEST_SECONDS.labels("tracker_events").set(0.5)
    m.SINK_PARTITIONS.labels("tracker_events", "moving").set(4)
    m.SINK_PARTITIONS.labels("tracker_events", "stopped").set(0)
    m.SINK_INSERTS.labels("tracker_events", "ok").inc()
    m.SINK_INSERTS.labels("tracker_events", "unknown").inc()
    m.SINK_SECONDS.labels("tracker_events").observe(0.1)
    m.SINK_BATCH_ROWS.labels("tracker_events").observe(1000)
    m.SINK_ROWS.labels("tracker_events").inc(1000)
    m.SINK_DEAD_LETTERS.labels("tracker_events", "columns").inc()
    m.SINK_RETRIES.labels("clickhouse").inc()
    m.GENERATOR_SENT.labels("normal").inc(100)
    m.GENERATOR_ERRORS.labels("unavailable").inc()
    m.GENERATOR_RETRIES.inc()
    m.GENERATOR_SECONDS.observe(0.01)
    m.GENERATOR_QUEUE.set(10)
    m.SINK_DUPLICATES.labels("page_views_raw").inc()
    m.LETTER_TRANSACTIONS.labels("committed").inc()
    m.SINK_LAG.labels("page_views_raw").set(n)
    m.SINK_OLDEST_SECONDS.labels("page_views_raw").set(0.5)
    m.SINK_BATCH_ROWS.labels("page_views_raw").observe(1000)
    m.SINK_ROWS.labels("page_views_raw").inc(1000)
    m.SINK_DEAD_LETTERS.labels("page_views_raw", "empty_page_id").inc()
    m.EVENTS.labels("accepted").inc(100)
    m.UPLOADS_REFUSED.labels("malformed").inc()
    m.OUTBOX_LAG.set(n)
    m.OUTBOX_OLDEST_SECONDS.set(0.5)
    m.OUTBOX_HELD_SECONDS.set(0.1)
    m.OUTBOX_ASTRAY.set(0)
    m.OUTBOX_WAITING_DEAD.set(0)
    m.OUTBOX_ROWS.inc(100)
    m.OUTBOX_DEAD_LETTERS.inc()
    m.OUTBOX_FAILURES.labels("clickhouse").inc()
    m.OUTBOX_BATCH_ROWS.observe(100)
    m.OUTBOX_BATCH_SECONDS.observe(0.1)
    for state in ("accepted", "stored", "dead_lettered", "skipped", "in_flight", "in_journals", "difference"):
        m.ACCOUNTING_RECORDS.labels("tracker_events", state).set(0)
    m.DOUBLES.labels("tracker_events").set(0)
    for place in ("hot", "cold"):
        m.EVENTS_STORED_ROWS.labels(place).set(n)
        m.EVENTS_STORED_BYTES.labels(place).set(n)
    m.EVENTS_DUE.set(0)
    for state in ("accepted", "persisted", "open", "in_lanes"):
        m.ACCOUNTING.labels(state).set(n)
    m.ACCOUNTING.labels("difference").set(0)
    if select.select([sys.stdin], [], [], 0.05)[0]:
        break
"""
#: For panels that look at the last day.
NOW_S = int(time.time())


class Prometheus:
    """Questions to a running one."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **parameters: str) -> Any:
        answer = request(self._port, f"/api/v1/{path}?{urlencode(parameters)}").json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def says(self, expression: str) -> bool:
        """Whether it answers with something; one that is not there yet does not."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AssertionError):
            return self.query(expression) != []
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an endpoint whose every metric moves."""
    folder = tmp_path_factory.mktemp("metrics")
    lanes = tmp_path_factory.mktemp("lanes")
    prepare(folder)
    lane = Lane.acquire(lanes, minute_s=60, pages=4, entries=16)
    lane.add("1", 3)
    environment = {**os.environ, "TALLYBOOK_METRICS_DIR": str(folder), "TALLYBOOK_METRICS_ROLE": "ingest"}
    feed = subprocess.Popen([sys.executable, "-c", FEED], cwd=ROOT, env=environment, stdin=subprocess.PIPE)
    endpoint = Endpoint("127.0.0.1", 0, folder, lanes)
    yield endpoint.port
    feed.communicate(timeout=PATIENCE_S)
    endpoint.close()
    lane.close()
    assert feed.returncode == 0


@pytest.fixture(scope="module")
def prometheus(scraped: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with the committed rules that has scraped that endpoint several times."""
    program = require("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "500ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "tallybook", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        running = Prometheus(port)
        wait_for(lambda: running.says('count_over_time(up{job="tallybook"}[1m]) >= 5'), "some scrapes")
        wait_for(lambda: all(rule["health"] != "unknown" for rule in rules(running)), "the health of each rule")
        yield running
    finally:
        end(process)


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]


def test_prometheus_reads_the_endpoint(prometheus: Prometheus) -> None:
    (target,) = prometheus.get("targets", state="active")["activeTargets"]
    assert target["health"] == "up", target["lastError"]


@pytest.mark.parametrize("query", promql(), ids=lambda query: f"{query.panel}-{query.legend}")
def test_every_query_of_a_panel_has_an_answer(prometheus: Prometheus, query: Query) -> None:
    answer = prometheus.query(query.text)
    assert answer, query.text
    for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
        assert all(label in series["metric"] for series in answer), f"{label} is not in the answer to {query.text}"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_figure_that_an_alert_watches_is_there(prometheus: Prometheus, alert: dict[str, Any]) -> None:
    prometheus.query(alert["expr"])
    for selector in selectors(alert["expr"]):
        assert prometheus.query(selector), selector


def test_every_alert_is_evaluated_without_error(prometheus: Prometheus) -> None:
    evaluated = rules(prometheus)
    assert {rule["name"] for rule in evaluated} == {alert["alert"] for alert in alerts()}
    assert {rule["health"] for rule in evaluated} == {"ok"}


def test_annotations_of_the_dashboard_are_valid(prometheus: Prometheus) -> None:
    for dashboard in (ROOT / "grafana/dashboards").glob("*.json"):
        for annotation in json.loads(dashboard.read_text())["annotations"]["list"]:
            prometheus.query(annotation["expr"])


# -- SQL ---------------------------------------------------------------------------------------------------------------


def expanded(text: str) -> str:
    """With Grafana's macros as its Postgres data source writes them."""
    text = re.sub(
        r"\$__timeGroupAlias\(([^,]+), \$__interval\)", r'floor(extract(epoch from \1)/60)*60 AS "time"', text
    )
    between = r"\1 BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-02T00:00:00Z'"
    text = re.sub(r"\$__timeFilter\(([^)]+)\)", between, text)
    assert "$__" not in text
    return text


@pytest.mark.parametrize("query", sql("postgres"), ids=lambda query: query.panel)
async def test_every_sql_of_a_panel_has_an_answer(database: str, query: Query) -> None:
    connection = await asyncpg.connect(database)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SELECT click_stats_make_partition('2026-01-01T00:00:00Z')")
        await connection.execute(
            'INSERT INTO click_stats ("timestamp", banner_id, count) VALUES '
            "('2026-01-01T10:00:00Z', 7, 5), ('2026-01-01T10:01:00Z', 7, 6), ('2026-01-01T10:00:00Z', 8, 1)"
        )
        rows = await connection.fetch(expanded(query.text))
    finally:
        await transaction.rollback()
        await connection.close()
    assert sum(row["clicks"] for row in rows) == 12


def expanded_for_clickhouse(text: str) -> str:
    """With Grafana's macros as its ClickHouse data source writes them."""
    text = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", text)
    text = re.sub(
        r"\$__timeFilter\((\w+)\)",
        rf"\1 >= toDateTime({NOW_S - 86_400}) AND \1 <= toDateTime({NOW_S})",
        text,
    )
    assert "$__" not in text
    return text


@pytest.mark.parametrize("query", sql("clickhouse"), ids=lambda query: query.panel)
async def test_every_sql_of_a_panel_on_page_views_has_an_answer(clickhouse_settings: Settings, query: Query) -> None:
    """Twelve views of two pages, by three users, 100 ms long, a quarter of them bounces; in two minutes of an hour."""
    hour_ms = (NOW_S // 3600 - 2) * 3_600_000
    values = [
        view(f"/{number % 2}", f"u{number % 3}", hour_ms + number % 2 * 60_000, 100, is_bounce=number % 4 == 0).value
        for number in range(12)
    ]
    records = [Record(Position(number + 1), b"k", value, NOW_S * 1000) for number, value in enumerate(values)]
    batch = Batch(Position(1), Position(13), records, {})
    async with clickhouse.connect(clickhouse_settings) as tables:
        await PAGE_VIEWS.insert(tables, PAGE_VIEWS.rows(0, batch).lines, "panels")
        rows = await tables.query(expanded_for_clickhouse(query.text))
        [names] = [re.findall(r'AS "([^"]+)"', query.text)]
    found = [dict(zip(names, row[-len(names) :], strict=True)) for row in rows]
    assert len(found) in (1, 2)  # an hour; or its minutes, or the pages
    if "views" in names:
        assert sum(row["views"] for row in found) == 12
        assert {row["users"] for row in found} == {3}
    for row in found:
        assert row.get("mean", row.get("mean duration", 100)) == 100
        assert row.get("bounce rate", 0) in (0, 0.5)
    if names == ["bounces"]:
        assert [row["bounces"] for row in found] == [0.25]
