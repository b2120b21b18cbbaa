"""Redirect links with real stores: who is led where, and what counts. The front and its slow twin do the same."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from ingest.caches import cached_table
from ingest.caches import links as link_cache
from ingest.front.links import Links
from ingest.links import routes
from shared.collect.link import LinkRow
from shared.counting.cells import CLICK, MACHINE
from shared.counting.drain import Counter as Lanes
from shared.counting.links import LinkClicks
from shared.errors import Busy, RedisUnavailable
from shared.settings import Settings
from tests.harness.counted_pool import counted
from tests.harness.proxy import Proxy, to_url
from tests.harness.subjects.linking import Led, Linking, execute, linking
from tests.harness.wait import until

SALE = "https://shop.example/sale?a=1#top"
SPRING = LinkRow("spring", 42, SALE)
GOOGLEBOT = "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SLACK = "User-Agent: Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"
PERSON, MACHINES = (CLICK, 42), (CLICK + MACHINE, 42)


@pytest.fixture(scope="module")
def module_settings(redis_url: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = str(tmp_path_factory.mktemp("links"))
    stores = {"redis_url": redis_url, "database_url": module_database}
    return Settings(**stores, data_dir=folder, host="127.0.0.1", port=0, drain_interval_ms=0.5)


@pytest.fixture(scope="module")
async def module_worker(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Linking]:
    async with Redis.from_url(module_settings.redis_url or "") as redis:
        await redis.flushall()
    async with linking(tmp_path_factory.mktemp("front"), module_settings) as one:
        yield one


@pytest.fixture
async def worker(module_worker: Linking) -> Linking:
    """A worker with the link `spring` of banner 42, which has counted nothing yet."""
    await module_worker.counted()
    await module_worker.put(SPRING)
    return module_worker


def outcomes() -> dict[str, float]:
    """Requests for links by outcome, so far."""
    return {
        sample.labels["outcome"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "tallybook_links"
        for sample in metric.samples
        if sample.name == "tallybook_links_total"
    }


def code(led: Led) -> tuple[int, str]:
    """The status of a problem, and its code."""
    assert led.headers["content-type"] == "application/problem+json"
    assert "location" not in led.headers
    return led.status, led.body.decode().partition('"code":"')[2].partition('"')[0]


BOTH_WAYS = pytest.mark.parametrize("inside", [False, True], ids=["front", "route"])


# -- who is counted ----------------------------------------------------------------------------------------------------


@BOTH_WAYS
async def test_a_person_is_counted_and_led_on(worker: Linking, inside: bool) -> None:
    led = await worker.ask("/r/spring?utm_source=x", inside=inside)
    assert (led.status, led.body) == (302, b"")
    assert led.headers["location"] == SALE
    assert led.headers["cache-control"] == "no-store"
    assert "set-cookie" not in led.headers
    assert await worker.counted() == {PERSON: 1}


@BOTH_WAYS
@pytest.mark.parametrize("agent", [GOOGLEBOT, SLACK, "User-Agent:"])
async def test_a_machine_is_led_on_and_counted_as_one(worker: Linking, inside: bool, agent: str) -> None:
    led = await worker.ask("/r/spring", agent, inside=inside)
    assert (led.status, led.headers["location"]) == (302, SALE)
    assert await worker.counted() == {MACHINES: 1}


@BOTH_WAYS
async def test_head_has_the_same_headers_and_never_counts(worker: Linking, inside: bool) -> None:
    asked = await worker.ask(inside=inside)
    assert await worker.counted() == {PERSON: 1}
    for agent in ("User-Agent: Twitterbot/1.0", "User-Agent: Mozilla/5.0"):
        head = await worker.ask("/r/spring", agent, method="HEAD", inside=inside)
        assert (head.status, head.headers) == (302, asked.headers)
    assert await worker.counted() == {}


@BOTH_WAYS
@pytest.mark.parametrize(
    "line", ["Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch"]
)
async def test_a_prefetch_is_503_and_empty(worker: Linking, inside: bool, line: str) -> None:
    for slug in ("spring", "unknown"):
        led = await worker.ask(f"/r/{slug}", line, inside=inside)
        assert (led.status, led.body, led.headers["cache-control"]) == (503, b"", "no-store")
        assert "location" not in led.headers
    assert await worker.counted() == {}


async def test_other_methods_are_refused(worker: Linking) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        led = await worker.ask(method=method)
        assert (code(led), led.headers["allow"]) == ((405, "method_not_allowed"), "GET, HEAD")
    assert await worker.counted() == {}


async def test_each_outcome_has_a_figure(worker: Linking) -> None:
    await worker.put(SPRING, LinkRow("off", 42, SALE, active=False))
    worker.front._report()
    before = outcomes()
    await worker.ask()
    await worker.ask(inside=True)
    await worker.ask("/r/spring", GOOGLEBOT)
    await worker.ask(method="HEAD")
    await worker.ask("/r/spring", "Sec-Purpose: prefetch")
    await worker.ask("/r/nothing")
    await worker.ask("/r/off")
    worker.front._report()
    after = outcomes()
    assert {name: after[name] - before[name] for name in after} == {
        "person": 2,
        "machine": 1,
        "head": 1,
        "prefetch": 1,
        "unknown": 1,
        "gone": 1,
        "refused": 0,
    }


# -- which links are there ---------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize("slug", ["nothing", "spring.", "SPRING", "spr%20ing", "%E4", "spring%0d%0aa:b", "a" * 65])
async def test_an_unknown_link_is_404(worker: Linking, inside: bool, slug: str) -> None:
    assert code(await worker.ask(f"/r/{slug}", inside=inside)) == (404, "unknown_link")
    assert await worker.counted() == {}


async def test_other_addresses_are_none_of_links(worker: Linking) -> None:
    for path in ("/r", "/r/", "/r/spring/", "/r/spring/a", "/r//spring", "/R/spring"):
        assert code(await worker.ask(path)) == (404, "not_found")
    assert await worker.counted() == {}


@BOTH_WAYS
async def test_a_link_that_is_over_or_off_is_410(worker: Linking, inside: bool) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    await worker.put(SPRING._replace(expires_at=over), LinkRow("off", 42, SALE, active=False))
    for slug in ("spring", "off"):
        for lines in ((), (GOOGLEBOT,)):
            assert code(await worker.ask(f"/r/{slug}", *lines, inside=inside)) == (410, "link_gone")
        assert (await worker.ask(f"/r/{slug}", method="HEAD", inside=inside)).status == 410
    assert await worker.counted() == {}


async def test_a_link_ends_without_anybody_reading_the_table(worker: Linking, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    await worker.put(SPRING._replace(expires_at=ends))
    assert (await worker.ask()).status == 302
    for module in ("ingest.front.links.time.time", "ingest.links.routes.time.time"):
        monkeypatch.setattr(module, lambda: ends.timestamp())
    assert (await worker.ask(method="HEAD")).status == 410


async def test_a_new_link_works_at_once_and_a_change_within_a_second(worker: Linking, module_database: str) -> None:
    await execute(module_database, "INSERT INTO links (slug, banner_id, url) VALUES ('fresh', 42, $1)", SALE)
    assert (await worker.ask("/r/fresh")).status == 302
    await execute(module_database, "UPDATE links SET url = 'https://shop.example/new' WHERE slug = 'fresh'")

    async def is_new() -> bool:
        return (await worker.ask("/r/fresh", method="HEAD")).headers["location"] == "https://shop.example/new"

    await until(is_new)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://a@b.example/", "//evil.example", "https://a.example/\r\nx: y"]
)
async def test_a_row_that_no_command_wrote_leads_nowhere(
    worker: Linking, module_database: str, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    told = list[tuple[str, dict[str, Any]]]()
    monkeypatch.setattr(link_cache.log, "error", lambda event, **fields: told.append((event, fields)), raising=False)
    link_cache._tell.cache_clear()
    await execute(module_database, "UPDATE links SET url = $1 WHERE slug = 'spring'", url)
    await worker.state.links._refresh()
    for inside in (False, True):
        assert code(await worker.ask(inside=inside)) == (410, "link_gone")
    await worker.state.links._refresh()
    assert [(event, fields["slug"]) for event, fields in told] == [("link_refused", "spring")]
    assert await worker.counted() == {}


async def test_destinations_are_kept_to_hosts_when_links_are_loaded(settings: Callable[..., Settings]) -> None:
    one = settings(link_hosts=("*.shop.example",))
    await execute(
        one.database_url or "", "INSERT INTO links (slug, banner_id, url) VALUES ('a', 1, 'https://a.shop.example')"
    )
    await execute(
        one.database_url or "", "INSERT INTO links (slug, banner_id, url) VALUES ('b', 1, 'https://evil.example')"
    )
    async with counted(one, lambda pool: link_cache.Links(one, pool)) as (links, _):
        known = {slug: links.known(slug) for slug in "ab"}
        assert known["a"] is not None
        assert known["b"] is not None
        assert (known["a"].is_open(0), known["b"].is_open(0)) == (True, False)


async def test_a_flood_of_invented_slugs_is_few_look_ups(settings: Callable[..., Settings]) -> None:
    one = settings()
    async with counted(one, lambda pool: link_cache.Links(one, pool)) as (links, pool):
        flood = [[f"x{number}" for number in range(at, at + 1000)] for at in range(0, 30_000, 1000)]
        told = await asyncio.gather(*map(links.told, flood))
        said = Counter(type(value) for answers in told for value in answers.values())
        assert said == {type(None): cached_table._WAITING_MAX, Busy: 20_000}
        assert pool.look_ups == cached_table._WAITING_MAX / cached_table._LOOK_UP_IDS
        assert len(links._absent) <= cached_table._ABSENT_MAX


# -- what limits it ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def limited(worker: Linking, redis_url: str) -> Linking:
    async with Redis.from_url(redis_url) as redis:
        await redis.delete("tallybook:{0}:link:spring")
    await worker.put(SPRING._replace(max_clicks=3))
    return worker


async def test_a_limited_link_leads_so_many_people_on_and_no_more(limited: Linking) -> None:
    led = await asyncio.gather(*(limited.ask(inside=number % 2 == 0) for number in range(20)))
    assert sorted(one.status for one in led) == [302] * 3 + [410] * 17
    assert await limited.counted() == {PERSON: 3}
    assert code(await limited.ask()) == (410, "link_gone")
    assert (await limited.ask(method="HEAD")).status == 410
    assert code(await limited.ask("/r/spring", GOOGLEBOT)) == (410, "link_gone")
    await limited.put(SPRING._replace(max_clicks=4))
    assert [(await limited.ask()).status for _ in range(2)] == [302, 410]
    assert await limited.counted() == {PERSON: 1}


async def test_machines_and_head_use_nothing_up(limited: Linking) -> None:
    for _ in range(5):
        assert (await limited.ask("/r/spring", GOOGLEBOT)).status == 302
        assert (await limited.ask(method="HEAD")).status == 302
    assert await limited.counted() == {MACHINES: 5}
    assert [(await limited.ask()).status for _ in range(4)] == [302, 302, 302, 410]


async def test_clicks_of_limited_links_are_in_the_accounts(limited: Linking, redis_url: str) -> None:
    async def with_keys() -> int:
        async with Redis.from_url(redis_url) as redis:
            return int(await redis.hget("tallybook:{0}:keyed", "total") or 0)

    before = await with_keys()
    for _ in range(5):
        await limited.ask()
    assert await with_keys() - before == 3


async def test_a_limited_link_is_503_while_redis_is_away(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    proxy = Proxy(to_url(settings().redis_url or ""), random.Random(1))
    await proxy.start(tmp_path / "redis.sock")
    one = settings(redis_url=f"unix://{tmp_path}/redis.sock", redis_timeout_s=0.5, host="127.0.0.1", port=0)
    async with linking(tmp_path / "f", one) as worker:
        await worker.put(SPRING, LinkRow("limited", 43, SALE, max_clicks=9))
        assert (await worker.ask("/r/limited")).status == 302
        await proxy.stop()
        led = await worker.ask("/r/limited")
        assert code(led) == (503, "redis_unavailable")
        assert "retry-after" in led.headers
        assert (await worker.ask("/r/spring")).status == 302
        await proxy.start(tmp_path / "redis.sock")
        assert await worker.counted() == {PERSON: 1, (CLICK, 43): 1}
    await proxy.stop()


async def test_two_steps_instead_of_one_let_too_many_through(limited: Linking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: the look and the count apart, as two workers at once would have it."""
    take, taken = LinkClicks.take, LinkClicks.taken
    all_have_looked = asyncio.Event()
    looks = 0

    async def in_two_steps(self: LinkClicks, slug: str, most: int, minute: int, banner: int) -> bool:
        nonlocal looks
        if await taken(self, slug) >= most:
            return False
        looks += 1
        if looks > most:
            all_have_looked.set()
        await all_have_looked.wait()
        return await take(self, slug, most + 1000, minute, banner)

    monkeypatch.setattr(LinkClicks, "take", in_two_steps)
    led = await asyncio.gather(*(limited.ask() for _ in range(20)))
    assert sum(one.status == 302 for one in led) > 3


async def test_a_rate_limit_holds_for_links_and_counts_nothing(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    one = settings(rate_limit_per_s=1, rate_limit_burst=2, host="127.0.0.1", port=0)
    async with linking(tmp_path / "f", one) as worker:
        await worker.put(SPRING)
        statuses = [(await worker.ask()).status for _ in range(4)]
        assert statuses[:2] == [302, 302]
        assert statuses.count(429) >= 1
        assert (await worker.ask("/r/spring", method="HEAD")).status == 302
        assert await worker.counted() == {PERSON: statuses.count(302)}


async def test_a_banner_that_is_not_registered_is_404(settings: Callable[..., Settings], tmp_path: Path) -> None:
    async with linking(tmp_path / "f", settings(banners="registered", host="127.0.0.1", port=0)) as worker:
        await worker.put(SPRING)
        for lines in ((), (GOOGLEBOT,)):
            assert code(await worker.ask("/r/spring", *lines)) == (404, "unknown_banner")
        await execute(worker.state.settings.database_url or "", "INSERT INTO banners (banner_id, name) VALUES (42, '')")

        async def leads() -> bool:
            return (await worker.ask(method="HEAD")).status == 302

        await until(leads)
        assert (await worker.ask()).status == 302
        assert await worker.counted() == {PERSON: 1}


async def test_known_links_go_on_without_postgres_and_unknown_ones_are_503(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    async with linking(tmp_path / "f", settings(host="127.0.0.1", port=0)) as worker:
        await worker.put(SPRING)
        await worker.state.pool.close()  # type: ignore[attr-defined]
        for inside in (False, True):
            assert (await worker.ask(inside=inside)).status == 302
            led = await worker.ask(f"/r/other{inside}", inside=inside)
            assert code(led) == (503, "postgres_unavailable")
            assert "retry-after" in led.headers
        assert await worker.counted() == {PERSON: 2}


async def test_a_full_lane_is_503_and_counts_nothing(worker: Linking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.front._links, "_counter", type("Full", (), {"add": lambda self, banner: False})())
    monkeypatch.setattr(worker.state.counter, "add", lambda banner: False)
    led = await worker.ask()
    assert code(led) == (503, "lanes_full")
    assert "retry-after" in led.headers
    monkeypatch.undo()
    assert await worker.counted() == {}


# -- acknowledged by Redis ---------------------------------------------------------------------------------------------


async def test_the_302_waits_for_redis_and_comes_all_the_same(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    proxy = Proxy(to_url(settings().redis_url or ""), random.Random(1))
    await proxy.start(tmp_path / "redis.sock")
    address = f"unix://{tmp_path}/redis.sock"
    one = settings(redis_url=address, redis_timeout_s=0.5, ack="redis", host="127.0.0.1", port=0)
    async with linking(tmp_path / "f", one) as worker:
        await worker.put(SPRING)
        for inside in (False, True):
            for lines in ((), (GOOGLEBOT,)):
                assert (await worker.ask("/r/spring", *lines, inside=inside)).status == 302
        assert await worker.counted() == {PERSON: 2, MACHINES: 2}
        await proxy.stop()
        for inside in (False, True):
            for lines in ((), (GOOGLEBOT,)):
                assert (await worker.ask("/r/spring", *lines, inside=inside)).status == 302
        await proxy.start(tmp_path / "redis.sock")

        async def is_back() -> bool:
            try:
                await worker.state.counter.durable()
            except RedisUnavailable:
                return False
            return True

        await until(is_back)
        assert await worker.counted() == {PERSON: 2, MACHINES: 2}
    await proxy.stop()


async def test_a_route_that_leads_on_before_it_counts_is_caught(
    worker: Linking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the 302 goes out first. Whoever kills the worker then finds no click."""

    async def late(*arguments: Any, **fields: Any) -> str:
        asyncio.get_running_loop().call_later(0.05, asyncio.ensure_future, true(*arguments, **fields))
        return "person"

    true = routes._counted
    assert (await worker.ask(inside=True)).status == 302
    assert await worker.counted() == {PERSON: 1}
    monkeypatch.setattr(routes, "_counted", late)
    assert (await worker.ask(inside=True)).status == 302
    assert await worker.counted() == {}
    await asyncio.sleep(0.1)
    assert await worker.counted() == {PERSON: 1}


# -- the front and its twin --------------------------------------------------------------------------------------------


def drawn(chance: random.Random) -> tuple[str, tuple[str, ...], str]:
    """A request for some link: its path, its lines of headers, and its method."""
    slugs = ["over", "off", "broken", "nothing", "sp%72ing", "spring/", "-"]
    slug = chance.choice(["spring", "append", "override"] * 4 + slugs)
    names = ["utm_source", "utm_%0d%0a", "%75tm_a", "ref", "tbid", "a", "b", "", "ü"]
    values = ["", "1", "a+b", "%26%3d", "//evil.example", "%0d%0aSet-Cookie:a", "ü", "[|]"]
    size = chance.choice([0, 0, 1, 2, 3, 3, 4, 70])
    parts = [f"{chance.choice(names)}={chance.choice(values)}" for _ in range(size)]
    parts += [f"utm_x={'y' * chance.choice([4_000, 9_000])}"] * (chance.random() < 0.05)
    path = f"/r/{slug}" + ("?" + "&".join(parts) if parts or chance.random() < 0.2 else "")
    agents = ["Mozilla/5.0"] * 5 + [GOOGLEBOT.partition(": ")[2], "", "curl/8.0", "Ünïcode" * 100]
    lines = [f"User-Agent: {chance.choice(agents)}"]
    extras = ["Sec-Purpose: prefetch", "Purpose: x", "Cookie: a=b", "Content-Length: 0", "Origin: https://a.example"]
    lines += [line for line in extras if chance.random() < 0.1]
    return path, tuple(lines), chance.choice(["GET"] * 8 + ["HEAD", "POST"])


async def test_the_front_and_its_twin_agree_on_every_request(worker: Linking, module_database: str) -> None:
    over = datetime.now(UTC) - timedelta(days=1)
    await worker.put(
        SPRING,
        LinkRow("append", 43, SALE, "append", ("ref", "ü")),
        LinkRow("override", 44, SALE + "&x", "override", ("a", "b")),
        LinkRow("over", 45, SALE, expires_at=over),
        LinkRow("off", 45, SALE, active=False),
    )
    await execute(
        module_database,
        "INSERT INTO links (slug, banner_id, url) VALUES ('broken', 45, 'ftp://x') ON CONFLICT DO NOTHING",
    )
    await worker.state.links._refresh()
    chance = random.Random(20261130)
    plain = worker.front._links._taken
    for number in range(400):
        path, lines, method = drawn(chance)
        answers = []
        for inside in (False, True):
            led = await worker.ask(path, *lines, method=method, inside=inside)
            body = led.body if led.status != 302 else b""
            answers.append((led.status, led.headers | {"content-length": ""}, len(body), await worker.counted()))
        assert answers[0] == answers[1], f"round {number}: {method} {path!r} {lines}"
        assert answers[0][0] < 500 or b"prefetch" in "".join(lines).encode()
    assert worker.front._links._taken - plain > 50  # else the twin was compared with itself


async def test_ids_of_clicks_are_made_on_both_ways(worker: Linking) -> None:
    await worker.put(LinkRow("marked", 42, SALE, click_id=True))
    seen = {(await worker.ask("/r/marked", inside=number % 2 == 0)).headers["location"] for number in range(10)}
    assert len(seen) == 10
    assert all(text.startswith("https://shop.example/sale?a=1&tbid=42.") and text.endswith("#top") for text in seen)


async def test_what_breaks_in_the_front_is_led_on_once(worker: Linking, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(worker.front._links, "_note", broken)
    assert (await worker.ask()).status == 302
    assert await worker.counted() == {PERSON: 1}
    monkeypatch.undo()
    monkeypatch.setattr(Links, "_is_plain", broken)
    assert (await worker.ask()).status == 302
    assert await worker.counted() == {PERSON: 1}


async def test_lanes_call_whoever_waits(worker: Linking) -> None:
    """A ticket may be any function: the front keeps its own with each."""
    counter: Lanes = worker.state.counter
    told = list[bool]()
    counter.promise(told.append)
    await until(lambda: told)
    assert told == [True]
