"""Take a picture of every view of the dashboard: `python -m tests.harness.browser.screenshots FOLDER [VIEW ...]`.

It fills a stack of its own. People look at the pictures; tests assert structure.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.harness.browser.chromium import chromium
from tests.harness.stacks import running
from tests.harness.subjects import dashboard_data

WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
VIEWS = (
    "",
    "?range=28d",
    "ui/banners",
    "ui/banners/42?range=6h",
    "ui/banners/42?range=7d&b=43,44,45,46",
    "ui/events",
    "ui/events?type=purchase&range=28d",
    "ui/events?seg=event_type:",
    "ui/retention",
    "ui/pages?range=24h",
    "ui/pages?page=page-00001&range=7d",
    "ui/logs",
    "ui/banners?range=24h&vs=week",
    "ui/links",
    "ui/visitors",
    "ui/visitors?by=source&range=7d",
    "ui/sites",
    "ui/trackers",
    "ui/trackers/{tracker}",
    "ui/health",
    "ui/settings",
    "ui/banners/9",
    "ui/unknown",
)

SCRIPT = """
await page.goto(args.url);
await page.locator("h1").waitFor();
await page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .skeleton, .waiting'));
await page.waitForTimeout(400);
await page.screenshot({path: args.path, fullPage: true});
return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
"""


def main(folder: Path, chosen: list[str]) -> None:
    """Fill a stack and take the pictures. Say which page is wider than its window."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tallybook-pictures-") as name:
        data = Path(name) / "data"
        with running(data, workers=1, **dashboard_data.SETTINGS) as stack, chromium(data.with_name("log")) as browser:
            sent = dashboard_data.fill(stack.port, stack.note(), Path(name))
            asyncio.run(dashboard_data.publish_entries(stack.note()["database_url"]))
            for view in chosen or VIEWS:
                address = view.replace("{tracker}", sent["trackers"][0])
                for width in WIDTHS:
                    for theme in THEMES:
                        path = folder / f"{_name(view)}-{width}-{theme}.png"
                        context = {
                            "viewport": {"width": width, "height": 900},
                            "colorScheme": theme,
                            "timezoneId": "Europe/Berlin",
                            "locale": "en-GB",
                        }
                        url = f"http://127.0.0.1:{stack.port}/{address}"
                        wider = browser.run(SCRIPT, context=context, url=url, path=str(path))
                        print(path.name, f"is {wider} px too wide" if wider > 0 else "", flush=True)


def _name(view: str) -> str:
    letters = "".join(one if one.isalnum() else "-" for one in view).strip("-")
    return letters or "overview"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
