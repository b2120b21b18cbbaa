"""The client for JavaScript: its own tests, the real service, and the package as an application installs it."""

import asyncio
import json
import re
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.testing import FakeServer, Received
from tests.harness.browser.chromium import node_modules
from tests.harness.http import request
from tests.harness.process import ROOT
from tests.harness.services import require
from tests.harness.subjects.events import EventStage
from tests.harness.subjects.js_sdk import SDK, built, node, ran

GUIDE = (ROOT / "docs/sdk/javascript.md").read_text()

pytestmark = pytest.mark.timeout(300)  # the first may install and build


def test_its_own_tests_pass() -> None:
    """The vectors, the balance of the books, and services that fail as they are told to."""
    built()
    said = node("--test", "--test-timeout", 60_000, "test/")
    assert re.search(r"^# fail 0$", said, re.MULTILINE), said[-4000:]
    assert int(re.findall(r"^# pass (\d+)$", said, re.MULTILINE)[0]) > 150


async def run(program: str, url: str) -> Any:
    """Run a program that has `tally`. Return what it said at its end."""
    module = (built() / "dist/esm/index.js").as_uri()
    text = f'import {{ Tallybook }} from "{module}";\nconst tally = new Tallybook();\n{program}'
    said = await asyncio.to_thread(node, "--input-type=module", "-e", text, TALLYBOOK_URL=url)
    return json.loads(said)


def url_of(stage: EventStage) -> str:
    return f"http://127.0.0.1:{stage.service.port}"


async def test_what_it_records_is_what_the_service_counts(module_stage: EventStage) -> None:
    program = """
        const event = (_, userId) => tally.event("purchase", { userId, properties: { n: 1 } });
        const ids = Array.from({ length: 30 }, event);
        tally.clicks({ 9201: 3, 9202: 1 });
        tally.click(9201);
        tally.clicks([{ banner: 9201, count: 2, id: "order-17" }, { banner: 9201, count: 2, id: "order-17" }]);
        tally.impression(9201, "served", 7);
        tally.click(0);
        const isSettled = await tally.flush();
        const { stored, duplicate, rejected, pending, difference, state, clockOffsetS } = tally.report();
        const { total } = await tally.series([9201, 9202]);
        const { redis } = (await tally.ready()).checks;
        console.log(JSON.stringify({ ids, isSettled, total, redis, clockOffsetS,
            report: [stored, duplicate, rejected, pending, difference, state] }));
    """
    found = await run(program, url_of(module_stage))
    assert found["isSettled"]
    assert found["report"] == [44, 2, {"invalid": 1}, 0, 0, "ok"]
    assert (found["total"], found["redis"], found["clockOffsetS"]) == (7, "ok", 0)
    await module_stage.settle()
    rows = await module_stage.rows()
    assert {name: rows[name][1:3] for name in found["ids"]} == {
        name: (str(n), "purchase") for n, name in enumerate(found["ids"])
    }


async def test_every_read_is_one_that_the_service_answers(module_stage: EventStage) -> None:
    program = """
        const [until, day] = [new Date(), new Date().toISOString().slice(0, 10)];
        const between = { since: new Date(until - 3600e3), until };
        const tracker = crypto.randomUUID();
        const found = await Promise.allSettled([
            tally.stats(42, { ...between, step: "hour", tz: "Europe/Berlin", fill: true }),
            tally.series([1, 2], between),
            tally.top({ ...between, limit: 3 }), tally.hits(tracker, { ...between, step: "day" }),
            tally.pages({ ...between, step: "hour", limit: 1 }),
            tally.dau(day, day), tally.topEvents(day, day, { limit: 2 }),
            tally.retention(day, { windows: 2, window: "week" }), tally.logsPage({ ...between, order: "asc" }),
            tally.accounting(), tally.ready(), tally.limits(), tally.logs(between).next(),
            tally.upload([{ type: "import", userId: 1 }, { type: "no spaces please", userId: 1 }]),
        ]);
        const { value } = found.pop();
        const failed = found.map((one) => one.reason?.message ?? "");
        console.log(JSON.stringify({ failed, fates: value.map((one) => one.status) }));
    """
    found = await run(program, url_of(module_stage))
    assert [why for why in found["failed"] if why and "unknown_tracker" not in why] == []
    assert found["fates"] == ["accepted", "rejected"]


class Between(FakeServer):
    """Fails as it is told to, before a real service or after it has done the work, and notes when it was asked."""

    def __init__(self, port: int, scripts: dict[str, list[Answer | str]]) -> None:
        self._port = port
        self.times: dict[str, list[float]] = {path: [] for path in scripts}
        self._scripts = {path: deque(script) for path, script in scripts.items()}
        super().__init__()

    def _answer(self, asked: Received) -> Answer | None:
        if asked.path in self._scripts:
            self.times[asked.path].append(time.monotonic())
            self._script = self._scripts[asked.path]
        return super()._answer(asked)

    def _take_clicks(self, asked: Received) -> Answer:
        found = request(self._port, asked.path, "POST", asked.body, {"content-type": "application/json"})
        return Answer(found.status, {"content-type": found.headers["content-type"]}, found.body)

    _take_events = _take_clicks


async def test_broken_connections_and_refusals_count_once_and_retry_after_holds(module_stage: EventStage) -> None:
    program = """
        tally.click(9301, 5);
        const isCounted = await tally.flush(60);
        const ids = Array.from({ length: 10 }, (_, userId) => tally.event("purchase", { userId }));
        const isSettled = await tally.flush(60);
        const { stored, duplicate, retries, difference } = tally.report();
        console.log(JSON.stringify({ isCounted, isSettled, ids, report: [stored, duplicate, retries, difference] }));
    """
    refused = Answer(429, {"retry-after": "1"}, b'{"code":"limited"}')
    away = Answer(503, {"retry-after": "1"}, b'{"code":"log_unavailable"}')
    scripts: dict[str, list[Answer | str]] = {"/stats": [refused, "lost", "reset"], "/events": [away, "lost"]}
    with Between(module_stage.service.port, scripts) as between:
        found = await run(program, between.url)
        posts = [one for one in between.received if one.method == "POST"]
    assert (found["isCounted"], found["isSettled"]) == (True, True)
    assert found["report"] == [0, 15, 5, 0]
    for path, (first, second, *_) in between.times.items():
        assert len({one.body for one in posts if one.path == path}) == 1
        assert second - first > 0.9  # `Retry-After` is the least that it waits
    answer = await module_stage.service.http.get("/stats/9301")
    assert answer.json()["total"] == 5
    await module_stage.settle()
    assert set(found["ids"]) <= set(await module_stage.rows())


# -- the package -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which somebody has installed the package."""
    built()
    folder = tmp_path_factory.mktemp("application")
    pack = ("pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder))
    name = ran(require("npm"), *pack, folder=SDK).strip()
    quiet = ("--offline", "--no-audit", "--no-fund", "--silent")
    ran(require("npm"), "install", *quiet, f"./{name}", folder=folder)
    return folder


async def test_the_first_lines_of_the_guide(module_stage: EventStage, application: Path) -> None:
    program = GUIDE.split("<!-- example: begin -->\n```js\n")[1].split("```")[0]
    (application / "count.mjs").write_text(program)
    before = (await module_stage.service.http.get("/stats/42")).json()["total"]  # of other tests
    said = await asyncio.to_thread(node, "count.mjs", folder=application, TALLYBOOK_URL=url_of(module_stage))
    assert said == f"{before + 1}\n2 0\n"


def test_the_package_brings_what_it_names_and_nothing_else(application: Path) -> None:
    installed = application / "node_modules/tallybook-sdk"
    about = json.loads((installed / "package.json").read_text())
    assert {path.name for path in installed.iterdir()} == {"LICENSE", "README.md", "dist", "package.json"}
    assert (installed / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "dependencies" not in about
    for path in (installed / "dist").rglob("*.js"):
        loaded = re.findall(r'(?:from |require\()"([^"]+)"', path.read_text())
        assert all(name.startswith("./") for name in loaded), path
    asked = """
        const names = Object.keys(require("tallybook-sdk"));
        import("tallybook-sdk").then((one) => console.log(names.filter((name) => !(name in one)).length, names.length));
    """
    missing, count = map(int, node("-e", asked, folder=application).split())
    assert missing == 0
    assert count > 10


@pytest.mark.slow
def test_the_types_are_those_of_a_strict_application(application: Path) -> None:
    program = """
        import { Tallybook, type Report, Unavailable } from "tallybook-sdk";
        import { pageViews } from "tallybook-sdk/express";
        import { TestTally } from "tallybook-sdk/testing";

        const tally = new Tallybook({ url: "off", onReject: (one) => one.code.length, onFull: "throw" });
        const id: string = tally.event("purchase", { userId: 17, properties: { price: 12.5 } });
        tally.clicks({ 42: 3 });
        const report: Report = tally.report();
        export const total = async (): Promise<number> => (await tally.stats(42, { step: "hour" })).total;
        export const views = pageViews(tally, { user: (request: { headers: {}; user?: string }) => request.user });
        export const kept: number | undefined = new TestTally().kept.clicks[42];
        // @ts-expect-error: a step is minute, hour or day
        tally.stats(42, { step: "week" });
        // @ts-expect-error: an event is somebody's
        tally.event("purchase", {});
        console.log(id, report.routes["clicks"]?.difference, Unavailable.name);
    """
    for kind in ("mts", "cts"):
        (application / f"typed.{kind}").write_text(program)
    options = ("--strict", "--noUncheckedIndexedAccess", "--module", "nodenext", "--lib", "esnext,dom", "--noEmit")
    node(SDK / "node_modules/typescript/bin/tsc", *options, "typed.mts", "typed.cts", folder=application)


@pytest.mark.slow
def test_a_bundle_stays_small(tmp_path: Path) -> None:
    """Bytes of all that there is, minified by the tools of web/snippet and with gzip."""
    script = """
        import { gzipSync } from "node:zlib";
        const { buildSync } = (await import(process.argv[2])).default;
        const options = { bundle: true, minify: true, format: "esm", write: false };
        for (const path of process.argv.slice(3)) {
            const [{ contents }] = buildSync({ entryPoints: [path], ...options }).outputFiles;
            console.log(gzipSync(contents, { level: 9 }).length);
        }
    """
    (tmp_path / "size.mjs").write_text(script)
    esbuild = (node_modules() / "esbuild/lib/main.js").as_uri()
    dist = built() / "dist"
    said = node(tmp_path / "size.mjs", esbuild, dist / "esm/index.js", dist / "browser/start.js")
    client, browser = map(int, said.split())
    assert (client <= 10 << 10, browser <= 1536) == (True, True), said
