"""Signing in to the dashboard, in a real browser: what becomes of the key, and what other pages can do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.browser.chromium import Chromium, chromium
from tests.harness.browser.site import site
from tests.harness.http import request
from tests.harness.services import enterable
from tests.harness.stacks import Stack, run, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser of this file."""
    with chromium(tmp_path_factory.mktemp("browser") / "log") as one:
        yield one


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that asks for keys."""
    folder = enterable(tmp_path_factory.mktemp("test_dashboard_login")) / "data"
    with running(folder, workers=1, keys="required", log_level="debug") as one:
        assert request(one.port, "/stats/42", "POST").status == 204
        yield one


def key(stack: Stack, *scopes: str) -> tuple[str, str]:
    """A new key and its prefix."""
    given = [part for scope in scopes for part in ("--scope", scope)]
    done = run("keys", "create", "of a test", *given, "--data-dir", stack.folder)
    assert done.returncode == 0, done.stderr
    [text] = [word for word in done.stdout.split() if word.startswith("tb_")]
    return text, text.split("_")[1]


SIGN_IN = """
const signIn = async () => {
    await page.locator("input[type=password]").fill(args.key);
    await page.locator("form button[type=submit]").click();
};
"""


def test_d3_a_key_is_sent_once_and_kept_nowhere(stack: Stack, browser: Chromium) -> None:
    text, _ = key(stack, "stats:read")
    script = f"""
    {SIGN_IN}
    const carried = [];
    page.on("request", async (one) => {{
        const all = JSON.stringify([one.url(), await one.allHeaders(), one.postData()]);
        if (all.includes(args.key)) carried.push(one.method() + " " + new URL(one.url()).pathname);
    }});
    await page.goto(args.url + "ui/banners/42?tz=UTC");
    await signIn();
    await page.locator("h1", {{hasText: "Banner 42"}}).waitFor();
    const address = page.url();
    const left = await page.evaluate(() => JSON.stringify([{{...localStorage}}, {{...sessionStorage}},
        document.cookie, document.documentElement.outerHTML, history.state]));
    const [cookie] = await context.cookies();
    await page.reload();
    await page.locator("h1", {{hasText: "Banner 42"}}).waitFor();
    const other = await context.newPage();
    await other.goto(args.url + "ui/logs");
    const lacks = await other.locator(".trouble").first().innerText();
    await page.locator(".top .menu > button").click();
    await page.getByRole("button", {{name: "Sign out"}}).click();
    await page.locator("input[type=password]").waitFor();
    return {{carried, address, isLeft: left.includes(args.key), cookie, lacks,
        cookies: (await context.cookies()).length}};
    """
    found = browser.run(script, url=f"http://127.0.0.1:{stack.port}/", key=text)
    assert found["carried"] == ["POST /session"]
    assert found["address"].endswith("/ui/banners/42?tz=UTC")
    assert not found["isLeft"]
    assert found["cookie"]["httpOnly"]
    assert found["cookie"]["sameSite"] == "Strict"
    assert "logs:read" in found["lacks"]
    assert found["cookies"] == 0
    assert text not in stack.printed()


def test_a_key_that_is_revoked_signs_out(stack: Stack, browser: Chromium, tmp_path: Path) -> None:
    text, prefix = key(stack, "stats:read", "admin")
    flag = tmp_path / "revoked"
    script = f"""
    {SIGN_IN}
    const {{existsSync, writeFileSync}} = await import("node:fs");
    await page.goto(args.url + "ui/health");
    await signIn();
    await page.getByText("The books balance").waitFor();
    writeFileSync(args.flag + ".in", "");
    await until(() => existsSync(args.flag));
    await page.getByRole("button", {{name: "Again"}}).last().click();
    await page.locator("input[type=password]").waitFor();
    return page.url();
    """
    from threading import Thread

    from tests.harness.wait import wait_for

    def revoke() -> None:
        wait_for(Path(f"{flag}.in").exists, "the sign-in")
        done = run("keys", "revoke", prefix, "--data-dir", stack.folder)
        assert done.returncode == 0, done.stderr
        headers = {"authorization": f"Bearer {text}"}
        wait_for(lambda: request(stack.port, "/accounting", headers=headers).status == 401, "the end of the key")
        flag.write_text("")

    thread = Thread(target=revoke)
    thread.start()
    found = browser.run(script, url=f"http://127.0.0.1:{stack.port}/", key=text, flag=str(flag))
    thread.join()
    assert found.endswith("/ui/health")


def test_d4_a_page_of_another_origin_reads_and_changes_nothing(stack: Stack, browser: Chromium) -> None:
    text, _ = key(stack, "stats:read", "events:write", "clicks:write")
    script = f"""
    {SIGN_IN}
    await page.goto(args.url);
    await signIn();
    await page.locator(".tiles").waitFor();
    const evil = await context.newPage();
    await evil.goto(args.evil);
    return evil.evaluate(async (url) => {{
        const tried = async (path, init) => {{
            try {{ return (await fetch(url + path, {{credentials: "include", ...init}})).status; }}
            catch {{ return "blocked"; }}
        }};
        const frame = document.createElement("iframe");
        frame.src = url;
        document.body.append(frame);
        await new Promise((done) => {{ frame.onload = done; setTimeout(done, 3000); }});
        let framed = "blocked";
        try {{ framed = frame.contentDocument ? "blank" : "blocked"; }} catch {{}}
        return {{
            read: await tried("stats/42"),
            signOut: await tried("session", {{method: "DELETE"}}),
            post: await tried("events", {{method: "POST", body: "[]", headers: {{"content-type": "text/plain"}}}}),
            framed,
        }};
    }}, args.url);
    """
    url = f"http://127.0.0.1:{stack.port}/"
    with site({"/": "<title>evil</title><body></body>"}) as evil:
        found = browser.run(script, url=url, key=text, evil=evil.other_url)
    assert found["read"] == found["signOut"] == "blocked"
    assert found["post"] in ("blocked", 401, 403)
    assert found["framed"] == "blocked"
