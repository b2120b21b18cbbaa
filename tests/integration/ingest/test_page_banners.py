"""Clicks and impressions of banners: in a real browser, with a service that only records."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.browser.chromium import Chromium, unattended
from tests.harness.browser.chromium import chromium as one_chromium
from tests.harness.browser.recorder import SCRIPT, Recorder, recorder
from tests.harness.browser.site import Page, Site, site
from tests.harness.wait import wait_for

#: Loads the page of `args.url` and waits for the script.
OPEN = "await page.goto(args.url); await until(() => page.evaluate('!!window.tally'));"


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


def banners(service: Recorder, kind: str) -> list[str]:
    """The banners of the items of a kind, in order."""
    return [item["b"] for item in service.of(kind)]


# -- clicks --------------------------------------------------------------------------------------------------------


def test_what_is_a_click_and_that_nothing_is_held_up(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/next"] = "<title>Next</title>"
    ids = ("plain", "ctrl", "middle", "right", "enter", "scripted", "stopped")
    place.pages["/"] = service.tag() + "".join(
        f'<p data-tally-banner="{number}"><a id="{name}" href="/next?{name}"><b>{name}</b></a>'
        for number, name in enumerate(ids, 1)
    )
    script = (
        OPEN
        + """
        const tabs = [];
        context.on("page", (one) => tabs.push(one));
        const way = async (name, act) => {
            await act();
            await page.waitForURL(`**/next?${name}`);
            await page.goto(args.url);
        };
        const tab = async (act) => {
            const before = tabs.length;
            await act();
            await until(() => tabs.length > before);
        };
        await tab(() => page.click("#ctrl", { modifiers: ["Control"] }));
        await tab(() => page.click("#middle", { button: "middle" }));
        await page.click("#right", { button: "right" });
        await page.evaluate(() => { stopped.onclick = (event) => { event.stopPropagation(); event.preventDefault() } });
        await page.click("#stopped b");
        await way("plain", () => page.click("#plain b"));
        await page.focus("#enter");
        await way("enter", () => page.keyboard.press("Enter"));
        await page.evaluate(() => { scripted.click() });
        await page.waitForURL("**/next?scripted");
        await Promise.all(tabs.map((one) => one.waitForURL("**/next?*")));
        return tabs.map((one) => new URL(one.url()).search);
    """
    )
    assert sorted(chromium.run(script, url=place.url)) == ["?ctrl", "?middle"]
    service.wait(click=5)
    assert service.settled()["click"] == 5
    assert sorted(banners(service, "click")) == ["1", "2", "3", "5", "7"]  # neither the right button nor the scripted


def test_shadow_trees_frames_of_their_own_and_the_nearest_banner(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    place.pages["/"] = (
        service.tag()
        + """
        <div data-tally-banner="1"><x-open></x-open><x-closed></x-closed></div>
        <div id="host"></div>
        <div data-tally-banner="3"><p data-tally-banner="4"><i id="nearest">nearest</i></p></div>
        <p id="none" data-tally-banner="">none</p>
        <script>
            for (const mode of ["open", "closed"]) customElements.define("x-" + mode, class extends HTMLElement {
                constructor() { super(); this.attachShadow({mode}).innerHTML = `<button>${mode}</button>` }
            });
            host.attachShadow({mode: "open"}).innerHTML = '<p data-tally-banner="2"><b id="inside">inside</b></p>';
        </script>
    """
    )
    script = (
        OPEN
        + """
        for (const one of ["x-open", "x-closed", "#inside", "#nearest", "#none"]) await page.click(one);
    """
    )
    chromium.run(script, url=place.url)
    service.wait(click=4)
    service.settled()
    assert banners(service, "click") == ["1", "1", "2", "4"]


def test_links_out_are_told_and_links_inside_are_not(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = (
        service.tag()
        + """
        <base target="_blank">
        <a href="http://out.example/a?b=1#secret"><svg width="20" height="20"><circle id="dot" r="20"/></svg></a>
        <a id="own" href="/own">own</a><a id="mail" href="mailto:a@b.example">mail</a>
        <a id="code" href="javascript:void 0">code</a>
        <p data-tally-banner="9"><a id="banner" href="http://shop.example/">banner</a></p>
        <script>addEventListener("click", (event) => event.preventDefault())</script>
    """
    )
    script = OPEN + "for (const one of ['#dot', '#own', '#mail', '#code', '#banner']) await page.click(one);"
    chromium.run(script, url=place.url)
    service.wait(out=1, click=1)
    kinds = service.settled()
    assert (kinds["out"], kinds["click"]) == (1, 1)
    assert [item["u"] for item in service.of("out")] == ["http://out.example/a?b=1"]


# -- impressions ---------------------------------------------------------------------------------------------------

#: Seconds by which a timer of the page may be late; a round in which one is later proves nothing and is done again.
LATE_MS = 80


def steadily(chromium: Chromium, service: Recorder, script: str, **args: object) -> None:
    """Run a script that returns by how much its timers were late, until they were not."""
    for _ in range(8):
        service.forget()
        if chromium.run(script, **args) < LATE_MS:
            return
        service.settled()
    raise TimeoutError("this machine is too busy")


#: In a page: waits, and keeps by how much it was late.
PAUSE = """
    let late = 0;
    const pause = async (ms) => {
        const began = performance.now();
        await new Promise((resolve) => setTimeout(resolve, ms));
        late = Math.max(late, performance.now() - began - ms);
    };
"""


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([[0.6, 850], [0, 400]], 0),
        ([[0.6, 1300]], 1),
        pytest.param([[0.4, 1500]], 0, marks=pytest.mark.slow),
        # Never a second without a break.
        pytest.param([[0.6, 700], [0.4, 300], [0.6, 700], [0, 300]], 0, marks=pytest.mark.slow),
        # Once in a view.
        pytest.param([[0.6, 700], [0.4, 300], [0.6, 1300], [0, 200], [1, 1300]], 1, marks=pytest.mark.slow),
    ],
)
def test_half_of_it_for_a_second_without_a_break_is_viewable(
    chromium: Chromium, service: Recorder, place: Site, steps: list[list[float]], count: int
) -> None:
    """The banner is scrolled so that the given share of it is seen, for so many milliseconds."""
    place.pages["/"] = service.tag() + (
        '<div style="height: 3000px"></div><div data-tally-banner="42" style="height: 200px"></div>'
        '<div style="height: 3000px"></div>'
    )
    script = f"""
        {OPEN}
        return page.evaluate(async (steps) => {{
            {PAUSE}
            for (const [share, ms] of steps) {{
                const box = document.querySelector("[data-tally-banner]").getBoundingClientRect();
                scrollTo(0, scrollY + box.top - innerHeight + box.height * share);
                await pause(ms);
            }}
            return late;
        }}, args.steps);
    """
    steadily(chromium, service, script, url=place.url, steps=steps)
    kinds = service.settled()
    assert kinds["served"] == 1  # far below the fold, too
    assert kinds["viewable"] == count


def test_what_comes_later_is_seen(chromium: Chromium, service: Recorder, place: Site) -> None:
    """Added, marked, changed, shown, and grown: each by the way in which pages do it."""
    place.pages["/"] = (
        service.tag()
        + """
        <style>p { height: 60px; margin: 0 } .away { display: none } .flat { height: 0 }</style>
        <div id="into"></div><p id="marked"></p><p id="changed" data-tally-banner="3"></p>
        <p id="shown" class="away" data-tally-banner="5"></p><p id="grown" class="flat" data-tally-banner="6"></p>
        <p id="never" class="away" data-tally-banner="7"></p><p id="empty" class="flat" data-tally-banner="8"></p>
        <div id="picture" data-tally-banner="9"></div>
    """
    )
    place.pages["/picture.svg"] = Page(
        '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60"/>', headers={"content-type": "image/svg+xml"}
    )
    script = (
        OPEN
        + """
        await page.waitForTimeout(1300);
        await page.evaluate(() => {
            into.innerHTML = '<section><p data-tally-banner="1"></p></section>';
            marked.dataset.tallyBanner = "2";
            changed.dataset.tallyBanner = "4";
            shown.className = grown.className = "";
            picture.append(Object.assign(new Image(), {src: "/picture.svg"}));
        });
        await page.waitForTimeout(1600);
    """
    )
    chromium.run(script, url=place.url)
    service.settled()
    expected = ["1", "2", "3", "4", "5", "6", "9"]
    assert sorted(banners(service, "served")) == expected
    assert sorted(banners(service, "viewable")) == expected


@pytest.mark.slow
def test_a_banner_that_is_changed_or_taken_away_was_not_seen_for_a_second(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    place.pages["/"] = (
        service.tag() + '<p id="one" data-tally-banner="1">one</p><p id="two" data-tally-banner="2">two</p>'
        '<p id="three" data-tally-banner="3">three</p><p id="four" data-tally-banner="4">four</p>'
    )
    script = f"""
        await page.goto(args.url, {{ waitUntil: "commit" }});
        return page.evaluate(async () => {{
            {PAUSE}
            while (!window.tally) await new Promise(requestAnimationFrame);
            await pause(600);
            one.dataset.tallyBanner = "10";
            two.remove();
            three.style.display = "none";
            delete four.dataset.tallyBanner;
            await pause(700);
            one.remove();
            return late;
        }});
    """
    steadily(chromium, service, script, url=place.url)
    service.settled()
    assert sorted(banners(service, "served")) == ["1", "10", "2", "3", "4"]
    assert banners(service, "viewable") == []


def test_other_changes_of_the_page_break_no_second(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag() + '<p data-tally-banner="1">one</p><p id="clock"></p>'
    script = (
        OPEN
        + """
        await page.evaluate(() => { setInterval(() => { clock.innerHTML = `<b>${Date.now()}</b>` }, 50) });
        await page.waitForTimeout(1600);
    """
    )
    chromium.run(script, url=place.url)
    service.settled()
    assert banners(service, "viewable") == ["1"]


def test_a_view_resets_the_banners_that_stay(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag() + '<p data-tally-banner="1">one</p><p data-tally-banner="1">the same</p>'
    script = (
        OPEN
        + """
        await page.waitForTimeout(1400);
        await page.evaluate("history.pushState(0, '', '/b')");
        await page.waitForTimeout(600);
        await page.evaluate("history.pushState(0, '', '/c')");
        await page.waitForTimeout(1400);
    """
    )
    chromium.run(script, url=place.url)
    service.settled()
    views = [item["v"] for item in service.of("view")]
    assert [item["v"] for item in service.of("served")] == views
    assert [item["v"] for item in service.of("viewable")] == [views[0], views[2]]


@pytest.mark.slow
def test_a_second_that_is_broken_by_another_tab_begins_anew(service: Recorder, place: Site, tmp_path: Path) -> None:
    """Seen for 0.6 s, covered for 1.5 s, seen for 0.6 s, covered for 1.5 s, and then to its end."""
    place.pages["/cover"] = "<script>setTimeout(close, 1500)</script>"
    place.pages["/"] = (
        service.tag()
        + """<p data-tally-banner="1">one</p><script>
        let covers = 0;
        const cover = () => { if (covers++ < 2) open("/cover"); else fetch("/report", {method: "POST"}) };
        addEventListener("DOMContentLoaded", () => setTimeout(cover, 600));
        document.addEventListener("visibilitychange", () => document.hidden || setTimeout(cover, 600));
    </script>"""
    )
    with unattended(place.url, tmp_path):
        wait_for(lambda: place.asked("POST", "/report"), "it was covered twice", 30)
        assert service.kinds()["viewable"] == 0
        service.wait(viewable=1)
        kinds = service.settled()
    assert (kinds["view"], kinds["served"], kinds["viewable"]) == (1, 1, 1)


@pytest.mark.slow
def test_ten_thousand_elements_cost_less_than_ten_milliseconds(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    """The best of some rounds, with the script and without: what it adds is its own."""
    work = """
        await page.goto(args.url);
        await page.waitForTimeout(700);
        return page.evaluate(async () => {
            const times = [];
            for (let round = 0; round < 7; round++) {
                const box = document.createElement("div");
                box.innerHTML = "<p><b>x</b></p>".repeat(5000);
                const began = performance.now();
                document.body.append(box);
                await new Promise((resolve) => queueMicrotask(resolve));  // behind those that watch
                times.push(performance.now() - began);
                box.remove();
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            return Math.min(...times);
        });
    """
    place.pages["/"] = "<p>none</p>"
    without = chromium.run(work, url=place.url)
    place.pages["/"] = service.tag() + '<p data-tally-banner="1">one</p>'
    with_it = chromium.run(work, url=place.url)
    assert service.settled()["served"] == 1
    assert with_it - without < 10


# -- where it must not get in the way ------------------------------------------------------------------------------


def test_in_a_frame_banners_count_and_views_do_not(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = (
        f'<iframe src="{place.url}/frame?same"></iframe><iframe src="{place.other_url}/frame?other"></iframe>'
        f'<div style="height: 3000px"></div><iframe src="{place.other_url}/frame?below"></iframe>'
    )
    place.pages["/frame"] = service.tag() + (
        '<p data-tally-banner="7" style="height: 40px">a banner</p><script>onload = () => tally("framed")</script>'
    )
    script = """
        await page.goto(args.url);
        for (const frame of page.frames().slice(1)) await until(() => frame.evaluate("!!window.tally"));
        await page.waitForTimeout(1700);
        for (const frame of page.frames().slice(1, 3)) await frame.click("p");
        await page.waitForTimeout(300);
    """
    chromium.run(script, url=place.url)
    service.wait(event=3, served=3, viewable=2, click=2)
    assert service.settled() == {"event": 3, "served": 3, "viewable": 2, "click": 2}  # one is below the fold
    assert len({item["v"] for item in service.counted()}) == 3


def test_a_strict_policy_an_integrity_and_nothing_left_behind(
    chromium: Chromium, service: Recorder, place: Site
) -> None:
    digest = base64.b64encode(hashlib.sha384(SCRIPT.read_bytes()).digest()).decode()
    host = service.site.other_url
    policy = f"default-src 'none'; script-src {host}; connect-src {host}; require-trusted-types-for 'script'"
    tag = service.tag(f'integrity="sha384-{digest}" crossorigin="anonymous"')
    headers = {"content-type": "text/html", "content-security-policy": policy}
    place.pages["/"] = Page(f'{tag}<p data-tally-banner="1">one</p>', headers=headers)
    place.pages["/plain"] = '<p data-tally-banner="1">one</p>'
    look = """
        await page.addInitScript(() => {
            window.violations = [];
            document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
        });
        await page.goto(args.url);
        await page.waitForTimeout(500);
        await page.click("p");
        await page.waitForTimeout(1500);
        return {
            ...(await page.evaluate(async () => ({
                names: Object.getOwnPropertyNames(window),
                violations,
                kept: [document.cookie, localStorage.length, sessionStorage.length, await indexedDB.databases()],
                html: document.querySelector("p").outerHTML,
            }))),
            cookies: await context.cookies(),
        };
    """
    plain = chromium.run(look, url=f"{place.url}/plain")
    seen = chromium.run(look, url=place.url)
    assert seen["violations"] == []
    assert seen["kept"] == ["", 0, 0, []]
    assert seen["cookies"] == []
    assert seen["html"] == plain["html"]
    assert set(seen["names"]) - set(plain["names"]) == {"tally"}
    assert service.settled() == {"view": 1, "served": 1, "viewable": 1, "click": 1, "leave": 1}
    assert not [one for one in service.requests if "cookie" in one.asked.headers]


@pytest.mark.slow
def test_other_bytes_than_those_of_the_integrity_do_not_run(chromium: Chromium, service: Recorder, place: Site) -> None:
    place.pages["/"] = service.tag('integrity="sha384-' + "A" * 64 + '" crossorigin="anonymous"')
    chromium.run("await page.goto(args.url); await page.waitForTimeout(300)", url=place.url)
    assert service.settled() == {}


def test_a_second_tag_counts_nothing_twice(chromium: Chromium, service: Recorder, place: Site) -> None:
    stub = "<script>window.tally = window.tally || function () { (tally.q = tally.q || []).push(arguments) }</script>"
    place.pages["/"] = f'{stub}{service.tag()}{service.tag()}<p data-tally-banner="1">one</p>'
    chromium.run(OPEN + "await page.click('p')", url=place.url)
    service.wait(view=1, click=1, served=1)
    kinds = service.settled()
    assert (kinds["view"], kinds["served"], kinds["click"]) == (1, 1, 1)


@pytest.mark.slow
def test_a_page_of_plain_http_has_views_with_uuids(service: Recorder, place: Site, tmp_path: Path) -> None:
    """No `crypto.randomUUID` there. 127.0.0.1 is always secure, so the page has a name that resolves to it."""
    place.pages["/"] = service.tag()
    rules = "--host-resolver-rules=MAP page.example 127.0.0.1"
    with one_chromium(tmp_path / "log", [rules]) as other:
        script = OPEN + "return page.evaluate('[isSecureContext, typeof crypto.randomUUID]')"
        assert other.run(script, url=f"http://page.example:{place.port}/") == [False, "undefined"]
        service.wait(view=1)
    assert service.settled() == {"view": 1}
