"""One application, which `test_front_asgi.py` serves by uvicorn and by Granian behind the front.

FRONT_JOURNAL names a file in which the routes that outlive their client note what they saw. FRONT_FAILS makes the
start-up fail.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import uvloop
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ingest.http.body_limit import BodyLimit
from ingest.http.problems import HANDLERS
from shared.errors import TallybookError
from shared.settings import Settings
from tests.harness.subjects.fronting import fronting

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def note(line: str) -> None:
    with Path(os.environ["FRONT_JOURNAL"]).open("a") as journal:
        journal.write(line + "\n")


async def echo(request: Request) -> Response:
    body = await request.body()
    scope = request.scope
    seen = {
        "type": scope["type"],
        "http_version": scope["http_version"],
        "method": scope["method"],
        "scheme": scope["scheme"],
        "path": scope["path"],
        "raw_path": unquote(scope["raw_path"].decode("ascii")),
        "query": scope["query_string"].decode("latin-1"),
        "headers": sorted([name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]),
        "client": scope["client"][0],
        "size": len(body),
        "sum": sum(body),
    }
    return Response(json.dumps(seen), media_type="application/json", headers={"x-echo": "yes"})


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(int(request.query_params.get("parts", "5"))):
            yield f"part {number};".encode() * 1000
            await asyncio.sleep(0)

    return StreamingResponse(parts(), media_type="text/plain")


async def breaks(request: Request) -> Response:
    """Fails, or just ends, in the middle of an answer."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("hunter2")

    return StreamingResponse(parts(), headers=dict(request.query_params))


async def ends(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns in the middle of an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def begins(scope: Scope, receive: Receive, send: Send) -> None:
    """Fails when nothing but the start was sent."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("hunter2")


async def background(request: Request) -> Response:
    async def work() -> None:
        note("worked")

    return PlainTextResponse("first", background=BackgroundTask(work))


async def named(request: Request) -> Response:
    response = PlainTextResponse("ok")
    response.raw_headers.append((b"x-name", "Grüße".encode()))
    return response


async def looks(request: Request) -> Response:
    """Looks again and again whether the client is still there."""
    note("looks")
    while not await request.is_disconnected():  # noqa: ASYNC110 - to look is what is tested
        await asyncio.sleep(0.01)
    note("gone")
    return Response()


async def cookies(request: Request) -> Response:
    response = PlainTextResponse("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def fail(request: Request) -> Response:
    raise RuntimeError("hunter2")


async def state(request: Request) -> Response:
    request.state.mine = "of this request"
    return PlainTextResponse(f"{request.state.made} {'mine' in request.app.state._state}")


async def early(request: Request) -> Response:
    return PlainTextResponse("not read", 403)


async def empty(request: Request) -> Response:
    return Response(status_code=204)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers nothing."""


async def journal(scope: Scope, receive: Receive, send: Send) -> None:
    """Notes every message as it comes."""
    note("begin")
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            note(f"disconnect after {size}")
            return
        if not message["more_body"]:
            note(f"complete {size}")
            break
    await PlainTextResponse("read")(scope, receive, send)


async def peeks(request: Request) -> Response:
    """Looks whether the client is still there before it reads the body."""
    is_gone = await request.is_disconnected()
    note(f"peeked {is_gone}")
    body = await request.body()
    note(f"complete {len(body)}")
    return PlainTextResponse("read")


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits, with the body read, for the client to go away."""
    while (await receive())["type"] != "http.disconnect":
        note("waits")
    note("gone")


class Raw:
    """Keeps Starlette from taking a function for a handler of requests."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    if os.environ.get("FRONT_FAILS"):
        raise RuntimeError(os.environ["FRONT_FAILS"])
    yield {"made": "by the lifespan"}
    note("shut down")


app = Starlette(
    routes=[
        Route("/stream", stream),
        Route("/breaks", breaks),
        Route("/ends", Raw(ends)),
        Route("/begins", Raw(begins)),
        Route("/background", background),
        Route("/named", named),
        Route("/looks", looks),
        Route("/cookies", cookies),
        Route("/fail", fail),
        Route("/state", state),
        Route("/early", early, methods=METHODS),
        Route("/empty", empty, methods=METHODS),
        Route("/silent", Raw(silent)),
        Route("/journal", Raw(journal)),
        Route("/peeks", peeks, methods=METHODS),
        Route("/waits", Raw(waits)),
        Route("/{rest:path}", echo, methods=METHODS),
    ],
    lifespan=lifespan,
)


async def _read_first(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await scope["tallybook.body"].read()
    await app(scope, receive, send)


class Limited:
    """The application behind limits of its bodies: little time for what is under /hasty, much elsewhere."""

    def __init__(self) -> None:
        common = {"body_max_bytes": 1000, "bodies_max": 2}
        answering = ExceptionMiddleware(_read_first, {TallybookError: HANDLERS[TallybookError]})
        self._hasty = BodyLimit(answering, Settings(**common, body_timeout_s=0.2), {})
        self._patient = BodyLimit(answering, Settings(**common, body_timeout_s=600), {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._hasty if scope.get("path", "").startswith("/hasty") else self._patient
        await limit(scope, receive, send)


async def serve(kind: str, port: int) -> None:
    """Serve until SIGTERM behind a front, as a worker does."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    async with app.router.lifespan_context(app) as state:
        served = Limited() if kind == "limited" else app
        with TemporaryDirectory() as folder:
            async with fronting(served, Path(folder), state=state, port=port):
                await told.wait()


if __name__ == "__main__":  # front|limited PORT
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
