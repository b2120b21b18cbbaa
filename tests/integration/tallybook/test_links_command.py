"""`tallybook links` on a real Postgres: what it says, and what is in the table then."""

import json
import re
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from shared.collect.link import LinkRow
from tallybook.cli import main
from tallybook.exits import Exit
from tallybook.registries import links

SALE = "https://shop.example/sale"


@pytest.fixture(autouse=True)
def database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")
    return database


def run(*arguments: str, stdin: str | None = None) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, ("links", *arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def added(*options: str) -> Result:
    return run("add", "spring", "--banner", "42", "--url", SALE, *options)


def shown() -> dict[str, object]:
    [line] = run("list", "--json").stdout.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_link_is_added_printed_and_listed() -> None:
    assert added().stdout == "spring\n"
    assert run("list").stdout == f"spring\tactive\t42\t{SALE}\n"
    again = added()
    assert again.exit_code == Exit.USAGE
    assert "there already" in again.stderr


def test_a_link_has_all_that_was_given() -> None:
    added("--query", "append", "--pass", "ref", "--pass", "b", "--click-id", "--expires", "90d", "--max-clicks", "7")
    row = shown()
    assert (row["bannerId"], row["query"], row["pass"], row["clickId"]) == (42, "append", ["ref", "b"], True)
    assert row["maxClicks"] == 7
    assert re.match(r"\d{4}-\d\d-\d\dT", str(row["expiresAt"]))


def test_what_is_given_is_changed_and_the_rest_stays() -> None:
    added("--query", "append", "--pass", "ref", "--expires", "90d", "--max-clicks", "7")
    assert run("set", "spring", "--url", f"{SALE}/2", "--inactive").stdout == "spring\n"
    row = shown()
    assert (row["url"], row["state"], row["pass"], row["maxClicks"]) == (f"{SALE}/2", "inactive", ["ref"], 7)
    run("set", "spring", "--expires", "never", "--max-clicks", "never", "--active", "--click-id", "--banner", "43")
    row = shown()
    assert (row["expiresAt"], row["maxClicks"], row["state"], row["clickId"]) == (None, None, "active", True)
    assert (row["bannerId"], row["updatedAt"] > row["createdAt"]) == (43, True)  # type: ignore[operator]
    assert run("set", "other", "--inactive").exit_code == Exit.USAGE
    assert run("set", "spring").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "a/b", "--banner", "1", "--url", SALE),
        ("add", "a", "--banner", "042", "--url", SALE),
        ("add", "a", "--banner", "1", "--url", "javascript:alert(1)"),
        ("add", "a", "--banner", "1", "--url", "https://user@shop.example"),
        ("add", "a", "--banner", "1", "--url", SALE, "--max-clicks", "0"),
        ("add", "a", "--banner", "1", "--url", SALE, "--expires", "2020-01-01T00:00:00Z"),
        ("add", "a", "--banner", "1", "--url", SALE, "--pass", "a,b"),
        ("set", "spring", "--url", "//evil.example"),
        ("set", "spring", "--max-clicks", "many"),
    ],
)
def test_what_does_not_fit_is_usage_and_changes_nothing(arguments: tuple[str, ...]) -> None:
    added()
    assert run(*arguments).exit_code == Exit.USAGE
    assert run("list").stdout == f"spring\tactive\t42\t{SALE}\n"


def test_hosts_are_checked_when_a_link_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_LINK_HOSTS", "*.shop.example")
    refused = added()
    assert refused.exit_code == Exit.USAGE
    assert "TALLYBOOK_LINK_HOSTS" in refused.stderr
    assert run("add", "a", "--banner", "1", "--url", "https://www.shop.example").exit_code == Exit.OK
    assert run("set", "a", "--url", "https://evil.example").exit_code == Exit.USAGE
    assert run("import", "-", stdin="slug,banner,url\nb,1,https://evil.example\n").exit_code == Exit.USAGE


FILE = """slug,banner,url,pass,max_clicks,active
a,1,https://shop.example/a,"ref, x",,
b,2,https://shop.example/b?x=1,,5,false
"""


def test_a_file_is_imported_and_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text(FILE)
    assert run("import", str(path)).stdout == "added or changed: 2\n"
    assert run("import", str(path)).stdout == "added or changed: 0\n"
    assert run("import", "-", stdin=FILE.replace("/a,", "/c,").replace(",", ";")).stdout == "added or changed: 1\n"
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [(row["slug"], row["pass"], row["maxClicks"], row["state"]) for row in rows] == [
        ("a", ["ref; x"], None, "active"),
        ("b", [], 5, "inactive"),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("slug,banner\na,1\n", "lacks url"),
        ("slug,banner,url,x\na,1,https://a.example,2\n", "heading has x"),
        ("slug,banner,url\na,one,https://a.example\n", "line 2"),
        ("slug,banner,url\nok,1,https://a.example\nb,1,ftp://a.example\n", "line 3"),
        ("slug,banner,url,active\na,1,https://a.example,maybe\n", "neither true nor false"),
        ("slug,banner,url,expires\na,1,https://a.example,2026-01-01\n", "zone"),
        ("slug,banner,url,max_clicks\na,1,https://a.example,x\n", "line 2"),
    ],
)
def test_a_file_with_a_fault_changes_nothing(text: str, what: str) -> None:
    done = run("import", "-", stdin=text)
    assert done.exit_code == Exit.USAGE
    assert what in done.stderr
    assert run("list").stdout == ""


def test_a_qr_code_is_svg() -> None:
    done = run("qr", "spring", "--base", "https://t.example/")
    assert done.exit_code == Exit.OK
    assert done.stdout.startswith("<?xml")
    assert "<svg" in done.stdout
    for arguments in (("a/b", "--base", "https://t.example"), ("spring", "--base", "t.example")):
        assert run("qr", *arguments).exit_code == Exit.USAGE


def test_without_segno_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "segno", None)
    done = run("qr", "spring", "--base", "https://t.example")
    assert done.exit_code == Exit.SETTINGS
    assert "tallybook[qr]" in done.stderr


async def test_every_change_raises_the_version(database: str) -> None:
    connection = await asyncpg.connect(database)
    row = LinkRow("a", 1, SALE)

    async def version() -> int:
        number: int = await connection.fetchval("SELECT version FROM links_version")
        return number

    seen = [await version()]
    assert await links.add(connection, row, ())
    seen.append(await version())
    assert await links.change(connection, "a", {"banner_id": 2}, ())
    seen.append(await version())
    await connection.execute("DELETE FROM links")
    seen.append(await version())
    await connection.execute("TRUNCATE links")
    seen.append(await version())
    assert seen == sorted(set(seen))
    await connection.close()
