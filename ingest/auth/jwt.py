"""Check tokens (JWT) of another issuer, where the settings name one.

Algorithm, issuer and audience are settings, never taken from the token; of its header only `kid` is looked at, to
choose among the keys of the settings. Nothing is fetched. PyJWT checks the signatures; it is an extra,
`tallybook[jwt]`, and is loaded where it is needed.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingest.auth.caller import Caller
from shared.errors import Unauthorized
from shared.settings import Settings, SettingsError

#: Characters of a token; longer ones are not looked at.
_TOKEN_MAX = 8192
#: Seconds by which the clock of the issuer may differ from ours.
_LEEWAY_S = 10
#: Characters of a subject (OpenID Connect Core 1.0, section 2): limits are kept by it.
_SUBJECT_MAX = 255
_CLAIMS = ("exp", "iat", "iss", "aud", "sub")


class Tokens:
    """Check tokens. Raise SettingsError for keys that cannot be used, or when PyJWT is not installed."""

    def __init__(self, settings: Settings) -> None:
        try:
            import jwt
        except ImportError:
            raise SettingsError("TALLYBOOK_JWT_ALGORITHM needs PyJWT: pip install 'tallybook[jwt]'") from None
        self._jwt: Any = jwt
        self._algorithm = settings.jwt_algorithm or ""
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        text = settings.jwt_keys or ""
        self._keys: Mapping[str | None, Any] = (
            {None: text.encode()} if self._algorithm == "HS256" else _public(jwt, text, self._algorithm)
        )

    def caller(self, token: str) -> Caller:
        """Return the caller of a token. Raise Unauthorized, which tells no details."""
        if len(token) > _TOKEN_MAX:
            raise Unauthorized("This is neither a key nor a token.")
        try:
            claims = self._jwt.decode(
                token,
                self._key(self._jwt.get_unverified_header(token).get("kid")),
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": list(_CLAIMS)},
            )
        except (self._jwt.PyJWTError, RecursionError, ValueError) as error:
            reason = "The token has expired." if isinstance(error, self._jwt.ExpiredSignatureError) else ""
            raise Unauthorized(reason or "This is neither a key nor a token that is good here.") from None
        if len(claims["sub"]) > _SUBJECT_MAX:
            raise Unauthorized("The subject of the token is too long.")
        scope = claims.get("scope", "")
        scopes = frozenset(scope.split()) if isinstance(scope, str) else frozenset[str]()
        return Caller("jwt", claims["sub"], scopes, _moment(claims["exp"]))

    def _key(self, kid: str | None) -> Any:
        """Return the key that a token names. A token that names none means the only key."""
        if kid in self._keys:
            return self._keys[kid]
        if len(self._keys) == 1 and (kid is None or None in self._keys):
            return next(iter(self._keys.values()))
        raise self._jwt.InvalidKeyError


def _moment(second: Any) -> datetime | None:
    """Return the end of a token; None where it lies beyond every date."""
    try:
        return datetime.fromtimestamp(int(second), UTC)
    except (OverflowError, ValueError):
        return None


def _public(jwt: Any, text: str, algorithm: str) -> dict[str | None, Any]:
    """Return the keys of a JWKS by `kid`. Raise SettingsError unless all are public keys for this algorithm."""
    try:
        keys = json.loads(text)["keys"]
        if any("d" in key or key["kty"] == "oct" for key in keys):
            raise SettingsError("TALLYBOOK_JWT_KEYS has a secret in it; it takes the public keys alone")
        usable = [key for key in keys if key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm]
        found = {key.get("kid"): jwt.PyJWK(key, algorithm=algorithm).key for key in usable}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"TALLYBOOK_JWT_KEYS is no JWKS with keys of {algorithm}: {type(error).__name__}") from None
    if not found or len(found) < len(usable):
        raise SettingsError(f"TALLYBOOK_JWT_KEYS has to have keys of {algorithm}, each with a kid of its own")
    return found
