"""The destination of a link: what may be one, and how it is split."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.collect.link import LinkRow, checked, is_slug
from shared.destination import BadDestination, Destination
from shared.settings import SettingsError, load

GOOD = [
    ("https://shop.example", ("https://shop.example", None, "")),
    ("http://shop.example/", ("http://shop.example/", None, "")),
    ("https://Shop.Example:8443/a/b?x=1&y#top?", ("https://Shop.Example:8443/a/b", "x=1&y", "#top?")),
    ("https://shop.example?x", ("https://shop.example", "x", "")),
    ("https://shop.example/a?", ("https://shop.example/a", "", "")),
    ("https://shop.example#a#b", ("https://shop.example", None, "#a#b")),
    ("https://xn--mnchen-3ya.example/%C3%BC?q=[a|b]", ("https://xn--mnchen-3ya.example/%C3%BC", "q=[a|b]", "")),
    ("http://192.0.2.1/", ("http://192.0.2.1/", None, "")),
    ("http://[2001:db8::1]:80/a@b", ("http://[2001:db8::1]:80/a@b", None, "")),
    ("https://a_b.shop.example/", ("https://a_b.shop.example/", None, "")),
]


@pytest.mark.parametrize(("url", "parts"), GOOD)
def test_a_destination_is_split_and_joined(url: str, parts: tuple[str, str | None, str]) -> None:
    found = Destination.of(url)
    assert tuple(found) == parts
    assert found.url == url


BAD = [
    "",
    "shop.example",
    "//shop.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://shop.example/",
    "HTTPS://shop.example/",
    "https:///x",
    "https:/shop.example",
    "https:shop.example",
    "https://user@shop.example/",
    "https://user:secret@shop.example/",
    "https://shop.example\\@evil.example/",
    "https://shop.example\\.evil.example/",
    "\\\\evil.example",
    "https://shop.example/a\\b",
    "https://shop.example/?a\\b",
    "https://shop.example/#a\\b",
    "https://shop.example/\r\nset-cookie: a=b",
    "https://shop.example/\n",
    "https://shop.example\n",
    " https://shop.example/",
    "https://shop.example/a b",
    "https://shop.example/\tb",
    "https://shop.example/\0",
    "https://shop.example/\x7f",
    "https://münchen.example/",
    "https://shop.example/ü",
    "https://shop.example/\u2028",
    "https://shop.example%2eevil.example/",
    "https://.shop.example/",
    "https://shop..example/",
    "https://-shop.example/",
    "https://shop.example:/",
    "https://shop.example:0/",
    "https://shop.example:65536/",
    "https://[::1/",
    "https://[::1]evil.example/",
    "https://[1.2.3.4]/",
    "https://[fe80::1%25eth0]/",
    f"https://{'a.' * 130}example/",
    f"https://{'a' * 64}.example/",
    f"https://shop.example/{'a' * 2048}",
]


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_destination_is_refused(url: str) -> None:
    with pytest.raises(BadDestination):
        Destination.of(url)


@given(st.text(max_size=60) | st.text(st.sampled_from("htps:/\\@.ab?#%[]1 \n"), max_size=40).map("https://a".__add__))
def test_what_is_taken_is_visible_ascii_with_a_host(text: str) -> None:
    try:
        found = Destination.of(text)
    except BadDestination:
        return
    assert re.fullmatch(r"[!-~]+", text)
    assert "\\" not in text
    host = text.partition("://")[2]
    assert "@" not in re.split("[/?#]", host)[0]
    assert found.url == text


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://shop.example/", True),
        ("https://SHOP.example:8443/", True),
        ("https://www.shop.example/", False),
        ("https://a.news.example/", True),
        ("https://a.b.news.example/", True),
        ("https://news.example/", False),
        ("https://evilnews.example/", False),
        ("https://shop.example.evil.example/", False),
    ],
)
def test_destinations_are_kept_to_hosts(url: str, is_allowed: bool) -> None:
    hosts = ("shop.example", "*.news.example")
    if is_allowed:
        assert Destination.of(url, hosts).url == url
    else:
        with pytest.raises(BadDestination, match="LINK_HOSTS"):
            Destination.of(url, hosts)


def test_the_setting_takes_names_of_hosts_alone() -> None:
    assert load({"TALLYBOOK_LINK_HOSTS": "shop.example, *.shop.example"}).link_hosts == (
        "shop.example",
        "*.shop.example",
    )
    for text in (
        "https://shop.example",
        "Shop.example",
        "*",
        "*.",
        "shop.example:443",
        "*shop.example",
        "a..b",
        "a.*.b",
    ):
        with pytest.raises(SettingsError, match="TALLYBOOK_LINK_HOSTS"):
            load({"TALLYBOOK_LINK_HOSTS": text})


# -- rows --------------------------------------------------------------------------------------------------------------

ROW = LinkRow("spring", 42, "https://shop.example/")


@pytest.mark.parametrize("slug", ["a", "0", "A-_9", "a" * 64])
def test_a_slug_is_short_and_plain(slug: str) -> None:
    assert is_slug(slug)


@pytest.mark.parametrize("slug", ["", "-a", "_a", "a" * 65, "a/b", "a.b", "ä", "a\n", "a b", "%61"])
def test_other_texts_are_no_slugs(slug: str) -> None:
    assert not is_slug(slug)


@pytest.mark.parametrize(
    "changes",
    [
        {"slug": "a/b"},
        {"banner_id": 0},
        {"banner_id": 2**53},
        {"url": "javascript:alert(1)"},
        {"query": "merge"},
        {"pass_": ("a",) * 33},
        {"pass_": ("",)},
        {"pass_": ("a,b",)},
        {"pass_": ("a\n",)},
        {"pass_": ("tbid",)},
        {"pass_": ("a" * 101,)},
        {"max_clicks": 0},
        {"max_clicks": 2**53},
    ],
)
def test_a_row_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    assert checked(ROW) == ROW
    with pytest.raises(ValueError, match=r"\S"):
        checked(ROW._replace(**changes))
