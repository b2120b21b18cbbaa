"""Where a link leads: the destination of its row, and what a request may add to its query."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.caches.links import Link, made
from ingest.links.location import LOCATION_MAX, location
from shared.collect.link import LinkRow
from shared.destination import Destination


def link(url: str = "https://shop.example/sale?a=1&utm_source=own#top", passing: Any = (), **fields: Any) -> Link:
    one = made(LinkRow("spring", 42, url, **fields), Destination.of(url))
    return one._replace(passing=frozenset(passing))


BASE = "https://shop.example/sale"


@pytest.mark.parametrize(
    ("query", "sent", "expected"),
    [
        ("keep", b"utm_source=x&ref=y", f"{BASE}?a=1&utm_source=own#top"),
        ("append", b"", f"{BASE}?a=1&utm_source=own#top"),
        ("append", b"other=1&a=2", f"{BASE}?a=1&utm_source=own#top"),
        ("append", b"utm_source=x&utm_medium=m&ref=y", f"{BASE}?a=1&utm_source=own&utm_medium=m&ref=y#top"),
        ("override", b"utm_source=x&utm_medium=m&ref=y", f"{BASE}?a=1&utm_source=x&utm_medium=m&ref=y#top"),
        ("override", b"%75tm_source=x", f"{BASE}?a=1&utm_source=x#top"),
        ("override", b"utm_source", f"{BASE}?a=1&utm_source=#top"),
        ("override", b"utm_source=x&utm_source=y", f"{BASE}?a=1&utm_source=x&utm_source=y#top"),
        ("override", b"ref=a+b%26c%23%0d%0a", f"{BASE}?a=1&utm_source=own&ref=a%20b%26c%23%0D%0A#top"),
        ("override", "ref=ü".encode(), f"{BASE}?a=1&utm_source=own&ref=%C3%BC#top"),
        ("override", b"UTM_source=x&xutm_a=1&tbid=7.a", f"{BASE}?a=1&utm_source=own#top"),
    ],
)
def test_what_passes_is_what_the_link_says(query: str, sent: bytes, expected: str) -> None:
    assert location(link(query=query, passing=frozenset({b"ref"})), sent) == expected


def test_a_destination_without_a_query_gets_one_before_its_fragment() -> None:
    assert location(link("https://shop.example#top", query="append"), b"utm_a=1") == "https://shop.example?utm_a=1#top"
    assert location(link("https://shop.example/?", query="append"), b"utm_a=1") == "https://shop.example/?utm_a=1"
    assert location(link("https://shop.example/?", query="append"), b"") == "https://shop.example/?"


@pytest.mark.parametrize("query", ["keep", "append", "override"])
def test_the_id_of_a_click_names_the_banner_and_never_comes_back(query: str) -> None:
    one = link("https://shop.example/?tbid=old&a=1", query=query, click_id=True)
    seen = {location(one, b"tbid=7.forged") for _ in range(1000)}
    assert len(seen) == 1000
    assert all(re.fullmatch(r"https://shop\.example/\?a=1&tbid=42\.[a-z2-7]{16}", text) for text in seen)


def test_a_location_that_would_be_too_long_is_that_of_the_row() -> None:
    one = link(query="append", click_id=True)
    fits = LOCATION_MAX - len(f"{BASE}?a=1&utm_source=own&utm_x=&tbid=42.{'a' * 16}#top")
    assert len(location(one, b"utm_x=" + b"a" * fits)) == LOCATION_MAX
    assert location(one, b"utm_x=" + b"a" * (fits + 1)) == one.location


URLS = ["https://shop.example/sale?a=1&utm_source=own#top", "http://[::1]:8080/a//b", "https://shop.example?x=%", BASE]


@given(
    st.sampled_from(URLS),
    st.sampled_from(["keep", "append", "override"]),
    st.booleans(),
    st.frozensets(st.binary(max_size=5)),
    st.binary(max_size=80)
    | st.lists(
        st.sampled_from([b"&", b"=", b"utm_", b"%", b"\r\n", b"#", b"?", b"//evil.example", b"\\", b"@", b"ref"])
    ).map(b"".join),
)
def test_no_input_changes_scheme_host_or_path(
    url: str, query: str, has_click_id: bool, passing: frozenset[bytes], sent: bytes
) -> None:
    one = link(url, query=query, click_id=has_click_id, passing=passing)
    led = location(one, sent)
    assert re.fullmatch(r"[!-~]+", led)
    assert "\\" not in led
    assert len(led) <= LOCATION_MAX
    before, after = urlsplit(url), urlsplit(led)
    assert (after.scheme, after.netloc, after.path, after.fragment) == (*before[:3], before.fragment)
    if query != "override" and not has_click_id:
        assert after.query.startswith(before.query)
    own = [pair for pair in parse_qsl(before.query, keep_blank_values=True) if not pair[0].startswith("utm_")]
    if not passing:
        assert parse_qsl(after.query, keep_blank_values=True)[: len(own)] == own
