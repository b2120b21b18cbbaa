"""The dashboard for everybody: axe finds nothing in any view and theme, and all of it works by keyboard."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.browser.chromium import Chromium, chromium, node_modules
from tests.harness.process import ROOT
from tests.harness.services import enterable
from tests.harness.stacks import Stack, running
from tests.harness.subjects import dashboard_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

QUIET = "await page.waitForFunction(() => !document.querySelector('[aria-busy=\"true\"], .skeleton, .waiting'));"
VIEWS = (
    *(
        "",
        "ui/banners",
        "ui/banners/42?range=6h",
        "ui/banners/42?range=7d&b=43,44&view=table",
        "ui/events?type=purchase",
    ),
    *("ui/events?seg=event_type:", "ui/retention", "ui/pages?range=24h", "ui/logs", "ui/trackers", "ui/health"),
    *("ui/links", "ui/visitors", "ui/visitors?by=event&range=7d", "ui/sites"),
    *("ui/settings", "ui/banners/7", "ui/unknown"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser of this file."""
    with chromium(tmp_path_factory.mktemp("browser") / "log") as one:
        yield one


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with something of everything."""
    folder = enterable(tmp_path_factory.mktemp("test_dashboard_access")) / "data"
    with running(folder, workers=1, **dashboard_data.SETTINGS) as one:
        dashboard_data.fill(one.port, one.note(), folder.parent)
        asyncio.run(dashboard_data.publish_entries(one.note()["database_url"]))
        yield one


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe, which the policy of the page would not load: it is evaluated."""
    node_modules(ROOT / "web/dashboard")
    return (ROOT / "web/dashboard/node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(stack: Stack, browser: Chromium, axe: str, theme: str) -> None:
    script = f"""
    const found = [];
    for (const view of args.views) {{
        await page.goto(args.url + view);
        await page.locator("h1").waitFor();
        {QUIET}
        await page.evaluate(args.axe);
        const {{violations}} = await page.evaluate(() => axe.run());
        for (const one of violations) {{
            const nodes = one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
            found.push(`${{view}}: ${{one.id}} ${{nodes.join(" | ")}}`);
        }}
    }}
    return found;
    """
    url = f"http://127.0.0.1:{stack.port}/"
    context = {"colorScheme": theme, "viewport": {"width": 1280, "height": 900}}
    assert browser.run(script, url=url, views=VIEWS, axe=axe, context=context, timeout_s=300) == []


def test_a_tour_by_keyboard_alone(stack: Stack, browser: Chromium) -> None:
    """Find a banner, change the range, open the table, close what opens; the focus is always somewhere visible."""
    script = f"""
    await page.goto(args.url);
    await page.locator(".tiles").waitFor();
    await page.keyboard.press("/");
    await page.getByRole("combobox", {{name: /banner/}}).waitFor();
    await page.keyboard.type("Spring");
    await page.getByRole("option", {{name: /42 Spring sale/}}).waitFor();
    const active = await page.getByRole("combobox", {{name: /banner/}}).getAttribute("aria-activedescendant");
    await page.keyboard.press("Enter");
    await page.locator("h1", {{hasText: "Banner 42"}}).waitFor();
    await page.keyboard.press("[");
    await page.waitForURL(/from=/);
    await page.keyboard.press("v");
    await page.waitForURL(/view=table/);
    {QUIET}
    await page.keyboard.press("?");
    await page.locator("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({{state: "detached"}});
    const invisible = [];
    for (let step = 0; step < 40; step++) {{
        await page.keyboard.press("Tab");
        const bad = await page.evaluate(() => {{
            const one = document.activeElement;
            if (!one || one === document.body) return "";
            const box = one.getBoundingClientRect();
            const style = getComputedStyle(one);
            const isSeen = box.width > 0 && box.height > 0 && style.visibility !== "hidden";
            return isSeen && style.outlineStyle !== "none" ? "" : one.outerHTML.slice(0, 100);
        }});
        if (bad) invisible.push(bad);
    }}
    await page.keyboard.press("g");
    await page.keyboard.press("h");
    await page.waitForURL(/ui\\/health/);
    return {{active, invisible}};
    """
    found: Any = browser.run(script, url=f"http://127.0.0.1:{stack.port}/", timeout_s=120)
    assert found["active"]
    assert found["invisible"] == []


def test_without_single_keys_no_single_key_acts(stack: Stack, browser: Chromium) -> None:
    script = """
    await page.goto(args.url + "ui/settings");
    await page.getByLabel("Single keys act").first().uncheck();
    await page.goto(args.url + "ui/banners");
    await page.locator("h1").waitFor();
    const before = page.url();
    for (const key of ["/", "?", "g", "h", "[", "]", "v", "c", "l", "x", "."]) await page.keyboard.press(key);
    return [before === page.url(), await page.locator("dialog").count()];
    """
    assert browser.run(script, url=f"http://127.0.0.1:{stack.port}/") == [True, 0]


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_is_wider_than_a_small_screen(stack: Stack, browser: Chromium, width: int) -> None:
    script = f"""
    const wide = [];
    for (const view of args.views) {{
        await page.goto(args.url + view);
        await page.locator("h1").waitFor();
        {QUIET}
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(view);
    }}
    return wide;
    """
    url = f"http://127.0.0.1:{stack.port}/"
    context = {"viewport": {"width": width, "height": 700}}
    assert browser.run(script, url=url, views=VIEWS, context=context, timeout_s=200) == []
