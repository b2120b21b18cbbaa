"""`tallybook sites` on a real Postgres: what it says, and what is in the tables then."""

import json

import pytest
from click.testing import CliRunner, Result

from tallybook.cli import main


@pytest.fixture
def database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")
    return database


def run(*arguments: str) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, ("sites", *arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def sites() -> list[dict[str, object]]:
    """The sites as `list --json` prints them, without the moments at which they were made."""
    found = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert all(one.pop("createdAt") for one in found)
    return found


def test_a_site_is_added_and_its_tag_is_printed(database_url: str) -> None:
    added = run("add", "shop", "--host", "Shop.example", "--host", "*.shop.example", "--tz", "Europe/Berlin")
    assert added.exit_code == 0, added.output
    assert added.stdout.startswith('<script defer src="http://127.0.0.1:8080/t')
    assert run("list").stdout == "shop\tEurope/Berlin\t*.shop.example shop.example\n"
    assert sites() == [
        {
            "site": "shop",
            "timezone": "Europe/Berlin",
            "hosts": ["*.shop.example", "shop.example"],
            "visitors": "daily",
            "keep": [],
            "nullOrigin": False,
        }
    ]
    again = run("add", "shop", "--host", "other.example")
    assert again.exit_code == 2
    assert "sites set" in again.stderr
    assert len(sites()[0]["hosts"]) == 2  # type: ignore[arg-type]


def test_the_tag_names_the_address_and_the_prefix(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_WEB_PREFIX", "/x7")
    added = run("add", "shop", "--host", "shop.example", "--base", 'https://t.example/?a="<b>')
    assert added.stdout.startswith('<script defer src="https://t.example/?a=&quot;&lt;b&gt;/x7/t')


def test_a_site_is_changed_in_part(database_url: str) -> None:
    run("add", "shop", "--host", "shop.example", "--keep", "page", "--keep", "q", "--null-origin")
    assert run("set", "shop", "--visitors", "none").stdout == "shop\n"
    run("set", "shop", "--tz", "Africa/Cairo", "--host", "new.example")
    [site] = sites()
    assert (site["visitors"], site["keep"], site["nullOrigin"]) == ("none", ["page", "q"], True)
    assert (site["timezone"], site["hosts"]) == ("Africa/Cairo", ["new.example"])
    run("set", "shop", "--keep", "", "--no-null-origin")
    [site] = sites()
    assert (site["visitors"], site["keep"], site["nullOrigin"]) == ("none", [], False)
    assert run("set", "blog", "--visitors", "none").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("Shop", "--host", "shop.example"), "no name of a site"),
        (("shop",), "at least one host"),
        (("shop", "--host", "https://shop.example"), "no host"),
        (("shop", "--host", "shop.example:443"), "no host"),
        (("shop", "--host", "*"), "no host"),
        (("shop", "--host", "a.*.example"), "no host"),
        (("shop", "--host", "sh\u00f6p.example"), "no host"),
        (("shop", "--host", "a" * 256), "no host"),
        (("shop", "--host", "shop.example", "--tz", "Mars/Olympus"), "no time zone"),
        (("shop", "--host", "shop.example", "--keep", "x" * 65), "length <= 64"),
        (("shop", "--host", "shop.example", "--visitors", "always"), "daily"),
        (("shop", "--host", "blog.example"), "belongs to the site blog"),
    ],
)
def test_what_is_no_site_is_refused_and_nothing_is_stored(
    database_url: str, arguments: tuple[str, ...], why: str
) -> None:
    run("add", "blog", "--host", "blog.example")
    refused = run("add", *arguments)
    assert refused.exit_code == 2
    assert why in refused.stderr
    assert [site["site"] for site in sites()] == ["blog"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "xn--shp-1na.example", "*.co_uk.example"])
def test_hosts_of_all_forms_are_taken(database_url: str, host: str) -> None:
    assert run("add", "shop", "--host", host).exit_code == 0
    assert sites()[0]["hosts"] == [host]


def test_a_host_that_another_site_has_cannot_be_taken_from_it(database_url: str) -> None:
    run("add", "blog", "--host", "blog.example")
    run("add", "shop", "--host", "shop.example")
    refused = run("set", "shop", "--host", "blog.example")
    assert (refused.exit_code, "belongs to the site blog" in refused.stderr) == (2, True)
    assert sites()[1]["hosts"] == ["shop.example"]
