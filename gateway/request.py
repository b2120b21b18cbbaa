"""Read a statement and its user from a request of clickhouse-connect."""

import base64
import binascii
import hmac
from collections.abc import AsyncGenerator

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from gateway.compression import too_large
from gateway.engine import BODY_MAX
from gateway.failure import refusal
from gateway.statement import Statement

#: Parameters of the URL that are meant for HTTP; every other one is a setting of the statement (ClickHouse,
#: src/Server/HTTPHandler.cpp, `reserved_param_names`).
_TRANSPORT = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"),
        *("session_id", "session_timeout", "session_check", "client_protocol_version"),
        *("compress", "decompress", "enable_http_compression", "buffer_size", "wait_end_of_query"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        "cancel_http_readonly_queries_on_client_close",
    }
)
_PARAMETER = "param_"
#: Bytes of a refused body that are read and thrown away, at most.
_SKIPPED_MAX = 4 * BODY_MAX


def check_password(request: Request, user: str, password: str) -> None:
    """Raise Failure unless the request carries both: as Basic, as X-ClickHouse-User and -Key, or in the URL."""
    given_user, given = _credentials(request)
    is_user = hmac.compare_digest(given_user.encode(), user.encode())
    if not hmac.compare_digest(given.encode(), password.encode()) or not is_user:
        raise refusal(516, "AUTHENTICATION_FAILED", "Authentication failed: password is incorrect, or no such user.")


def _credentials(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    if "password" in request.query_params:
        return request.query_params.get("user", "default"), request.query_params["password"]
    return request.headers.get("x-clickhouse-user", ""), request.headers.get("x-clickhouse-key", "")


def workload(request: Request) -> str:
    """Return the setting `workload`. Settings travel in the URL, so it is known before the statement."""
    return request.query_params.get("workload", "")


async def read_statement(request: Request) -> Statement:
    """Return the statement: the parameter `query` and then the body, or the fields of a form, which carries parameters
    that are too long for a URL. Raises Failure."""
    fields = dict(request.query_params)
    body = b""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        fields |= await _form(request)
    else:
        body = b"".join([part async for part in _body(request)])
    settings = {
        name: value for name, value in fields.items() if name not in _TRANSPORT and not name.startswith(_PARAMETER)
    }
    if request.method == "GET":
        settings["readonly"] = "2"  # as on a server: GET changes nothing
    return Statement(
        text=fields.get("query", "").encode(),
        body=body,
        encoding=request.headers.get("content-encoding", "").lower(),
        database=fields.get("database") or request.headers.get("x-clickhouse-database"),
        settings=settings,
        parameters={
            name.removeprefix(_PARAMETER): value for name, value in fields.items() if name.startswith(_PARAMETER)
        },
        output_format=fields.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated",
    )


async def skip_body(request: Request) -> None:
    """Take what is still on its way: a client that cannot send its body to the end does not read the answer, and takes
    a refusal for a broken connection. Some clients go on for ever; they do not matter."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _SKIPPED_MAX:
            return


async def _form(request: Request) -> dict[str, str]:
    parser = MultiPartParser(request.headers, _body(request), max_files=0, max_part_size=BODY_MAX)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise refusal(
            48, "NOT_IMPLEMENTED", f"The form cannot be read; it may not hold files: {error.message}"
        ) from None
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_MAX:
            raise too_large(BODY_MAX)
        yield part
