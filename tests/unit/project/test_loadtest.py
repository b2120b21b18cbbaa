"""The arithmetic of load tests and benchmark: what is parsed, divided, judged and compared."""

import json
import socket
import threading
from pathlib import Path

import pytest

from loadtest import bench, hits, report
from loadtest.crowd import thresholds
from loadtest.crowd.shapes import SCENARIOS, stages, users_at
from loadtest.parts import bulk, clicks, collect
from loadtest.tools import wrk
from loadtest.tools.client import AnswerError, Client
from loadtest.tools.ledger import Ledger, read
from loadtest.tools.ratios import middle, paired


class _Once(threading.Thread):
    """Answers one request with these bytes, then closes."""

    def __init__(self, *parts: bytes) -> None:
        super().__init__(daemon=True)
        self._parts = parts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.start()

    def run(self) -> None:
        """Send part by part."""
        connection, _ = self._listener.accept()
        with self._listener, connection:
            connection.recv(1 << 16)
            for part in self._parts:
                connection.sendall(part)


CALM = """\
Running 5s test @ http://127.0.0.1:8080
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.94ms    1.36ms  26.70ms   86.04%
    Req/Sec    17.62k     2.31k   22.70k    70.00%
  Latency Distribution
     50%    1.61ms
     75%    2.31ms
     90%    3.36ms
     99%    7.21ms
  175407 requests in 5.03s, 14.39MB read
Requests/sec:  34898.57
Transfer/sec:      2.86MB
"""

TROUBLED = """\
Running 1m test @ http://127.0.0.1:8080
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   641.12us    1.09s     1.90s    86.04%
    Req/Sec     1.62k     2.31k   22.70k    70.00%
  Latency Distribution
     50%  641.00us
     75%  700.00us
     90%    1.02s
     99%    1.90s
  2000 requests in 1.00m, 14.39MB read
  Socket errors: connect 1, read 20, write 3, timeout 400
  Non-2xx or 3xx responses: 500
Requests/sec:     33.33
Transfer/sec:      2.86MB
"""


def test_a_report_of_wrk_is_read_in_milliseconds() -> None:
    run = wrk.parse(CALM)
    assert (run.requests, run.seconds, run.p50_ms, run.p99_ms) == (175_407, 5.03, 1.61, 7.21)
    assert (run.acknowledged, run.non_2xx, run.socket_errors) == (175_407, 0, 0)
    assert run.per_second == pytest.approx(175_407 / 5.03)


def test_refused_requests_are_no_throughput() -> None:
    run = wrk.parse(TROUBLED)
    assert (run.requests, run.acknowledged, run.non_2xx, run.socket_errors) == (2000, 1500, 500, 424)
    assert (run.seconds, run.p50_ms, run.p99_ms) == (60.0, pytest.approx(0.641), 1900.0)
    assert run.per_second == 25.0


@pytest.mark.parametrize(
    "text", ["", "unable to connect to 127.0.0.1:1 Connection refused", CALM.replace("99%", "98%")]
)
def test_what_wrk_did_not_measure_is_an_error(text: str) -> None:
    with pytest.raises(wrk.WrkError):
        wrk.parse(text)


def _row(number: int, side: str, rps: float, **more: object) -> dict[str, object]:
    return {"round": number, "side": side, "rps": rps, **more}


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() -> None:
    # The machine was twice as fast in the second round: medians of the sides alone would say 1.0.
    rows = [_row(0, "a", 20), _row(0, "b", 10), _row(1, "a", 10), _row(1, "b", 20), _row(2, "a", 60), _row(2, "b", 20)]
    assert paired(rows, "a", "b", "rps") == 2.0
    assert (middle(rows, "a", "rps"), middle(rows, "b", "rps")) == (20, 20)


def test_a_round_without_its_pair_does_not_count() -> None:
    rows = [_row(0, "a", 20), _row(0, "b", 10), _row(1, "a", 1000)]
    assert paired(rows, "a", "b", "rps") == 2.0
    assert paired(rows, "a", "c", "rps") is None
    assert middle(rows, "c", "rps") is None


@pytest.mark.parametrize(
    ("counted", "verdict"),
    [(99, False), (100, True), (107, True), (108, False)],
    ids=["lost", "equal", "open", "twice"],
)
def test_only_unanswered_requests_may_be_counted_without_acknowledgement(counted: int, verdict: bool) -> None:
    assert clicks.is_exact(100, counted, 7) is verdict


def _measured(number: int, side: str, connections: int, rps: float, headers: str = "wrk") -> clicks.Row:
    return {
        "round": number,
        "side": side,
        "headers": headers,
        "connections": connections,
        "rps": rps,
        "p50_ms": 1.0,
        "p99_ms": 1000 / rps,
        "cpu_us": 2e6 / rps,
        "cpu_us_by": {"server": 1e6 / rps, "redis": 1e6 / rps, "postgres": 0.0},
        "acknowledged": 1,
        "counted": 1,
        "exact": True,
    }


def _hit(side: str, rps: float) -> hits.Row:
    return {"round": 0, "side": side, "connections": 64, "rps": rps, "cpu_us": 1e6 / rps, "exact": True}


def _result() -> dict[str, object]:
    speeds = {clicks.LANE: 40.0, clicks.ACK_REDIS: 30.0, clicks.GIN_MEMORY: 50.0, clicks.GIN_REDIS: 20.0}
    speeds[clicks.FIBER] = 80.0
    browsed = {clicks.LANE: 30.0, clicks.GIN_MEMORY: 20.0, clicks.FIBER: 40.0}
    rows = [
        _measured(number, side, connections, rps, headers)
        for number in range(3)
        for connections in clicks.CONNECTIONS
        for headers, sides in (("wrk", speeds), ("browser", browsed))
        for side, rps in sides.items()
    ]
    several = [{"banners": 100, "clicks_per_s": 7e5}, {"banners": bulk.ITEMS, "clicks_per_s": 4e5}]
    return {
        "machine": {"cpu": "some", "cores": 2},
        "clicks": clicks.summary(rows),
        "bulk": bulk.summary([{**row, "exact": True} for row in several]),
        "hits": hits.summary([_hit(name, rps) for name, rps in ((hits.HITS, 50.0), (hits.PEER, 40.0))]),
        "others": {
            **{name: {"vs_granian": 0.8} for name in ("health", "day_read", "upload", "click_p99")},
            "idle_connection_kb": 5.0,
            "rows": [],
        },
        "idle": {"cpu_percent": 1.5, "memory_mb": 400.0},
        "read": {"vs_bare_query": 2.5, "http_ms": 5.0, "query_ms": 2.0, "rows": []},
        "flush": {"rows_per_s": 120_000, "existing_rows_per_s": 90_000, "rows": []},
        "collect": collect.summary(
            [
                {"round": 0, "side": side, "connections": connections, "rps": rps, "exact": True}
                for connections in clicks.CONNECTIONS
                for side, rps in ((collect.ITEMS, 8.0), (collect.BULK, 10.0), (collect.VIEW, 5.0), (collect.HIT, 10.0))
            ]
        ),
        "web": {
            **{f"{name}_vs_bare": 5.0 for name in ("by_source", "totals", "by_page", "by_day")},
            **{f"{name}_ms": 500.0 for name in ("by_source", "totals", "by_page", "by_day")},
            "bare_ms": 100.0,
            "items": 3_000_000,
            "rows": [],
        },
    }


def test_the_result_holds_every_ratio_under_its_published_name() -> None:
    for table in _result()["clicks"].values():  # type: ignore[attr-defined]
        rows, browser = table.pop("rows"), table.pop("browser")
        assert len(rows) == 15
        assert len(browser.pop("rows")) == 9
        assert browser == {
            "vs_gin_memory": 1.5,
            "cpu_vs_gin_memory": 0.667,
            "vs_fiber_memory": 0.75,
            "cpu_vs_fiber_memory": 1.333,
        }
        assert table == {
            "vs_gin_redis": 2.0,
            "vs_gin_memory": 0.8,
            "ack_redis_vs_gin_redis": 1.5,
            "p99_vs_gin_redis": 0.5,
            "cpu_vs_gin_redis": 0.5,
            "cpu_vs_gin_memory": 1.25,
            "vs_fiber_memory": 0.5,
            "cpu_vs_fiber_memory": 2.0,
        }


def test_a_goal_that_was_missed_is_published_as_behind() -> None:
    text = report.tables(_result())
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if " c64 " in line}
    assert lines["throughput against gin + Redis"].endswith("| 2.00 | 3.50 | behind |")
    assert lines["throughput against gin in memory"].endswith("| 0.80 | 1.50 | behind |")
    assert lines["browsers' headers: against gin in memory"].endswith("| 1.50 | 1.30 | ahead |")
    assert lines["hits: throughput against fastify"].endswith("| 1.25 | 1.20 | ahead |")
    assert lines["p99 against gin + Redis (less is better)"].endswith("| 0.50 | 1.00 | ahead |")
    assert lines["three clicks of a page: throughput against three clicks with ids"].endswith("| 0.80 | 0.70 | ahead |")
    assert lines["a view of a page: throughput against a hit with a body"].endswith("| 0.50 | 0.60 | behind |")
    assert "a bare `uniqExact` (500.0 ms, 100.0 ms) | 5.00 | 4.00 | behind" in text
    assert "700,000 | 500,000 | ahead" in text
    assert "2.50 | 2.00 | behind" in text
    assert "without the front | 0.80 | 0.75 | ahead" in text
    assert "idle connection, KB | 5.0 | 4.0 | behind" in text
    assert "% of a core | 1.5 | 2.0 | ahead" in text


def test_an_unfinished_result_can_be_shown() -> None:
    rows = [_measured(0, clicks.LANE, 64, 40.0)]
    text = report.tables({"machine": {}, "clicks": clicks.summary(rows)})
    assert "not measured" in text
    assert "| tallybook | 40 |" in text


def test_figures_replace_only_what_stands_between_the_markers() -> None:
    page = f"before\n{report.BEGIN}\nold figures\n{report.END}\nafter\n"
    once = report.publish(_result(), page)
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "old figures" not in once
    assert report.publish(_result(), once) == once
    with pytest.raises(ValueError, match="begin"):
        report.publish(_result(), "a page without markers")


def test_the_published_page_has_its_markers() -> None:
    page = report.PAGE.read_text()
    assert report.publish(_result(), page) != page


def test_the_published_figures_are_those_of_the_result() -> None:
    if not report.RESULT.exists():
        pytest.skip("no benchmark was published yet")
    page = report.PAGE.read_text()
    assert report.publish(json.loads(report.RESULT.read_text()), page) == page, "run python -m loadtest.report"


def test_a_mismatch_anywhere_fails_the_benchmark() -> None:
    result = _result()
    assert bench.mismatches(result) == []
    result["clicks"]["c256"]["rows"][3]["exact"] = False  # type: ignore[index]
    result["clicks"]["c64"]["browser"]["rows"][0]["exact"] = False  # type: ignore[index]
    result["read"]["rows"].append({"exact": False})  # type: ignore[index]
    assert len(bench.mismatches(result)) == 3


@pytest.mark.parametrize(
    ("p95_ms", "requests", "failed", "broken"),
    [(199.0, 1000, 9, 0), (200.0, 1000, 9, 1), (10.0, 1000, 10, 1), (500.0, 100, 50, 2), (None, 0, 0, 1)],
)
def test_a_load_test_fails_beyond_its_thresholds(p95_ms: float | None, requests: int, failed: int, broken: int) -> None:
    assert len(thresholds.failures(p95_ms, requests, failed)) == broken


def test_a_percentile_of_several_routes_weighs_their_requests() -> None:
    quick, slow = [(1.0, 90), (2.0, 5)], [(300.0, 5)]
    assert thresholds.percentile_ms(quick + slow, 0.95) == 2.0
    assert thresholds.percentile_ms(slow + quick, 0.96) == 300.0
    assert thresholds.percentile_ms([], 0.95) is None


def test_a_ledger_knows_what_was_acknowledged_refused_and_unknown() -> None:
    ledger = Ledger()
    for banner, status in ((1, 204), (1, 200), (2, 429), (3, 503), (4, 500), (5, 0)):
        ledger.sending({banner: 2})
        ledger.answered({banner: 2}, status)
    ledger.sending({6: 1})  # the user was killed before the answer
    assert {banner: clicks for banner, clicks in ledger.acknowledged.items() if clicks} == {1: 4}
    assert {banner: clicks for banner, clicks in ledger.unknown.items() if clicks} == {4: 2, 5: 2, 6: 1}


@pytest.mark.parametrize(("counted", "is_right"), [(3, False), (4, True), (6, True), (7, False)])
def test_every_banner_is_compared_exactly(counted: int, is_right: bool) -> None:
    ledger = Ledger()
    ledger.acknowledged[7], ledger.unknown[7] = 4, 2
    assert (ledger.compare(lambda _: counted) == []) is is_right


def test_ledgers_of_several_processes_are_one(tmp_path: Path) -> None:
    for name, acknowledged in (("a", 3), ("b", 4)):
        ledger = Ledger()
        ledger.acknowledged[1 << 52], ledger.unknown[2] = acknowledged, 1
        ledger.write(tmp_path / f"{name}.json")
    both = read(tmp_path.glob("*.json"))
    assert (both.acknowledged[1 << 52], both.unknown[2]) == (7, 2)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_goes_through_its_stages_and_ends(scenario: str) -> None:
    plan = stages(scenario, seconds=10.0, scale=0.5)
    assert [users_at(plan, stage.until_s - 0.01) for stage in plan] == [(s.users, s.users_per_s) for s in plan]
    assert users_at(plan, 0.0) is not None
    assert users_at(plan, 10.0) is None


@pytest.mark.parametrize("cut", [1, 20, 50, 60])
def test_a_timed_read_ends_with_the_body_however_it_arrives(cut: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 5\r\n\r\n12345"
    peer = _Once(answer[:cut], answer[cut:])
    with Client(peer.url) as client:
        assert client.raw("/") == b"12345"
    peer.join()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123", b""],
    ids=["refused", "cut", "closed"],
)
def test_a_timed_read_of_anything_but_a_whole_success_is_an_error(answer: bytes) -> None:
    peer = _Once(answer)
    with Client(peer.url) as client, pytest.raises(AnswerError):
        client.raw("/")
    peer.join()
