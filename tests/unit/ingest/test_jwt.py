"""Tokens of another issuer: what is taken, and every way in which one is refused."""

import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from ingest.auth.jwt import Tokens
from shared.errors import Unauthorized
from shared.settings import Settings, SettingsError

SECRET = "0123456789abcdef" * 2
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def settings(algorithm: str, **more: Any) -> Settings:
    return Settings(jwt_algorithm=algorithm, jwt_issuer="https://id.example", jwt_audience="tallybook", **more)  # type: ignore[arg-type]


def jwks(*keys: tuple[Any, Any, dict[str, str]]) -> str:
    """A set of public keys: (what writes it, the private key, more members)."""
    return json.dumps({"keys": [kind.to_jwk(key.public_key(), as_dict=True) | more for kind, key, more in keys]})


def claims(**change: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": "https://id.example", "aud": "tallybook", "sub": "svc-1", "iat": now, "exp": now + 300}
    made["scope"] = "stats:read events:write"
    return {name: value for name, value in (made | change).items() if value is not None}


def signed(change: dict[str, Any] | None = None, key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims(**(change or {})), key, algorithm, headers=headers or None)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(settings("HS256", jwt_keys=SECRET))


@pytest.fixture
def by_key() -> Tokens:
    """Takes tokens of two keys of the same issuer, as there are during a rotation."""
    return Tokens(
        settings("RS256", jwt_keys=jwks((RSAAlgorithm, RSA, {"kid": "new"}), (RSAAlgorithm, OTHER_RSA, {"kid": "old"})))
    )


def test_a_token_says_who_and_what_for(tokens: Tokens) -> None:
    caller = tokens.caller(signed())
    assert (caller.name, caller.subject) == ("jwt svc-1", "svc-1")
    assert caller.scopes == frozenset({"stats:read", "events:write"})
    assert caller.expires_at is not None
    assert abs(caller.expires_at.timestamp() - jwt.decode(signed(), options={"verify_signature": False})["exp"]) < 2
    assert tokens.caller(signed({"exp": 10**300})).expires_at is None
    assert tokens.caller(signed({"scope": None})).scopes == frozenset()
    assert tokens.caller(signed({"scope": ["admin"]})).scopes == frozenset()
    assert tokens.caller(signed({"aud": ["other", "tallybook"]})).name == "jwt svc-1"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"exp": 1_700_000_000},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"exp": None},
        {"iat": None},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
        {"exp": "soon"},
    ],
)
def test_a3_a_claim_that_lacks_or_is_wrong_is_refused(tokens: Tokens, change: dict[str, Any]) -> None:
    # PyJWT will not write some of these, so they are signed by hand.
    payload = json.dumps(claims(**change)).encode()
    token = jwt.PyJWS().encode(payload, SECRET, "HS256")
    with pytest.raises(Unauthorized):
        tokens.caller(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "." * 9000,
        signed(key=SECRET[::-1]),
        signed()[:-2],
        signed(algorithm="HS512", key=SECRET * 2),
        jwt.encode(claims(), "", "none"),
        signed(kid="a", typ="JWT") + "x" * (1 << 20),
    ],
    ids=range(10),
)
def test_a3_what_is_not_signed_as_agreed_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        tokens.caller(token)
    assert not token or len(token) < 3 or token not in refused.value.detail


def test_a3_a_public_key_is_no_secret_of_an_hmac(by_key: Tokens) -> None:
    for form in (Encoding.PEM, Encoding.DER):  # PyJWT will not sign with them, so it is done by hand
        public = RSA.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        head = base64url_encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "new"}).encode())
        text = head + b"." + base64url_encode(json.dumps(claims()).encode())
        signature = base64url_encode(hmac.digest(public, text, "sha256"))
        with pytest.raises(Unauthorized):
            by_key.caller((text + b"." + signature).decode())


def test_both_keys_of_a_rotation_are_taken_and_the_token_says_which(by_key: Tokens) -> None:
    assert by_key.caller(signed(key=RSA, algorithm="RS256", kid="new")).name == "jwt svc-1"
    assert by_key.caller(signed(key=OTHER_RSA, algorithm="RS256", kid="old")).name == "jwt svc-1"
    for key, kid in [(RSA, {"kid": "old"}), (RSA, {"kid": "none"}), (RSA, {})]:
        with pytest.raises(Unauthorized):
            by_key.caller(signed(key=key, algorithm="RS256", **kid))


def test_a3_a_key_in_the_header_of_a_token_is_not_looked_at(by_key: Tokens) -> None:
    evil = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = RSAAlgorithm.to_jwk(evil.public_key(), as_dict=True)
    for header in ({"jwk": own}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/"}):
        with pytest.raises(Unauthorized):
            by_key.caller(signed(key=evil, algorithm="RS256", kid="new", **header))


@pytest.mark.parametrize(
    ("algorithm", "kind", "key"),
    [("ES256", ECAlgorithm, EC), ("EdDSA", OKPAlgorithm, ED), ("PS256", RSAAlgorithm, RSA)],
)
def test_every_algorithm_of_the_settings_works_with_one_key_without_a_name(algorithm: str, kind: Any, key: Any) -> None:
    tokens = Tokens(settings(algorithm, jwt_keys=jwks((kind, key, {}))))
    assert tokens.caller(signed(key=key, algorithm=algorithm)).name == "jwt svc-1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        '{"keys": ["x"]}',
        jwks((ECAlgorithm, EC, {})),
        jwks((RSAAlgorithm, RSA, {"use": "enc"})),
        jwks((RSAAlgorithm, RSA, {"alg": "RS512"})),
        jwks((RSAAlgorithm, RSA, {"kid": "a"}), (RSAAlgorithm, OTHER_RSA, {"kid": "a"})),
        json.dumps({"keys": [RSAAlgorithm.to_jwk(RSA, as_dict=True)]}),
    ],
    ids=range(11),
)
def test_a3_keys_that_cannot_verify_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="TALLYBOOK_JWT_KEYS"):
        Tokens(settings("RS256", jwt_keys=text))
