"""Write the result as tables, on the terminal and into `docs/performance.md`: `python -m loadtest.report`.

Figures are never typed by hand: this writes what stands between the two markers of the page.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.tools.ratios import middle
from loadtest.tools.result import RESULT

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench.json: begin -->", "<!-- bench.json: end -->"

#: What is asked of each ratio: (name, what it says, goal per number of connections, whether more is better).
_Goals = Sequence[tuple[str, str, Mapping[str, float], bool]]
_GOALS: _Goals = (
    ("vs_gin_memory", "throughput against gin in memory", {"c64": 1.5, "c256": 1.5}, True),
    ("cpu_vs_gin_memory", "CPU per click against gin in memory (less is better)", {"c64": 0.65, "c256": 0.65}, False),
    ("vs_fiber_memory", "throughput against fiber in memory", {"c64": 1.0, "c256": 1.0}, True),
    ("cpu_vs_fiber_memory", "CPU per click against fiber in memory (less is better)", {}, False),
    ("vs_gin_redis", "throughput against gin + Redis", {"c64": 3.5, "c256": 4.0}, True),
    ("ack_redis_vs_gin_redis", "`ack=redis`: throughput against gin + Redis", {"c64": 1.0, "c256": 1.5}, True),
    ("p99_vs_gin_redis", "p99 against gin + Redis (less is better)", {"c64": 1.0, "c256": 1.0}, False),
    ("cpu_vs_gin_redis", "CPU per click against gin + Redis (less is better)", {}, False),
)
_BROWSER_GOALS: _Goals = (
    ("vs_gin_memory", "browsers' headers: against gin in memory", {"c64": 1.3, "c256": 1.3}, True),
    ("cpu_vs_gin_memory", "browsers' headers: CPU against gin (less is better)", {"c64": 0.8, "c256": 0.8}, False),
    ("vs_fiber_memory", "browsers' headers: against fiber in memory", {"c64": 0.85, "c256": 0.85}, True),
    ("cpu_vs_fiber_memory", "browsers' headers: CPU against fiber (less is better)", {}, False),
)
_HIT_GOALS: _Goals = (
    ("vs_node", "hits: throughput against fastify", {"c64": 1.2, "c256": 1.2}, True),
    ("cpu_vs_node", "hits: CPU per hit against fastify (less is better)", {"c64": 1.0, "c256": 1.0}, False),
)
#: The same for requests beside clicks: (name, what it says, goal, whether more is better).
_OTHER_GOALS = (
    ("health", "health, throughput against Granian without the front", 0.75, True),
    ("day_read", "read of a day, throughput against Granian without the front", 0.95, True),
    ("upload", "upload of 5 MB of events, throughput against Granian without the front", 0.95, True),
    ("click_p99", "p99 of clicks while uploads and reads run, against Granian (less is better)", 1.0, False),
)
_LINK_GOALS: _Goals = (
    ("vs_clicks", "redirect links: throughput against plain clicks", {"c64": 0.7, "c256": 0.7}, True),
)
_COLLECT_GOALS: _Goals = (
    ("vs_bulk", "three clicks of a page: throughput against three clicks with ids", {"c64": 0.7, "c256": 0.7}, True),
    ("view_vs_hit", "a view of a page: throughput against a hit with a body", {"c64": 0.6, "c256": 0.6}, True),
)
#: Statistics of web pages, against a bare count of visitors of the same rows: (name, what it says, goal).
_WEB_GOALS = (
    ("by_source", "visits by source", 4.0),
    ("totals", "totals alone", 4.0),
    ("by_day", "by day", None),
    ("by_page", "by page", None),
)
_SIDE_COLUMNS = ("side", "clicks/s", "p50 ms", "p99 ms", "CPU us per click", "of it server / Redis / Postgres")


def tables(result: Mapping[str, Any]) -> str:
    """Return all that was measured, as Markdown."""
    parts = [_machine(result["machine"], result.get("dates", {}))]
    clicks, ratios = result.get("clicks", {}), list[tuple[str, ...]]()
    ratios += _ratios(_GOALS, clicks)
    ratios += _ratios(_BROWSER_GOALS, {name: table["browser"] for name, table in clicks.items()})
    ratios += _ratios(_HIT_GOALS, result.get("hits", {}))
    ratios += _ratios(_LINK_GOALS, {name: of for name, of in result.get("links", {}).items() if name != "rows"})
    ratios += _ratios(_COLLECT_GOALS, {name: of for name, of in result.get("collect", {}).items() if name != "rows"})
    if ratios:
        parts.append(_table(("median of the paired ratios", "connections", "ratio", "goal", ""), ratios))
    for connections, table in clicks.items():
        parts.append(_sides(connections, table["rows"]))
        if browser := table["browser"]["rows"]:
            parts.append(_sides(f"{connections}, browsers' headers", browser))
    parts.append(_others(result))
    return "\n\n".join(part for part in parts if part)


def publish(result: Mapping[str, Any], page: str) -> str:
    """Return the page with the tables between its markers. Raises ValueError if they are not there."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{tables(result)}\n\n{END}{tail}"


def met(ratio: float | None, goal: float | None, *, is_more_better: bool) -> str:
    """Return how a ratio stands to its goal: ahead, behind, or not measured."""
    if ratio is None or goal is None:
        return "" if ratio is not None else "not measured"
    return "ahead" if (ratio >= goal if is_more_better else ratio <= goal) else "behind"


def _machine(machine: Mapping[str, Any], dates: Mapping[str, str]) -> str:
    text = "Measured on " + ", ".join(f"{name}: {value}" for name, value in machine.items()) + "."
    older = ", ".join(f"{part} on {date}" for part, date in dates.items() if date != machine.get("date"))
    return f"{text} Measured before: {older}." if older else text


def _ratios(goals: _Goals, measured: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, text, of, is_more_better in goals:
        for connections, table in measured.items():
            goal = of.get(connections)
            verdict = met(table[name], goal, is_more_better=is_more_better)
            rows.append((text, connections, _ratio(table[name]), _ratio(goal), verdict))
    return rows


def _sides(connections: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for side in dict.fromkeys(row["side"] for row in rows):
        own = [row["cpu_us_by"] for row in rows if row["side"] == side]
        shares = [sum(row[kind] for row in own) / len(own) for kind in ("server", "redis", "postgres")]
        medians = [middle(rows, side, value) or 0.0 for value in ("rps", "p50_ms", "p99_ms", "cpu_us")]
        lines.append(
            (
                side,
                f"{medians[0]:,.0f}",
                f"{medians[1]:.2f}",
                f"{medians[2]:.2f}",
                f"{medians[3]:.1f}",
                " / ".join(f"{share:.1f}" for share in shares),
            )
        )
    rounds = len({row["round"] for row in rows})
    return f"{connections}, medians of {rounds} rounds:\n\n" + _table(_SIDE_COLUMNS, lines)


def _others(result: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    if others := result.get("others"):
        for name, text, goal, is_more_better in _OTHER_GOALS:
            value = others[name]["vs_granian"]
            rows.append((text, _ratio(value), _ratio(goal), met(value, goal, is_more_better=is_more_better)))
        value = others["idle_connection_kb"]
        rows.append(("memory of an idle connection, KB", f"{value:.1f}", "4.0", met(value, 4.0, is_more_better=False)))
    if idle := result.get("idle"):
        value = idle["cpu_percent"]
        rows.append(("idle stack, % of a core", f"{value:.1f}", "2.0", met(value, 2.0, is_more_better=False)))
        value = idle["memory_mb"]
        rows.append(("idle stack, MB", f"{value:.0f}", "450", met(value, 450, is_more_better=False)))
    if bulk := result.get("bulk"):
        value = bulk["clicks_per_s"]
        rows.append(("bulk clicks/s, 100 banners", f"{value:,.0f}", "500,000", met(value, 5e5, is_more_better=True)))
        rows.append(("bulk clicks/s, all banners different", f"{bulk['clicks_per_s_all_different']:,.0f}", "", ""))
    if read := result.get("read"):
        value = read["vs_bare_query"]
        text = f"GET of a day of minutes ({read['http_ms']} ms) against its bare query ({read['query_ms']} ms)"
        rows.append((text, _ratio(value), "2.00", met(value, 2.0, is_more_better=False)))
    if flush := result.get("flush"):
        value = flush["rows_per_s"]
        rows.append(("flush, new rows/s", f"{value:,.0f}", "100,000", met(value, 1e5, is_more_better=True)))
        rows.append(("flush, rows/s onto existing rows", f"{flush['existing_rows_per_s']:,.0f}", "", ""))
    if web := result.get("web"):
        for name, text, goal in _WEB_GOALS:
            value = web[f"{name}_vs_bare"]
            took = f"{web[f'{name}_ms']:,} ms, {web['bare_ms']:,} ms"
            text = f"web pages, {web['items']:,} rows, {text}, against a bare `uniqExact` ({took})"
            rows.append((text, _ratio(value), _ratio(goal), met(value, goal, is_more_better=False)))
    return _table(("what", "median", "goal", ""), rows) if rows else ""


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)])


def main() -> int:
    """Write the tables into the page."""
    if not RESULT.exists():
        print(f"{RESULT} is not there yet: run `make bench`", file=sys.stderr)
        return 1
    PAGE.write_text(publish(json.loads(RESULT.read_text()), PAGE.read_text()))
    print(f"{PAGE}: written from {RESULT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
