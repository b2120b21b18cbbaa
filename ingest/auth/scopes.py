"""Check the key or token of a request against the scope of its route, before its body is read.

Where the settings ask for no key because only this host reaches the service, check that the request comes from this
host (`ingest/auth/own_host.py`). A route that needs neither keeps its handler and pays nothing. A key travels in the
Authorization header only. It appears in no log, no metric and no error. Without that header, the cookie of a session
opens what reads (`ingest/auth/sessions.py`).
"""

from collections.abc import Collection, Iterable
from functools import wraps

from msgspec.structs import replace
from starlette.responses import Response

from ingest.auth.caller import Caller
from ingest.auth.own_host import OwnHost
from ingest.auth.sessions import READS, token_of
from ingest.http.openapi import Operation
from ingest.http.rate_limits import CALLER as CALLER
from ingest.http.rate_limits import TAKEN
from ingest.state import Handler, Request
from shared.api_keys import allows, parsed
from shared.errors import Forbidden, Limited, TallybookError, Unauthorized
from shared.settings import Settings
from shared.telemetry.metrics import KEY_CHECKS

#: Scopes of requests that the pages of anybody send.
_OF_PAGES = frozenset({"clicks:write", "hits:write", "collect:write"})

#: Methods that a session may use.
_READING = frozenset({"GET", "HEAD"})
_REALM = 'Bearer realm="tallybook"'


class _Missing(Unauthorized):
    """This route needs a key. Send it in the Authorization header."""


def guarded(operations: Iterable[Operation], settings: Settings) -> list[Operation]:
    """Return the operations with handlers that check the key, or the origin of the request, where one is needed."""
    own = OwnHost(settings.allowed_hosts) if settings.is_for_this_host else None

    def handler(operation: Operation) -> Handler:
        if operation.scope in settings.keyed:
            return _guarded(operation.handler, operation.scope)
        if own is not None and operation.scope not in _OF_PAGES:
            return _own(operation.handler, own)
        return operation.handler

    return [replace(one, handler=handler(one)) if one.scope else one for one in operations]


def _own(handler: Handler, own: OwnHost) -> Handler:
    @wraps(handler)
    async def checked(request: Request) -> Response:
        own.check(request)
        return await handler(request)

    return checked


def _guarded(handler: Handler, scope: str | None) -> Handler:
    needed = (scope or "admin",)

    @wraps(handler)
    async def checked(request: Request) -> Response:
        _, headers = await admitted(request, needed)
        try:
            response = await handler(request)
        except TallybookError as error:
            error.headers = headers | error.headers
            raise
        response.headers.update(headers)
        return response

    return checked


async def admitted(request: Request, needed: Collection[str]) -> tuple[Caller, dict[str, str]]:
    """Check that the caller has one of these scopes, and take one request from its limit.

    Return the caller, and the headers that describe the limit. Raise Unauthorized, Forbidden, Limited, and
    PostgresUnavailable or Busy if nobody can say.
    """
    try:
        found = await _admitted(request, needed)
    except TallybookError as error:
        KEY_CHECKS.labels(_outcome(error)).inc()
        raise
    KEY_CHECKS.labels("ok").inc()
    return found


async def _admitted(request: Request, needed: Collection[str]) -> tuple[Caller, dict[str, str]]:
    is_header = "authorization" in request.headers
    caller = await (caller_of(request) if is_header else _signed_in(request, needed))
    if not any(allows(caller.scopes, scope) for scope in needed):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(sorted(needed))}"'
        wanted = f"the scope {' or '.join(sorted(needed))}"
        raise Forbidden(f"This route needs {wanted}.", headers={"www-authenticate": challenge})
    headers = await request.state.key_limiter.take(caller.name)
    request.scope[TAKEN] = request.state.key_limiter.is_on
    request.scope[CALLER] = caller.name
    return caller, headers


async def caller_of(request: Request) -> Caller:
    """Return whose key or token the Authorization header holds. Raise Unauthorized, and PostgresUnavailable or Busy if
    nobody can say."""
    try:
        return await _caller(request)
    except Unauthorized as error:
        raise _challenged(error) from None


async def _signed_in(request: Request, needed: Collection[str]) -> Caller:
    """Return whose session the cookie names: for reads alone, and only of what a session may do."""
    is_read = request.method in _READING and READS.issuperset(needed)
    token = token_of(request) if is_read else None
    sessions = None if token is None else request.state.sessions
    if token is None or sessions is None:
        missing = _Missing("This route needs a key: Authorization: Bearer <key of `tallybook keys create`>.")
        missing.headers["www-authenticate"] = _REALM
        raise missing
    try:
        return await sessions.caller(token)
    except Unauthorized as error:
        raise _challenged(error) from None


def _challenged(error: Unauthorized) -> Unauthorized:
    error.headers["www-authenticate"] = f'{_REALM}, error="invalid_token"'
    return error


async def _caller(request: Request) -> Caller:
    given = request.headers.getlist("authorization")
    scheme, _, text = given[0].partition(" ")
    text = text.lstrip(" ")  # several blanks are as good as one (RFC 9110, 11.4)
    if len(given) > 1 or scheme.lower() != "bearer":
        raise Unauthorized("Authorization is not `Bearer <key>`, or is given twice. Send it once, in this form.")
    key, keys = parsed(text), request.state.keys
    if key is not None and keys is not None:
        stored = await keys.checked(key)
        return Caller("key", key.prefix, stored.scopes, stored.expires_at)
    if request.state.tokens is None:
        raise Unauthorized("This is not a key.")
    return request.state.tokens.caller(text)


def _outcome(error: TallybookError) -> str:
    match error:
        case _Missing():
            return "missing"
        case Unauthorized():
            return "invalid"
        case Forbidden():
            return "forbidden"
        case Limited():
            return "limited"
    return "unavailable"
