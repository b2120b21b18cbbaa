"""Who may do what: before a handler runs, the key or token of its request is checked, where the settings ask for one.

A route whose scope needs no key is left as it is, so that it costs nothing. A key travels in the Authorization header
and nowhere else; it stands in no log, no metric and no error.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from ingest.limits import CALLER as CALLER
from ingest.limits import TAKEN
from ingest.openapi import Operation
from ingest.tokens import Caller
from shared.api_keys import allows, parsed
from shared.errors import Forbidden, Limited, TallybookError, Unauthorized
from shared.metrics import KEY_CHECKS
from shared.settings import Settings

_REALM = 'Bearer realm="tallybook"'


class _Missing(Unauthorized):
    """This route needs a key. Send it in the Authorization header."""


def guarded(operations: Iterable[Operation], settings: Settings) -> list[Operation]:
    """The operations; those whose scope needs a key look at it first."""
    return [
        replace(operation, handler=_guarded(operation.handler, operation.scope))
        if operation.scope in settings.keyed
        else operation
        for operation in operations
    ]


def _guarded(
    handler: Callable[[Request], Awaitable[Response]], scope: str | None
) -> Callable[..., Awaitable[Response]]:
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
    """Check the key and take one request of it; answers the headers that tell where it stands.

    Raises Unauthorized, Forbidden, Limited, and PostgresUnavailable or Busy if nobody can say.
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
    headers: dict[str, str] = await request.state.key_limiter.take(caller.name)
    request.scope[TAKEN] = request.state.key_limiter.is_on
    request.scope[CALLER] = caller.name
    return headers


async def _caller(request: Request) -> Caller:
    given = request.headers.getlist("authorization")
    if not given:
        raise _Missing("This route needs a key: Authorization: Bearer <key of `tallybook keys create`>.")
    scheme, _, text = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise Unauthorized("Send one Authorization header, as Bearer and the key.")
    key = parsed(text)
    if key is not None:
        return Caller(f"key {key.prefix}", await request.state.keys.scopes(key))
    if request.state.tokens is None:
        raise Unauthorized("This is not a key.")
    caller: Caller = request.state.tokens.caller(text)
    return caller


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
