"""The parts of a hit: the cookie, the address, what is a machine, and who asked for privacy."""

import json
import time
from typing import Any
from uuid import UUID, uuid1, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.hits import bots, cookie, record
from ingest.hits.cookie import Cookie
from ingest.hits.request_facts import asked, by_name
from ingest.hits.request_url import url
from ingest.hits.routes import GIF, parsed_tracker
from ingest.http.client_address import ClientAddress, truncated
from ingest.http.cors import Origins
from shared.errors import Malformed
from shared.hit import text_of
from shared.settings import Settings, SettingsError, load
from shared.uuid7 import NIL, is_random, uuid7

MINE = UUID("018bcfe5-6800-7b52-8e95-9a6d0c3ea1f7")
THEIRS = UUID("5e2c50d5-347f-456a-926c-a97b108869c6")
VERSION_1 = UUID("03bec8ec-ec30-11f1-97b0-02fc00000001")
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


# -- ids ---------------------------------------------------------------------------------------------------------------


@given(st.integers(0, (1 << 48) - 1))
def test_an_id_is_of_version_7_and_of_its_millisecond(epoch_ms: int) -> None:
    made = uuid7(epoch_ms)
    assert (made.version, made.variant, made.int >> 80) == (7, "specified in RFC 4122", epoch_ms)
    assert is_random(str(made))


def test_ids_differ_and_sort_by_time() -> None:
    assert len({uuid7(5) for _ in range(1000)}) == 1000
    assert str(uuid7(5)) < str(uuid7(6))


@pytest.mark.parametrize("text", [str(VERSION_1), str(NIL), str(MINE).upper(), MINE.hex, f"{MINE} ", ""])
def test_what_is_no_random_uuid_in_its_usual_form_is_none(text: str) -> None:
    assert not is_random(text)


@pytest.mark.parametrize("text", ["", "1", MINE.hex, f"{{{MINE}}}", f"{MINE}\n", "０" * 36, f"urn:uuid:{MINE}"])
def test_what_is_no_uuid_names_no_tracker(text: str) -> None:
    with pytest.raises(Malformed):
        parsed_tracker("id", text)


def test_any_uuid_names_a_tracker() -> None:
    for one in (uuid1(), uuid4(), MINE, NIL, UUID(int=(1 << 128) - 1)):
        assert parsed_tracker("id", str(one).upper()) == one


# -- cookie ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([""], None),
        ([f"user_id={MINE}"], MINE),
        ([f"a=b;user_id={MINE};c=d"], MINE),
        ([f" user_id={MINE} ; c"], MINE),
        (["a=b", f"user_id={MINE}"], MINE),
        ([f"user_id=x; user_id={MINE}"], MINE),
        ([f"USER_ID={MINE}"], None),
        ([f"xuser_id={MINE}"], None),
        ([f'user_id="{MINE}"'], None),
        ([f"user_id={THEIRS}"], THEIRS),
        ([f"user_id={VERSION_1}"], None),
        (["user_id", "user_id="], None),
        ([";" * 8000], None),
    ],
)
def test_o4_the_first_valid_id_of_the_cookies_counts(headers: list[str], found: UUID | None) -> None:
    assert cookie.user_id("; ".join(headers).encode()) == (found and str(found))


@given(st.binary(max_size=200))
def test_o4_no_cookie_breaks_anything(header: bytes) -> None:
    assert cookie.user_id(header) is None


@given(st.binary(max_size=200))
def test_o4_a_valid_id_counts_whatever_other_cookies_hold(other: bytes) -> None:
    assert cookie.user_id(b"city=" + other + b"; user_id=%s" % str(MINE).encode()) == str(MINE)


@pytest.mark.parametrize(
    ("cookie", "attributes"),
    [
        (Settings().cookie, "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"),
        (
            "Max-Age=34560000; Secure; HttpOnly; SameSite=Lax",
            "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
        ("samesite = strict;max-age=1;", "Max-Age=1; Path=/; SameSite=Strict"),
        (
            f"{Settings().cookie}; Domain=example.org",
            "Max-Age=34560000; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
    ],
)
def test_o4_the_header_is_what_the_settings_say(cookie: str, attributes: str) -> None:
    assert Cookie(Settings(cookie=cookie)).header(str(MINE)) == f"user_id={MINE}; {attributes}"


@pytest.mark.parametrize(
    "variables",
    [
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=None"},
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=Lax; Domain=https://example.org"},
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=Lax; Domain="},
        {"TALLYBOOK_COOKIE": f"Max-Age={401 * 86_400}; SameSite=Lax"},
        {"TALLYBOOK_COOKIE": "Max-Age=0; SameSite=Lax"},
        {"TALLYBOOK_COOKIE": "SameSite=Lax"},
        {"TALLYBOOK_COOKIE": "Max-Age=60"},
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=Lax; Secure=false"},
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=Lax; max-age=61"},
        {"TALLYBOOK_COOKIE": "Max-Age=60; SameSite=Lax; Path=/x"},
        {"TALLYBOOK_TRACK_ORIGINS": "*"},
        {"TALLYBOOK_TRACK_ORIGINS": "https://example.org/"},
        {"TALLYBOOK_TRACK_ORIGINS": "https://example.org,example.com"},
    ],
)
def test_settings_that_browsers_would_refuse_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(variables))):
        load(variables)


def test_origins_are_a_list() -> None:
    settings = load({"TALLYBOOK_TRACK_ORIGINS": "https://a.example, http://localhost:3000"})
    assert settings.track_origins == ("https://a.example", "http://localhost:3000")
    origins = Origins(settings.track_origins)
    assert origins.headers("http://localhost:3000")["access-control-allow-origin"] == "http://localhost:3000"
    for other in (None, "", "null", "*", "http://localhost", "HTTPS://A.EXAMPLE"):
        assert origins.headers(other) == {"vary": "Origin"}


# -- address -----------------------------------------------------------------------------------------------------------


def scope(query: bytes = b"id=1", peer: str = "10.0.0.1", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in ({"host": "t.example"} | headers).items()}
    return {
        "type": "http",
        "scheme": "http",
        "raw_path": b"/track",
        "query_string": query,
        "client": (peer, 5),
        "server": ("192.0.2.1", 8080),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }


PROXIES = ClientAddress(["10.0.0.0/8"])
NOBODY = ClientAddress([])


def address_of(request: dict[str, Any], trusted: ClientAddress) -> str:
    facts = asked(request)
    return url(facts, is_proxied=trusted.found(facts.peer, "")[1])


@pytest.mark.parametrize(
    ("headers", "before"),
    [
        ({}, "http://t.example"),
        ({"host": "t.example:8080"}, "http://t.example:8080"),
        ({"host": "[2001:db8::1]:80"}, "http://[2001:db8::1]:80"),
        ({"x_forwarded_proto": "https"}, "https://t.example"),
        ({"x_forwarded_proto": "HTTPS"}, "https://t.example"),
        ({"x_forwarded_proto": "https, http"}, "http://t.example"),
        ({"x_forwarded_proto": "javascript"}, "http://t.example"),
        ({"x_forwarded_host": "shop.example:444"}, "http://shop.example:444"),
        ({"x_forwarded_host": "evil.example, shop.example"}, "http://shop.example"),
        ({"x_forwarded_host": "a b"}, "http://192.0.2.1:8080"),
        ({"x_forwarded_host": "a/b"}, "http://192.0.2.1:8080"),
        ({"host": ""}, "http://192.0.2.1:8080"),
        ({"host": "user@t.example"}, "http://192.0.2.1:8080"),
        ({"host": "x" * 300}, "http://192.0.2.1:8080"),
    ],
)
def test_p5_the_address_is_the_clients_own(headers: dict[str, str], before: str) -> None:
    assert address_of(scope(**headers), PROXIES) == f"{before}/track?id=1"


def test_p5_a_stranger_cannot_say_what_the_address_was() -> None:
    forged = scope(x_forwarded_host="evil.example", x_forwarded_proto="https")
    assert address_of(forged, NOBODY) == "http://t.example/track?id=1"
    assert address_of(scope(peer="198.51.100.1", x_forwarded_proto="https"), PROXIES) == "http://t.example/track?id=1"


@pytest.mark.parametrize(
    ("query", "after"),
    [
        (b"", ""),
        (b"id=1&x=%2Fa+b", "?id=1&x=%2Fa+b"),
        (b"x=\xc3\xa9", "?x=%C3%A9"),
        (b"x=\xff\x00", "?x=%FF%00"),
        (b"a=\"<>'{}|^`", "?a=\"<>'{}|^`"),
        (b"a=%zz%", "?a=%zz%"),
    ],
)
def test_a_query_is_kept_as_it_came(query: bytes, after: str) -> None:
    assert address_of(scope(query), NOBODY) == f"http://t.example/track{after}"


@given(st.binary(max_size=100))
def test_i5_an_address_is_always_printable_ascii(query: bytes) -> None:
    text = address_of(scope(query), NOBODY)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("", ""),
    ],
)
def test_v2_addresses_are_cut_to_their_network(address: str, network: str) -> None:
    assert truncated(address) == network


# -- who and what ------------------------------------------------------------------------------------------------------

MACHINES = [
    "",
    " ",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Wget/1.21",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
]
PEOPLE = [
    CHROME,
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile "
    "Safari/537.36",
]


@pytest.mark.parametrize("user_agent", MACHINES)
def test_b1_machines_are_known(user_agent: str) -> None:
    assert bots.is_bot(user_agent)


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_b1_people_are_no_machines(user_agent: str) -> None:
    assert not bots.is_bot(user_agent)


@pytest.mark.parametrize("text", ["a" * 512, "Mozilla/5.0 " + "(" * 500, " " * 512, "/" * 512, ";,;" * 170])
def test_no_user_agent_holds_up_a_worker(text: str) -> None:
    began = time.process_time()
    bots.is_bot(text)
    assert time.process_time() - began < 0.5


def in_bytes(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "honours_dnt", "expected"),
    [
        ({"sec-gpc": "1"}, False, True),
        ({"sec-gpc": "0"}, False, False),
        ({"dnt": "1"}, False, False),
        ({"dnt": "1"}, True, True),
        ({"dnt": "0"}, True, False),
        ({}, True, False),
    ],
)
def test_v1_who_asks_for_privacy(headers: dict[str, str], honours_dnt: bool, expected: bool) -> None:
    assert record.is_private(in_bytes(headers), honours_dnt=honours_dnt) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-purpose": "prefetch"}, True),
        ({"sec-purpose": "prefetch;anonymous-client-ip"}, True),
        ({"purpose": "prefetch"}, True),
        ({"purpose": "Prefetch"}, True),
        ({"x-moz": "prefetch"}, True),
        ({"purpose": "preview"}, True),
        ({"x-purpose": "preview"}, True),
        ({"x-purpose": "Preview"}, True),
        ({"sec-purpose": "prerender"}, True),
        ({"purpose": "pre-view"}, False),
        ({"x-purpose": ""}, False),
        ({}, False),
    ],
)
def test_b3_what_is_fetched_ahead(headers: dict[str, str], expected: bool) -> None:
    assert bots.is_prefetched(in_bytes(headers)) is expected


def test_the_pixel_is_one_transparent_gif_of_43_bytes() -> None:
    assert len(GIF) == 43
    assert GIF[:10] == b"GIF89a\x01\x00\x01\x00"
    assert GIF.endswith(b";")


def recorded(*headers: tuple[bytes, bytes], peer: str = "203.0.113.77", **settings: Any) -> dict[str, Any]:
    """The row of a hit with these headers."""
    request = scope(peer=peer) | {"headers": [(b"host", b"t.example"), *headers]}
    made = record.Recorder(Settings(**settings), PROXIES).recorded(asked(request), MINE, "v")
    row: dict[str, Any] = json.loads(text_of(made.record))
    assert row["is_bot"] is made.is_bot
    assert (made.cookie is None) == (row["user_id"] == str(NIL))
    return row


def test_a_row_has_the_same_instant_everywhere() -> None:
    row = recorded((b"user-agent", CHROME.encode()), peer="")
    assert row["ip"] == "::"
    assert row["date_time"].startswith(row["date"])
    assert row["is_bot"] is False


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Mozilla/5.0 (iPhone) Prénom’s iPhone".encode(), "Mozilla/5.0 (iPhone) Prénom’s iPhone"),
        ("Mozilla/5.0 Prénom".encode("latin-1"), "Mozilla/5.0 Pr\ufffdnom"),
        (b"Mozilla/5.0 " + b"\xe6\x9d\xb1" * 600, "Mozilla/5.0 " + "東" * 500),
        (b"\xff" * 600, "\ufffd" * 512),
    ],
    ids=["UTF-8", "Latin-1", "long", "no text"],
)
def test_a_user_agent_outside_ascii_is_kept_and_no_machine(sent: bytes, kept: str) -> None:
    row = recorded((b"user-agent", sent))
    assert row["user_agent"] == kept
    assert row["is_bot"] is False


def test_an_id_is_kept_beside_cookies_outside_ascii() -> None:
    cookies = (b"cookie", "city=東京".encode()), (b"cookie", f"user_id={MINE}".encode())
    assert recorded(*cookies)["user_id"] == str(MINE)
    assert recorded((b"cookie", b"city=\xff\xfe; user_id=" + str(MINE).encode()))["user_id"] == str(MINE)


def test_v1_privacy_is_one_rule() -> None:
    private = recorded((b"sec-gpc", b"1"), (b"cookie", f"user_id={MINE}".encode()))
    assert (private["user_id"], private["ip"]) == (str(NIL), "203.0.113.0")
    cut = recorded((b"cookie", f"user_id={MINE}".encode()), track_ip="truncated")
    assert (cut["user_id"], cut["ip"]) == (str(MINE), "203.0.113.0")


def test_headers_that_are_lists_are_joined_and_of_others_the_first_counts() -> None:
    pairs = [(b"dnt", b"1"), (b"x-forwarded-for", b"1.1.1.1"), (b"dnt", b"0"), (b"x-forwarded-for", b"2.2.2.2")]
    assert by_name(pairs) == {b"dnt": b"1", b"x-forwarded-for": b"1.1.1.1, 2.2.2.2"}
