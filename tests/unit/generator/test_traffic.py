"""Page views: the same for the same seed, in the parts that the profile asks for, each with an identity of its own."""

import math
from collections import Counter
from datetime import datetime
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from generator.traffic.kinds import BOUNCE, BROKEN_JSON, DUPLICATE, EMPTY_PAGE, FAULTY, KINDS, NEGATIVE_DURATION, NORMAL
from generator.traffic.profile import Profile
from generator.traffic.traffic import Audience, Message, Traffic

START_MS = 1_795_000_000_000
COUNT = 60_000
#: Kind, key and the beginning of the value.
FIRST_OF_SEED_7 = [
    ("normal", b"page-00005", b'{"page_id":"page-00005","user_id":"user-001878","view_duration_ms":48621'),
    ("bounce", b"page-00401", b'{"page_id":"page-00401","user_id":"user-007374","view_duration_ms":1828,'),
    ("normal", b"page-00031", b'{"page_id":"page-00031","user_id":"user-045474","view_duration_ms":27771'),
]


class View(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer reads."""

    page_id: str
    user_id: str
    view_duration_ms: int
    timestamp: str
    is_bounce: bool
    user_agent: str | None = None
    ip_address: str | None = None
    region: str | None = None


def made(count: int = COUNT, seed: int = 1, piece: int = 1000, **profile: Any) -> list[Message]:
    """Messages a hundredth of a millisecond apart, as `max` makes them."""
    traffic = Traffic(seed, Audience(), Profile(**profile))
    due = [START_MS + number // 100 for number in range(count)]
    return [one for at in range(0, count, piece) for one in traffic.take(due[at : at + piece])]


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return made()


def views(messages: list[Message], *kinds: str) -> list[View]:
    return [msgspec.json.decode(one.value, type=View) for one in messages if one.kind in kinds]


def assert_part(count: int, of: int, part: float) -> None:
    """Within five standard deviations of the binomial distribution: once in two million runs it is not."""
    assert abs(count - of * part) <= 5 * math.sqrt(of * part * (1 - part)), f"{count} of {of} is not {part}"


def test_the_same_seed_makes_the_same_events(messages: list[Message]) -> None:
    assert made(5_000) == messages[:5_000]
    assert made(5_000, piece=7) == messages[:5_000]


def test_another_seed_makes_others(messages: list[Message]) -> None:
    others = made(1_000, seed=2)
    assert sum(one.value == other.value for one, other in zip(messages, others, strict=False)) == 0


def test_the_first_events_of_a_seed_are_these_for_ever() -> None:
    """Whoever compares runs of two versions relies on it; so change it knowingly."""
    first = made(3, seed=7)
    assert [(one.kind, one.key, one.value[:72]) for one in first] == FIRST_OF_SEED_7


def test_kinds_have_the_parts_of_the_profile(messages: list[Message]) -> None:
    counts = Counter(one.kind for one in messages)
    assert set(counts) == set(KINDS)
    assert_part(counts[BOUNCE], COUNT, 0.10)
    assert_part(counts[DUPLICATE], COUNT, 0.01)
    assert_part(sum(counts[kind] for kind in FAULTY), COUNT, 0.05)
    for kind in FAULTY:
        assert_part(counts[kind], COUNT, 0.05 / 3)


def test_other_parts_are_kept_as_well() -> None:
    counts = Counter(one.kind for one in made(bounce_ratio=0.3, faulty_ratio=0.2, duplicate_ratio=0.15))
    assert_part(counts[BOUNCE], COUNT, 0.3)
    assert_part(counts[DUPLICATE], COUNT, 0.15)
    assert_part(sum(counts[kind] for kind in FAULTY), COUNT, 0.2)


def test_a_part_of_nothing_makes_none_and_of_one_makes_no_other() -> None:
    assert {one.kind for one in made(2_000, bounce_ratio=0, faulty_ratio=0, duplicate_ratio=0)} == {NORMAL}
    assert {one.kind for one in made(2_000, bounce_ratio=1, faulty_ratio=0, duplicate_ratio=0)} == {BOUNCE}


def test_parts_change_with_the_profile_from_the_next_event_on() -> None:
    traffic = Traffic(1, Audience(), Profile())
    traffic.take([START_MS] * 100)
    traffic.follow(Profile(faulty_ratio=1, bounce_ratio=0, duplicate_ratio=0))
    assert {one.kind for one in traffic.take([START_MS] * 100)} == set(FAULTY)


def test_good_events_are_what_a_consumer_expects(messages: list[Message]) -> None:
    for one in views(messages, NORMAL):
        assert 10_000 <= one.view_duration_ms <= 600_000
        assert not one.is_bounce
        assert one.page_id
        assert one.user_id
        assert datetime.fromisoformat(one.timestamp).tzinfo is not None
        assert len(one.timestamp) == len("2026-11-21T13:58:49.784Z")
    for one in views(messages, BOUNCE):
        assert 0 < one.view_duration_ms < 5_000
        assert one.is_bounce


def test_addresses_belong_to_nobody(messages: list[Message]) -> None:
    networks = ip_network("198.18.0.0/15"), ip_network("2001:db8::/32")
    addresses = {one.ip_address for one in views(messages[:5_000], NORMAL)}
    assert None in addresses
    assert {ip_address(one).version for one in addresses if one} == {4, 6}
    assert all(any(ip_address(one) in network for network in networks) for one in addresses if one)


def test_faulty_events_are_wrong_in_one_way(messages: list[Message]) -> None:
    assert {(one.page_id, one.view_duration_ms >= 10_000) for one in views(messages, EMPTY_PAGE)} == {("", True)}
    assert {one.key for one in messages if one.kind == EMPTY_PAGE} == {b""}
    assert all(one.view_duration_ms < 0 and one.page_id for one in views(messages, NEGATIVE_DURATION))
    for one in messages:
        if one.kind == BROKEN_JSON:
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(one.value)


def test_the_key_is_the_page(messages: list[Message]) -> None:
    for one in messages:
        if one.kind != BROKEN_JSON:
            assert msgspec.json.decode(one.value, type=View).page_id == one.key.decode()


def test_a_duplicate_is_an_earlier_good_event_again(messages: list[Message]) -> None:
    duplicates = [one for one in messages if one.kind == DUPLICATE]
    for one in duplicates:
        assert one.of is not None
        original = messages[one.of]
        assert original.number < one.number
        assert original.kind in (NORMAL, BOUNCE)
        assert (one.key, one.value) == (original.key, original.value)
    assert all(one.of is None for one in messages if one.kind != DUPLICATE)


def test_no_two_events_share_an_identity_unless_one_is_a_duplicate() -> None:
    """With few users and pages chance alone would make hundreds of them."""
    traffic = Traffic(1, Audience(pages=5, users=20), Profile(faulty_ratio=0))
    messages = traffic.take([START_MS + number // 100 for number in range(20_000)])
    originals = views([one for one in messages if one.kind != DUPLICATE], NORMAL, BOUNCE)
    identities = {(one.user_id, one.page_id, one.timestamp) for one in originals}
    assert len(identities) == len(originals)


def test_timestamps_never_go_back() -> None:
    stamps = [one.timestamp for one in views(made(5_000, duplicate_ratio=0), NORMAL)]
    assert all(one <= other for one, other in pairwise(stamps))
    assert datetime.fromisoformat(stamps[0]).timestamp() * 1000 == START_MS


def test_pages_and_users_follow_zipfs_law(messages: list[Message]) -> None:
    """The page of rank k has 1/k of the visits of the first, divided by the sum of all these parts."""
    good = views(messages, NORMAL)
    pages = Counter(one.page_id for one in good)
    total = sum(1 / rank for rank in range(1, 1001))
    for rank in (1, 2, 5, 10, 50):
        assert_part(pages[f"page-{rank:05d}"], len(good), 1 / rank / total)
    users = Counter(one.user_id for one in good)
    total = sum(rank**-0.7 for rank in range(1, 50_001))
    for rank in (1, 10):
        assert_part(users[f"user-{rank:06d}"], len(good), rank**-0.7 / total)


def test_a_user_is_the_same_each_time(messages: list[Message]) -> None:
    about: dict[str, set[tuple[str | None, ...]]] = {}
    for one in views(messages, NORMAL, BOUNCE):
        about.setdefault(one.user_id, set()).add((one.user_agent, one.ip_address, one.region))
    assert all(len(known) == 1 for known in about.values())
    assert len({known for one in about.values() for known in one}) > 1000
