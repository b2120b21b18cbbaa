"""The browser of tests says what went wrong: no script passes because nothing happened."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.browser import chromium as harness
from tests.harness.browser.chromium import Chromium, ScriptFailed
from tests.harness.browser.site import Page, Site, site

pytestmark = pytest.mark.timeout(240)  # the first may install


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A site with a page that is whole and one that breaks."""
    pages = {"/": "<title>Whole</title>", "/broken": "<script>throw new Error('of the page')</script>"}
    with site(pages) as one:
        yield one


def test_a_script_returns_what_the_page_says(chromium: Chromium, place: Site) -> None:
    script = "await page.goto(args.url); return [await page.title(), await page.evaluate('isSecureContext')]"
    assert chromium.run(script, url=place.url) == ["Whole", True]
    assert chromium.run(script, url=place.other_url) == ["Whole", True]
    assert [one.headers["host"].partition(":")[0] for one in place.asked("GET", "/")] == ["127.0.0.1", "localhost"]


def test_a_page_sees_a_person(chromium: Chromium, place: Site) -> None:
    script = "await page.goto(args.url); return page.evaluate('[navigator.webdriver, navigator.userAgent]')"
    is_machine, agent = chromium.run(script, url=place.url)
    assert not is_machine
    assert agent == harness.PERSON
    assert {one.headers["user-agent"] for one in place.asked()} == {agent}


def test_an_uncaught_error_of_a_page_fails_its_script(chromium: Chromium, place: Site) -> None:
    with pytest.raises(ScriptFailed, match="of the page"):
        chromium.run("await page.goto(args.url)", url=f"{place.url}/broken")
    expected = "await page.goto(args.url); await until(() => errors.length); return errors.splice(0).length"
    assert chromium.run(expected, url=f"{place.url}/broken") == 1


def test_a_script_that_throws_or_never_ends_fails_and_the_next_runs(chromium: Chromium) -> None:
    with pytest.raises(ScriptFailed, match="of the script"):
        chromium.run("throw new Error('of the script')")
    with pytest.raises(ScriptFailed, match="more than 200 ms"):
        chromium.run("await new Promise(() => {})", timeout_s=0.2)
    assert chromium.run("return args.given", given=[1, None]) == [1, None]


def test_scripts_share_no_cookie_and_no_storage(chromium: Chromium, place: Site) -> None:
    script = """
        await page.goto(args.url);
        return page.evaluate(() => {
            const before = document.cookie + (localStorage.kept ?? "");
            document.cookie = "kept=1; path=/";
            localStorage.kept = "1";
            return before;
        });
    """
    assert [chromium.run(script, url=place.url) for _ in range(2)] == ["", ""]


def test_a_page_that_was_left_is_restored_from_memory(chromium: Chromium, place: Site) -> None:
    """As in the browsers of people: playwright switches it off by default."""
    place.pages["/kept"] = Page("<script>onpageshow = (event) => { window.isRestored = event.persisted }</script>")
    script = """
        await page.goto(`${args.url}/kept`);
        await page.goto(args.other);
        await page.evaluate("history.back()");
        await page.waitForURL(`${args.url}/kept`, { waitUntil: "commit" });  // there is no load
        return until(() => page.evaluate("window.isRestored"));
    """
    assert chromium.run(script, url=place.url, other=place.other_url) is True


@pytest.mark.parametrize("is_required", [False, True])
def test_without_a_browser_tests_are_skipped_and_fail_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, is_required: bool, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    monkeypatch.setenv("TALLYBOOK_TEST_REQUIRE", "redis,chromium" if is_required else "redis")
    outcome = pytest.fail.Exception if is_required else pytest.skip.Exception
    with pytest.raises(outcome, match="none on PATH"):
        harness.executable()


def test_without_node_tests_are_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TALLYBOOK_TEST_REQUIRE", "redis")
    monkeypatch.setattr("tests.harness.services._MORE_PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="no node"):
        harness.node_modules()
