"""The dashboard where things are unusual: changed clocks, stores that are away, upgrades, prefixes, many banners."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg
import pytest

from tests.harness.browser.chromium import Chromium, ScriptFailed, chromium
from tests.harness.http import request
from tests.harness.process import end, free_port
from tests.harness.services import enterable, require
from tests.harness.stacks import Stack, run, running
from tests.harness.subjects import dashboard_data
from tests.harness.wait import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

QUIET = "await page.waitForFunction(() => !document.querySelector('[aria-busy=\"true\"], .skeleton, .waiting'));"
CONTEXT = {"timezoneId": "Europe/Berlin", "locale": "en-GB", "viewport": {"width": 1280, "height": 900}}
MANY = 10_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser of this file."""
    with chromium(tmp_path_factory.mktemp("browser") / "log") as one:
        yield one


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that takes clicks of a year ago."""
    folder = enterable(tmp_path_factory.mktemp("test_dashboard_checks")) / "data"
    with running(folder, workers=1, backdate_max_s=366 * 86_400) as one:
        yield one


def look(stack: Stack, browser: Chromium, script: str, context: dict[str, Any] | None = None, **args: Any) -> Any:
    """What a script finds out at the stack."""
    url = f"http://127.0.0.1:{stack.port}/"
    return browser.run(script, context={**CONTEXT, **(context or {})}, url=url, timeout_s=150, **args)


def changes(today: date) -> list[tuple[date, int]]:
    """The last days on which clocks of Berlin were changed, and their hours."""
    found = []
    for year in (today.year, today.year - 1):
        for month, hours in ((10, 25), (3, 23)):
            last = date(year, month, 31)
            last -= timedelta(days=(last.weekday() + 1) % 7)
            if last < today - timedelta(days=2):
                found.append((last, hours))
    return sorted(found)[-2:]


def test_days_of_a_clock_change_have_23_and_25_hours_in_table_and_service(stack: Stack, browser: Chromium) -> None:
    script = f"""
    await page.goto(args.url + "ui/banners/77?from=" + args.day + "&to=" + args.day
        + "&tz=Europe/Berlin&step=hour&vs=off&view=table");
    await page.locator("tbody tr").nth(22).waitFor();
    {QUIET}
    return page.locator("tbody tr").evaluateAll((all) => all.map((row) =>
        [...row.children].map((one) => one.innerText)));
    """
    for day, hours in changes(datetime.now(UTC).date()):
        midnight = datetime(day.year, day.month, day.day, tzinfo=dashboard_data.BERLIN).astimezone(UTC)
        clicks = [
            {"bannerId": 77, "count": hour + 1, "timestamp": f"{midnight + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"}
            for hour in range(hours)
        ]
        dashboard_data.post(stack.port, "/stats", clicks)
        rows = look(stack, browser, script, day=day.isoformat())
        assert [int(row[1].strip("~")) for row in reversed(rows)] == list(range(1, hours + 1))
        assert len({row[0] for row in rows}) == hours  # the repeated hour has its offset
        asked = f"/stats/77?tsFrom={day}&tsTo={day}&tz=Europe/Berlin&step=hour&fill=true"
        assert [one["count"] for one in request(stack.port, asked).json()["stats"]] == list(range(1, hours + 1))


def test_a_range_has_equal_totals_and_other_days_in_two_zones(stack: Stack, browser: Chromium) -> None:
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
    clicks = [
        {"bannerId": 78, "count": hour + 1, "timestamp": f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"}
        for hour in range(48)
    ]
    dashboard_data.post(stack.port, "/stats", clicks)
    script = f"""
    const found = [];
    for (const zone of ["UTC", "Asia/Tokyo"]) {{
        await page.goto(args.url + `ui/banners/78?from=${{args.from}}&to=${{args.to}}&tz=${{zone}}`
            + "&step=day&vs=off&view=table");
        await page.locator("tbody tr").first().waitFor();
        {QUIET}
        found.push(await page.locator("tbody td:nth-child(2)").allInnerTexts());
    }}
    return found;
    """
    moments = [f"{begin + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (0, 2)]
    utc, tokyo = look(stack, browser, script, **{"from": moments[0], "to": moments[1]})
    sums = [sum(int(one.strip("~").replace(",", "")) for one in days) for days in (utc, tokyo)]
    assert sums == [sum(range(1, 49))] * 2
    assert (len(utc), len(tokyo)) == (2, 3)


def test_every_address_of_a_tour_opens_the_same_view_and_back_retraces_it(stack: Stack, browser: Chromium) -> None:
    script = f"""
    const seen = [];
    const note = async () => {{ {QUIET} seen.push([page.url(), await page.locator("h1").innerText()]); }};
    await page.goto(args.url + "ui/banners?range=7d&tz=UTC");
    await note();
    for (const view of ["Links", "Visitors", "Events", "Retention", "Pages", "Logs", "Health"]) {{
        await page.getByRole("navigation").getByRole("link", {{name: view, exact: true}}).click();
        await page.waitForFunction((name) => document.querySelector("h1")?.innerText === name, view);
        await note();
    }}
    const wrong = [];
    for (const [url, title] of seen) {{
        const other = await context.newPage();
        await other.goto(url);
        await other.waitForFunction((name) => document.querySelector("h1")?.innerText === name, title);
        if (other.url() !== url) wrong.push(url);
        await other.close();
    }}
    for (const [url, title] of seen.slice(0, -1).reverse()) {{
        await page.goBack();
        await page.waitForFunction((name) => document.querySelector("h1")?.innerText === name, title);
        if (page.url() !== url) wrong.push(["back", url]);
    }}
    await page.goForward();
    await page.waitForURL(seen[1][0]);
    return {{wrong, number: seen.length}};
    """
    assert look(stack, browser, script) == {"wrong": [], "number": 8}


def test_a_fault_behind_an_emoji_marks_its_character(stack: Stack, browser: Chromium) -> None:
    script = """
    await page.goto(args.url + "ui/events?seg=" + encodeURIComponent('event_type:"\U0001f600" and country:UA'));
    await page.locator("form.segment mark").waitFor();
    return [await page.locator("form.segment mark").innerText(), await page.locator("form.segment code").innerText()];
    """
    marked, text = look(stack, browser, script)
    assert (marked, text) == ("c", 'event_type:"\U0001f600" and country:UA')


@pytest.mark.parametrize(
    "context",
    [{"forcedColors": "active"}, {"reducedMotion": "reduce"}, {"viewport": {"width": 320, "height": 256}}],
    ids=["forced colours", "reduced motion", "400 %"],
)
def test_charts_are_drawn_and_nothing_is_cut_off_in_other_ways_of_looking(
    stack: Stack, browser: Chromium, context: dict[str, Any]
) -> None:
    script = f"""
    await page.goto(args.url + "ui/banners/78?range=7d&vs=off");
    await page.locator(".u-wrap canvas").first().waitFor();
    {QUIET}
    const drawn = await page.locator(".u-wrap canvas").first().evaluate((one) =>
        one.getContext("2d").getImageData(0, 0, one.width, one.height).data.some((value) => value > 0));
    return [drawn, await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)];
    """
    assert look(stack, browser, script, context) == [True, False]


def test_on_paper_there_are_numbers_and_no_controls(stack: Stack, browser: Chromium) -> None:
    script = f"""
    await page.goto(args.url + "ui/banners/78?range=7d&vs=off&view=table");
    await page.locator("tbody tr").first().waitFor();
    {QUIET}
    await page.emulateMedia({{media: "print"}});
    const isSeen = (where) => page.locator(where).first().isVisible();
    const found = [];
    for (const where of ["tbody tr", ".toolbar .range", ".top nav", "main button"]) found.push(await isSeen(where));
    return found;
    """
    assert look(stack, browser, script) == [True, True, False, False]


def test_a_bundle_that_breaks_the_policy_is_reported(stack: Stack, browser: Chromium) -> None:
    """What tours would see: an inline style and markup made of a text."""
    script = """
    const complaints = [];
    page.on("console", (one) => one.type() === "error" && complaints.push(one.text()));
    await page.route("**/app.js", async (route) => {
        const answer = await route.fetch();
        const broken = 'document.body.setAttribute("style", "color: red"); document.body.append(args.x);';
        await route.fulfill({response: answer, body: broken.split(";")[0] + ";" + await answer.text()});
    });
    await page.goto(args.url);
    await page.locator("h1").waitFor({state: "attached"});
    return complaints;
    """
    assert any("style" in one and "Content Security Policy" in one for one in look(stack, browser, script))
    with pytest.raises(ScriptFailed, match="TrustedHTML"):
        look(stack, browser, 'await page.goto(args.url); await page.evaluate(() => { document.body.innerHTML = "x" })')


def test_after_an_upgrade_a_tab_reloads_once_and_then_says_so(stack: Stack, browser: Chromium) -> None:
    script = """
    let loads = 0;
    page.on("load", () => loads++);
    await page.route("**/more.js", (route) => route.fulfill({status: 404, body: "{}"}));
    await page.goto(args.url + "ui/events?range=7d");
    await page.getByText("A new version of this page is available.").waitFor();
    await page.waitForTimeout(1000);
    return [loads, page.url().endsWith("ui/events?range=7d")];
    """
    assert look(stack, browser, script) == [2, True]


def test_ten_thousand_banners_are_found_and_ranked_to_the_last(stack: Stack, browser: Chromium, tmp_path: Path) -> None:
    listed = tmp_path / "banners.csv"
    first = 90_000
    listed.write_text("banner_id,name\n" + "".join(f"{first + n},Banner {n}\n" for n in range(MANY)))
    note = stack.note()
    done = run("banners", "import", listed, database_url=note["database_url"], redis_url=note["redis_url"])
    assert done.returncode == 0, done.stderr
    day = datetime.now(UTC) - timedelta(days=20)
    for begin in range(0, MANY, 5_000):
        dashboard_data.rank(stack.port, 5_000, day, first + begin)
    script = f"""
    await page.goto(args.url + "ui/banners?from=" + args.day + "&to=" + args.day + "&tz=UTC&vs=off");
    await page.locator("tbody tr").nth(99).waitFor();
    const more = page.getByRole("button", {{name: "More", exact: true}});
    const show = page.getByRole("button", {{name: /^Show more/}});
    const steps = [], start = Date.now();
    for (;;) {{
        await until(async () => (await show.count()) || (await more.count())
            || (await page.locator("tbody tr").count()) === {MANY});
        steps.push([Date.now() - start, await page.locator("tbody tr").count()]);
        const before = steps.at(-1)[1];
        if (await show.count()) await show.evaluate((one) => one.click());
        else if (await more.count()) await more.evaluate((one) => one.click());
        else break;
        await until(async () => (await page.locator("tbody tr").count()) > before || (await show.count()));
    }}
    const names = await page.locator("tbody tr td:nth-child(3)").evaluateAll((all) =>
        new Set(all.map((one) => one.innerText)).size);
    const saved = page.waitForEvent("download");
    await page.keyboard.press("x");
    await page.getByRole("button", {{name: "CSV from the service"}}).click();
    const {{readFileSync}} = await import("node:fs");
    const lines = readFileSync(await (await saved).path(), "utf8").trim().split("\\n").length;
    const session = await cdp(page);
    await session.send("HeapProfiler.collectGarbage");
    const {{usedSize}} = await session.send("Runtime.getHeapUsage");
    await page.getByLabel("Id or name").fill("Banner 9999");
    const began = Date.now();
    await page.keyboard.press("Enter");
    await page.getByText("Banner 9999").first().waitFor();
    return {{names, lines, heap: usedSize, found: Date.now() - began, steps}};
    """
    found = look(stack, browser, script, day=day.date().isoformat())
    print(found)
    assert (found["names"], found["lines"]) == (MANY, MANY + 1)
    assert found["heap"] < 80 << 20


def test_under_a_prefix_page_documentation_and_problems_work(stack: Stack, browser: Chromium, tmp_path: Path) -> None:
    port = free_port()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"""pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}
        http {{ access_log off; client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b;
        fastcgi_temp_path {tmp_path}/c; uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;
        server {{ listen 127.0.0.1:{port}; location /count/ {{ proxy_pass http://127.0.0.1:{stack.port}/;
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; }} }} }}"""
    )
    nginx = subprocess.Popen([require("nginx"), "-c", configuration, "-g", "daemon off;"])
    script = f"""
    const asked = [];
    page.on("request", (one) => one.url().startsWith("http") && asked.push(new URL(one.url()).pathname));
    await page.goto(args.prefixed + "ui/banners/78?range=7d");
    await page.locator(".u-wrap").first().waitFor();
    {QUIET}
    await page.getByRole("link", {{name: "Events", exact: true}}).click();
    await page.locator("h1", {{hasText: "Events"}}).waitFor();
    await page.goto(args.prefixed + "docs");
    await page.getByText("/stats/top-events").first().waitFor();
    const problem = await page.evaluate(async () => {{
        const answer = await fetch("stats/x");
        return new URL((await answer.json()).type, answer.url).href;
    }});
    await page.goto(problem);
    await page.locator("tr#malformed").waitFor();
    return asked.filter((path) => !path.startsWith("/count/") && path !== "/favicon.ico");
    """
    try:
        wait_for(lambda: _answers(port), "nginx")
        assert look(stack, browser, script, prefixed=f"http://127.0.0.1:{port}/count/") == []
    finally:
        end(nginx)


def _answers(port: int) -> bool:
    try:
        return request(port, "/count/health/live").status == 200
    except OSError:
        return False


def test_books_that_do_not_balance_are_said_first_with_sign_and_number(stack: Stack, browser: Chromium) -> None:
    async def added(clicks: int) -> str:
        connection = await asyncpg.connect(stack.note()["database_url"])
        try:
            one = "SELECT min(incarnation) FROM click_ledger"
            return await connection.execute(
                f"UPDATE click_ledger SET clicks = clicks + $1 WHERE incarnation IN ({one})", clicks
            )
        finally:
            await connection.close()

    at = datetime.now(UTC) - timedelta(minutes=10)
    dashboard_data.post(stack.port, "/stats", [{"bannerId": 80, "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"}])
    wait_for(lambda: request(stack.port, "/accounting").json()["persisted"] > 0, "the flush")
    script = f"""
    await page.goto(args.url + "ui/health");
    await page.getByText(/The books do not balance/).first().waitFor();
    {QUIET}
    return page.locator("main").innerText();
    """
    assert asyncio.run(added(7)) == "UPDATE 1"
    try:
        found = look(stack, browser, script)
    finally:
        asyncio.run(added(-7))
    assert "difference −7" in found or "difference -7" in found


def test_while_redis_is_away_numbers_are_lower_bounds_and_it_recovers_by_itself(
    stack: Stack, browser: Chromium, tmp_path: Path
) -> None:
    script = f"""
    const {{existsSync, writeFileSync}} = await import("node:fs");
    await page.goto(args.url + "ui/banners/78?range=1h");
    await page.locator("h1").waitFor();
    {QUIET}
    writeFileSync(args.flag + ".in", "");
    await page.locator(".partial", {{hasText: "lower bounds"}}).first().waitFor({{timeout: 90_000}});
    const zeros = await page.locator(".tile .big").first().innerText();
    writeFileSync(args.flag + ".seen", "");
    await page.locator(".partial").first().waitFor({{state: "detached", timeout: 90_000}});
    return zeros;
    """
    flag = tmp_path / "redis"
    [valkey] = [one for one in stack.tree() if "valkey" in " ".join(one.cmdline()) or "redis-server" in one.name()][:1]

    def away() -> None:
        wait_for(flag.with_name("redis.in").exists, "the page")
        os.kill(valkey.pid, signal.SIGSTOP)
        wait_for(flag.with_name("redis.seen").exists, "what the page says")
        os.kill(valkey.pid, signal.SIGCONT)

    breaking = Thread(target=away, daemon=True)
    breaking.start()
    try:
        assert look(stack, browser, script, flag=str(flag)) is not None
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
        breaking.join(70)


def test_live_mode_survives_a_killed_worker_and_no_number_falls(
    stack: Stack, browser: Chromium, tmp_path: Path
) -> None:
    script = """
    const {existsSync, writeFileSync} = await import("node:fs");
    await page.goto(args.url + "ui/banners/79?range=15m&live=1");
    await page.locator("button.live.live").waitFor();
    const shown = [];
    const number = async () => Number((await page.locator(".tile .big").first().innerText()).replace(/[^0-9]/g, ""));
    const click = () => page.evaluate(() => fetch("/stats/79", {method: "POST"}).then((one) => one.status, () => 0));
    let counted = 0;
    for (let n = 0; n < 5; n++) if ((await click()) === 204) counted++;
    await until(async () => { shown.push(await number()); return shown.at(-1) >= counted; });
    writeFileSync(args.flag, "");
    await until(() => existsSync(args.flag + ".killed"));
    for (let n = 0; n < 20; n++) {
        if ((await click()) === 204) counted++;
        shown.push(await number());
        await page.waitForTimeout(200);
    }
    await page.locator("button.live.live").waitFor();
    await until(async () => { shown.push(await number()); return shown.at(-1) >= counted; });
    return {shown, counted};
    """
    flag = tmp_path / "kill"

    def killed() -> None:
        wait_for(flag.exists, "the page")
        for worker in stack.workers():
            worker.kill()
        flag.with_name("kill.killed").write_text("")

    killing = Thread(target=killed, daemon=True)
    killing.start()
    found = look(stack, browser, script, flag=str(flag))
    killing.join(70)
    shown = [one for one in found["shown"] if one]
    assert shown == sorted(shown)
    assert request(stack.port, "/stats/79").json()["total"] == found["counted"] == shown[-1]
