"""How a page sends, each item once: in a real browser, with a service that fails."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.harness.browser.chromium import PERSON, Chromium
from tests.harness.browser.recorder import Recorder, recorder
from tests.harness.browser.site import Page, Site, site
from tests.harness.wait import wait_for

OPEN = "await page.goto(args.url); await until(() => page.evaluate('!!window.tally'));"
#: Waits until a request with items has an answer.
SENT = """
    const isSent = () => performance.getEntriesByType("resource").some((one) => one.name.includes("/c?"));
    await until(() => page.evaluate(isSent));
"""
BANNER = '<p data-tally-banner="7"><a href="/next">away</a></p>'


@pytest.fixture(scope="module")
def service() -> Iterator[Recorder]:
    """The service of the script."""
    with recorder() as one:
        yield one


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """The site of the pages."""
    with site() as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(service: Recorder, place: Site) -> Iterator[None]:
    """Each test begins with nothing, and every item was one."""
    service.forget()
    place.forget()
    place.pages.clear()
    place.pages |= {"/": service.tag() + BANNER, "/next": "<title>Next</title>"}
    service.answer = lambda _: 204
    yield
    service.answer = lambda _: 204
    service.check()


def attempts(service: Recorder) -> Counter[tuple[str, int]]:
    """How often each item was carried."""
    return Counter((item["v"], item["n"]) for one in service.requests for item in one.items)


# -- leaving -------------------------------------------------------------------------------------------------------

#: What a page may have instead of the real `sendBeacon`.
BEACONS = {
    "real": "",
    "missing": "delete Navigator.prototype.sendBeacon",
    "refusing": "Navigator.prototype.sendBeacon = () => false",
}


@pytest.mark.parametrize(
    ("beacon", "rounds"),
    [("real", 6)] + [pytest.param(one, 200, marks=[pytest.mark.slow, pytest.mark.timeout(600)]) for one in BEACONS],
)
def test_a_click_that_leaves_the_page_arrives_once(
    chromium: Chromium, service: Recorder, place: Site, beacon: str, rounds: int
) -> None:
    script = """
        await page.addInitScript(args.beacon);
        for (let round = 0; round < args.rounds; round++) {
            await page.goto(args.url);
            await page.click("a");
            await page.waitForURL("**/next");
        }
    """
    chromium.run(script, url=place.url, beacon=BEACONS[beacon], rounds=rounds, timeout_s=400)
    service.wait(view=rounds, click=rounds)
    kinds = service.settled()
    assert (kinds["view"], kinds["click"], kinds["served"]) == (rounds, rounds, rounds)
    assert len({item["v"] for item in service.of("click")}) == rounds
    assert service.site.asked("OPTIONS") == []


@pytest.mark.slow
def test_a_click_while_another_request_hangs_goes_when_the_page_does(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    """One request at a time, but for the last."""
    service.answer = lambda number: time.sleep(2 if number == 0 else 0) or 204  # type: ignore[func-returns-value]
    script = f"{OPEN} await until(() => page.evaluate('performance.now() > 1200')); await page.click('a');"
    chromium.run(f"{script} await page.waitForURL('**/next')", url=place.url)
    service.wait(click=1, view=1)
    kinds = service.settled()
    assert (kinds["view"], kinds["click"]) == (1, 1)
    assert max(attempts(service).values()) == 1
    first, second = service.requests[:2]
    assert second.asked.at - first.asked.at < 2


def test_more_items_than_a_request_takes_go_in_several(chromium: Chromium, service: Recorder, place: Site) -> None:
    script = f"""
        {OPEN}
        await page.evaluate(() => {{ for (let n = 0; n < 70; n++) tally("many", {{n}}) }});
        await page.goto(args.url + "/next");
    """
    chromium.run(script, url=place.url)
    service.wait(event=70)
    assert service.settled()["event"] == 70
    assert max(attempts(service).values()) == 1


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [503, *(pytest.param(one, marks=pytest.mark.slow) for one in (429, 500))])
def test_what_is_refused_for_now_is_sent_again_under_its_name(
    chromium: Chromium, service: Recorder, place: Site, refusal: int
) -> None:
    service.answer = lambda number: refusal if number == 0 else 204
    script = f"{OPEN} await until(() => page.evaluate('performance.now() > 4000'));"
    chromium.run(script, url=place.url)
    kinds = service.settled()
    assert (kinds["view"], kinds["served"]) == (1, 1)
    first, again = service.requests[:2]
    named = {(item["v"], item["n"]): item["t"] for item in again.items}
    for item in first.items:
        passed_ms = (again.asked.at - first.asked.at) * 1000
        assert abs(named[item["v"], item["n"]] - item["t"] - passed_ms) < 250  # older by what has passed


@pytest.mark.parametrize("refusal", [403, *(pytest.param(one, marks=pytest.mark.slow) for one in (400, 413, 415, 422))])
def test_what_is_refused_for_good_is_forgotten(
    chromium: Chromium, service: Recorder, place: Site, refusal: int
) -> None:
    place.pages["/"] = service.tag()
    service.answer = lambda number: refusal if number == 0 else 204
    script = f"""
        {OPEN}
        {SENT}
        await page.evaluate("tally('after')");
        await until(() => page.evaluate("performance.now() > 3200"));
    """
    chromium.run(script, url=place.url)
    kinds = service.settled()
    assert (kinds["view"], kinds["event"]) == (0, 1)
    assert max(attempts(service).values()) == 1


def test_an_answer_that_is_lost_counts_nothing_twice(chromium: Chromium, service: Recorder, place: Site) -> None:
    """The service took it and said so, but nobody heard: the connection broke."""
    service.answer = lambda number: 0 if number == 0 else 204
    script = f"{OPEN} await page.click('p', {{ position: {{ x: 300, y: 5 }} }});"
    chromium.run(f"{script} await until(() => page.evaluate('performance.now() > 4500'))", url=place.url)
    service.wait(click=1, view=1)
    kinds = service.settled()
    assert (kinds["view"], kinds["click"]) == (1, 1)
    assert max(attempts(service).values()) >= 2


def test_what_is_older_than_five_minutes_is_never_sent_again(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    """The clock of the page goes on by six minutes while every view is refused."""
    place.pages["/"] = service.tag()
    service.answer = lambda number: 204 if any(one["k"] == "event" for one in service.requests[number].items) else 503
    script = f"""
        await page.addInitScript(() => {{
            const now = Date.now; window.ahead = 0; Date.now = () => now() + window.ahead;
        }});
        {OPEN}
        {SENT}
        await page.evaluate("window.ahead = 360e3; tally('after')");
        await until(() => page.evaluate("performance.now() > 4000"));
    """
    chromium.run(script, url=place.url)
    kinds = service.settled()
    assert (kinds["view"], kinds["event"]) == (0, 1)


def test_a_clock_that_is_put_back_makes_no_age_below_zero(chromium: Chromium, service: Recorder, place: Site) -> None:
    """The recorder takes no such age."""
    place.pages["/"] = service.tag()
    script = f"""
        await page.addInitScript(() => {{
            const now = Date.now; window.ahead = 0; Date.now = () => now() + window.ahead;
        }});
        {OPEN}
        await page.evaluate("tally('now'); window.ahead = -5000");
        await until(() => page.evaluate("performance.now() > 1500"));
    """
    chromium.run(script, url=place.url)
    service.wait(event=1)


@pytest.mark.slow
def test_offline_items_wait_and_go_once(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag()
    script = f"""
        {OPEN}
        {SENT}
        await context.setOffline(true);
        await page.evaluate("tally('offline')");
        await until(() => page.evaluate("performance.now() > 2000"));
        await context.setOffline(false);
        await until(() => page.evaluate("performance.now() > 6000"));
    """
    chromium.run(script, url=place.url)
    service.wait(event=1)
    assert service.settled()["event"] == 1
    assert max(attempts(service).values()) == 1


def test_what_cannot_be_text_throws_at_its_caller_and_harms_nothing(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    place.pages["/"] = (
        "<script>window.tally = window.tally || function () { (tally.q = tally.q || []).push(arguments) };"
        "const round = {}; round.round = round; tally('early', round); tally('early', {a: 1});</script>" + service.tag()
    )
    script = f"""
        {OPEN}
        await until(() => errors.length);
        const thrown = await page.evaluate(() => {{
            try {{ tally("late", round) }} catch (error) {{ return error.name }}
        }});
        await page.evaluate("tally('late', {{long: 'x'.repeat(100000)}}); tally('late'); tally('late', {{b: 'ü'}})");
        await until(() => page.evaluate("performance.now() > 1800"));
        return [thrown, errors.splice(0).length];
    """
    assert chromium.run(script, url=place.url) == ["TypeError", 1]
    service.wait(event=4)
    service.settled()
    events = [(item["e"], item.get("p", "")) for item in service.of("event")]
    assert [(name, p) for name, p in events if len(p) < 2049] == [
        ("early", '{"a":1}'),
        ("late", ""),
        ("late", '{"b":"ü"}'),
    ]
    assert len(events) == 4  # the long one is sent for what it is, so that it is refused alone


# -- pages that hide where they are --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["no-referrer", pytest.param("same-origin", marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", [pytest.param("fetch", marks=pytest.mark.slow), "beacon"])
def test_what_origin_a_page_with_a_referrer_policy_has(
    chromium: Chromium, service: Recorder, place: Site, policy: str, way: str
) -> None:
    """A beacon is what remains where a fetch cannot be started while the page is left."""
    headers = {"content-type": "text/html", "referrer-policy": policy}
    place.pages["/"] = Page(service.tag('data-site="shop"'), headers=headers)
    refusing = "if (document.hidden) return Promise.reject(new TypeError('quota')); return real(...given)"
    script = f"""
        await page.addInitScript(() => {{
            const real = fetch;
            if ({str(way == "beacon").lower()}) window.fetch = (...given) => {{ {refusing} }};
        }});
        {OPEN}
        {SENT}
        await page.evaluate("tally('last')");
        await page.goto(args.url + "/next");
    """
    chromium.run(script, url=place.url)
    service.wait(event=1)
    last = service.requests[-1]
    assert last.asked.headers["sec-fetch-mode"] == ("no-cors" if way == "beacon" else "cors")
    assert last.asked.headers["origin"] == place.url  # of a beacon, too: Chromium does not hide it there
    assert last.asked.headers["user-agent"] == PERSON
    assert last.asked.query["s"] == ["shop"]
    assert [item["k"] for item in last.items if item["k"] == "event"] == ["event"]


@pytest.mark.slow
def test_a_sandboxed_frame_has_no_origin_and_counts_under_its_site(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    place.pages["/"] = '<iframe sandbox="allow-scripts" src="/frame"></iframe>'
    place.pages["/frame"] = service.tag('data-site="shop"') + BANNER
    chromium.run("await page.goto(args.url); await page.frames()[1].click('a')", url=place.url)
    service.wait(click=1)
    assert {one.asked.headers["origin"] for one in service.requests} == {"null"}
    assert {tuple(one.asked.query["s"]) for one in service.requests} == {("shop",)}


def test_a_machine_says_that_it_is_one(chromium: Chromium, service: Recorder, place: Site) -> None:
    script = "await page.addInitScript(() => Object.defineProperty(navigator, 'webdriver', {value: true}));"
    chromium.run(f"{script} {OPEN}", url=place.url)
    chromium.run(OPEN, url=place.url)
    wait_for(lambda: len(service.of("view")) == 2, "both views")
    assert sorted(one.asked.query["w"][0] for one in service.requests if one.items[0]["k"] == "view") == ["0", "1"]
