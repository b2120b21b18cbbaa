"""Measure what the dashboard costs a browser: `python -m tests.harness.browser.budgets [SECONDS]`.

It prints each figure beside its budget. Sizes are checked by `make web`.
"""

import json
import statistics
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.harness.browser.chromium import Chromium, chromium
from tests.harness.http import request
from tests.harness.stacks import running
from tests.harness.subjects import dashboard_data

ROUNDS = 5
BANNERS = 100
FIRST = 500
CONTEXT = {"timezoneId": "Europe/Berlin", "locale": "en-GB", "viewport": {"width": 1280, "height": 900}}

PAINT = """
await page.goto(args.url);
return until(() => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime));
"""
#: 1,440 points set and drawn, by the chart of the page itself. Drawing is put off to a microtask, which is waited for.
DRAW = """
await page.goto(args.url + "ui/banners/42?range=24h&vs=off");
await page.locator(".u-wrap").first().waitFor();
return page.evaluate(async () => {
    const source = document.querySelector("script[type=module]").src.replace("app.js", "chart.js");
    const {plot} = await import(source);
    const place = document.createElement("div");
    document.body.append(place);
    const chart = plot(place, 1000, 220, {onPoint() {}, onSelect() {}});
    const times = Array.from({length: 1440}, (_, n) => n * 60);
    const took = [];
    for (let round = 0; round < 50; round++) {
        const values = times.map((_, n) => 40 + 30 * Math.sin((n + round) / 90));
        const lines = [{name: "Clicks", values, isOpen: times.map((_, n) => n === 1439)}];
        const drawn = {times, end: 86400, lines, kind: "steps", ticks: [{at: 0, text: "0"}], label: String};
        const colours = {series: ["#0b6b58"], ink: "#000", soft: "#555", line: "#ddd", card: "#fff"};
        const began = performance.now();
        chart.draw(drawn, colours);
        await Promise.resolve();
        took.push(performance.now() - began);
        await new Promise((done) => requestAnimationFrame(done));
    }
    return took;
});
"""
#: Script of each second while every banner is clicked in it, and the heap behind a collection at both ends.
LIVE = """
await page.goto(args.url + "ui/banners?range=15m&vs=off&live=1");
await page.locator("button.live.live").waitFor();
await page.locator("tbody tr").nth(args.banners - 1).waitFor();
const session = await cdp(page);
await session.send("Performance.enable");
const scripted = async () => (await session.send("Performance.getMetrics")).metrics
    .find((one) => one.name === "ScriptDuration").value * 1000;
const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
};
await page.waitForTimeout(5000);
const before = await heap();
const took = [];
let last = await scripted();
for (let second = 0; second < args.seconds; second++) {
    await page.waitForTimeout(1000);
    const now = await scripted();
    took.push(now - last);
    last = now;
}
return {took, grown: (await heap()) - before};
"""
#: What a page on a slow line shows first, and when its chart is there.
SLOW = """
const session = await cdp(page);
await session.send("Network.enable");
await session.send("Network.emulateNetworkConditions",
    {offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000});
const began = Date.now();
await page.goto(args.url, {waitUntil: "commit"});
await page.locator(".tile .big", {hasText: /[0-9]/}).first().waitFor();
const numbers = Date.now() - began;
await page.locator(".u-wrap").first().waitFor();
return {numbers, chart: Date.now() - began};
"""


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _say(what: str, found: float, unit: str, most: float) -> None:
    print(f"{what:48} {found:8.1f} {unit:3} of {most:g}  {'kept' if found <= most else 'missed'}", flush=True)


def _click(port: int, ended: Event) -> None:
    body = json.dumps([{"bannerId": FIRST + n, "count": 1} for n in range(BANNERS)]).encode()
    while not ended.wait(1):
        request(port, "/stats", "POST", body, {"content-type": "application/json"})


def measure(port: int, browser: Chromium, seconds: int) -> None:
    """Print every figure."""

    def look(script: str, **args: Any) -> Any:
        url = f"http://127.0.0.1:{port}/"
        return browser.run(script, context=CONTEXT, url=url, timeout_s=120 + seconds, **args)

    _say(f"first paint, median of {ROUNDS}", statistics.median(look(PAINT) for _ in range(ROUNDS)), "ms", 300)
    _say("1,440 points set and drawn, p95 of 50", _p95(look(DRAW)), "ms", 4)
    slow = look(SLOW)
    _say("400 kbit/s and 400 ms: numbers are there", slow["numbers"] / 1000, "s", 4)
    _say("400 kbit/s and 400 ms: the chart is there", slow["chart"] / 1000, "s", 4)
    ended = Event()
    clicking = Thread(target=_click, args=(port, ended), daemon=True)
    clicking.start()
    live = look(LIVE, banners=BANNERS, seconds=seconds)
    ended.set()
    clicking.join()
    _say(f"{BANNERS} banners live, script of a second, p95 of {seconds}", _p95(live["took"]), "ms", 30)
    _say(f"the same: heap grown in {seconds} s", live["grown"] / (1 << 20), "MB", 5)


def main(seconds: int) -> None:
    """Fill a stack and measure."""
    with tempfile.TemporaryDirectory(prefix="tallybook-budgets-") as name:
        data = Path(name) / "data"
        with running(data, workers=1, **dashboard_data.SETTINGS) as stack, chromium(data.with_name("log")) as browser:
            dashboard_data.fill(stack.port, stack.note(), Path(name))
            at = f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
            clicks = [{"bannerId": FIRST + n, "count": 100_000 + n, "timestamp": at} for n in range(BANNERS)]
            dashboard_data.post(stack.port, "/stats", clicks)
            measure(stack.port, browser, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
