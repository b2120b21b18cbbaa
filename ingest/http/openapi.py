"""One table of operations makes both the routes and the OpenAPI 3.1 document, so that they cannot drift apart.

Each subject declares its operations in `operations.py`. `routes` turns the table into routes of Starlette, `build` into
the document, and `published` adds `GET /openapi.json`, which serves the document. Types are the msgspec types that
validate. `python -m ingest.document > docs/openapi.json` renews the committed copy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Template
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import Route, request_response
from starlette.types import Receive, Scope, Send

from ingest.state import Handler, Request
from shared.api_keys import KeyScope
from shared.counting.lane import BANNER_MAX
from shared.errors import (
    BodyTimeout,
    Busy,
    Forbidden,
    ForeignHost,
    ForeignRequest,
    Limited,
    Malformed,
    MethodNotAllowed,
    PostgresUnavailable,
    TallybookError,
    TooLarge,
    Unauthorized,
    Unexpected,
    UnsupportedMediaType,
)
from shared.settings import Settings

#: What an operation does with a body.
BodyUse = Literal["ignored", "refused", "read", "later"]

#: The id of a banner wherever a schema needs one.
BannerId = Annotated[
    int, Meta(ge=1, le=BANNER_MAX, description="A banner: a decimal integer without sign, zeros in front or spaces")
]

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
#: The stream of server-sent events, described by one of them.
EVENTS = "text/event-stream"
_PROBLEM = "application/problem+json"
_VERSION = "3.1.0"

#: Errors of every route, and of routes that take a body. The middleware raises them, not the handler.
_OF_ALL = (Malformed, Unexpected)
_OF_BODIES = (BodyTimeout, TooLarge, UnsupportedMediaType, Busy)
#: Errors of routes with a scope, where a key is needed (`ingest/auth/scopes.py`).
_OF_KEYED = (Unauthorized, Forbidden, ForeignRequest, ForeignHost, Limited, PostgresUnavailable, Busy)

#: The name of the security scheme.
_KEY = "key"


class Problem(Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """What every error looks like (RFC 9457). Decide by `code`; `detail` is for people."""

    type: Annotated[str, Meta(description="Where the code is explained", examples=["../docs/errors#malformed"])]
    title: Annotated[str, Meta(description="What this kind of error means, and what to do")]
    status: Annotated[int, Meta(ge=400, le=599, description="The status of the answer")]
    detail: Annotated[str, Meta(description="What was wrong in this case")]
    code: Annotated[str, Meta(description="The stable name of the error")]
    errors: Annotated[
        list[dict[str, Any]],
        Meta(description="Each fault: `detail`, with `pointer` into the body (RFC 6901) or `parameter`"),
    ] = []
    request_id: Annotated[str, Meta(description="Name it when you report the problem")] = ""


class Parameter(Struct, frozen=True):
    """Describe one parameter of the path, the query or the headers. `type` is a msgspec type; commas separate lists."""

    name: str
    type: Any
    description: str
    where: Literal["path", "query", "header"] = "query"
    required: bool = False
    example: Any = None


class Body(Struct, frozen=True):
    """Describe the body that an operation takes."""

    type: Any
    description: str
    media: str = _JSON
    required: bool = True
    example: Any = None


class Answer(Struct, frozen=True):
    """Describe one successful answer.

    Without a `type` it has no body; with several it is one of them. `media` other than JSON and streams of events are
    described as text.
    """

    description: str
    type: Any = None
    media: tuple[str, ...] = (_JSON,)
    headers: Mapping[str, str] = {}
    example: Any = None


class Operation(Struct, frozen=True, kw_only=True):
    """Describe one method of one path: its handler, and everything that a client has to know.

    Descriptions are Markdown and may name settings as `${bulk_items_max}`. `errors` lists what the handler can raise;
    the errors of the middleware are added. `order` is the place in the document. The name of the handler is the id of
    the operation. Without `is_described` it is served, but not documented. `scope` is the scope that a key needs where
    the settings ask for keys (`ingest/auth/scopes.py`). `body_use` says what happens to a body
    (`ingest/http/body_limit.py`). `is_prefixed` puts the setting `web_prefix` before its path.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    tag: str = "statistics"
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    errors: tuple[type[TallybookError], ...] = ()
    order: int = 100
    is_described: bool = True
    scope: KeyScope | None = None
    body_use: BodyUse = "ignored"
    is_prefixed: bool = False

    @property
    def id(self) -> str:
        """Return the name that generated clients give to the operation, in camel case."""
        first, *rest = self.handler.__name__.split("_")
        return first + "".join(word.capitalize() for word in rest)


def prefixed(operations: Iterable[Operation], prefix: str | None) -> list[Operation]:
    """Return the operations, those of web pages under the prefix."""
    return [replace(one, path=prefix + one.path) if prefix and one.is_prefixed else one for one in operations]


# -- routes ------------------------------------------------------------------------------------------------------------


def routes(operations: Iterable[Operation]) -> list[Route]:
    """Return one route per path, fixed paths before those with parameters. GET serves HEAD as well.

    The routes raise MethodNotAllowed, which names the allowed methods. Raise ValueError for an operation that is
    declared twice.
    """
    paths: dict[str, dict[str, Handler]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        if operation.method in methods:
            raise ValueError(f"{operation.method} {operation.path} is declared twice")
        methods[operation.method] = operation.handler
    ordered = sorted(paths.items(), key=lambda item: "{" in item[0])
    return [Route(path, _Methods(handlers)) for path, handlers in ordered]


class _Methods:
    """Serve all methods of one path.

    Starlette's own check would pass `POST /stats/top` on to `/stats/{bannerId}`. It would name the methods of one
    operation only where several share a path.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._apps = {
            # Its requests are those of this service: their state is `State`.
            method: request_response(handler)  # type: ignore[arg-type]
            for method, handler in handlers.items()
        }
        if "GET" in self._apps:
            self._apps["HEAD"] = self._apps["GET"]
        self._allowed = ", ".join(sorted(self._apps))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._apps.get(scope["method"])
        if app is None:
            raise MethodNotAllowed(headers={"allow": self._allowed})
        await app(scope, receive, send)


def published(operations: Iterable[Operation], settings: Settings) -> list[Operation]:
    """Return the operations and `GET /openapi.json`, which serves the document of them all, itself included."""
    content = b""

    async def openapi(request: Request) -> Response:
        return Response(content, media_type=_JSON, headers={"cache-control": "no-store"})

    own = Operation(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        summary="This interface, for machines",
        description="The OpenAPI 3.1 document of this interface, made from the types that validate.",
        tag="documentation",
        answers={200: Answer("An OpenAPI 3.1 document", dict[str, Any])},
        order=900,
    )
    everything = [*operations, own]
    content = msgspec.json.encode(build(everything, settings))
    return everything


# -- document ----------------------------------------------------------------------------------------------------------


def build(operations: Iterable[Operation], settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the operations, in their `order`."""
    described = [operation for operation in operations if operation.is_described]
    ordered = sorted(described, key=lambda operation: operation.order)
    schemas = _Schemas(ordered)
    paths: dict[str, dict[str, Any]] = {}
    for operation in ordered:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas, settings)
    document = {
        "openapi": _VERSION,
        "info": {
            "title": "tallybook",
            "version": "1",
            "description": "Counts clicks, each exactly once. Times are RFC 3339 with a zone; answers are in UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in ordered)],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SCHEMES},
        "x-problems": [
            {"code": error.code, "status": error.status, "retryable": error.retryable, "title": error.title()}
            for error in sorted(_errors(TallybookError), key=lambda error: error.status)
        ],
    }
    filled: dict[str, Any] = _filled(document, {name: getattr(settings, name) for name in settings.__struct_fields__})
    return filled


def _filled(value: Any, settings: Mapping[str, object]) -> Any:
    """Return the value with settings filled into the `${...}` of its texts."""
    match value:
        case str():
            return Template(value).safe_substitute(settings) if "${" in value else value
        case dict():
            return {key: _filled(item, settings) for key, item in value.items()}
        case list():
            return [_filled(item, settings) for item in value]
    return value


_SCHEMES = {
    _KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `tallybook keys create`, or a token (JWT) where the settings take them. Operations "
        "name the scope that they need; `admin` is good for all. Where `{}` stands beside it, this service asks for no "
        "key. A wrong, revoked or expired key is 401, and one without the scope 403. The cookie of a session "
        "(`POST /session`) opens what reads as well.",
    }
}


class _Schemas:
    """Hold the schema of every type that the operations name."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types: list[Any] = [Problem]
        for operation in operations:
            types += [parameter.type for parameter in operation.parameters]
            for answer in operation.answers.values():
                types += answer.type if isinstance(answer.type, tuple) else [answer.type] if answer.type else []
            types += [operation.body.type] if operation.body else []
        schemas, self.components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        # Types are compared by identity: Annotated types with unhashable metadata cannot be keys.
        self._by_id = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}

    def of(self, kind: Any) -> dict[str, Any]:
        if isinstance(kind, tuple):
            return {"anyOf": [self.of(one) for one in kind]}
        return self._by_id[id(kind)]


def _described(operation: Operation, schemas: _Schemas, settings: Settings) -> dict[str, Any]:
    answers = {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description or operation.summary,
        "parameters": [_parameter(parameter, schemas) for parameter in operation.parameters],
        "responses": {
            **answers,
            **_refusals(
                [
                    *operation.errors,
                    *(_OF_BODIES if operation.method == "POST" or operation.body_use == "read" else ()),
                    *(_OF_KEYED if operation.scope else ()),
                    *_OF_ALL,
                ],
                schemas,
            ),
        },
    }
    if operation.scope:
        needed = {_KEY: [operation.scope]}
        described["security"] = [needed] if operation.scope in settings.keyed else [{}, needed]
    if operation.body:
        content = _content(operation.body.type, operation.body.media, operation.body.example, schemas)
        described["requestBody"] = {
            "description": operation.body.description,
            "required": operation.body.required,
            "content": content,
        }
    return described


def _parameter(parameter: Parameter, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(parameter.type)
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required or parameter.where == "path",
        "schema": schema,
    }
    if schema.get("type") == "array":
        described |= {"style": "form", "explode": False}
    if parameter.example is not None:
        described["example"] = parameter.example
    return described


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.type is not None:
        described["content"] = {}
        for media in answer.media:
            example = answer.example if media == _JSON else None
            kind = answer.type if media in (_JSON, EVENTS) else None
            described["content"] |= _content(kind, media, example, schemas)
    return described


def _content(kind: Any, media: str, example: Any, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"schema": {"type": "string"} if kind is None else schemas.of(kind)}
    if example is not None:
        described["example"] = example
    return {media: described}


def _refusals(errors: Sequence[type[TallybookError]], schemas: _Schemas) -> dict[str, Any]:
    """Return one response per status, with the codes that it can carry and an example of each."""
    by_status: dict[int, list[type[TallybookError]]] = {}
    for error in dict.fromkeys(errors):
        by_status.setdefault(error.status, []).append(error)
    return {str(status): _refusal(status, group, schemas) for status, group in sorted(by_status.items())}


def _refusal(status: int, errors: Sequence[type[TallybookError]], schemas: _Schemas) -> dict[str, Any]:
    codes = {"code": {"enum": [error.code for error in errors]}, "status": {"const": status}}
    described: dict[str, Any] = {
        "description": ", ".join(f"`{error.code}`" for error in errors),
        "content": {
            _PROBLEM: {
                "schema": {"allOf": [schemas.of(Problem), {"properties": codes}]},
                "examples": {error.code: {"value": _example(error)} for error in errors},
            }
        },
    }
    if any(error.retryable for error in errors):
        described["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait before the request is repeated",
                "schema": {"type": "integer", "minimum": 0},
            }
        }
    return described


def _errors(parent: type[TallybookError]) -> Iterator[type[TallybookError]]:
    """Yield every error that a client can meet."""
    for child in parent.__subclasses__():
        if child.__module__ == TallybookError.__module__:
            yield child
            yield from _errors(child)


def _example(error: type[TallybookError]) -> Problem:
    title = error.title()
    return Problem(type=f"../docs/errors#{error.code}", title=title, status=error.status, detail=title, code=error.code)
