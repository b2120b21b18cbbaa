"""Lists of what is registered, asked of the real service."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from shared.collect.link import LinkRow
from shared.collect.sites import SiteSettings
from tallybook.registries import banners, links, sites
from tests.harness.subjects.tracking import Tracking, tracking

NAMED = [(7, "Spring sale"), (42, "spring 2026"), (420, "Über uns"), (4200, ""), (2**53 - 1, "100%_sale")]


@pytest.fixture
async def connection(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    one = await asyncpg.connect(database)
    yield one
    await one.close()


@pytest.fixture
async def service(redis_client: "Redis", redis_url: str, database: str, tmp_path: Path) -> AsyncIterator[Tracking]:
    async with tracking(tmp_path, redis_url, database) as one:
        yield one


async def paged(service: Tracking, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """All pages, one after the other."""
    found: list[dict[str, Any]] = []
    while True:
        answer = (await service.http.get(path, params=params)).raise_for_status().json()
        found += answer[key]
        if "next" not in answer:
            return found
        params["cursor"] = answer["next"]


async def ids(service: Tracking, **params: Any) -> list[int]:
    return [one["bannerId"] for one in await paged(service, "/banners", "banners", **params)]


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    problem = answer.json()
    return answer.status_code, problem["code"], problem["errors"][0]["parameter"]


async def test_banners_are_listed_with_their_names_and_searched(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert (await service.http.get("/banners")).json() == {"banners": []}
    await banners.add(connection, NAMED)
    first = (await service.http.get("/banners", params={"limit": 1})).json()
    [row] = await banners.listed(connection, limit=1)
    written = f"{row.created_at:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert first["banners"] == [{"bannerId": 7, "name": "Spring sale", "createdAt": written}]
    every = [banner for banner, _ in NAMED]
    for limit in (1, 2, 4, 5, 1000):
        assert await ids(service, limit=limit) == every
    assert await ids(service, q="42") == [42, 420, 4200]
    assert await ids(service, q="SPRING", limit=1) == [7, 42]
    assert await ids(service, q="über UNS") == [420]
    await banners.add(connection, [(5, "a[b](c){2}^$.*+?|\\-]/~#")])
    for number, letter in enumerate("a[b](c){2}^$.*+?|\\-]/~#"):
        assert 5 in await ids(service, q=letter), number
    assert await ids(service, q=".*+?|\\-]/~#") == await ids(service, q="A[B](C){2}^$") == [5]
    await banners.remove(connection, [5])
    assert await ids(service, q="%") == await ids(service, q="_") == [2**53 - 1]
    assert await ids(service, q="' OR true --") == []
    assert await ids(service, ids="420,7,8") == [7, 420]
    assert await ids(service, ids="420,7", q="sale") == [7]


async def test_a_new_banner_shifts_no_page(service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await banners.add(connection, [(number, "") for number in (10, 20, 30)])
    page = (await service.http.get("/banners", params={"limit": 2})).json()
    await banners.add(connection, [(5, ""), (25, "")])
    assert await ids(service, limit=2, cursor=page["next"]) == [25, 30]


async def test_l6_a_thousand_banners_are_a_page_and_more_are_refused(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await banners.add(connection, [(number, f"banner {number}") for number in range(1, 1202)])
    page = (await service.http.get("/banners", params={"limit": 1000})).json()
    assert ([one["bannerId"] for one in page["banners"]], len(page["banners"])) == (list(range(1, 1001)), 1000)
    many = ",".join(map(str, range(1, 1002)))
    assert len(await ids(service, ids=many.rpartition(",")[0], limit=1000)) == 1000
    assert refusal(await service.http.get("/banners", params={"ids": many})) == (422, "invalid", "ids")


REFUSED: list[tuple[dict[str, str], int, str]] = [
    ({"limit": "0"}, 422, "limit"),
    ({"limit": "1001"}, 422, "limit"),
    ({"q": ""}, 422, "q"),
    ({"q": "x" * 201}, 422, "q"),
    ({"q": "a\0"}, 422, "q"),
    ({"ids": ""}, 400, "ids"),
    ({"ids": "1,1"}, 422, "ids"),
    ({"ids": "1,x"}, 400, "ids"),
    ({"cursor": "x"}, 400, "cursor"),
    ({"name": "x"}, 400, "name"),
]


async def test_what_cannot_be_listed_is_refused(service: Tracking) -> None:
    for params, status, parameter in REFUSED:
        answer = await service.http.get("/banners", params=params)
        assert refusal(answer) == (status, {400: "malformed", 422: "invalid"}[status], parameter), params


async def test_a_cursor_of_another_search_is_refused(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await banners.add(connection, NAMED)
    page = (await service.http.get("/banners", params={"limit": 1, "q": "4"})).json()
    answer = await service.http.get("/banners", params={"limit": 1, "q": "5", "cursor": page["next"]})
    assert refusal(answer) == (400, "malformed", "cursor")


async def test_links_are_listed_with_their_destinations_and_searched(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    end = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
    added = [
        LinkRow("spring", 42, "https://shop.example/sale"),
        LinkRow("Autumn", 42, "https://shop.example/autumn?a=1", expires_at=end, max_clicks=7),
        LinkRow("b-2", 7, "https://other.example/", active=False),
    ]
    assert (await service.http.get("/links")).json() == {"links": []}
    for row in added:
        assert await links.add(connection, row, ())
    found = await paged(service, "/links", "links", limit=1)
    assert [one["slug"] for one in found] == ["Autumn", "b-2", "spring"]
    assert all(one.pop("createdAt") for one in found)
    assert found == [
        {
            "slug": "Autumn",
            "bannerId": 42,
            "url": "https://shop.example/autumn?a=1",
            "active": True,
            "expiresAt": "2027-01-02T03:04:05Z",
            "maxClicks": 7,
        },
        {"slug": "b-2", "bannerId": 7, "url": "https://other.example/", "active": False},
        {"slug": "spring", "bannerId": 42, "url": "https://shop.example/sale", "active": True},
    ]

    async def slugs(wanted: str) -> list[str]:
        return [one["slug"] for one in await paged(service, "/links", "links", q=wanted, limit=1)]

    assert await slugs("SHOP.example") == ["Autumn", "spring"]
    assert await slugs("7") == ["b-2"]  # the banner, and not the 7 clicks of another
    assert await slugs("spr") == ["spring"]
    assert await slugs("' OR true --") == []


async def test_sites_are_listed_with_their_hosts_and_searched(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert (await service.http.get("/sites")).json() == {"sites": []}
    await sites.add(connection, "shop", ["shop.example", "*.shop.example"], "Europe/Berlin", SiteSettings())
    await sites.add(connection, "blog", ["blog.example"], "UTC", SiteSettings(visitors="none"))
    await sites.add(connection, "broken", ["old.test"], "UTC", SiteSettings())
    await connection.execute("""UPDATE sites SET settings = '{"visitors": 7}' WHERE site = 'broken'""")
    found = await paged(service, "/sites", "sites", limit=1)
    assert all(one.pop("createdAt") for one in found)
    assert found == [
        {"site": "blog", "timezone": "UTC", "hosts": ["blog.example"], "visitors": "none"},
        {"site": "broken", "timezone": "UTC", "hosts": ["old.test"]},
        {"site": "shop", "timezone": "Europe/Berlin", "hosts": ["*.shop.example", "shop.example"], "visitors": "daily"},
    ]
    for wanted, names in (("SHOP.", ["shop"]), ("blog", ["blog"]), ("*.", ["shop"]), ("x", ["blog", "shop"])):
        assert [one["site"] for one in await paged(service, "/sites", "sites", q=wanted)] == names, wanted


@pytest.mark.parametrize("path", ["/links", "/sites"])
async def test_l6_lists_of_links_and_sites_are_bounded(service: Tracking, path: str) -> None:
    for params, status, parameter in REFUSED:
        if "ids" in params or len(params.get("q", "")) > 200:
            continue
        answer = await service.http.get(path, params=params)
        assert refusal(answer) == (status, {400: "malformed", 422: "invalid"}[status], parameter), params
    answer = await service.http.get(path, params={"q": "x" * 256})
    assert refusal(answer) == (422, "invalid", "q")


async def test_without_postgres_a_list_says_so_and_comes_back(
    service: Tracking, connection: "asyncpg.Connection[asyncpg.Record]", database: str, postgres_url: str
) -> None:
    await banners.add(connection, NAMED)
    name = urlsplit(database).path.removeprefix("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        answer = await service.http.get("/banners")
        assert (answer.status_code, answer.json()["code"]) == (503, "postgres_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert len(await ids(service)) == len(NAMED)
    finally:
        await admin.close()
