"""What is kept of the address of a page, of a client and of a moment."""

import time
from datetime import UTC, date, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.address import Address, read_address, referring_host, target
from ingest.collect.browsers import browser_of
from ingest.collect.countries import Countries
from ingest.collect.visitor import Person, visitors
from shared.settings import Settings, SettingsError

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Shop.Example./a/b?x=1#top", ("shop.example", "/a/b", ["", "", "", "", ""], "", "", 0)),
        ("https://shop.example", ("shop.example", "/", ["", "", "", "", ""], "", "", 0)),
        (
            "https://shop.example/?utm_source=news&utm_medium=e%20mail&utm_source=other&page=2&q=secret",
            ("shop.example", "/?page=2", ["news", "e mail", "", "", ""], "", "", 0),
        ),
        ("https://shop.example/?fbclid=person&gclid=person", ("shop.example", "/", [""] * 5, "gclid", "", 0)),
        (
            "https://shop.example/?tbid=42.abcdefghijklmnop",
            ("shop.example", "/", [""] * 5, "", "42.abcdefghijklmnop", 42),
        ),
        ("https://shop.example/?tbid=042.abcdefghijklmnop", ("shop.example", "/", [""] * 5, "", "", 0)),
        ("https://shop.example/?tbid=9999999999999999.abcdefghijklmnop", ("shop.example", "/", [""] * 5, "", "", 0)),
        ("https://[2001:db8::1]:8443/", ("2001:db8::1", "/", [""] * 5, "", "", 0)),
    ],
)
def test_an_address_is_read(text: str, expected: tuple[Any, ...]) -> None:
    assert read_address(text, {"page"}) == Address(*expected)


@pytest.mark.parametrize(
    "text", ["", "https://", "https://[::1/", "javascript:alert(1)", "//shop.example", "https://?a"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text, ()) is None
    assert target(text) is None


@given(st.text(max_size=200).map("https://shop.example/".__add__))
def test_any_address_is_bounded_and_keeps_no_query(text: str) -> None:
    found = read_address(text, ())
    if found is not None:
        assert "?" not in found.path
        assert len(found.path) <= 1024
        assert all(len(one) <= 100 for one in found.campaign)
    assert "?" not in (target(text) or "")
    assert "#" not in (target(text) or "")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://www.Google.com/search?q=secret", "google.com"),
        ("https://shop.example/a", ""),
        ("https://www.shop.example/a", ""),
        ("https://notshop.example/", "notshop.example"),
        ("", ""),
        ("android-app://com.example", ""),
        ("https://[::1/", ""),
    ],
)
def test_a_referrer_is_the_host_of_somebody_else(text: str, host: str) -> None:
    assert referring_host(text, ("shop.example", "*.shop.example")) == host


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (CHROME, ("Chrome", "Windows", "desktop")),
        (PHONE, ("Chrome Mobile", "Android", "mobile")),
        (PHONE.replace(" Mobile", ""), ("Chrome", "Android", "tablet")),
        (IPHONE, ("Mobile Safari", "iOS", "mobile")),
        ("", ("", "", "")),
        ("x" * 512, ("", "", "")),
    ],
)
def test_a_user_agent_becomes_three_names(agent: str, expected: tuple[str, str, str]) -> None:
    assert tuple(browser_of(agent)) == expected


def test_no_user_agent_takes_long() -> None:
    for agent in ("(" * 512, "Mozilla/5.0 " * 42, "a;" * 256, "Android " * 64, " " * 512):
        began = time.process_time()
        browser_of(agent)
        assert time.process_time() - began < 1  # of a second of the processor: what takes long takes minutes


def test_a_country_is_two_letters_or_nothing(tmp_path: Path) -> None:
    countries = Countries(Settings())
    assert countries.of("193.0.6.139") == "NL"
    assert countries.of("2001:67c:2e8::1") == "NL"
    for address in ("", "192.0.2.1", "127.0.0.1", "::1"):
        assert countries.of(address) == ""
    with pytest.raises(SettingsError, match="TALLYBOOK_COUNTRY_DB"):
        Countries(Settings(country_db=str(tmp_path / "none.mmdb")))


def database(networks: dict[str, object]) -> bytes:
    """A database of MaxMind's format (version 2.0, records of 24 bits) with these networks."""
    nodes: list[list[int | None]] = [[None, None]]
    ends, content = list[tuple[int, int, int]](), b""
    for network, value in networks.items():
        one = ip_network(network)
        is_old = one.version == 4
        bits = f"{int(one.network_address):0{128}b}"[: one.prefixlen + (96 if is_old else 0)]
        at = 0
        for bit in bits[:-1]:
            following = nodes[at][int(bit)]
            if following is None:
                following = nodes[at][int(bit)] = len(nodes)
                nodes.append([None, None])
            at = following
        ends.append((at, int(bits[-1]), len(content)))
        content += packed(value)
    tree = [[len(nodes) if record is None else record for record in node] for node in nodes]
    for at, bit, place in ends:
        tree[at][bit] = len(nodes) + 16 + place
    about: dict[str, object] = {
        "node_count": Number(6, 4, len(nodes)),
        "record_size": Number(5, 2, 24),
        "ip_version": Number(5, 2, 6),
    }
    about |= {"binary_format_major_version": Number(5, 2, 2), "binary_format_minor_version": Number(5, 2, 0)}
    about |= {"build_epoch": Number(9, 8, 1), "database_type": "Test-Country", "languages": [], "description": {}}
    records = b"".join(record.to_bytes(3, "big") for node in tree for record in node)
    return records + bytes(16) + content + b"\xab\xcd\xefMaxMind.com" + packed(about)


class Number(NamedTuple):
    """A number of that format: its type, its bytes, and its value."""

    kind: int
    size: int
    value: int


def packed(value: object) -> bytes:
    """A map, a text, an empty list or a number, in that format. Types above 7 have a byte of their own."""
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(packed(name) + packed(one) for name, one in value.items())
    if isinstance(value, str):
        return bytes([2 << 5 | len(value)]) + value.encode()
    if isinstance(value, Number):
        head = [value.kind << 5 | value.size] if value.kind < 8 else [value.size, value.kind - 7]
        return bytes(head) + value.value.to_bytes(value.size, "big")
    assert value == []
    return bytes([0, 11 - 7])


def test_the_operators_own_database_says_the_country(tmp_path: Path) -> None:
    """Networks of both versions; a country with a code, one that is only registered, a bare code, and none."""
    networks: dict[str, object] = {
        "203.0.113.0/24": {"country": {"iso_code": "FR"}, "registered_country": {"iso_code": "US"}},
        "198.51.100.0/24": {"registered_country": {"iso_code": "JP"}},
        "2001:db8::/32": {"country": "DE"},
        "2001:db9::/32": {"city": "Nowhere"},
    }
    path = tmp_path / "own.mmdb"
    path.write_bytes(database(networks))
    countries = Countries(Settings(country_db=str(path)))
    known = {"203.0.113.9": "FR", "198.51.100.7": "JP", "2001:db8::7": "DE", "2001:db9::7": "", "193.0.6.139": ""}
    assert {address: countries.of(address) for address in known} == known


# -- visitors ----------------------------------------------------------------------------------------------------------


class Salts:
    """One salt for each day."""

    def __init__(self, *lacking: date) -> None:
        self._lacking = lacking

    def known(self, day: date) -> bytes | None:
        return None if day in self._lacking else day.isoformat().encode().ljust(32, b"x")


PERSON = Person("shop", "203.0.113.9", CHROME)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def of(person: Person | None, moment_s: float = NOON, zone: str = "UTC", salts: Any = None) -> tuple[date, int, int]:
    return tuple(visitors(salts or Salts(), person, zone, moment_s))  # type: ignore[return-value]


def test_a_person_is_one_visitor_of_a_day_and_another_of_the_next() -> None:
    day, visitor, before = of(PERSON)
    assert (day, before) == (date(2026, 3, 1), 0)
    assert 0 < visitor < 2**64
    assert of(PERSON, NOON + 3600) == (day, visitor, 0)
    assert of(PERSON, NOON + 86_400)[1] not in (0, visitor)


def test_each_part_makes_another_visitor() -> None:
    others = [
        PERSON,
        PERSON._replace(site="blog"),
        PERSON._replace(address="203.0.113.10"),
        PERSON._replace(agent=PHONE),
        PERSON._replace(site="shopM", agent=CHROME[1:]),
        PERSON._replace(address="2001:db8:0:1::1"),
        PERSON._replace(address="2001:db8:0:2::1"),
    ]
    assert len({of(one)[1] for one in others}) == len(others)


def test_an_ipv6_network_is_one_visitor() -> None:
    assert of(PERSON._replace(address="2001:db8:0:1::1")) == of(PERSON._replace(address="2001:db8:0:1:ffff::2"))


def test_nobody_is_zero() -> None:
    assert of(None)[1:] == (0, 0)
    assert of(PERSON._replace(address=""))[1:] == (0, 0)
    assert of(PERSON, salts=Salts(date(2026, 3, 1)))[1:] == (0, 0)


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("UTC", datetime(2026, 3, 2, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("Pacific/Kiritimati", datetime(2026, 3, 2, tzinfo=ZoneInfo("Pacific/Kiritimati"))),
        ("America/Santiago", datetime(2026, 9, 6, 1, tzinfo=ZoneInfo("America/Santiago"))),  # there is no midnight
        ("Africa/Cairo", datetime(2026, 4, 24, 1, tzinfo=ZoneInfo("Africa/Cairo"))),
    ],
)
def test_the_first_half_hour_of_a_day_knows_the_visitor_of_the_day_before(zone: str, first: datetime) -> None:
    begin = first.timestamp()
    day, visitor, before = of(PERSON, begin - 1, zone)
    assert before == 0
    following, other, same = of(PERSON, begin, zone)
    assert (following - day).days == 1
    assert same == visitor != other
    assert of(PERSON, begin + 1799, zone) == (following, other, visitor)
    assert of(PERSON, begin + 1800, zone) == (following, other, 0)
    assert of(PERSON, begin, zone, Salts(day))[2] == 0
