"""Serve `/ping`, and `/` for every statement."""

import asyncio
import contextlib
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.engine import Engine, Result
from gateway.failure import FATAL, Failure
from gateway.request import check_password, read_statement, skip_body, workload
from gateway.statement import Statement
from shared.workload import READS

#: Exit code when the engine has failed beyond repair (sysexits.h, EX_SOFTWARE): the supervisor starts another one.
ENGINE_FAILED = 70
#: Statements that the engine works on at a time.
THREADS = 4
#: Seconds that the answer of such a failure has to leave.
_FAREWELL_S = 0.1
#: Seconds between two tries to cancel a statement.
_CANCEL_S = 0.1
#: Requests for each thread that are read at the same time; others wait with their bodies unread, so that memory has a
#: bound.
_READ_AHEAD = 2

log = structlog.get_logger()


class Gateway:
    """Hold what requests share: the engine, its threads, and the password."""

    def __init__(self, engine: Engine, user: str, password: str, threads: int = THREADS) -> None:
        if not password:
            raise ValueError("without a password everybody on this machine could read and write its files")
        self._engine = engine
        self._user, self._password = user, password
        self._threads = ThreadPoolExecutor(threads, "statement")
        self._places = asyncio.Semaphore(threads * _READ_AHEAD)
        self._turns = asyncio.Semaphore(threads)
        #: Half of the threads are kept for those who do not only read: a sink does not wait for a statistic.
        self._reads = asyncio.Semaphore(max(1, threads // 2))

    async def answer(self, request: Request) -> Response:
        """Run the statement of a request."""
        headers = {
            "X-ClickHouse-Query-Id": request.query_params.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "tallybook",
        }
        try:
            check_password(request, self._user, self._password)
            async with self._reads if workload(request) == READS else contextlib.nullcontext(), self._places:
                statement = await read_statement(request)
                result = await self._executed(request, statement)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Failure as failure:
            if failure.code in FATAL:
                log.error("engine_failed", code=failure.code)
                asyncio.get_running_loop().call_later(_FAREWELL_S, os._exit, ENGINE_FAILED)
            with contextlib.suppress(RuntimeError, ClientDisconnect):  # RuntimeError: it was read already
                await skip_body(request)
            headers["X-ClickHouse-Exception-Code"] = str(failure.code)
            return PlainTextResponse(f"{failure}\n", failure.status, headers)
        headers["X-ClickHouse-Summary"] = json.dumps(result.summary)
        if result.output_format:
            headers["X-ClickHouse-Format"] = result.output_format
        return Response(result.body, 200, headers, media_type="application/octet-stream")

    async def _executed(self, request: Request, statement: Statement) -> Result:
        """Run the statement when a thread is free, if its client is there by then. A read ends when its client leaves;
        anything else ends as it would. Raises ClientDisconnect and Failure."""
        mark = uuid.uuid4().hex if workload(request) == READS else None
        left: asyncio.Future[Any] = asyncio.ensure_future(_left(request))
        turn: asyncio.Future[Any] = asyncio.ensure_future(self._turns.acquire())
        try:
            await asyncio.wait({turn, left}, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise ClientDisconnect
            loop = asyncio.get_running_loop()
            run: asyncio.Future[Result] = loop.run_in_executor(self._threads, self._engine.execute, statement, mark)
            if mark is not None:
                await asyncio.wait({run, left}, return_when=asyncio.FIRST_COMPLETED)
                while not run.done():  # it may not have begun yet, and then nothing is cancelled
                    await asyncio.to_thread(self._engine.cancel, mark)
                    await asyncio.wait({run}, timeout=_CANCEL_S)
            return await run
        finally:
            left.cancel()
            if not turn.cancel() and not turn.cancelled():
                self._turns.release()

    def close(self) -> None:
        """Wait for the statements that run. No further one may come."""
        self._threads.shutdown(cancel_futures=True)


async def _left(request: Request) -> None:
    """Return when the client has closed its connection. Read the body first."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def create_app(gateway: Gateway) -> Starlette:
    """Return the application of the one process."""
    return Starlette(routes=[Route("/ping", _ping), Route("/", gateway.answer, methods=["GET", "POST"])])
