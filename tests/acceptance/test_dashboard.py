"""The dashboard in a real browser, on the stack as its users run it: every number on it is one of the interface."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.browser.chromium import Chromium, chromium
from tests.harness.http import request
from tests.harness.services import enterable
from tests.harness.stacks import Stack, running
from tests.harness.subjects import dashboard_data
from tests.harness.wait import wait_for

pytestmark = pytest.mark.timeout(240)

#: What every script begins with: a record of requests, of reports of the policy, and of complaints of the console.
WATCH = """
const seen = {origins: new Set(), complaints: []};
page.on("request", (one) => one.url().startsWith("http") && seen.origins.add(new URL(one.url()).origin));
page.on("console", (one) => one.type() === "error" && seen.complaints.push(`${one.text()} ${one.location().url}`));
const number = async (where) => Number((await page.locator(where).innerText()).replace(/[^0-9]/g, ""));
const quiet = () => page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .skeleton, .waiting'));
"""
#: What every script ends with.
WATCHED = "return {result, origins: [...seen.origins], complaints: seen.complaints};"
CONTEXT = {"timezoneId": "Europe/Berlin", "locale": "en-GB", "viewport": {"width": 1280, "height": 900}}


class Dashboard:
    """A stack, and a browser that looks at it."""

    def __init__(self, stack: Stack, browser: Chromium) -> None:
        self.stack, self.browser = stack, browser
        self.url = f"http://127.0.0.1:{stack.port}/"

    def look(self, script: str, context: dict[str, Any] | None = None, **args: Any) -> Any:
        """Run a script. Its pages ask this origin alone, and no policy is broken."""
        whole = f"{WATCH} const look = async () => {{ {script} }}; const result = await look(); {WATCHED}"
        seen = self.browser.run(whole, context={**CONTEXT, **(context or {})}, url=self.url, **args)
        assert seen["origins"] == [self.url.rstrip("/")]
        assert seen["complaints"] == []
        return seen["result"]

    def get(self, path: str) -> Any:
        """An answer of the interface."""
        answer = request(self.stack.port, path)
        assert answer.status == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """An empty stack with a browser."""
    folder = enterable(tmp_path_factory.mktemp("test_dashboard")) / "data"
    log = folder.with_name("chromium.log")
    with chromium(log) as browser, running(folder, workers=1, **dashboard_data.SETTINGS) as stack:
        yield Dashboard(stack, browser)


@pytest.fixture(scope="module")
def filled(dashboard: Dashboard, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the stack was filled with."""
    folder = enterable(tmp_path_factory.mktemp("filled"))
    sent = dashboard_data.fill(dashboard.stack.port, dashboard.stack.note(), folder)

    def is_there() -> bool:
        views = dashboard.get("/stats/pages?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")
        books = dashboard.get("/accounting")
        return "total" in views and books["records"]["events"]["inFlight"] == 0

    wait_for(is_there, "the rows in ClickHouse")
    return sent


def test_an_empty_service_says_what_to_run_and_notices_what_arrives(dashboard: Dashboard) -> None:
    script = """
    await page.goto(args.url);
    const step = page.locator(".first li").first();
    const command = await step.locator("code").innerText();
    await page.evaluate((path) => fetch(path, {method: "POST"}), new URL(command.split(" ").at(-1)).pathname);
    await step.getByText("arrived").waitFor();
    return {command, steps: await page.locator(".first li").count()};
    """
    found = dashboard.look(script)
    assert found["command"] == f"curl -i -X POST {dashboard.url}stats/42"
    assert found["steps"] == 5
    assert dashboard.get("/stats/42")["total"] == 1


def test_the_numbers_are_those_of_the_interface(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    script = """
    await page.goto(args.url + "ui/banners?range=yesterday&tz=Europe/Berlin");
    await page.locator("tbody tr").nth(3).waitFor();
    await quiet();
    const cells = () => page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((cell) => cell.innerText)));
    await until(async () => (await cells()).every((row) => /[0-9]/.test(row[4])));
    const rows = await cells();
    await page.locator("tbody a").first().click();
    await page.locator("h1", {hasText: "Banner 42"}).waitFor();
    await quiet();
    const images = await page.locator("img").count();
    return {rows, total: await number(".tile .big >> nth=0"), at: page.url(), images};
    """
    found = dashboard.look(script)
    [range_] = {one.partition("?")[2] for one in [found["at"]]}
    assert range_ == "range=yesterday&tz=Europe/Berlin"
    day = dashboard.get("/stats/42?tsFrom=2026-01-01T00:00:00Z&tsTo=2026-01-02T00:00:00Z&step=day&tz=Europe/Berlin")
    assert day["total"] == 0
    date = (filled["now"].astimezone(dashboard_data.BERLIN) - dashboard_data.DAY).date().isoformat()
    top = dashboard.get(f"/stats/top?tsFrom={date}&tsTo={date}&tz=Europe/Berlin&limit=100")["banners"]
    before = dashboard.get(
        f"/stats?bannerIds={','.join(str(one['bannerId']) for one in top)}&step=day&tz=Europe/Berlin"
        f"&tsFrom={_before(date)}&tsTo={_before(date)}"
    )["banners"]
    named = {one["bannerId"]: one["total"] for one in before}
    shown = [(int(row[1]), row[2], _number(row[3]), _number(row[4])) for row in found["rows"]]
    assert shown == [
        (one["bannerId"], filled["names"][one["bannerId"]], one["count"], named[one["bannerId"]]) for one in top
    ]
    assert found["total"] == top[0]["count"]
    assert found["images"] == 0  # a name with a tag in it is a text


def test_a_chart_is_read_and_zoomed_by_keyboard_and_its_table_is_its_file(
    dashboard: Dashboard, filled: dict[str, Any]
) -> None:
    script = """
    await page.goto(args.url + "ui/banners/48?from=" + args.day + "&to=" + args.day + "&tz=UTC&step=hour&vs=off");
    const slider = page.getByRole("slider");
    await slider.waitFor();
    await page.locator(".u-wrap").waitFor();
    await slider.focus();
    const texts = [];
    for (const key of ["Home", "ArrowRight", "Shift+ArrowRight", "End"]) {
        await page.keyboard.press(key);
        texts.push(await slider.getAttribute("aria-valuetext"));
    }
    await page.keyboard.press("Home");
    await page.keyboard.press("Space");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.waitForURL(/T00:00:00Z/);
    const zoomed = page.url();
    await page.goBack();
    await page.waitForURL(/step=hour/);
    await page.keyboard.press("Escape");
    await page.locator("h1").click();
    await page.keyboard.press("v");
    await page.waitForURL(/view=table/);
    await page.locator("tbody tr").nth(23).waitFor();
    const cells = await page.locator("table tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((cell) => cell.innerText.trim())));
    const saved = page.waitForEvent("download");
    await page.keyboard.press("x");
    await page.getByRole("button", {name: "CSV as shown"}).click();
    const file = await saved;
    const {readFileSync} = await import("node:fs");
    return {texts, zoomed, cells, name: file.suggestedFilename(), text: readFileSync(await file.path(), "utf8")};
    """
    day = (filled["now"] - 2 * dashboard_data.DAY).date().isoformat()
    found = dashboard.look(script, day=day)
    answer = dashboard.get(f"/stats/48?tsFrom={day}&tsTo={day}&tz=UTC&step=hour&fill=true")
    counts = [one["count"] for one in answer["stats"]]
    assert [_number(text.split(", ")[2]) for text in found["texts"]] == [counts[0], counts[1], counts[11], counts[23]]
    assert f"from={day}T00:00:00Z&to={day}T02:00:00Z" in found["zoomed"]
    file = list(csv.reader(io.StringIO(found["text"])))
    assert file[0] == found["cells"][0] == ["Hour (UTC)", "Clicks", "Final"]
    assert [[row[0], int(row[1]), row[2]] for row in file[1:]] == [
        [row[0], _number(row[1]), row[2]] for row in found["cells"][1:]
    ]
    assert [int(row[1]) for row in file[1:]] == counts[::-1]
    assert file[1][0] == f"{day} 23:00"
    assert found["name"].startswith(f"tallybook-banner-48-hour-{day}")


def test_every_view_has_one_heading_and_nothing_is_broken(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    script = """
    const found = {};
    for (const view of args.views) {
        await page.goto(args.url + view);
        await page.locator("h1").waitFor();
        await quiet();
        found[view] = {
            headings: await page.locator("h1").count(),
            troubles: await page.locator(".trouble").allInnerTexts(),
            wide: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
        };
    }
    return found;
    """
    views = ["", *sorted(f"ui/{one}" for one in dashboard_data.VIEWS if one not in ("health", "trackers"))]
    found = dashboard.look(script, views=views)
    assert found == {view: {"headings": 1, "troubles": [], "wide": 0} for view in views}


def test_a_ranking_is_paged_to_its_end_and_compared_place_by_place(
    dashboard: Dashboard, filled: dict[str, Any]
) -> None:
    day = filled["now"] - 12 * dashboard_data.DAY
    dashboard_data.rank(dashboard.stack.port, 230, day)
    script = """
    await page.goto(args.url + "ui/banners?from=" + args.day + "&to=" + args.day + "&tz=UTC");
    await page.locator("tbody tr").nth(99).waitFor();
    await page.getByRole("button", {name: "More", exact: true}).click();
    await page.getByRole("button", {name: "Show more (130 left)"}).click();
    await page.getByRole("button", {name: "Show more (30 left)"}).click();
    await page.locator("tbody tr").nth(229).waitFor();
    const rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].slice(0, 6).map((cell) => cell.innerText)));
    const saved = page.waitForEvent("download");
    await page.keyboard.press("x");
    await page.getByRole("button", {name: "CSV from the service"}).click();
    const {readFileSync} = await import("node:fs");
    return {rows, text: readFileSync(await (await saved).path(), "utf8")};
    """
    date = day.date().isoformat()
    found = dashboard.look(script, day=date)
    top = dashboard.get(
        f"/stats/top?tsFrom={date}&tsTo={date}&tz=UTC&limit=1000&againstFrom={_before(date)}&againstTo={_before(date)}"
    )["banners"]
    assert len(top) == 230
    assert [[_number(row[at]) for at in (0, 1, 3, 4)] for row in found["rows"]] == [
        [place, one["bannerId"], one["count"], one["before"]] for place, one in enumerate(top, 1)
    ]
    changes = {row[5] for row in found["rows"]}
    assert "new" in changes
    file = list(csv.reader(io.StringIO(found["text"])))
    assert [[int(cell) for cell in row] for row in file[1:]] == [list(one.values()) for one in top]


def test_rates_stand_beside_both_of_their_counts_and_nothing_viewable_is_a_gap(
    dashboard: Dashboard, filled: dict[str, Any]
) -> None:
    script = """
    await page.goto(args.url + "ui/banners?range=yesterday&vs=off&tz=UTC");
    await page.getByRole("columnheader", {name: "CTR, 95 %"}).waitFor();
    await quiet();
    const rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((cell) => cell.innerText)));
    await page.goto(args.url + "ui/banners/42?range=yesterday&vs=off&tz=UTC");
    const panel = page.locator(".panel", {hasText: "Impressions and rate"});
    await panel.waitFor();
    const one = await panel.locator(".tile dd").allInnerTexts();
    await panel.getByRole("combobox").selectOption("bots");
    await page.waitForURL(/traffic=bots/);
    await until(async () => (await panel.locator(".tile .big").first().innerText()) === "0");
    return {rows, one, bots: await panel.locator(".tile .big").allInnerTexts()};
    """
    found = dashboard.look(script)
    date = (filled["now"] - dashboard_data.DAY).date().isoformat()
    asked = f"tsFrom={date}&tsTo={date}&tz=UTC&step=day&metrics=clicks,served,viewable,ctr"
    banners = {
        one["bannerId"]: one["totals"] for one in dashboard.get(f"/stats?bannerIds=42,43,44,45&{asked}")["banners"]
    }
    rows = {int(row[1]): row for row in found["rows"]}
    for banner, figures in banners.items():
        served, viewable, ctr, interval = rows[banner][4:8]
        assert (_number(served), _number(viewable)) == (figures["served"], figures["viewable"])
        assert (ctr == "–") == (interval == "–") == (figures["ctr"] is None)
    assert banners[45]["ctr"] is None
    assert rows[46][4:8] == ["0", "0", "–", "–"]
    assert f"{banners[42]['clicks']:,} clicks of {banners[42]['viewable']:,} viewable" in found["one"][2]
    assert found["bots"] == ["0", "0", "–"]


def test_links_show_the_clicks_of_their_banners(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    script = """
    await page.goto(args.url + "ui/links?range=yesterday&tz=UTC");
    await page.locator("tbody tr").nth(2).waitFor();
    await until(async () => !(await page.locator("tbody td:nth-child(4)").allInnerTexts()).includes("–"));
    const cells = () => page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((cell) => cell.innerText)));
    const rows = await cells();
    await page.getByLabel("Slug, destination or banner").fill("43");
    await page.keyboard.press("Enter");
    await until(async () => (await cells()).length === 1);
    return {rows, found: (await cells())[0][0]};
    """
    found = dashboard.look(script)
    date = (filled["now"] - dashboard_data.DAY).date().isoformat()
    counted = dashboard.get(f"/stats?bannerIds=42,43&tsFrom={date}&tsTo={date}&tz=UTC&step=day")["banners"]
    clicks = {one["bannerId"]: one["total"] for one in counted}
    listed = dashboard.get("/links")["links"]
    assert [(row[0], row[1], int(row[2]), _number(row[3]), row[4]) for row in found["rows"]] == [
        (
            f"/r/{one['slug']}",
            f"{one['url']} …" if len(one["url"]) > 80 else one["url"],
            one["bannerId"],
            clicks[one["bannerId"]],
            "open" if one["active"] else "switched off",
        )
        for one in listed
    ]
    assert found["found"] == "/r/newsletter"


def test_visitors_are_those_of_the_interface_and_never_added_up(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    today = filled["now"].astimezone(dashboard_data.BERLIN).date().isoformat()

    def numbers(by: str) -> Any:
        return dashboard.get(f"/stats/web?site=shop&from={today}&to={today}&by={by}")

    wait_for(lambda: numbers("page")["totals"]["visits"] == filled["visitors"], "the items in ClickHouse")
    script = """
    await page.goto(args.url + "ui/visitors?from=" + args.day + "&to=" + args.day + "&site=shop");
    await page.locator("tbody tr").first().waitFor();
    await quiet();
    const tiles = await page.locator(".tile .big").allInnerTexts();
    const cells = () => page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((cell) => cell.innerText)));
    const pages = await cells();
    const slider = page.getByRole("slider");
    await page.locator(".u-wrap").waitFor();
    const buckets = Number(await slider.getAttribute("aria-valuemax")) + 1;
    await page.getByRole("link", {name: "Source", exact: true}).click();
    await page.waitForURL(/by=source/);
    await page.getByRole("columnheader", {name: "Source"}).waitFor();
    await quiet();
    const sources = await cells();
    await page.goto(args.url + "ui/visitors?range=7d&site=shop");
    await page.getByText("Visitor days").first().waitFor();
    await page.goto(args.url + "ui/sites");
    await page.getByRole("link", {name: "shop"}).click();
    await page.waitForURL(/ui.visitors.*site=shop/);
    return {tiles, pages, sources, buckets};
    """
    found = dashboard.look(script, day=today)
    answer = numbers("page")
    totals = answer["totals"]
    assert list(map(_number, found["tiles"][:3])) == [totals["views"], answer["visitors"], totals["visits"]]
    assert 23 <= found["buckets"] <= 25
    for by, shown in (("page", found["pages"]), ("source", found["sources"])):
        rows = numbers(by)["rows"]
        assert [(row[0], *map(_number, row[1:4])) for row in shown] == [
            (one["value"] or "(none)", one["views"], one["visits"], one["visitorDays"]) for one in rows
        ]


def test_a_segment_is_suggested_from_a_sample_that_is_called_one(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    script = """
    await page.goto(args.url + "ui/events?range=7d&tz=UTC");
    const box = page.getByLabel("Segment");
    await box.click();
    await page.getByText(/Suggestions come from a sample of/).waitFor();
    const offered = () => page.locator("form.segment datalist option").evaluateAll((all) =>
        all.map((one) => one.value));
    const found = [];
    for (const text of ["", "event_type:purchase and prop", "properties.country:"]) {
        await box.fill(text);
        found.push(await offered());
    }
    return {found};
    """
    found = dashboard.look(script)
    fields = {one["field"]: one["values"] for one in dashboard.get("/events/fields")["fields"]}
    assert found["found"] == [
        [f"{field}:" for field in fields],
        [f"event_type:purchase and {field}:" for field in fields if field.startswith("properties.")],
        [f"properties.country:{value}" for value in fields["properties.country"]],
    ]
    assert set(fields["properties.country"]) == {"UA", "DE", "PL"}


def test_live_mode_shows_clicks_as_they_come_and_never_falls(dashboard: Dashboard) -> None:
    script = """
    await page.goto(args.url + "ui/banners/4711?range=15m&live=1");
    await page.locator("button.live.live").waitFor();
    const shown = [];
    for (let clicks = 1; clicks <= 5; clicks++) {
        await page.evaluate((path) => fetch(path, {method: "POST"}), "/stats/4711");
        await until(async () => {
            shown.push(await number(".tile .big >> nth=0"));
            return shown.at(-1) >= clicks;
        });
    }
    return {shown, final: await number(".tile .big >> nth=0"), pill: await page.locator("button.live").innerText()};
    """
    found = dashboard.look(script)
    assert found["shown"] == sorted(found["shown"])
    assert found["final"] == dashboard.get("/stats/4711")["total"] == 5
    assert "Live" in found["pill"]


def test_d2_texts_of_others_are_text(dashboard: Dashboard, filled: dict[str, Any]) -> None:
    script = """
    await page.goto(args.url + "ui/banners?range=7d");
    await page.getByText(args.tag).waitFor();
    await page.goto(args.url + "ui/banners/" + args.banner);
    await page.locator("h1", {hasText: args.tag}).waitFor();
    await page.goto(args.url + "ui/pages?page=" + encodeURIComponent(args.tag));
    const heading = await page.locator("h1").innerText();
    await page.goto(args.url + "ui/events?type=" + encodeURIComponent("javascript:alert(1)\u202e"));
    const chip = await page.locator(".chips").innerText();
    return {heading, chip, title: await page.title(), made: await page.locator("main img, main script").count(),
        links: await page.locator("a").evaluateAll((all) => all.filter((one) => !one.href.startsWith("http")).length)};
    """
    tag = dashboard_data.HOSTILE[0]
    [banner] = [one for one, name in filled["names"].items() if name == tag]
    found = dashboard.look(script, tag=tag, banner=banner)
    assert tag in found["heading"]
    assert "javascript:alert(1)\\u202e" in found["chip"]
    assert "\u202e" not in found["title"]
    assert found["made"] == found["links"] == 0


def test_garbage_in_the_address_is_named_and_never_a_blank_page(dashboard: Dashboard) -> None:
    script = """
    await page.goto(args.url + "ui/banners/42?range=%3Cscript%3E&tz=Mars&step=x&vs=1&b=a,1&evil=2");
    const notice = await page.locator(".notice").innerText();
    await page.goto(args.url + "ui/banners/x%00%E2%80%AEy");
    const heading = await page.locator("h1").innerText();
    return {notice, heading};
    """
    found = dashboard.look(script)
    assert all(name in found["notice"] for name in ("range", "tz", "step", "vs", "b", "evil"))
    assert found["heading"] == "This is no banner"


def _number(text: str) -> int:
    return int("".join(one for one in text if one.isdigit()))


def _before(date: str) -> str:
    return (dashboard_data.parsed(date) - dashboard_data.DAY).isoformat()
