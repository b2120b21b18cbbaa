"""What the routes say of clicks, impressions and rates, over the real reader and real stores."""

import csv
import io
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as Budget
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.applications import Starlette

from ingest.http.openapi import build, routes
from ingest.http.problems import HANDLERS
from ingest.statistics import operations
from shared.counting import cells, rate
from shared.counting.cells import CLICK, MACHINE, SERVED, VIEWABLE
from shared.settings import Settings
from tests.harness.subjects.counting import LONG_AGO, SECOND, Stack, counting_stack

WHAT = {"clicks": CLICK, "served": SERVED, "viewable": VIEWABLE}
KINDS = [*WHAT.values(), *(kind + MACHINE for kind in WHAT.values())]
CSV = {"accept": "text/csv"}


def moment(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


RANGE = f"tsFrom={moment(SECOND)}&tsTo={moment(SECOND + 300)}"


@pytest.fixture
async def stack(settings: Callable[..., Settings], redis_client: "Redis") -> AsyncIterator[Stack]:
    async with counting_stack(settings()) as one:
        yield one


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=routes(operations.OPERATIONS), exception_handlers=HANDLERS)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"settings": stack.settings, "reader": stack.reader}}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://here") as one:
        yield one


@pytest.fixture
async def counted(stack: Stack) -> Stack:
    """Two banners with something of every kind: the first minute is in Postgres, the second on its way."""
    for minute, n in ((0, 1), (1, 10)):
        for kind, count in ((CLICK, 1), (SERVED, 9), (VIEWABLE, 6), (CLICK + MACHINE, 2), (SERVED + MACHINE, 4)):
            await stack.count(42, count * n, cells.cell(kind, LONG_AGO + minute))
        await stack.count(43, 5 * n, LONG_AGO + minute)
        if not minute:
            await stack.minutes.flush()
    return stack


async def asked(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# -- one banner and several --------------------------------------------------------------------------------------------


async def test_metrics_of_one_banner(client: httpx2.AsyncClient, counted: Stack) -> None:
    answer = await asked(client, f"/stats/42?{RANGE}&metrics=clicks,served,viewable,ctr")
    low, high = rate.interval(11, 66)
    assert answer == {
        "tsFrom": moment(SECOND),
        "tsTo": moment(SECOND + 300),
        "asOf": answer["asOf"],
        "step": "minute",
        "bannerId": 42,
        "traffic": "human",
        "totals": {
            "clicks": 11,
            "served": 99,
            "viewable": 66,
            "ctr": 0.166667,
            "ctrLow": round(low, 6),
            "ctrHigh": round(high, 6),
        },
        "stats": [
            {"timestamp": moment(SECOND), "clicks": 1, "served": 9, "viewable": 6, "ctr": 0.166667, "final": True},
            {
                "timestamp": moment(SECOND + 60),
                "clicks": 10,
                "served": 90,
                "viewable": 60,
                "ctr": 0.166667,
                "final": False,
            },
        ],
    }


@pytest.mark.parametrize(
    ("parameters", "totals"),
    [
        ("metrics=served", {"served": 99}),
        ("metrics=ctr", {"ctr": 0.166667, "ctrLow": 0.096, "ctrHigh": 0.274}),
        ("metrics=served,clicks&traffic=bots", {"clicks": 22, "served": 44}),
        ("metrics=clicks,served,viewable&traffic=all", {"clicks": 33, "served": 143, "viewable": 66}),
        ("traffic=human", {"clicks": 11}),
        ("traffic=bots", {"clicks": 22}),
        ("metrics=ctr&traffic=bots", {"ctr": None, "ctrLow": None, "ctrHigh": None}),
    ],
)
async def test_only_what_is_asked_for_is_there(
    client: httpx2.AsyncClient, counted: Stack, parameters: str, totals: dict[str, Any]
) -> None:
    answer = await asked(client, f"/stats/42?{RANGE}&{parameters}")
    assert answer["totals"] == pytest.approx(totals, abs=1e-3)


async def test_a_rate_of_more_clicks_than_impressions_has_no_interval(client: httpx2.AsyncClient, stack: Stack) -> None:
    await stack.count(42, 3)
    await stack.count(42, 2, cells.cell(VIEWABLE, LONG_AGO))
    answer = await asked(client, f"/stats/42?{RANGE}&metrics=ctr")
    assert answer["totals"] == {"ctr": 1.5, "ctrLow": None, "ctrHigh": None}


async def test_metrics_of_several_banners(client: httpx2.AsyncClient, counted: Stack) -> None:
    answer = await asked(client, f"/stats?bannerIds=43,42&{RANGE}&metrics=clicks,ctr&step=hour")
    assert answer["totals"]["clicks"] == 66
    assert (answer["totals"]["ctr"], answer["totals"]["ctrLow"] < 1) == (1.0, True)
    assert [(one["bannerId"], one["totals"]["clicks"], one["totals"]["ctr"]) for one in answer["banners"]] == [
        (43, 55, None),
        (42, 11, 0.166667),
    ]
    assert [[bucket["clicks"] for bucket in one["stats"]] for one in answer["banners"]] == [[55], [11]]
    assert answer["banners"][0]["stats"][0]["final"] is False


async def test_without_metrics_and_traffic_the_answer_is_that_of_clicks_alone(
    client: httpx2.AsyncClient, counted: Stack
) -> None:
    answer = (await client.get(f"/stats/42?{RANGE}")).text
    as_of = msgspec.json.decode(answer)["asOf"]
    assert answer == (
        f'{{"tsFrom":"{moment(SECOND)}","tsTo":"{moment(SECOND + 300)}","asOf":"{as_of}","step":"minute","bannerId":42,'
        f'"total":11,"stats":[{{"timestamp":"{moment(SECOND)}","count":1,"final":true}},'
        f'{{"timestamp":"{moment(SECOND + 60)}","count":10,"final":false}}]}}'
    )


async def test_empty_buckets_are_filled_in(client: httpx2.AsyncClient, counted: Stack) -> None:
    answer = await asked(client, f"/stats/42?{RANGE}&metrics=clicks,viewable,ctr&fill=true")
    assert [(one["clicks"], one["viewable"], one["ctr"], one["final"]) for one in answer["stats"]] == [
        (1, 6, 0.166667, True),
        (10, 60, 0.166667, False),
        (0, 0, None, True),
        (0, 0, None, True),
        (0, 0, None, True),
    ]


async def test_a_bucket_is_final_when_every_kind_of_it_is(client: httpx2.AsyncClient, stack: Stack) -> None:
    await stack.count(42, 3)
    await stack.minutes.flush()
    await stack.count(42, 2, cells.cell(SERVED, LONG_AGO))
    for metrics, is_final in (("clicks", True), ("clicks,served", False)):
        answer = await asked(client, f"/stats/42?{RANGE}&metrics={metrics}")
        assert [one["final"] for one in answer["stats"]] == [is_final]


async def test_a_store_that_is_away_is_503_or_what_is_known(
    client: httpx2.AsyncClient, counted: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr("shared.counting.reader._READ", away)
    for path in (f"/stats/42?{RANGE}&metrics=served", f"/stats/top?{RANGE}&metric=ctr"):
        assert (await client.get(path)).json()["code"] == "redis_unavailable"
        answer = await asked(client, path + "&partial=true")
        assert (answer["partial"], answer["missing"]) == (True, ["redis"])
    answer = await asked(client, f"/stats/42?{RANGE}&metrics=served&partial=true")
    assert (answer["totals"], [one["final"] for one in answer["stats"]]) == ({"served": 9}, [False])


async def test_o1_metrics_as_a_table(client: httpx2.AsyncClient, counted: Stack) -> None:
    answer = await client.get(f"/stats?bannerIds=42,43&{RANGE}&metrics=ctr,clicks,viewable", headers=CSV)
    assert answer.text == (
        "bannerId,timestamp,ctr,clicks,viewable,final\r\n"
        f"42,{moment(SECOND)},0.166667,1,6,true\r\n"
        f"42,{moment(SECOND + 60)},0.166667,10,60,false\r\n"
        f"43,{moment(SECOND)},,5,0,true\r\n"
        f"43,{moment(SECOND + 60)},,50,0,false\r\n"
    )
    assert answer.headers["tallybook-as-of"]
    one = await client.get(f"/stats/43?{RANGE}&traffic=human", headers=CSV)
    assert one.text.splitlines()[0] == "bannerId,timestamp,clicks,final"


@pytest.mark.parametrize(
    "parameters",
    ["metrics=", "metrics=clicks,", "metrics=clicks,clicks", "metrics=Clicks", "metrics=count", "traffic=human,bots"],
)
async def test_words_that_are_not_known_are_invalid(client: httpx2.AsyncClient, stack: Stack, parameters: str) -> None:
    for path in (f"/stats/42?{parameters}", f"/stats?bannerIds=42&{parameters}"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


drawn = st.dictionaries(
    st.tuples(st.sampled_from([42, 43]), st.sampled_from(KINDS), st.integers(0, 4)), st.integers(1, 50), max_size=20
)


@Budget(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(persisted=drawn, open_=drawn)
async def test_classes_of_traffic_add_up_to_all_of_it(
    client: httpx2.AsyncClient,
    stack: Stack,
    persisted: dict[tuple[int, int, int], int],
    open_: dict[tuple[int, int, int], int],
) -> None:
    await stack.minutes.flush()
    await stack.pool.execute("DELETE FROM click_stats; DELETE FROM banner_stats")
    sums: Tally[tuple[int, int]] = Tally()
    for counts in (persisted, open_):
        await stack.minutes.flush()
        for (banner, kind, minute), n in counts.items():
            sums[banner, kind] += n
            await stack.count(banner, n, cells.cell(kind, LONG_AGO + minute))
    found = {
        traffic: await asked(
            client, f"/stats?bannerIds=42,43&{RANGE}&metrics=clicks,served,viewable&traffic={traffic}&fill=true"
        )
        for traffic in ("human", "bots", "all")
    }
    for place, banner in enumerate((42, 43)):
        of = {traffic: answer["banners"][place] for traffic, answer in found.items()}
        for what, kind in WHAT.items():
            assert of["human"]["totals"][what] == sums[banner, kind]
            assert of["bots"]["totals"][what] == sums[banner, kind + MACHINE]
            for human, bots, both in zip(*(of[name]["stats"] for name in ("human", "bots", "all")), strict=True):
                assert human[what] + bots[what] == both[what]
            assert sum(one[what] for one in of["all"]["stats"]) == of["all"]["totals"][what]


# -- rankings ----------------------------------------------------------------------------------------------------------


async def test_the_ranking_by_rate_names_the_surest_first(client: httpx2.AsyncClient, stack: Stack) -> None:
    rows = {1: (35, 1000), 2: (5, 100), 3: (40, 1000), 4: (3, 99), 5: (200, 150), 6: (0, 500), 7: (9, 0)}
    for banner, (clicks, viewable) in rows.items():
        for kind, n in ((CLICK, clicks), (VIEWABLE, viewable)):
            if n:
                await stack.count(banner, n, cells.cell(kind, LONG_AGO))
        if banner == 3:
            await stack.minutes.flush()
    answer = await asked(client, f"/stats/top?{RANGE}&metric=ctr")
    assert [one["bannerId"] for one in answer["banners"]] == [3, 1, 2, 6]
    assert answer["leftOut"] == 3
    low, high = rate.interval(40, 1000)
    assert answer["banners"][0] == {
        "bannerId": 3,
        "clicks": 40,
        "viewable": 1000,
        "ctr": 0.04,
        "ctrLow": round(low, 6),
        "ctrHigh": round(high, 6),
    }
    assert [one["ctrLow"] for one in answer["banners"]] == sorted(
        (one["ctrLow"] for one in answer["banners"]), reverse=True
    )
    few = await asked(client, f"/stats/top?{RANGE}&metric=ctr&min=1000&limit=1")
    assert ([one["bannerId"] for one in few["banners"]], few["leftOut"]) == ([3], 5)
    table = await client.get(f"/stats/top?{RANGE}&metric=ctr&limit=1", headers=CSV)
    assert table.text == (f"bannerId,clicks,viewable,ctr,ctrLow,ctrHigh\r\n3,40,1000,0.040000,{low:.6f},{high:.6f}\r\n")
    assert table.headers["tallybook-left-out"] == "3"


async def test_rankings_of_one_metric(client: httpx2.AsyncClient, counted: Stack) -> None:
    for parameters, banners in (
        ("", [(43, 55), (42, 11)]),
        ("metric=clicks", [(43, 55), (42, 11)]),
        ("metric=clicks&traffic=all", [(43, 55), (42, 33)]),
        ("metric=served", [(42, 99)]),
        ("metric=served&traffic=bots", [(42, 44)]),
        ("metric=viewable", [(42, 66)]),
        ("metric=viewable&traffic=bots", []),
    ):
        answer = await asked(client, f"/stats/top?{RANGE}&{parameters}")
        assert [(one["bannerId"], one["count"]) for one in answer["banners"]] == banners, parameters


@pytest.mark.parametrize(
    "parameters",
    ["metric=", "metric=ctr,clicks", "metric=CTR", "min=5", "metric=ctr&min=0", "metric=clicks&min=1", "traffic=none"],
)
async def test_l6_rankings_refuse_what_they_do_not_know(
    client: httpx2.AsyncClient, stack: Stack, parameters: str
) -> None:
    answer = await client.get(f"/stats/top?{RANGE}&{parameters}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (f"/stats/42?{RANGE}&metrics=clicks,served,viewable,ctr&traffic=all&fill=true", "/stats/{bannerId}"),
        (f"/stats/7?{RANGE}&metrics=ctr", "/stats/{bannerId}"),
        (f"/stats?bannerIds=42,7&{RANGE}&traffic=bots", "/stats"),
        (f"/stats/top?{RANGE}&metric=ctr&min=1", "/stats/top"),
    ],
)
async def test_answers_fit_the_published_schemas(
    client: httpx2.AsyncClient, counted: Stack, path: str, template: str
) -> None:
    document = msgspec.json.decode(msgspec.json.encode(build(operations.OPERATIONS, Settings())))
    content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(await asked(client, path))


async def test_caches_are_told_that_answers_depend_on_accept(client: httpx2.AsyncClient, counted: Stack) -> None:
    for path in ("/stats/42?", "/stats?bannerIds=42&", "/stats/top?", "/stats/top?metric=ctr&"):
        for more in ("", "&traffic=all"):
            for headers in ({}, CSV):
                answer = await client.get(f"{path}{RANGE}{more}", headers=headers)
                assert (answer.headers["vary"], answer.headers["cache-control"]) == ("accept", "no-store")


async def test_a_table_holds_what_json_holds(client: httpx2.AsyncClient, counted: Stack) -> None:
    path = f"/stats/42?{RANGE}&metrics=clicks,served&traffic=all"
    rows = list(csv.DictReader(io.StringIO((await client.get(path, headers=CSV)).text)))
    assert [(int(row["clicks"]), int(row["served"])) for row in rows] == [
        (one["clicks"], one["served"]) for one in (await asked(client, path))["stats"]
    ]
