"""Sign in to the dashboard, say who is signed in, and sign out."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.auth.caller import Caller
from ingest.auth.scopes import admitted
from ingest.auth.sessions import READS, Sessions, clear_cookie, set_cookie, token_of
from ingest.http.json_answers import as_json
from ingest.http.problems import explained
from ingest.http.query import query
from ingest.session.limits import Limits, limits_of
from ingest.state import Request
from shared.errors import Invalid, Malformed, Unauthorized
from shared.settings import Settings

PATH = "/session"
#: Bytes of the body of a sign-in.
BODY_MAX = 1024
#: Characters of a fault, which may quote a client's own text.
_FAULT_MAX = 120


class Wish(Struct, rename="camel", forbid_unknown_fields=True):
    """How to sign in."""

    remember: Annotated[bool, Meta(description="Stay signed in for 30 days, instead of 12 hours")] = False


class Service(Struct, kw_only=True, rename="camel"):
    """What a dashboard has to know of the service."""

    minute_s: Annotated[int, Meta(description="Seconds of a counted minute")]
    banners: Annotated[Literal["open", "registered"], Meta(description="Banners that count: any, or registered ones")]
    clickhouse: Annotated[bool, Meta(description="Whether hits, events, page views and event logs can be read")]
    limits: Limits


class Session(Struct, kw_only=True, rename="camel"):
    """Who is signed in. `open`: no key is needed here. `out`: nobody is."""

    state: Literal["open", "out", "in"]
    name: Annotated[str, Meta(description="Prefix of the key, or subject of the token")] | UnsetType = UNSET
    scopes: Annotated[list[str], Meta(description="What may be read, sorted")] | UnsetType = UNSET
    expires_at: Annotated[datetime, Meta(tz=True, description="When the session ends, in UTC")] | UnsetType = UNSET
    service: Annotated[Service, Meta(description="Absent when `out`")] | UnsetType = UNSET


_WISH = msgspec.json.Decoder(Wish)


async def sign_in(request: Request) -> Response:
    """Begin a session of the key or token in the Authorization header, and set its cookie."""
    query(request, ())
    sessions = _sessions(request)
    if sessions is None:
        _wish(await request.body())
        return as_json(Session(state="open"))
    caller, headers = await admitted(request, READS)
    wish = _wish(await request.body())
    token, expires_at = await sessions.begin(caller, is_remembered=wish.remember)
    answer = as_json(_signed_in(caller._replace(scopes=caller.scopes & READS, expires_at=expires_at)), status=201)
    answer.headers.update(headers)
    answer.headers["set-cookie"] = set_cookie(request, token, expires_at)
    return answer


async def session(request: Request) -> Response:
    """Say who is signed in by the cookie."""
    query(request, ())
    sessions, settings = _sessions(request), request.state.settings
    if sessions is None:
        return as_json(Session(state="open", service=_service(settings, None)))
    token = token_of(request)
    if token is None:
        return as_json(Session(state="out"))
    try:
        caller = await sessions.caller(token)
    except Unauthorized:
        return as_json(Session(state="out"))
    answer = _signed_in(caller)
    answer.service = _service(settings, caller.scopes)
    return as_json(answer)


async def sign_out(request: Request) -> Response:
    """End the session of the cookie, and forget the cookie."""
    query(request, ())
    sessions, token = _sessions(request), token_of(request)
    if sessions is not None and token is not None:
        await sessions.end(token)
    headers = {"cache-control": "no-store", "set-cookie": clear_cookie(request)}
    return Response(status_code=204, headers=headers)


def _sessions(request: Request) -> Sessions | None:
    """Return the sessions; None where nothing that they could do needs a key."""
    return request.state.sessions if request.state.settings.keyed & READS else None


def _signed_in(caller: Caller) -> Session:
    expires_at: Any = caller.expires_at or UNSET
    return Session(state="in", name=caller.subject, scopes=sorted(caller.scopes), expires_at=expires_at)


def _service(settings: Settings, scopes: frozenset[str] | None) -> Service:
    return Service(
        minute_s=settings.minute_s,
        banners=settings.banners,
        clickhouse=settings.clickhouse_url is not None,
        limits=limits_of(settings, scopes),
    )


def _wish(content: bytes) -> Wish:
    if not content:
        return Wish()
    try:
        return _WISH.decode(content)
    except msgspec.ValidationError as error:
        what, pointer = explained(error)
        fault = {"pointer": pointer, "detail": what[:_FAULT_MAX]}
        raise Invalid('The body has to be {"remember": true} or {"remember": false}.', errors=[fault]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed('The body is not JSON. Leave it out, or send {"remember": true}.') from error
