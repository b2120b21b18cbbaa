"""Keep the sessions of the dashboard: a cookie that reads, and does nothing else.

The cookie holds a random token, never the key. The table has the token's hash, and each worker caches it as it caches
API keys, so a sign-out takes effect within a second and known sessions survive an outage of Postgres. A session of a
key has the scopes that the key has now, and ends with it.
"""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from ingest.auth.api_keys import Keys
from ingest.auth.caller import Caller
from ingest.caches.cached_table import CachedTable, Table
from ingest.state import Request
from shared.api_keys import KeyScope
from shared.errors import PostgresUnavailable, Unauthorized
from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement

#: What a session may do, of what its key may do.
READS: frozenset[KeyScope] = frozenset({"stats:read", "logs:read", "admin"})
#: How long a session lives, and one of a browser that is to remember it.
LIFETIME, REMEMBERED = timedelta(hours=12), timedelta(days=30)
#: Sessions of one key, or of one subject of tokens. Of more the oldest ends.
SESSIONS_MOST = 100
#: The cookie over https and over http. Browsers disagree whether a prefix is allowed on localhost without https.
COOKIE_HTTPS, COOKIE_HTTP = "__Host-tallybook", "tallybook_session"

#: Bytes of a token, and how it is written.
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
#: What browsers say of requests that no page of another origin caused.
_OWN_SITES = frozenset({"none", "same-origin"})

_TABLE = Table(
    name="sessions",
    version="SELECT version FROM sessions_version",
    page=statement("ingest/auth/sessions.page.sql"),
    before=b"",
    look_up="SELECT hash, prefix, subject, scopes, expires_at FROM sessions WHERE hash = ANY($1::bytea[])",
)
_LOCK = "SELECT version FROM sessions_version FOR UPDATE"
_ROOM = statement("ingest/auth/sessions.room.sql")
_ADD = "INSERT INTO sessions (hash, prefix, subject, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)"
_DELETE = "DELETE FROM sessions WHERE hash = $1"


class Stored(NamedTuple):
    """Hold what a worker needs of a session: a prefix, or a subject with scopes."""

    prefix: str | None
    subject: str | None
    scopes: frozenset[str]
    expires_at: datetime


def _made(row: Any) -> Stored:
    return Stored(row["prefix"], row["subject"], frozenset(row["scopes"] or ()), row["expires_at"])


def _now() -> datetime:
    return datetime.now(UTC)


class Sessions(CachedTable[bytes, Stored]):
    """Cache the sessions in one worker. They expire by `clock`."""

    def __init__(self, pool: Pool, keys: Keys, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(pool, _TABLE, _made)
        self._keys, self._clock = keys, clock

    async def caller(self, token: str) -> Caller:
        """Return who signed in, with the scopes of now. Raise Unauthorized, or PostgresUnavailable or Busy if nobody
        can say."""
        stored = await self.found(_hash(token)) if _TOKEN.fullmatch(token) else None
        if stored is None or stored.expires_at <= self._clock():
            raise Unauthorized("This session is over. Sign in again.")
        if stored.prefix is None:
            return Caller("jwt", stored.subject or "", stored.scopes & READS, stored.expires_at)
        key = await self._keys.of(stored.prefix)
        return Caller("key", stored.prefix, key.scopes & READS, stored.expires_at)

    async def begin(self, caller: Caller, *, is_remembered: bool) -> tuple[str, datetime]:
        """Return the token of a new session and when it ends: with its key or token at the latest.

        Raise PostgresUnavailable.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        until = self._clock() + (REMEMBERED if is_remembered else LIFETIME)
        expires_at = min(until, caller.expires_at or until)
        is_key = caller.kind == "key"
        prefix, subject = (caller.subject, None) if is_key else (None, caller.subject)
        scopes = None if is_key else sorted(caller.scopes & READS)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.fetchval(_LOCK)
                await connection.execute(_ROOM, prefix, subject, SESSIONS_MOST - 1)
                await connection.execute(_ADD, _hash(token), prefix, subject, scopes, expires_at)
        except POSTGRES_ERRORS as error:
            raise _away() from error
        return token, expires_at

    async def end(self, token: str) -> None:
        """End a session, if it is one. Raise PostgresUnavailable."""
        try:
            await self._pool.execute(_DELETE, _hash(token))
        except POSTGRES_ERRORS as error:
            raise _away() from error


# -- the cookie --------------------------------------------------------------------------------------------------------


def token_of(request: Request) -> str | None:
    """Return the token in the cookie of a request; None without one, and for whatever a cookie must not stand for.

    An Authorization header is the caller's own word. A page of another origin could send a cookie unseen.
    """
    headers = request.headers
    if "cookie" not in headers or "authorization" in headers:
        return None
    if not _OWN_SITES.issuperset(headers.getlist("sec-fetch-site")):
        return None
    name = _name(request)
    for pair in "; ".join(headers.getlist("cookie")).split(";"):
        given, _, value = pair.strip().partition("=")
        if given == name:
            return value
    return None


def set_cookie(request: Request, token: str, expires_at: datetime) -> str:
    """Return the value of Set-Cookie that keeps a token until then."""
    seconds = max(0, int((expires_at - _now()).total_seconds()))
    return _cookie(request, token, seconds)


def clear_cookie(request: Request) -> str:
    """Return the value of Set-Cookie that forgets the token."""
    return _cookie(request, "", 0)


def _cookie(request: Request, value: str, seconds: int) -> str:
    secure = "Secure; " if request.state.client.is_https(request.scope) else ""
    return f"{_name(request)}={value}; Max-Age={seconds}; Path=/; {secure}HttpOnly; SameSite=Strict"


def _name(request: Request) -> str:
    return COOKIE_HTTPS if request.state.client.is_https(request.scope) else COOKIE_HTTP


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _away() -> PostgresUnavailable:
    return PostgresUnavailable("Postgres does not answer, so nobody can sign in or out now. Repeat the request later.")
