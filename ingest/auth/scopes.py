"""Check the key or token of a request against the scope of its route, before its body is read.

Where the settings ask for no key because only this host reaches the service, check that the request comes from this
host (`ingest/auth/own_host.py`). A route that needs neither keeps its handler and pays nothing. A key travels in the
Authorization header only. It appears in no log, no metric and no error.
"""

from collections.abc import Iterable
from functools import wraps

from msgspec.structs import replace
from starlette.responses import Response

from ingest.auth.jwt import Caller
from ingest.auth.own_host import OwnHost
from ingest.http.openapi import Operation
from ingest.http.rate_limits import CALLER as CALLER
from ingest.http.rate_limits import TAKEN
from ingest.state import Handler, Request
from shared.api_keys import allows, parsed
from shared.errors import Forbidden, Limited, TallybookError, Unauthorized
from shared.settings import Settings
from shared.telemetry.metrics import KEY_CHECKS

#: Scopes of requests that the pages of anybody send.
_OF_PAGES = frozenset({"clicks:write", "hits:write"})

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
    needed = scope or "admin"

    @wraps(handler)
    async def checked(request: Request) -> Response:
        try:
            headers = await _admitted(request, needed)
        except TallybookError as error:
            KEY_CHECKS.labels(_outcome(error)).inc()
            raise
        KEY_CHECKS.labels("ok").inc()
        try:
            response = await handler(request)
        except TallybookError as error:
            error.headers = headers | error.headers
            raise
        response.headers.update(headers)
        return response

    return checked


async def _admitted(request: Request, needed: str) -> dict[str, str]:
    """Check the key and take one request from its limit. Return the headers that describe the limit.

    Raise Unauthorized, Forbidden, Limited, and PostgresUnavailable or Busy if nobody can say.
    """
    try:
        caller = await _caller(request)
    except _Missing as error:
        error.headers["www-authenticate"] = _REALM
        raise
    except Unauthorized as error:
        error.headers["www-authenticate"] = f'{_REALM}, error="invalid_token"'
        raise
    if not allows(caller.scopes, needed):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
        raise Forbidden(f"This route needs the scope {needed}.", headers={"www-authenticate": challenge})
    headers = await request.state.key_limiter.take(caller.name)
    request.scope[TAKEN] = request.state.key_limiter.is_on
    request.scope[CALLER] = caller.name
    return headers


async def _caller(request: Request) -> Caller:
    given = request.headers.getlist("authorization")
    if not given:
        raise _Missing("This route needs a key: Authorization: Bearer <key of `tallybook keys create`>.")
    scheme, _, text = given[0].partition(" ")
    text = text.lstrip(" ")  # several blanks are as good as one (RFC 9110, 11.4)
    if len(given) > 1 or scheme.lower() != "bearer":
        raise Unauthorized("Authorization is not `Bearer <key>`, or is given twice. Send it once, in this form.")
    key, keys = parsed(text), request.state.keys
    if key is not None and keys is not None:
        return Caller(f"key {key.prefix}", await keys.scopes(key))
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
