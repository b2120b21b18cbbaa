"""Keys: how they look, how they are compared, and which settings ask for one."""

import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import snippet
from ingest.app import OPERATIONS
from shared import api_keys
from shared.api_keys import Key, allows, is_equal, new, parsed
from shared.settings import Settings, SettingsError, load

#: What nobody needs a key for, whatever the settings say.
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/limits"),
    ("GET", "/session"),
    ("POST", "/session"),
    ("DELETE", "/session"),
    ("GET", "/docs"),
    ("GET", "/docs/errors"),
    ("GET", "/docs/docs.css"),
    ("GET", "/docs/docs.js"),
    ("GET", "/"),
    ("GET", "/r/{slug}"),
    *(("GET", one.path) for one in snippet.OPERATIONS),
    ("GET", "/ui/{view}"),
    ("GET", "/ui/{view}/{id}"),
    ("GET", "/ui/assets/{build}/{file}"),
    ("OPTIONS", "/stats"),
    ("OPTIONS", "/stats/{bannerId}"),
    ("OPTIONS", "/track"),
    ("OPTIONS", "/track.gif"),
}


def test_a5_every_route_has_a_scope_or_is_known_to_be_open() -> None:
    assert {(one.method, one.path) for one in OPERATIONS if one.scope is None} == OPEN


def test_reads_writes_and_operation_need_different_scopes() -> None:
    scopes = {(one.method, one.path): one.scope for one in OPERATIONS}
    assert scopes["POST", "/events"] == "events:write"
    assert scopes["POST", "/stats"] == scopes["POST", "/stats/{bannerId}"] == "clicks:write"
    assert scopes["GET", "/track"] == scopes["POST", "/track"] == scopes["GET", "/track.gif"] == "hits:write"
    assert scopes["GET", "/stats"] == scopes["GET", "/stats/dau"] == scopes["GET", "/stats/{bannerId}"] == "stats:read"
    assert scopes["GET", "/accounting"] == "admin"


def test_a_key_is_read_back() -> None:
    key = new()
    assert re.fullmatch(r"tb_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", key.text)
    assert parsed(key.text) == key


def test_no_two_keys_are_alike() -> None:
    made = [new() for _ in range(200)]
    assert len({key.prefix for key in made}) == len({key.secret for key in made}) == 200


@given(st.text(max_size=80))
def test_what_is_no_key_is_none(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize("end", ["\n", " ", "x", "=", "\0"])
def test_nothing_may_stand_around_a_key(end: str) -> None:
    key = new()
    assert parsed(key.text + end) is None
    assert parsed(end + key.text) is None


def test_a1_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(api_keys.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or hmac_compare(a, b))
    key = new()
    assert is_equal(key, key.hash)
    assert not is_equal(Key(key.prefix, "A" * 43), key.hash)
    assert compared == [(key.hash, key.hash), (Key(key.prefix, "A" * 43).hash, key.hash)]


hmac_compare = hmac.compare_digest


def test_admin_is_good_for_everything_and_other_scopes_for_themselves() -> None:
    assert allows(frozenset({"admin"}), "events:write")
    assert allows(frozenset({"stats:read"}), "stats:read")
    assert not allows(frozenset({"stats:read"}), "admin")
    assert not allows(frozenset(), "stats:read")


# -- settings ----------------------------------------------------------------------------------------------------------

DEFAULT = {"events:write", "stats:read", "logs:read", "admin"}


@pytest.mark.parametrize(
    ("keys", "host", "needed"),
    [
        ("auto", "127.0.0.1", set()),
        ("auto", "127.8.8.8", set()),
        ("auto", "::1", set()),
        ("auto", "localhost", set()),
        ("auto", "0.0.0.0", DEFAULT),
        ("auto", "::", DEFAULT),
        ("auto", "192.0.2.7", DEFAULT),
        ("auto", "counter.example.org", DEFAULT),
        ("off", "0.0.0.0", set()),
        ("required", "127.0.0.1", DEFAULT),
    ],
)
def test_keys_are_needed_as_soon_as_others_can_reach_the_service(keys: str, host: str, needed: set[str]) -> None:
    assert load({"TALLYBOOK_KEYS": keys, "TALLYBOOK_HOST": host}).keyed == needed


def test_behind_a_proxy_everybody_comes_from_loopback() -> None:
    proxies = ("127.0.0.1/32",)
    assert Settings(trusted_proxies=proxies).keyed == DEFAULT
    assert not Settings(trusted_proxies=proxies, keys="off").keyed


def test_what_browsers_send_is_open_unless_it_is_named() -> None:
    assert not {"clicks:write", "hits:write"} & load({"TALLYBOOK_KEYS": "required"}).keyed
    named = load({"TALLYBOOK_KEYS": "required", "TALLYBOOK_KEYS_FOR": "clicks:write, hits:write"})
    assert named.keyed == {"clicks:write", "hits:write"}
    with pytest.raises(SettingsError, match="TALLYBOOK_KEYS_FOR"):
        load({"TALLYBOOK_KEYS_FOR": "clicks"})


JWT = {"TALLYBOOK_JWT_ALGORITHM": "HS256", "TALLYBOOK_JWT_ISSUER": "https://i", "TALLYBOOK_JWT_AUDIENCE": "tallybook"}
SECRET = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"TALLYBOOK_JWT_KEYS": SECRET[1:]}, "32 bytes"),
        ({}, "HS256 needs TALLYBOOK_JWT_KEYS"),
        ({"TALLYBOOK_JWT_ALGORITHM": "RS256"}, "RS256 needs TALLYBOOK_JWT_KEYS"),
        # Whoever knows the public keys could sign tokens with them.
        ({"TALLYBOOK_JWT_KEYS": ' {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'}, "has public keys"),
        ({"TALLYBOOK_JWT_KEYS": "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQ"}, "has public keys"),
        ({"TALLYBOOK_JWT_KEYS": SECRET, "TALLYBOOK_JWT_ISSUER": ""}, "TALLYBOOK_JWT_ISSUER"),
        ({"TALLYBOOK_JWT_KEYS": SECRET, "TALLYBOOK_JWT_AUDIENCE": ""}, "TALLYBOOK_JWT_AUDIENCE"),
        ({"TALLYBOOK_JWT_KEYS": SECRET, "TALLYBOOK_JWT_ALGORITHM": ""}, "TALLYBOOK_JWT_ALGORITHM has to be set"),
        ({"TALLYBOOK_JWT_KEYS": SECRET, "TALLYBOOK_JWT_ALGORITHM": "none"}, "cannot be used"),
    ],
)
def test_a3_tokens_need_an_algorithm_an_issuer_an_audience_and_what_verifies(change: dict[str, str], what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        load(JWT | change)


def test_a2_secrets_do_not_stand_in_what_is_shown_of_settings() -> None:
    settings = load(JWT | {"TALLYBOOK_JWT_KEYS": SECRET})
    assert settings.jwt_keys == SECRET
    assert SECRET not in repr(settings)
    assert Settings().jwt_keys is None
