"""What pages report: counted once, refused by name, and no way around a bound."""

import asyncio
import json
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as Budget
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from ingest.collect import banners, routes
from ingest.collect.items import ADDRESS_MAX, ITEMS_MAX, PROPERTIES_BYTES
from shared.counting import keyed
from shared.counting.accounting import account
from shared.counting.cells import CLICK, MACHINE, SERVED, VIEWABLE
from shared.counting.fleet import Fleet
from shared.errors import LogUnavailable
from shared.settings import Settings
from tests.harness.subjects.collecting import KINDS, ORIGIN, Pages, item, pages

URL = "https://shop.example/p/7?utm_source=news"
WEB = [
    item("view", u=URL, r="https://www.google.com/"),
    item("leave", ms=1000),
    item("event", e="signup", p='{"plan":"pro"}', u=URL),
    item("out", u="https://other.example/"),
]


@pytest.fixture(scope="module")
def settings_of(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, module_database: str
) -> Callable[..., Settings]:
    """Makes settings of services on the stores of this file."""

    def make(**fields: Any) -> Settings:
        folder = tmp_path_factory.mktemp("service")
        return Settings(data_dir=str(folder), redis_url=redis_url, database_url=module_database, grace_s=0.0, **fields)

    return make


@pytest.fixture(scope="module")
async def service(settings_of: Callable[..., Settings]) -> AsyncIterator[Pages]:
    async with pages(settings_of()) as one:
        yield one


@pytest.fixture
async def page(service: Pages, redis_client: "Redis") -> Pages:
    """The service of this file, with empty stores and one site."""
    await service.clear()
    return service


@pytest.fixture
def strict(page: Pages, settings_of: Callable[..., Settings]) -> Callable[..., Any]:
    """Makes services with other settings, on the same stores."""
    return lambda **fields: pages(settings_of(**fields))


def rejected(answer: Any) -> list[tuple[int, str, str]]:
    """(index, code, pointer) of what an answer refuses, whose status is 200 or 422."""
    assert answer.status_code in (200, 422), answer.text
    faults = answer.json()["rejected"] if answer.status_code == 200 else answer.json()["errors"]
    assert all(fault["detail"] for fault in faults)
    return [(fault["index"], fault["code"], fault["pointer"]) for fault in faults]


def told(kind: str, outcome: str) -> float:
    """What the metric says."""
    labels = {"kind": kind, "outcome": outcome}
    return REGISTRY.get_sample_value("tallybook_collect_items_total", labels) or 0.0


# -- counted once ------------------------------------------------------------------------------------------------------


async def test_clicks_and_impressions_are_counted_under_their_kinds(page: Pages) -> None:
    view = str(uuid4())
    before = told("served", "accepted"), told("served", "duplicate")
    items = [
        item("served", view, 1, b="42"),
        item("viewable", view, 2, b="42"),
        item("click", view, 3, b="42"),
        item("click", view, 4, b="42"),
        item("served", view, 5, b="43"),
    ]
    answer = await page.send(items)
    assert (answer.status_code, answer.content) == (204, b"")
    expected = {(SERVED, 42): 1, (VIEWABLE, 42): 1, (CLICK, 42): 2, (SERVED, 43): 1}
    assert await page.counted([42, 43]) == expected
    assert (await page.send(items)).status_code == 204
    assert await page.counted([42, 43]) == expected
    assert (told("served", "accepted"), told("served", "duplicate")) == (before[0] + 2, before[1] + 2)


async def test_an_impression_counts_once_for_its_view_whatever_its_number(page: Pages) -> None:
    view = str(uuid4())
    for n in range(3):
        assert (await page.send([item("served", view.upper() if n else view, n, b="42")])).status_code == 204
    assert (await page.send([item("served", str(uuid4()), 0, b="42")])).status_code == 204
    assert await page.counted([42]) == {(SERVED, 42): 2}


async def test_a_request_that_comes_ten_times_at_once_counts_once(page: Pages) -> None:
    items = [item("click", n=n, b="42") for n in range(10)]
    answers = await asyncio.gather(*(page.send(items) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {204}
    assert await page.counted([42]) == {(CLICK, 42): 10}


async def test_an_item_is_counted_in_the_minute_of_its_age(page: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time() // 60 * 60 + 10  # ten seconds into a minute
    monkeypatch.setattr(routes, "time", SimpleNamespace(time=lambda: now))
    await page.send([item("click", b="42", t=9_999), item("click", b="42", t=10_001), item("click", b="42", t=250_001)])
    reading = await page.state["reader"].read([42], 0, 2**32 // 60 * 60)
    minute = int(now) // 60
    assert [(start // 60 - minute, count) for start, count, _ in reading.points[42]] == [(-5, 1), (-1, 1), (0, 1)]


_views = [str(uuid4()) for _ in range(3)]
drawn = st.lists(
    st.tuples(st.sampled_from(list(KINDS)), st.sampled_from(_views), st.integers(0, 3), st.sampled_from(["7", "8"])),
    min_size=1,
    max_size=30,
)


@Budget(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=drawn, cuts=st.lists(st.integers(0, 30), max_size=4), order=st.randoms(use_true_random=False))
async def test_repeats_reordering_and_splits_count_what_a_dictionary_says(
    page: Pages, drawn: list[tuple[str, str, int, str]], cuts: list[int], order: Any
) -> None:
    await page.clear()
    items = [item(kind, view, n, b=banner) for kind, view, n, banner in drawn]
    names = {(kind, banner, view, n if kind == "click" else 0) for kind, view, n, banner in drawn}
    expected = Tally((KINDS[kind], int(banner)) for kind, banner, _, _ in names)
    sent = [*items, *items[: len(items) // 2]]
    order.shuffle(sent)
    borders = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    for begin, end in pairwise(borders):
        for _ in range(order.choice([1, 1, 2])):
            assert (await page.send(sent[begin:end])).status_code == 204
    assert await page.counted([7, 8]) == expected


async def test_the_books_hold_what_pages_report(page: Pages) -> None:
    await page.send([item(kind, b="42") for kind in KINDS])
    figures = await account(page.settings, page.state["redis"], page.state["pool"], Fleet(page.settings.lanes_dir))
    assert (figures.accepted, figures.difference) == (3, 0)


# -- machines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?w=1", {}),
        ("", {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}),
        ("", {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}),
        ("", {"user-agent": None}),
        ("", {"user-agent": "  "}),
        ("", {"sec-purpose": "prefetch;prerender"}),
        ("", {"purpose": "prefetch"}),
        ("", {"x-moz": "prefetch"}),
    ],
)
async def test_what_a_machine_reports_is_counted_apart(page: Pages, query: str, headers: dict[str, Any]) -> None:
    answer = await page.send([item(kind, b="42") for kind in KINDS], query, headers=headers)
    assert answer.status_code == 204  # nobody is told
    assert await page.counted([42]) == {(kind + MACHINE, 42): 1 for kind in KINDS.values()}


async def test_an_item_that_a_person_and_a_machine_report_counts_once(page: Pages) -> None:
    items = [item("click", b="42")]
    await page.send(items)
    await page.send(items, "?w=1")
    assert await page.counted([42]) == {(CLICK, 42): 1}


# -- refused by name ---------------------------------------------------------------------------------------------------


async def test_what_cannot_be_counted_is_named_and_the_rest_counts(page: Pages) -> None:
    items: list[Any] = [
        item("click", b="42"),
        item("click", b="042"),
        item("click", b="1e3"),
        item("click", b="9007199254740992"),
        item("click", b="42\n"),
        item("click", b=42),
        item("click", b="42", t=300_001),
        item("click", b="42", t=-1),
        item("click", b="42", n=10_000),
        item("click", "not a uuid", b="42"),
        item("click"),
        item("click", b="42", colour="red"),
        item("hover", b="42"),
        {"k": "click"},
        7,
        item("served", b="42", t=300_000),
    ]
    answer = await page.send(items)
    assert rejected(answer) == [
        (1, "invalid", "/1/b"),
        (2, "invalid", "/2/b"),
        (3, "invalid", "/3/b"),
        (4, "invalid", "/4/b"),
        (5, "invalid", "/5/b"),
        (6, "too_old", "/6/t"),
        (7, "invalid", "/7/t"),
        (8, "invalid", "/8/n"),
        (9, "invalid", "/9/v"),
        (10, "invalid", "/10"),
        (11, "invalid", "/11"),
        (12, "invalid", "/12/k"),
        (13, "invalid", "/13"),
        (14, "invalid", "/14"),
    ]
    assert answer.status_code == 200
    assert await page.counted([42]) == {(CLICK, 42): 1, (SERVED, 42): 1}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"k": "view", "u": "javascript:alert(1)"}, ("invalid", "/0/u")),
        ({"k": "view", "u": "//evil.example/"}, ("invalid", "/0/u")),
        ({"k": "view", "u": "\\\\evil.example\\"}, ("invalid", "/0/u")),
        ({"k": "view", "u": "https://shop.example/\r\nx: y"}, ("invalid", "/0/u")),
        ({"k": "view", "u": "https://shop.example/\0"}, ("invalid", "/0/u")),
        ({"k": "view", "u": "https://" + "a" * ADDRESS_MAX}, ("too_large", "/0/u")),
        ({"k": "view", "u": URL, "r": "a" * (ADDRESS_MAX + 1)}, ("too_large", "/0/r")),
        ({"k": "view", "u": URL, "r": "x\0"}, ("invalid", "/0/r")),
        ({"k": "view"}, ("invalid", "/0")),
        ({"k": "leave", "ms": 0}, ("invalid", "/0/ms")),
        ({"k": "leave", "ms": 86_400_001}, ("invalid", "/0/ms")),
        ({"k": "event", "e": "sign up", "u": URL}, ("invalid", "/0/e")),
        ({"k": "event", "e": "signup\n", "u": URL}, ("invalid", "/0/e")),
        ({"k": "event", "e": "a", "u": URL, "p": "[1]"}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": '{"a":{"b":1}}'}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": '{"a":NaN}'}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": '{"a":"\\u0000"}'}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": '{"a":"\\ud800"}'}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": {"a": 1}}, ("invalid", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": json.dumps({"a": "x" * PROPERTIES_BYTES})}, ("too_large", "/0/p")),
        ({"k": "event", "e": "a", "u": URL, "p": json.dumps(dict.fromkeys(map(str, range(17))))}, ("invalid", "/0/p")),
        ({"k": "out", "u": "mailto:somebody@shop.example"}, ("invalid", "/0/u")),
    ],
)
async def test_items_of_other_kinds_are_checked(page: Pages, fields: dict[str, Any], fault: tuple[str, str]) -> None:
    answer = await page.send([item("view", **fields), item("click", b="42")])
    assert [one[1:] for one in rejected(answer)] == [fault]
    assert await page.counted([42]) == {(CLICK, 42): 1}


@pytest.mark.parametrize("properties", ['{"__proto__":"x","constructor":1}', "{}", '{"a":null,"b":1.5,"c":true}'])
async def test_properties_that_are_only_data_pass_the_check(page: Pages, properties: str) -> None:
    answer = await page.send([item("event", e="a", u=URL, p=properties), item("click", b="42")])
    assert answer.status_code == 204


async def test_items_of_all_kinds_come_together(page: Pages) -> None:
    assert (await page.send([*WEB, item("click", b="42")])).status_code == 204
    assert await page.counted([42]) == {(CLICK, 42): 1}
    assert (await page.send(WEB)).status_code == 204


async def test_all_items_refused_is_an_error(page: Pages) -> None:
    answer = await page.send([item("click", b="0"), item("click", b="42", t=300_001)])
    assert answer.status_code == 422
    assert rejected(answer) == [(0, "invalid", "/0/b"), (1, "too_old", "/1/t")]
    assert await page.counted([42]) == {}


async def test_the_largest_age_is_half_of_a_short_window(strict: Callable[..., Any]) -> None:
    async with strict(idempotency_window_s=20) as page:
        answer = await page.send([item("click", b="42", t=10_001), item("click", b="42", t=10_000)])
        assert rejected(answer) == [(0, "too_old", "/0/t")]


@pytest.mark.parametrize("age_max_ms", [None, 300_000])
async def test_an_item_is_refused_before_its_first_attempt_is_forgotten(
    strict: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, age_max_ms: int | None
) -> None:
    """A mutant: with the age not checked against the window, the repeat counts again."""
    if age_max_ms is not None:
        monkeypatch.setattr(banners, "age_max_ms", lambda settings: age_max_ms)
    async with strict(idempotency_window_s=20) as page:
        one = item("click", b="42")
        assert (await page.send([one])).status_code == 204
        async for name in page.state["redis"].scan_iter("tallybook:*:ids:*"):  # as if two windows had passed
            await page.state["redis"].delete(name)
        answer = await page.send([one | {"t": 40_000}])
        assert answer.status_code == (422 if age_max_ms is None else 204)
        assert await page.counted([42]) == {(CLICK, 42): 1 if age_max_ms is None else 2}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{}", 400, "malformed"),
        (b"null", 400, "malformed"),
        (b"[" * 60_000, 400, "malformed"),
        (b'[{"k":', 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[]", 422, "invalid"),
        (b'[{"k":"click","v":"\\ud800"}]', 422, "invalid"),
        (b"[NaN]", 422, "invalid"),
        (json.dumps([item("click", b="42")] * (ITEMS_MAX + 1)).encode(), 422, "invalid"),
        (b"[" + b" " * 65_536 + b"]", 413, "too_large"),
    ],
)
async def test_l6_bodies_that_are_no_items_are_refused(page: Pages, body: bytes, status: int, code: str) -> None:
    answer = await page.send(body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await page.counted([42]) == {}


async def test_fifty_items_are_taken(page: Pages) -> None:
    assert (await page.send([item("click", n=n, b="42") for n in range(ITEMS_MAX)])).status_code == 204
    assert await page.counted([42]) == {(CLICK, 42): ITEMS_MAX}


@pytest.mark.parametrize(
    ("media", "status"),
    [("text/plain", 204), ("application/json", 204), (None, 204), ("multipart/form-data", 415), ("text/html", 415)],
)
async def test_media_types(page: Pages, media: str | None, status: int) -> None:
    answer = await page.send([item("click", b="42")], headers={"content-type": media})
    assert answer.status_code == status
    assert (await page.counted([42])).total() == (status == 204)


@pytest.mark.parametrize("query", ["?w=2", "?w=", "?w=true", "?x=1", "?w=1&w=1", "?s=shop&s=shop"])
async def test_parameters_are_known_and_given_once(page: Pages, query: str) -> None:
    assert (await page.send([item("click", b="42")], query)).status_code in (400, 422)
    assert await page.counted([42]) == {}


# -- sites -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN,
        "http://shop.example",
        "https://shop.example:8443",
        "https://www.shop.example",
        "https://a.b.shop.example",
    ],
)
@pytest.mark.parametrize("query", ["", "?s=shop"])
async def test_pages_of_a_site_are_heard(page: Pages, origin: str, query: str) -> None:
    answer = await page.send([item("click", b="42")], query, headers={"origin": origin})
    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("origin", "query"),
    [
        (None, ""),
        (None, "?s=shop"),
        ("null", ""),
        ("null", "?s=shop"),
        ("https://evil.example", ""),
        ("https://evil.example", "?s=shop"),
        ("https://shop.example.evil.example", "?s=shop"),
        ("https://evilshop.example", "?s=shop"),
        ("https://shop.example@evil.example", ""),
        ("https://shop.example/", ""),
        ("https://shop.example\n", ""),
        ("HTTPS://SHOP.EXAMPLE", ""),
        ("ftp://shop.example", ""),
        ("chrome-extension://shop.example", ""),
        ("file://", ""),
        (ORIGIN, "?s=blog"),
        (ORIGIN, "?s=nowhere"),
        (ORIGIN, "?s="),
        ("https://" + "a." * 4000, ""),
    ],
)
async def test_pages_of_no_site_are_refused(page: Pages, origin: str | None, query: str) -> None:
    await page.add_site("blog", "blog.example")
    answer = await page.send([item("click", b="42")], query, headers={"origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "unknown_site")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert await page.counted([42]) == {}


async def test_a_site_may_take_pages_without_an_origin(page: Pages) -> None:
    await page.add_site("frames", "frames.example", null_origin=True)
    for query, status in (("?s=frames", 204), ("", 403), ("?s=shop", 403)):
        answer = await page.send([item("click", b="42")], query, headers={"origin": "null"})
        assert answer.status_code == status


async def test_the_nearest_domain_decides(page: Pages) -> None:
    await page.add_site("eu", "*.eu.shop.example", "www.shop.example")
    sites = page.state["sites"]
    for host, name in (
        ("shop.example", "shop"),
        ("a.shop.example", "shop"),
        ("www.shop.example", "eu"),
        ("eu.shop.example", "shop"),
        ("de.eu.shop.example", "eu"),
    ):
        assert sites.of(f"https://{host}", None).name == name


async def test_a_change_of_hosts_is_noticed_and_a_removed_site_is_refused(page: Pages) -> None:
    pool, sites = page.state["pool"], page.state["sites"]
    await pool.execute("UPDATE site_hosts SET host = 'new.example' WHERE host = 'shop.example'")
    await sites._refresh()
    for origin, status in (("https://new.example", 204), (ORIGIN, 403)):
        assert (await page.send([item("click", b="42")], headers={"origin": origin})).status_code == status
    await pool.execute("DELETE FROM sites")
    await sites._refresh()
    assert (await page.send([item("click", b="42")], headers={"origin": "https://new.example"})).status_code == 403


async def test_a_site_whose_settings_are_none_is_no_site(page: Pages) -> None:
    await page.state["pool"].execute("""UPDATE sites SET settings = '{"visitors": "always"}'""")
    await page.state["sites"]._refresh()
    assert (await page.send([item("click", b="42")])).status_code == 403


async def test_invented_origins_ask_postgres_nothing(page: Pages) -> None:
    """Whatever is invented, nothing is looked up and nothing is remembered."""
    sites = page.state["sites"]
    for number in range(100_000):
        with pytest.raises(Exception, match="site"):
            sites.of(f"https://{number}.invented.example", f"invented-{number}")
    assert not sites._waiting
    assert not sites._absent


async def test_a_service_that_never_read_the_sites_asks_to_be_asked_again(page: Pages) -> None:
    page.state["sites"]._version = None
    answer = await page.send([item("click", b="42")])
    assert (answer.status_code, answer.json()["code"]) == (503, "postgres_unavailable")
    assert answer.headers["retry-after"]


# -- stores and limits -------------------------------------------------------------------------------------------------


async def test_without_redis_banner_items_are_to_be_sent_again(page: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item("click", b="42"), item("served", b="42")]
    real = keyed._KEYED

    async def swallowed(*arguments: Any) -> Any:
        await real(*arguments)
        raise RedisConnectionError("the reply was lost")

    with monkeypatch.context() as patch:
        patch.setattr(keyed, "_KEYED", swallowed)
        answer = await page.send(items)
        assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert (await page.send(items)).status_code == 204
    assert await page.counted([42]) == {(CLICK, 42): 1, (SERVED, 42): 1}


async def test_a_store_of_views_that_fails_has_the_whole_request_sent_again(
    page: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []

    async def store(state: Any, visit: Any, items: Any) -> list[Any]:
        stored.append(len(items))
        assert (visit.site.name, visit.machine) == ("shop", "")
        if len(stored) == 1:
            raise LogUnavailable
        return []

    monkeypatch.setattr("ingest.collect.web.store", store)
    items = [*WEB, item("click", b="42")]
    answer = await page.send(items)
    assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
    assert (await page.send(items)).status_code == 204
    assert (await page.counted([42]), stored) == ({(CLICK, 42): 1}, [4, 4])


async def test_banners_that_are_not_registered_are_named(strict: Callable[..., Any]) -> None:
    async with strict(banners="registered") as page:
        await page.state["pool"].execute("INSERT INTO banners (banner_id) VALUES (42)")
        answer = await page.send([item("click", b="42"), item("served", b="43")])
        assert rejected(answer) == [(1, "unknown_banner", "/1/b")]
        assert await page.counted([42, 43]) == {(CLICK, 42): 1}
        page.state["banners"]._tasks, tasks = [], page.state["banners"]._tasks  # nobody can say now
        answer = await page.send([item("click", b="42"), item("served", b="44")])
        assert (answer.status_code, answer.json()["code"]) == (503, "postgres_unavailable")
        page.state["banners"]._tasks = tasks
        assert await page.counted([42, 44]) == {(CLICK, 42): 1}


async def test_too_many_new_banners_count_nothing(strict: Callable[..., Any]) -> None:
    async with strict(new_banners_per_minute=3) as page:
        answer = await page.send([item("click", n=n, b=str(n + 1)) for n in range(4)])
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_new_banners")
        assert (await page.counted(range(1, 5))).total() == 0


async def test_r4_an_address_over_its_limit_is_told_when_to_come_again(strict: Callable[..., Any]) -> None:
    async with strict(rate_limit_per_s=0.001, rate_limit_burst=2) as page:
        answers = [await page.send([item("click", n=n, b="42")]) for n in range(3)]
        assert [answer.status_code for answer in answers] == [204, 204, 429]
        assert int(answers[2].headers["retry-after"]) > 0
        assert answers[2].headers["access-control-allow-origin"] == "*"
        assert await page.counted([42]) == {(CLICK, 42): 2}


async def test_a_key_is_needed_only_where_the_settings_say_so(strict: Callable[..., Any]) -> None:
    async with strict(keys="required") as page:
        assert (await page.send([item("click", b="42")])).status_code == 204
    async with strict(keys="required", keys_for=("collect:write",)) as page:
        answer = await page.send([item("click", b="42")])
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "*")


# -- answers that a page can read --------------------------------------------------------------------------------------


async def test_o6_every_answer_can_be_read_by_every_page_and_keeps_the_page_in_its_cache(
    page: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        await page.send([item("click", b="42")]),
        await page.send([item("click", b="42"), item("click", b="0")]),
        await page.send(b"nothing"),
        await page.send(b"[]"),
        await page.send([item("click", b="42")], headers={"origin": "https://evil.example"}),
        await page.send([item("click", b="42")], headers={"content-type": "text/html"}),
        await page.send(b"x" * 65_537),
        await page.send([item("click", b="42")], "?s=" + "a" * 9000),
        await page.ask("GET", "/c"),
        await page.ask("OPTIONS", "/c"),
    ]

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ingest.collect.web.store", broken)
    answers.append(await page.send(WEB))
    assert [answer.status_code for answer in answers] == [204, 200, 400, 422, 403, 415, 413, 400, 405, 405, 500]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "cache-control" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_other_routes_are_not_open_to_all(page: Pages) -> None:
    answer = await page.ask("POST", "/stats/42")
    assert "access-control-allow-origin" not in answer.headers
    assert "no-store" in (await page.ask("GET", "/stats/42")).headers["cache-control"]


async def test_a_prefix_moves_the_route(strict: Callable[..., Any]) -> None:
    async with strict(web_prefix="/x7") as page:
        answer = await page.send([item("click", b="42")])
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
        assert (await page.send(b"x" * 65_537)).status_code == 413
        assert (await page.ask("POST", "/c", content=b"[]")).status_code == 404
        assert "/x7/c" in (await page.ask("GET", "/openapi.json")).json()["paths"]


async def test_v2_nothing_of_a_request_is_logged_but_route_status_and_size(
    page: Pages, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = "Marked-1.0"
    items = [
        item("view", u=f"https://shop.example/{mark}", r=mark),
        item("click", b="42"),
        item("event", e=mark, p="{", u=URL),
    ]
    personal = {"user-agent": mark, "cookie": f"a={mark}", "x-forwarded-for": "203.0.113.77"}
    await page.send(items, "?s=shop", headers=personal)
    await page.send(mark.encode(), headers={"user-agent": mark})
    shown = capsys.readouterr()
    assert "/c" in shown.out + shown.err
    assert mark not in shown.out + shown.err
    assert "203.0.113.77" not in shown.out + shown.err


async def test_eight_kilobytes_of_a_user_agent_are_no_trouble(page: Pages) -> None:
    assert (await page.send([item("click", b="42")], headers={"user-agent": "x" * 8000})).status_code == 204
