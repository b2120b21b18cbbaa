"""Tools of the MCP server bound their answers, say what they leave out, and turn texts of users into plain data."""

import ast
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tallybook import cli
from tallybook_sdk import Unavailable, Unreachable
from tallybook_sdk.calls import Call
from tallybook_sdk.mcp import answering, catalogue, command, server, tools
from tallybook_sdk.mcp.answering import TEXT_MAX, Refused, encoded, result_of
from tallybook_sdk.mcp.text import VALUE_MAX, harmless
from tallybook_sdk.mcp.tools import TOOLS
from tests.harness.process import ROOT

RANGE = {"since": "2026-03-01", "until": "2026-03-07"}


class Service:
    """Answers what a test says, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[str]()

    async def ask(self, call: Call[Any]) -> Any:
        self.asked.append(call.path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(call.path) if callable(answer) else answer


def places(path: str) -> Any:
    """As many as `limit` says, each 400 characters wide."""
    limit = int(path.partition("limit=")[2].partition("&")[0])
    return {"events": [{"event_type": "x" * 200, "more": "y" * 165, "count": n} for n in range(limit)]}


async def refused(name: str, arguments: dict[str, Any], *answers: Any) -> Any:
    with pytest.raises(Refused) as raised:
        await result_of(name, arguments, Service(*answers).ask)
    return raised.value.problem


# -- texts -------------------------------------------------------------------------------------------------------------


def test_what_nobody_sees_is_shown_and_long_texts_are_cut() -> None:
    hostile = {"na\u202eme": ["a\nb", "\U000e0041\U000e007f", "x" * (VALUE_MAX + 5), 7, None, True, 1.5]}
    found, cut = harmless(hostile)
    assert found == {
        "na\\u202eme": [
            "a\\u000ab",
            "\\U000e0041\\U000e007f",
            "x" * VALUE_MAX + "...[5 more characters]",
            7,
            None,
            True,
            1.5,
        ]
    }
    assert cut == 1
    assert harmless("Partner: Łódź 🎉 \u05d0") == ("Partner: Łódź 🎉 \u05d0", 0)


async def test_a_cut_text_makes_an_answer_incomplete() -> None:
    service = Service({"from": "a", "events": [{"event_type": "x" * 1000, "count": 1}]})
    found = await result_of("top", {"subject": "events"}, service.ask)
    assert found["complete"] is False
    assert found["left_out"] == ["texts were cut (1); each says how much"]


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_a_long_list_is_asked_for_again_shorter() -> None:
    """The answer is then that of the route with the lower limit, cursor included."""
    service = Service(places, places, places)
    found = await result_of("top", {"subject": "events", "limit": 200, **RANGE}, service.ask)
    limit = len(found["answer"]["events"])
    assert 40 < limit < 60
    assert found["request"] == f"GET {service.asked[-1]}"
    assert f"limit={limit}" in service.asked[-1]
    assert found["answer"] == places(service.asked[-1])
    assert len(encoded(found)) <= TEXT_MAX
    assert found["complete"] is False
    assert found["left_out"] == [f"events beyond the first {limit}, if there are any: raise `limit`"]


async def test_one_entry_that_is_too_large_is_an_error() -> None:
    wide = {"events": [{"event_context": {f"k{n}": "v" * 250 for n in range(200)}}]}
    problem = await refused("logs_search", RANGE, wide)
    assert (problem["code"], problem["status"]) == ("too_large", 413)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"step": "minute"}, "use step=hour, or ask for about 3"),
        ({"step": "hour"}, "use step=day, or ask for about 3"),
        ({"step": "day"}, "allowed: ask for about 3"),
    ],
)
async def test_too_many_buckets_are_an_error_that_names_what_fits(arguments: dict[str, str], advice: str) -> None:
    buckets = [{"timestamp": "2026-03-01T00:00:00Z", "count": n, "final": True} for n in range(1000)]
    problem = await refused("series", {"subject": "all_banners", **arguments}, {"total": 1, "stats": buckets})
    assert problem["code"] == "too_large"
    assert advice in problem["detail"]


async def test_a_page_has_its_cursor_whole_and_is_no_complete_answer() -> None:
    cursor = "c" * 500
    found = await result_of("logs_search", RANGE, Service({"events": [], "next": cursor}).ask)
    assert found["answer"]["next"] == cursor
    assert found["complete"] is False
    assert found["left_out"] == ["more events follow: go on with `cursor` = `next`"]


async def test_a_partial_answer_says_what_is_missing() -> None:
    answer = {"total": 3, "stats": [], "partial": True, "missing": ["redis"]}
    found = await result_of("series", {"subject": "all_banners", "partial": True}, Service(answer).ask)
    assert found["left_out"] == ["what is in redis, which is away"]


# -- arguments and errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "detail"),
    [
        ("top", {}, "missing required field `subject`"),
        ("top", {"subject": "trackers", "limit": 201}, "<= 200"),
        ("top", {"subject": "events", "sql": "SELECT 1"}, "unknown field `sql`"),
        ("top", {"subject": "events", "metric": "ctr"}, "`metric` has no meaning with subject=events. Allowed: limit,"),
        ("series", {"subject": "banners"}, "`banners` is needed with subject=banners"),
        ("series", {"subject": "banners", "banners": ["1"]}, "Expected `int`"),
        ("series", {"subject": "events", "since": "2026-03-01"}, "Give `since` and `until`, or neither"),
        ("compare", {"subject": "dau", "against_since": "2026-03-01"}, "Give `against_since` and `against_until`"),
        (
            "compare",
            {"subject": "events", "since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"},
            "times give",
        ),
        ("pages", {"site": "shop", "step": "day"}, "`step` has no meaning with `site`"),
        ("list_metrics", {"x": 1}, "unknown field `x`"),
    ],
)
async def test_arguments_that_no_route_takes_are_refused_before_anything_is_asked(
    name: str, arguments: dict[str, Any], detail: str
) -> None:
    problem = await refused(name, arguments)
    assert (problem["code"], problem["status"]) == ("invalid", 422)
    assert detail in problem["detail"]


async def test_nulls_are_arguments_that_were_not_given() -> None:
    service = Service({"users": 1, "days": []})
    await result_of("dau", {"since": None, "until": None, "tz": "Asia/Tokyo", "segment": None}, service.ask)
    assert service.asked[0].startswith("/stats/dau?from=20")


def test_the_range_that_nobody_named_is_seven_days_of_the_zone() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    [asked] = tools.Dau(tz="Asia/Tokyo").queries(late).values()
    assert asked.parameters == [("from", "2026-02-24"), ("to", "2026-03-02"), ("tz", "Asia/Tokyo")]
    [asked] = tools.Dau(tz="No/Where").queries(late).values()
    assert asked.parameters[:2] == [("from", "2026-02-23"), ("to", "2026-03-01")]


async def test_errors_are_those_of_the_service() -> None:
    away = Unavailable(503, "clickhouse_unavailable", "away", request_id="r1", retry_after_s=2.0)
    problem = await refused("dau", {}, away)
    assert problem == {
        **{"code": "clickhouse_unavailable", "status": 503, "detail": "away", "retryable": True},
        **{"requestId": "r1", "retryAfterS": 2.0},
    }
    problem = await refused("dau", {}, Unreachable("GET /stats/dau: refused"))
    assert (problem["code"], problem["retryable"]) == ("unreachable", True)


async def test_data_quality_tells_of_parts_that_do_not_answer() -> None:
    away = Unavailable(503, "redis_unavailable", "away")
    service = Service({"scopes": ["stats:read"]}, {"status": "degraded"}, away)
    found = await result_of("data_quality", {}, service.ask)
    assert found["parts"]["ready"] == {"request": "GET /health/ready", "answer": {"status": "degraded"}}
    assert found["parts"]["freshness"]["problem"]["code"] == "redis_unavailable"
    assert sorted(found["left_out"]) == [
        "/accounting needs the scope admin",
        "/dead-letters needs the scope admin",
        "/freshness did not answer",
    ]


# -- compare -----------------------------------------------------------------------------------------------------------


async def test_a_comparison_has_difference_and_ratio_of_every_total() -> None:
    now = {"total": 6, "banners": [{"bannerId": 1, "total": 6, "stats": []}], "error": 0.5}
    former = {"total": 4, "banners": [{"bannerId": 1, "total": 0, "stats": []}], "error": 0.5}
    service = Service(now, former)
    found = await result_of("compare", {"subject": "banners", "banners": [1], **RANGE}, service.ask)
    assert found["difference"] == {"total": 2, "banner 1: total": 6}
    assert found["ratio"] == {"total": 1.5, "banner 1: total": None}
    assert found["complete"] is True
    common = "/stats?bannerIds=1&tsFrom={}&tsTo={}&step=day"
    assert service.asked == [common.format("2026-03-01", "2026-03-07"), common.format("2026-02-22", "2026-02-28")]


def test_totals_are_numbers_and_nothing_else() -> None:
    answer = {"total": {"views": 3, "bounce_rate": 0.5}, "users": 2, "partial": True, "step": "day", "days": [1]}
    assert answering.totals(answer) == {"total.views": 3, "total.bounce_rate": 0.5, "users": 2}


# -- what is declared --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_says_what_it_takes_and_that_it_reads(name: str) -> None:
    tool = server._tool(name)
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is True
    assert tool.input_schema["type"] == "object"
    assert tool.input_schema["additionalProperties"] is False
    assert all(one.get("description") for one in tool.input_schema["properties"].values())
    assert tool.description


def test_every_route_that_is_asked_is_a_get_of_the_document_with_these_parameters() -> None:
    document = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    routes = [route for of in tools.ROUTES.values() for route in of.values()]
    routes += [tools._BANNERS, tools._CLICKED, *tools._COMPARED.values()]
    for route in routes:
        known = {one["name"] for one in document[route.path]["get"]["parameters"] if "name" in one}
        assert set(route.names.values()) <= known, route.path
    for query in tools.DataQuality().queries(datetime.now(UTC)).values():
        assert "get" in document[query.path]


def test_scopes_are_those_of_the_routes() -> None:
    document = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]

    def needed(path: str) -> str:
        return next((one["key"][0] for one in document[path]["get"].get("security", []) if "key" in one), "")

    for name, of in tools.ROUTES.items():
        assert {needed(route.path) for route in of.values()} == {tools.SCOPES[name]}, name
    found = tools.DataQuality().queries(datetime.now(UTC))
    assert {name: needed(query.path) for name, query in found.items() if needed(query.path)} == tools.PARTS


def test_the_catalogue_names_tools_that_exist() -> None:
    for metric in catalogue.METRICS:
        names = [one.partition(" ")[0] for one in metric["tool"].replace("(", " (").split(", ") if one]
        assert {name for name in names if name in TOOLS}, metric
        assert metric["scope"]
    assert set(catalogue.pages()) == {"tallybook://metrics", "tallybook://guarantees", "tallybook://segments"}


def test_prompts_take_what_they_say() -> None:
    for prompt in catalogue.PROMPTS.values():
        text = catalogue.text_of(prompt, {name: f"<{name}>" for name in prompt.arguments})
        assert all(f"<{name}>" in text for name in prompt.arguments)
    with pytest.raises(KeyError):
        catalogue.text_of(catalogue.PROMPTS["explain_change"], {"metric": "clicks"})


def test_nothing_here_writes() -> None:
    """No call has a body, so all of them are GET."""
    for path in (ROOT / "sdk/python/src/tallybook_sdk/mcp").glob("*.py"):
        called = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [one for one in called for keyword in one.keywords if keyword.arg == "body"], path
    assert msgspec.convert({}, tools.DataQuality).queries(datetime.now(UTC)).keys() >= {"ready"}


# -- the command and the guide -----------------------------------------------------------------------------------------


def test_the_guide_has_a_row_for_each_tool() -> None:
    page = (ROOT / "docs/sdk/mcp.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (?:`([a-z:]+)`|none) \|$", page, re.M)
    assert [name for name, *_ in rows] == list(TOOLS)
    assert {name: scope for name, _, scope in rows} == tools.SCOPES
    for name, of in tools.ROUTES.items():
        asked = next(row[1] for row in rows if row[0] == name)
        assert all(f"`{route.path}`" in asked for route in of.values()), name


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 64, "TALLYBOOK_URL"),
        (["--http", "8090", "--host", "0.0.0.0"], 2, "--allow-host"),
        (["--stdio"], 2, "unrecognized arguments"),
    ],
)
def test_a_command_that_cannot_be_used_says_why(
    arguments: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == code
    assert reason in capsys.readouterr().err
    result = CliRunner().invoke(cli.main, ["mcp", *arguments])
    assert result.exit_code == code
    assert reason in result.stderr


def test_without_the_package_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        command.main([])
    assert "tallybook-sdk[mcp]" in capsys.readouterr().err
