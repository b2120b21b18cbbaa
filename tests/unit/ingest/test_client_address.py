"""Who the client is: nobody can choose the address under which it is limited."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.http.client_address import ClientAddress

#: The networks of the proxies in front, and one proxy of each kind.
NETWORKS = ("10.0.0.0/8", "2001:db8:ffff::/48")
PROXY, PROXY6 = "10.0.0.1", "2001:db8:ffff::1"


def client_of(peer: str | None, *headers: str, networks: Sequence[str] = NETWORKS) -> str:
    """What is found for a request of this peer with these X-Forwarded-For headers."""
    pairs = [(b"x-forwarded-for", value.encode("latin-1")) for value in headers]
    return ClientAddress(networks).of(
        {
            "type": "http",
            "client": None if peer is None else (peer, 4321),
            "headers": [(b"host", b"h"), *pairs, (b"forwarded", b"for=192.0.2.99")],
        }
    )


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        (PROXY, ["203.0.113.9"], "203.0.113.9"),
        (PROXY, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the left entry is what the client itself wrote
        (PROXY, ["1.1.1.1, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (PROXY, ["1.1.1.1", "203.0.113.9, 10.1.1.1"], "203.0.113.9"),  # given twice is one list
        (PROXY, ["203.0.113.9", "10.1.1.1"], "203.0.113.9"),
        (PROXY, ["10.2.2.2, 203.0.113.9"], "203.0.113.9"),  # a forged trusted hop behind an untrusted one
        (PROXY, ["  203.0.113.9\t,  10.1.1.1 "], "203.0.113.9"),
        (PROXY, ["203.0.113.9:567"], "203.0.113.9"),
        (PROXY, ["[2001:db8::7]:80"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]"], "2001:db8::7"),
        (PROXY, ["2001:DB8:0::7"], "2001:db8::7"),
        (PROXY, ["[::1]:80"], "::1"),
        (PROXY, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (PROXY, ["203.0.113.9, ::ffff:10.3.3.3"], "203.0.113.9"),
        (PROXY6, ["203.0.113.9, 2001:db8:ffff::2"], "203.0.113.9"),
        (f"::ffff:{PROXY}", ["203.0.113.9"], "203.0.113.9"),  # a dual-stack listener shows IPv4 peers so
    ],
)
def test_p1_the_first_untrusted_address_from_the_right_is_the_client(
    peer: str, headers: list[str], client: str
) -> None:
    assert client_of(peer, *headers) == client


@pytest.mark.parametrize("headers", [[], ["203.0.113.9"], ["10.1.1.1"], ["203.0.113.9, 10.1.1.1"], ["?"]])
def test_p1_nobody_but_a_trusted_peer_is_believed(headers: list[str]) -> None:
    assert client_of("198.51.100.4", *headers) == "198.51.100.4"
    assert client_of(PROXY, *headers, networks=()) == PROXY


@pytest.mark.parametrize("headers", [[], ["10.1.1.1"], ["10.1.1.1, 10.2.2.2"], ["10.1.1.1", "2001:db8:ffff::5"]])
def test_p1_where_all_hops_are_trusted_it_is_the_peer(headers: list[str]) -> None:
    assert client_of(PROXY, *headers) == PROXY


def test_p1_a_chain_without_end_is_not_walked() -> None:
    assert client_of(PROXY, ", ".join(["203.0.113.9"] + ["10.1.1.1"] * 100)) == PROXY
    assert client_of(PROXY, ", ".join(["1.1.1.1"] * 100 + ["203.0.113.9", "10.1.1.1"])) == "203.0.113.9"


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ",",
        "unknown",
        "_hidden",
        "203.0.113.999",
        "203.0.113",
        "0203.0.113.9",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:8o",
        "[1.2.3.4]:80",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[]:80",
        "fe80::1%eth0",
        "localhost",
        "1.2.3.4 5.6.7.8",
        "1.2.3.4;drop",
        '"1.2.3.4"',
        "\xb2.2.3.4",
        "\xff\x00",
        "1" * 8000,
    ],
)
def test_p3_garbage_ends_the_walk_at_the_peer(entry: str) -> None:
    assert client_of(PROXY, entry) == PROXY
    assert client_of(PROXY, f"203.0.113.9, {entry}") == PROXY  # what stands left of it was never vouched for


@pytest.mark.parametrize("peer", [None, "", "unix:"])
def test_p4_a_peer_without_an_address_is_nobody(peer: str | None) -> None:
    assert client_of(peer, "203.0.113.9") == ""


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=5))
def test_p3_no_header_breaks_it(headers: list[str]) -> None:
    assert client_of(PROXY, *headers)


@given(st.text("0123456789abcdef.:[], %", max_size=60))
def test_p1_what_stands_left_of_the_client_changes_nothing(forged: str) -> None:
    assert client_of(PROXY, f"{forged}, 203.0.113.9") == "203.0.113.9"
