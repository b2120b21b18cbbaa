"""When a page is a view: in a real browser, with a service that only records."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.browser.chromium import Chromium, unattended
from tests.harness.browser.recorder import Recorder, recorder
from tests.harness.browser.site import Page, Site, site
from tests.harness.wait import wait_for


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
    yield
    service.check()


def paths(service: Recorder) -> list[str]:
    """The paths of the views, in order."""
    return [item["u"].partition("://")[2].partition("/")[2] for item in service.of("view")]


def reported(place: Site) -> list[dict[str, Any]]:
    """What pages said about themselves."""
    return [json.loads(one.body) for one in place.asked("POST", "/report")]


REPORT = "const report = (said) => fetch('/report', {method: 'POST', keepalive: true, body: JSON.stringify(said)});"


# -- one rule for single pages -------------------------------------------------------------------------------------


def test_another_path_is_a_view_whatever_the_router_calls(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = f"<title>App</title>{service.tag('async')}"
    script = """
        await page.goto(args.url + "/?first=1#top");
        await until(() => page.evaluate("!!window.tally"));
        await page.evaluate(() => {
            history.pushState(null, "", "/one?page=1#part");
            history.pushState(null, "", "/two");
            history.pushState(null, "", "/two?page=2");        // the same path
            history.replaceState(null, "", "/two?page=3#x");   // the same path
            history.replaceState(null, "", "/three");
            location.hash = "elsewhere";                       // a popstate with the same path
        });
        await page.evaluate("history.go(-2)");                 // /two?page=... was replaced: back to /two
        await until(() => page.evaluate("location.pathname == '/two'"));
        await page.waitForTimeout(100);
        return page.evaluate("location.href");
    """
    assert chromium.run(script, url=place.url).endswith("/two")
    service.wait(view=5)
    assert service.settled()["view"] == 5
    assert paths(service) == ["?first=1", "one?page=1", "two", "three", "two"]
    views = service.of("view")
    assert len({item["v"] for item in views}) == 5
    before = ["/?first=1", "/one?page=1", "/two", "/three"]
    assert [item["r"] for item in views] == ["", *(place.url + path for path in before)]


def test_the_functions_of_the_history_do_what_they_did(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag()
    script = """
        await page.goto(args.url);
        await until(() => page.evaluate("!!window.tally"));
        return page.evaluate(() => {
            const refused = (...given) => { try { history.pushState(...given) } catch (error) { return error.name } };
            const errors = [refused(() => {}, "", "/a"), refused(0, "", "//b.example")];
            return [history.pushState({deep: [1]}, "", "/b"), history.state, ...errors, location.pathname];
        });
    """
    assert chromium.run(script, url=place.url) == [None, {"deep": [1]}, "DataCloneError", "SecurityError", "/b"]
    assert service.settled()["view"] == 2


def test_a_view_says_from_where_and_never_a_fragment(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag()
    long = "a" * 2000
    script = "await page.goto(`${args.url}/?q=${args.long}#secret`, {referer: 'https://www.search.example/?q=shoes'})"
    chromium.run(script + "; await until(() => page.evaluate('!!window.tally'))", url=place.url, long=long)
    chromium.run("await page.goto(args.url + '/#secret')", url=place.url)
    service.wait(view=2)
    first, second = service.of("view")
    assert first["r"] == "https://www.search.example/?q=shoes"
    assert first["u"] == f"{place.url}/?q={long}"[:1024]
    assert second["u"] == f"{place.url}/"


# -- pages that come back ------------------------------------------------------------------------------------------

#: Connections that a browser keeps to a host.
_SOCKETS = 6
LEAVE_AND_RETURN = """
    const came = [];
    await page.exposeFunction("came", (persisted) => came.push(persisted));
    await page.goto(`${args.url}/kept`);
    for (let round = 0; round < args.rounds; round++) {
        await page.evaluate("onpageshow = (event) => came(event.persisted)");
        if (args.how === "click") await page.click("a");
        else await page.evaluate("location = 'other'");
        await page.waitForURL("**/other", { waitUntil: "commit" });
        await page.evaluate("history.back()");      // page.goBack() waits for a load that never comes
        await page.waitForURL("**/kept", { waitUntil: "commit" });
        await until(() => came.length > round);
    }
    await page.waitForTimeout(args.staysMs);        // a browser that closes takes requests that wait for a socket along
    return came;
"""


@pytest.mark.parametrize(
    ("rounds", "how", "slow_s"),
    [
        (3, "address", 0.0),
        *(
            pytest.param(20, how, slow_s, marks=pytest.mark.slow)
            for how in ("address", "click")
            for slow_s in (0.0, 0.3, 3.0)
        ),
    ],
)
def test_a_restored_page_is_a_view_and_the_script_costs_no_restoring(
    chromium: Chromium, service: Recorder, place: Site, rounds: int, how: str, slow_s: float
) -> None:
    place.pages["/other"] = "<title>Other</title>"
    kept = '<title>Kept</title><a href="/other" data-tally-banner="42">away</a>'
    place.pages["/kept"] = kept
    without = chromium.run(LEAVE_AND_RETURN, url=place.url, rounds=rounds, how=how, staysMs=0)
    place.pages["/kept"] = service.tag() + kept
    service.answer = lambda _: time.sleep(slow_s) or 204  # type: ignore[func-returns-value]
    try:
        stays_s = slow_s * (rounds // _SOCKETS + 1)
        with_it = chromium.run(LEAVE_AND_RETURN, url=place.url, rounds=rounds, how=how, staysMs=stays_s * 1000)
        assert without == with_it == [True] * rounds
        service.wait(view=rounds + 1)
        kinds = service.settled()
        assert kinds["view"] == rounds + 1
        assert kinds["click"] == (rounds if how == "click" else 0)
        assert len({item["v"] for item in service.of("view")}) == rounds + 1
    finally:
        service.answer = lambda _: 204


# -- pages that nobody sees ----------------------------------------------------------------------------------------

RULES = '<script type="speculationrules">{"prerender": [{"urls": ["/ahead"], "eagerness": "immediate"}]}</script>'


@pytest.mark.parametrize("is_activated", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_prerendered_page_is_a_view_when_it_is_activated(
    service: Recorder, place: Site, tmp_path: Path, is_activated: bool
) -> None:
    follow = "/ahead" if is_activated else "/elsewhere"
    place.pages["/"] = (
        f"{RULES}<script>const ask = async () => {{"
        f"  if ((await fetch('/ready')).ok) location = '{follow}'; else setTimeout(ask, 100)"
        "}; ask()</script>"
    )
    place.pages["/elsewhere"] = f"<script>{REPORT} report({{at: 'elsewhere'}})</script>"
    place.pages["/ahead"] = (
        f"<script>{REPORT} report({{prerendering: document.prerendering}});"
        "document.addEventListener('prerenderingchange', () => report({activated: document.visibilityState}));"
        f"</script>{service.tag()}"
        "<script defer src='/said.js'></script>"
        '<div data-tally-banner="42" style="height: 50px"></div>'
    )
    place.pages["/said.js"] = Page("tally('early', {a: 1})", headers={"content-type": "text/javascript"})
    with unattended(place.url, tmp_path):
        wait_for(lambda: place.asked("GET", "/said.js"), "the page is prerendered", 20)
        assert service.settled() == {}
        place.pages["/ready"] = "now"
        last = {"activated": "visible"} if is_activated else {"at": "elsewhere"}
        wait_for(lambda: last in reported(place), "the page is activated, or another one is shown", 20)
        if is_activated:
            service.wait(view=1, event=1)
        kinds = service.settled()
    assert {"prerendering": True} in reported(place)  # or this test proves nothing
    if not is_activated:
        assert kinds == {}
        return
    assert (kinds["view"], kinds["event"], kinds["served"]) == (1, 1, 1)
    # It was loaded a while before, but is a view since it is seen.
    activated = next(one.at for one in place.asked("POST", "/report") if b"activated" in one.body) * 1000
    assert all(item["at"] > activated - 500 for item in service.counted())
    assert not [one for one in service.requests if "sec-purpose" in one.asked.headers]


def test_a_page_in_a_background_tab_is_a_view_when_somebody_looks(
    service: Recorder, place: Site, tmp_path: Path
) -> None:
    """The first tab opens another one before itself, goes to its page behind that, and is seen when that closes."""
    place.pages["/"] = "<script>open('/cover'); setTimeout(() => location = '/behind', 500)</script>"
    place.pages["/cover"] = "<script>setTimeout(close, 4000)</script>"
    place.pages["/behind"] = (
        f"<script>{REPORT} report({{at: document.visibilityState}});"
        "document.addEventListener('visibilitychange', () => report({then: document.visibilityState}));"
        f"</script>{service.tag()}<div data-tally-banner='42' style='height: 50px'></div>"
    )
    with unattended(place.url, tmp_path):
        wait_for(lambda: {"at": "hidden"} in reported(place), "the page is loaded behind another", 20)
        wait_for(lambda: {"then": "visible"} in reported(place), "somebody looks", 20)
        service.wait(view=1, served=1)
        assert service.settled()["view"] == 1
    seen = next(one.at for one in place.asked("POST", "/report") if b"then" in one.body) * 1000
    assert all(item["at"] > seen - 500 for item in service.counted())


# -- leaves ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_leave_holds_the_visible_time_and_no_other(service: Recorder, place: Site, tmp_path: Path) -> None:
    """Seen for 1.5 s, covered for 2 s, seen for 0.4 s, covered, seen until 1.2 s after: 1.5 s and 1.6 s."""
    place.pages["/cover"] = "<script>setTimeout(close, 2000)</script>"
    place.pages["/"] = (
        f"{service.tag()}<script>{REPORT} let begin = performance.now(); const seen = [];"
        "document.addEventListener('visibilitychange', () => {"
        "  if (document.hidden) { seen.push(performance.now() - begin); report(seen) }"
        "  else { begin = performance.now(); setTimeout(() => open('/cover'), [0, 400, 1200, 1e6][seen.length]) }"
        "}); setTimeout(() => open('/cover'), 1500)</script>"
    )
    with unattended(place.url, tmp_path):
        wait_for(lambda: [one for one in reported(place) if len(one) == 3], "three times covered", 30)
        service.wait(leave=2)
        kinds = service.settled()
    (seen,) = (one for one in reported(place) if len(one) == 3)
    assert kinds == {"view": 1, "leave": 2}
    assert seen[1] < 1000  # or this test proves nothing
    # The page's own clock begins with its inline script, that of the view with the deferred one.
    first, second = (item["ms"] for item in service.of("leave"))
    assert seen[0] - 400 < first <= seen[0] + 50
    assert abs(seen[1] + seen[2] - second) < 100


def test_a_view_of_less_than_a_second_has_no_leave(chromium: Chromium, service: Recorder, place: Site) -> None:
    """The script runs before this event, which comes at once."""
    place.pages["/"] = (
        service.tag() + "<script>addEventListener('DOMContentLoaded', () => history.pushState(0, '', '/b'))</script>"
    )
    chromium.run("await page.goto(args.url)", url=place.url)
    service.wait(view=2)
    views = service.of("view")
    assert [item["u"] for item in views] == [f"{place.url}/", f"{place.url}/b"]
    assert [item for item in service.of("leave") if item["v"] == views[0]["v"]] == []
