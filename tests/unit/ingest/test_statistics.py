"""What the routes that read answer: exact, bounded, and with one shape of error."""

import csv
import io
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import jsonschema
import msgspec
import pytest
from starlette.applications import Starlette

from ingest.http.openapi import build, routes
from ingest.http.problems import HANDLERS
from ingest.statistics import operations
from shared.counting.reader import Point, Ranking, Reading, Total
from shared.errors import PostgresUnavailable
from shared.settings import Settings

NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
HOUR = "tsFrom=2026-03-01T12:00:00Z&tsTo=2026-03-01T13:00:00Z"
DAY = "tsFrom=2026-03-01T00:00:00Z&tsTo=2026-03-02T00:00:00Z"
CSV = {"accept": "text/csv"}


class MemoryReader:
    """The reader's interface over minutes in memory: {(epoch second, banner): clicks}."""

    def __init__(self) -> None:
        self.clicks: dict[tuple[int, int], int] = {}
        self.open: set[int] = set()
        self.as_of = float(NOON + 86_400)
        self.is_postgres_away = False
        self.calls = 0

    async def read(
        self,
        banners: Sequence[int],
        start: int,
        end: int,
        bounds: Sequence[int] | None = None,
        *,
        partial: bool = False,
        kind: int = 0,
    ) -> Reading:
        assert kind == 0
        missing = self._missing(partial)
        totals: dict[tuple[int, int], int] = {}
        for (second, banner), count in self.clicks.items():
            if start <= second < end and banner in banners:
                bucket = second if bounds is None else bounds[bisect_right(bounds, second) - 1]
                totals[banner, bucket] = totals.get((banner, bucket), 0) + count
        points: dict[int, list[Point]] = {banner: [] for banner in banners}
        for (banner, bucket), count in sorted(totals.items()):
            points[banner].append((bucket, count, bucket not in self.open))
        return Reading(self.as_of, points, missing)

    async def top(
        self,
        start: int,
        end: int,
        limit: int,
        *,
        behind: tuple[int, int] | None = None,
        partial: bool = False,
        kinds: Sequence[int] = (0,),
    ) -> Ranking:
        assert kinds == [0]
        missing = self._missing(partial)
        totals: dict[int, int] = {}
        for (second, banner), count in self.clicks.items():
            if start <= second < end:
                totals[banner] = totals.get(banner, 0) + count
        best = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
        best = [(banner, count) for banner, count in best if not behind or (-count, banner) > (-behind[0], behind[1])]
        return Ranking(self.as_of, best[:limit], missing)

    async def total(self, start: int, end: int, bounds: Sequence[int] | None, *, partial: bool = False) -> Total:
        banners = sorted({banner for second, banner in self.clicks if start <= second < end})
        reading = await self.read(banners, start, end, bounds, partial=partial)
        sums: dict[int, tuple[int, bool]] = {}
        for points in reading.points.values():
            for begin, count, is_final in points:
                sums[begin] = (sums.get(begin, (0, True))[0] + count, is_final)
        return Total(self.as_of, [(at, *sums[at]) for at in sorted(sums)], len(banners), reading.missing)

    def _missing(self, partial: bool) -> tuple[str, ...]:
        self.calls += 1
        if self.is_postgres_away and not partial:
            raise PostgresUnavailable
        return ("postgres",) if self.is_postgres_away else ()


@pytest.fixture
def reader() -> MemoryReader:
    reader = MemoryReader()
    reader.clicks = {(NOON, 42): 3, (NOON + 120, 42): 1, (NOON + 3600, 42): 5, (NOON, 43): 2, (NOON + 60, 2**53 - 1): 9}
    return reader


@pytest.fixture
async def client(reader: MemoryReader) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=routes(operations.OPERATIONS), exception_handlers=HANDLERS)  # type: ignore[arg-type]

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"settings": Settings(), "reader": reader}}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://here") as client:
        yield client


@asynccontextmanager
async def nothing_read(reader: MemoryReader) -> AsyncIterator[None]:
    """No store is asked within."""
    before = reader.calls
    yield
    assert reader.calls == before


def refusal(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem that an answer holds, whose shape is that of all."""
    problem: dict[str, Any] = answer.json()
    assert answer.status_code == status, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    assert problem["status"] == status
    return problem


# -- one banner --------------------------------------------------------------------------------------------------------


async def test_clicks_of_one_banner_by_minute(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.open = {NOON + 120}
    answer = await client.get(f"/stats/42?{HOUR}")
    assert answer.json() == {
        "bannerId": 42,
        "tsFrom": "2026-03-01T12:00:00Z",
        "tsTo": "2026-03-01T13:00:00Z",
        "step": "minute",
        "total": 4,
        "asOf": "2026-03-02T12:00:00Z",
        "stats": [
            {"timestamp": "2026-03-01T12:00:00Z", "count": 3, "final": True},
            {"timestamp": "2026-03-01T12:02:00Z", "count": 1, "final": False},
        ],
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "accept"


async def test_an_unknown_banner_is_an_empty_answer(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(f"/stats/7?{HOUR}")).json()
    assert (answer["total"], answer["stats"]) == (0, [])


async def test_dates_are_days_of_the_zone(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.clicks = {(NOON - 13 * 3600, 42): 1, (NOON - 13 * 3600 - 60, 42): 2, (NOON + 11 * 3600, 42): 4}
    answer = await client.get("/stats/42?tsFrom=2026-03-01&tsTo=2026-03-01&tz=Europe/Berlin&step=day")
    assert answer.json()["stats"] == [{"timestamp": "2026-02-28T23:00:00Z", "count": 1, "final": True}]
    assert (answer.json()["tsFrom"], answer.json()["tsTo"]) == ("2026-02-28T23:00:00Z", "2026-03-01T23:00:00Z")
    top = (await client.get("/stats/top?tsFrom=2026-03-01&tsTo=2026-03-01&tz=Europe/Berlin")).json()
    assert (top["banners"], top["tz"]) == ([{"bannerId": 42, "count": 1}], "Europe/Berlin")
    body = await client.request(
        "GET", "/stats/42?tz=Europe/Berlin", content=b'{"tsFrom":"2026-03-01","tsTo":"2026-03-01"}'
    )
    assert body.json()["total"] == 1
    fault = await client.request("GET", "/stats/42", content=b'{"tsFrom":"2026-02-30","tsTo":"2026-03-01"}')
    assert refusal(fault, 400)["errors"][0]["pointer"] == "/tsFrom"


async def test_the_largest_banner_is_exact(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(f"/stats/9007199254740991?{HOUR}")).json()
    assert (answer["bannerId"], answer["total"]) == (2**53 - 1, 9)


async def test_the_answer_names_the_whole_minutes_that_it_counts(client: httpx2.AsyncClient) -> None:
    answer = (await client.get("/stats/42?tsFrom=2026-03-01T12:00:59.9Z&tsTo=2026-03-01T12:02:00.1Z")).json()
    assert (answer["tsFrom"], answer["tsTo"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:03:00Z")
    assert answer["total"] == 4


async def test_hours_and_days_begin_in_the_zone_and_are_named_in_utc(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(f"/stats/42?{DAY}&step=day&tz=Asia/Kolkata")).json()
    assert (answer["step"], answer["tz"], answer["total"]) == ("day", "Asia/Kolkata", 9)
    assert answer["stats"] == [{"timestamp": "2026-02-28T18:30:00Z", "count": 9, "final": True}]
    hours = (await client.get(f"/stats/42?{DAY}&step=hour")).json()["stats"]
    assert [(hour["timestamp"], hour["count"]) for hour in hours] == [
        ("2026-03-01T12:00:00Z", 4),
        ("2026-03-01T13:00:00Z", 5),
    ]
    assert "tz" not in (await client.get(f"/stats/42?{DAY}")).json()


async def test_empty_buckets_are_filled_in_and_final_when_their_grace_is_over(
    client: httpx2.AsyncClient, reader: MemoryReader
) -> None:
    reader.as_of = NOON + 180 + Settings().grace_s
    reader.open = {NOON + 120}
    stats = (await client.get(f"/stats/42?{HOUR}&fill=true")).json()["stats"]
    assert len(stats) == 60
    assert [(one["count"], one["final"]) for one in stats[:5]] == [
        (3, True),
        (0, True),
        (1, False),
        (0, False),
        (0, False),
    ]


#: Every route that takes a range of clicks.
RANGED = ["/stats/42?step=hour", "/stats?bannerIds=42,43&step=hour", "/stats/top?limit=5"]


@pytest.mark.parametrize("path", RANGED)
async def test_the_range_may_stand_in_a_body(client: httpx2.AsyncClient, path: str) -> None:
    body = {"tsFrom": "2026-03-01T12:00:00Z", "tsTo": "2026-03-01T13:00:00Z"}
    by_body = await client.request("GET", path, json=body)
    by_query = await client.get(f"{path}&{HOUR}")
    assert by_body.json() == by_query.json()
    assert by_body.json()["tsFrom"] == body["tsFrom"]


@pytest.mark.parametrize("path", RANGED)
async def test_a_range_in_query_and_body_is_refused(
    client: httpx2.AsyncClient, reader: MemoryReader, path: str
) -> None:
    async with nothing_read(reader):
        refusal(await client.request("GET", f"{path}&{HOUR}", json={"tsFrom": "2026-03-01T12:00:00Z"}), 400)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 422),
        (b'{"tsFrom":' + b"[" * 100_000, 422),
        (b'{"x":' + b"[" * 100_000, 422),
        (b"NaN", 400),
        (b"9" * 5000, 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"tsFrom": 1}', 422),
        (b'{"tsFrom": "2026-03-01T12:00:00Z", "more": 1}', 422),
        (b'{"tsFrom": "\xff"}', 400),
        (b'{"tsFrom": "2026-03-01T12:00:00"}', 400),
        (b'{"tsFrom": "2026-03-01T12:00:00Z", "tsTo": "2026-03-01T12:00:00Z"}', 422),
    ],
)
async def test_i2_no_body_breaks_a_read(
    client: httpx2.AsyncClient, reader: MemoryReader, content: bytes, status: int
) -> None:
    async with nothing_read(reader):
        answer = await client.request("GET", "/stats/42", content=content)
        assert answer.status_code in (400, 422)
        refusal(answer, status)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [({"tsTo": "yesterday"}, 400, "/tsTo"), ({"tsFrom": 1}, 422, "/tsFrom"), ([], 422, "")],
)
async def test_faults_in_a_body_are_pointed_at(
    client: httpx2.AsyncClient, body: object, status: int, pointer: str
) -> None:
    problem = refusal(await client.request("GET", "/stats/42", json=body), status)
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "banner",
    [
        "0",
        "01",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "abc",
        "%201",
        "1%20",
        "1_0",
        "%EF%BC%91",
        "%D9%A1",
        "9007199254740992",
        "9" * 400,
        "%00",
    ],
)
async def test_i3_ids_are_canonical_decimals(client: httpx2.AsyncClient, reader: MemoryReader, banner: str) -> None:
    async with nothing_read(reader):
        problem = refusal(await client.get(f"/stats/{banner}?{HOUR}"), 400)
        assert problem["code"] == "malformed"
        refusal(await client.get(f"/stats?bannerIds=1,{banner}&{HOUR}"), 400)


@pytest.mark.parametrize("path", ["/stats/42?", "/stats?bannerIds=42&", "/stats/top?"])
@pytest.mark.parametrize(
    ("parameters", "status", "named"),
    [
        ("tsFrom=2026-03-01T12:00:00", 400, "tsFrom"),
        ("tsFrom=", 400, "tsFrom"),
        ("tsFrom=2026-03-01T12:00:00Z&tsFrom=2026-03-01T12:00:00Z", 400, "tsFrom"),
        ("tsfrom=2026-03-01T12:00:00Z", 400, "tsFrom, tsTo"),
        ("tsFrom=2026-03-01T13:00:00Z&tsTo=2026-03-01T12:00:00Z", 422, "tsTo"),
        ("tsFrom=1970-01-01T00:00:00Z&tsTo=2026-03-01T12:00:00Z", 422, "days"),
        ("partial=yes", 422, "true"),
        ("partial", 422, "true"),
        ("a" * 5000, 400, "tsFrom"),
        ("%0d%0aset-cookie:x", 400, "tsFrom"),
    ],
)
async def test_i6_bad_parameters_are_refused_before_anything_is_read(
    client: httpx2.AsyncClient, reader: MemoryReader, path: str, parameters: str, status: int, named: str
) -> None:
    async with nothing_read(reader):
        problem = refusal(await client.get(path + parameters), status)
    assert named in problem["detail"]
    assert len(problem["detail"]) < 300


@pytest.mark.parametrize("parameters", ["step=week", "fill=1", "tz=Mars/Olympus", "tz=../../etc/passwd"])
async def test_words_that_are_not_known_are_invalid(client: httpx2.AsyncClient, parameters: str) -> None:
    refusal(await client.get(f"/stats/42?{parameters}"), 422)


# -- several banners ---------------------------------------------------------------------------------------------------


async def test_several_banners_stand_in_the_order_asked(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(f"/stats?bannerIds=43,7,42&{DAY}&step=day")).json()
    assert [(one["bannerId"], one["total"], len(one["stats"])) for one in answer["banners"]] == [
        (43, 2, 1),
        (7, 0, 0),
        (42, 9, 1),
    ]
    assert (answer["total"], answer["step"], answer["asOf"]) == (11, "day", "2026-03-02T12:00:00Z")


@pytest.mark.parametrize(
    ("ids", "status"),
    [
        ("", 400),
        (",", 400),
        ("1,", 400),
        ("1,,2", 400),
        ("1, 2", 400),
        ("1;2", 400),
        ("1,1", 422),
        (",".join(map(str, range(1, 102))), 422),
        ("," * 8000, 422),
    ],
)
async def test_l6_lists_of_banners_are_bounded(
    client: httpx2.AsyncClient, reader: MemoryReader, ids: str, status: int
) -> None:
    async with nothing_read(reader):
        refusal(await client.get(f"/stats?bannerIds={ids}&{HOUR}"), status)


async def test_l6_a_hundred_banners_are_allowed(client: httpx2.AsyncClient) -> None:
    ids = ",".join(map(str, range(1, 101)))
    answer = await client.get(f"/stats?bannerIds={ids}&{HOUR}")
    assert len(answer.json()["banners"]) == 100


async def test_l6_banners_times_buckets_are_bounded(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    ids = ",".join(map(str, range(1, 101)))
    month = "tsFrom=2026-03-01T00:00:00Z&tsTo=2026-04-01T00:00:00Z"
    async with nothing_read(reader):
        problem = refusal(await client.get(f"/stats?bannerIds={ids}&{month}"), 422)
    assert "1,500 buckets" in problem["detail"]


async def test_banners_have_to_be_named(client: httpx2.AsyncClient) -> None:
    assert "bannerIds=1,2,3" in refusal(await client.get(f"/stats?{HOUR}"), 400)["detail"]


# -- the most clicked --------------------------------------------------------------------------------------------------


async def test_the_most_clicked_banners_come_first(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(f"/stats/top?{DAY}&limit=2")).json()
    assert answer.pop("next")
    assert answer == {
        "tsFrom": "2026-03-01T00:00:00Z",
        "tsTo": "2026-03-02T00:00:00Z",
        "asOf": "2026-03-02T12:00:00Z",
        "banners": [{"bannerId": 42, "count": 9}, {"bannerId": 2**53 - 1, "count": 9}],
    }


@pytest.mark.parametrize(
    ("limit", "status"),
    [("0", 422), ("1001", 422), ("-1", 400), ("1.0", 400), ("ten", 400), ("1_0", 400), ("１", 400), ("9" * 5000, 400)],
)
async def test_l6_rankings_are_bounded(
    client: httpx2.AsyncClient, reader: MemoryReader, limit: str, status: int
) -> None:
    async with nothing_read(reader):
        refusal(await client.get(f"/stats/top?{DAY}&limit={limit}"), status)


# -- stores that are away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/stats/42", "/stats?bannerIds=42", "/stats/top"])
async def test_a_store_that_is_away_is_503_or_what_is_known(
    client: httpx2.AsyncClient, reader: MemoryReader, path: str
) -> None:
    reader.is_postgres_away = True
    path += "&" if "?" in path else "?"
    refused = await client.get(f"{path}{HOUR}")
    assert refusal(refused, 503)["code"] == "postgres_unavailable"
    assert refused.headers["retry-after"] == "1"
    answer = (await client.get(f"{path}{HOUR}&partial=true")).json()
    assert (answer["partial"], answer["missing"]) == (True, ["postgres"])
    table = await client.get(f"{path}{HOUR}&partial=true", headers=CSV)
    assert table.headers["tallybook-missing"] == "postgres"


async def test_nothing_is_final_while_a_store_is_away(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.is_postgres_away = True
    stats = (await client.get(f"/stats/7?{HOUR}&fill=true&partial=true")).json()["stats"]
    assert not any(one["final"] for one in stats)


async def test_a_whole_answer_has_no_mark_of_a_partial_one(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"/stats/42?{HOUR}&partial=true")
    assert not {"partial", "missing"} & answer.json().keys()


# -- forms of an answer ------------------------------------------------------------------------------------------------


async def test_o1_one_banner_as_a_table(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"/stats/42?{HOUR}", headers=CSV)
    assert answer.text == (
        "bannerId,timestamp,count,final\r\n42,2026-03-01T12:00:00Z,3,true\r\n42,2026-03-01T12:02:00Z,1,true\r\n"
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="tallybook-banner-42-minute-20260301t120000z-20260301t130000z.csv"'
    )
    assert answer.headers["tallybook-as-of"] == "2026-03-02T12:00:00Z"


async def test_several_banners_as_a_table_hold_what_json_holds(client: httpx2.AsyncClient) -> None:
    url = f"/stats?bannerIds=43,7,42&{DAY}&step=hour&fill=true"
    whole = (await client.get(url)).json()
    rows = list(csv.DictReader(io.StringIO((await client.get(url, headers=CSV)).text, newline="")))
    assert [(int(row["bannerId"]), row["timestamp"], int(row["count"]), row["final"] == "true") for row in rows] == [
        (one["bannerId"], bucket["timestamp"], bucket["count"], bucket["final"])
        for one in whole["banners"]
        for bucket in one["stats"]
    ]
    assert len(rows) == 72


async def test_a_ranking_as_a_table(client: httpx2.AsyncClient) -> None:
    answer = await client.get(f"/stats/top?{DAY}&limit=1", headers=CSV)
    assert answer.text == "bannerId,count\r\n42,9\r\n"


async def test_errors_are_problems_for_those_who_ask_for_tables_too(client: httpx2.AsyncClient) -> None:
    refusal(await client.get("/stats/42?step=week", headers=CSV), 422)


@pytest.mark.parametrize("path", ["/stats/42?", "/stats?bannerIds=42,43&", "/stats/top?"])
async def test_head_answers_as_get_does(client: httpx2.AsyncClient, path: str) -> None:
    head, get = await client.head(path + HOUR), await client.get(path + HOUR)
    assert head.status_code == 200
    assert head.headers == get.headers


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (f"/stats/42?{DAY}&step=hour&tz=Europe/Berlin&fill=true", "/stats/{bannerId}"),
        (f"/stats?bannerIds=42,7&{HOUR}", "/stats"),
        (f"/stats/top?{DAY}", "/stats/top"),
        ("/stats/42?partial=true", "/stats/{bannerId}"),
    ],
)
async def test_answers_fit_the_published_schemas(client: httpx2.AsyncClient, path: str, template: str) -> None:
    document = msgspec.json.decode(msgspec.json.encode(build(operations.OPERATIONS, Settings())))
    content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate((await client.get(path)).json())


# -- rankings, compared and page by page -------------------------------------------------------------------------------


async def test_a_ranking_is_compared_with_another_range(client: httpx2.AsyncClient) -> None:
    before = "againstFrom=2026-03-01T13:00:00Z&againstTo=2026-03-01T14:00:00Z"
    answer = (await client.get(f"/stats/top?{HOUR}&{before}")).json()
    found = [(one["bannerId"], one["count"], one["before"]) for one in answer["banners"]]
    assert found == [(2**53 - 1, 9, 0), (42, 4, 5), (43, 2, 0)]
    file = await client.get(f"/stats/top?{HOUR}&{before}", headers=CSV)
    assert file.text.splitlines()[:2] == ["bannerId,count,before", f"{2**53 - 1},9,0"]


async def test_a_ranking_goes_on_behind_its_last_place(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.clicks = {(NOON, banner): 1 + banner % 3 for banner in range(1, 30)}
    whole = (await client.get(f"/stats/top?{HOUR}&limit=1000")).json()
    assert (len(whole["banners"]), "next" in whole) == (29, False)
    for limit in (1, 4, 29):
        places, more = list[Any](), ""
        while True:
            page = (await client.get(f"/stats/top?{HOUR}&limit={limit}{more}")).json()
            places += page["banners"]
            if "next" not in page:
                break
            more = f"&cursor={page['next']}"
        assert places == whole["banners"]
    file = await client.get(f"/stats/top?{HOUR}&limit=20", headers=CSV)
    following = file.headers["link"].removeprefix("<?").removesuffix('>; rel="next"')
    rest = await client.get(f"/stats/top?{following}", headers=CSV)
    assert (len(rest.text.splitlines()), "link" in rest.headers) == (1 + 9, False)


@pytest.mark.parametrize(
    ("more", "headers", "status", "parameter"),
    [
        ("&limit=1001", {}, 422, "limit"),
        ("&limit=10001", CSV, 422, "limit"),
        ("&cursor=x", {}, 400, "cursor"),
        ("&againstFrom=2026-03-01", {}, 400, "againstTo"),
        ("&againstFrom=2026-03-02&againstTo=2026-03-01", {}, 422, "againstTo"),
        ("&againstFrom=2024-03-02&againstTo=2026-03-01", {}, 422, "againstTo"),
        ("&againstFrom=x&againstTo=2026-03-01", {}, 400, "againstFrom"),
        ("&metric=ctr&againstFrom=2026-03-01&againstTo=2026-03-01", {}, 422, "againstFrom"),
    ],
)
async def test_l6_a_ranking_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, reader: MemoryReader, more: str, headers: dict[str, str], status: int, parameter: str
) -> None:
    async with nothing_read(reader):
        answer = await client.get(f"/stats/top?{HOUR}{more}", headers=headers)
    assert refusal(answer, status)["errors"][0]["parameter"] == parameter


async def test_ten_thousand_places_are_a_file(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.clicks = {(NOON, banner): banner for banner in range(1, 10_002)}
    file = await client.get(f"/stats/top?{HOUR}&limit=10000", headers=CSV)
    lines = file.text.splitlines()
    assert (len(lines), lines[1], lines[-1]) == (10_001, "10001,10001", "2,2")


# -- all banners together ----------------------------------------------------------------------------------------------


async def test_clicks_of_all_banners_together(client: httpx2.AsyncClient, reader: MemoryReader) -> None:
    reader.open = {NOON + 120}
    answer = (await client.get(f"/stats/total?{HOUR}")).json()
    assert (answer["total"], answer["banners"], answer["step"]) == (15, 3, "minute")
    assert [(one["timestamp"][11:16], one["count"], one["final"]) for one in answer["stats"]] == [
        ("12:00", 5, True),
        ("12:01", 9, True),
        ("12:02", 1, False),
    ]
    days = (await client.get(f"/stats/total?{DAY}&step=day&fill=true&tz=Europe/Berlin")).json()
    assert (len(days["stats"]), days["tz"], days["total"]) == (2, "Europe/Berlin", 20)
    file = await client.get(f"/stats/total?{DAY}&step=hour", headers=CSV)
    assert file.text.splitlines()[:2] == ["timestamp,count,final", "2026-03-01T12:00:00Z,15,true"]
    assert file.headers["tallybook-as-of"] == "2026-03-02T12:00:00Z"
    reader.is_postgres_away = True
    refusal(await client.get(f"/stats/total?{HOUR}"), 503)
    assert (await client.get(f"/stats/total?{HOUR}&partial=true")).json()["missing"] == ["postgres"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("tsFrom=2026-03-01&tsTo=2026-03-03", "tsTo"),
        ("tsFrom=2026-03-01&tsTo=2026-04-01&step=hour", "tsTo"),
        ("tsFrom=2025-03-01&tsTo=2026-03-02&step=day", "tsTo"),
        ("step=week", "step"),
    ],
)
async def test_l6_ranges_of_all_banners_are_short(
    client: httpx2.AsyncClient, reader: MemoryReader, query: str, parameter: str
) -> None:
    async with nothing_read(reader):
        answer = await client.get(f"/stats/total?{query}")
    assert refusal(answer, 422)["errors"][0]["parameter"] == parameter
