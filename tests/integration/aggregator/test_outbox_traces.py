"""Traces in Sentry, from the request that published to the insert: what a local endpoint for envelopes has recorded."""

import asyncio
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sentry_sdk

from shared.settings import Settings, SettingsError
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from shared.telemetry import sentry
from tallybook_sdk.outbox import publish_async
from tests.harness.process import ROOT
from tests.harness.subjects.outbox import Happened, Stage
from tests.harness.wait import until


class Endpoint:
    """Takes envelopes as Sentry does."""

    def __init__(self) -> None:
        self.port = 0
        self.transactions: list[dict[str, Any]] = []

    @property
    def dsn(self) -> str:
        """Of a project that is here."""
        return f"http://key@127.0.0.1:{self.port}/1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                body = await self._body(reader, headers)
                self._read(_unpacked(body, headers.get("content-encoding")))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body

    def _read(self, envelope: bytes) -> None:
        lines = envelope.split(b"\n")
        for header, payload in zip(lines[1::2], lines[2::2], strict=False):
            if header and json.loads(header).get("type") == "transaction":
                self.transactions.append(json.loads(payload))


def _unpacked(body: bytes, coding: str | None) -> bytes:
    """The SDK takes brotli where it is installed."""
    if coding == "br":
        import brotli

        return bytes(brotli.decompress(body))
    return gzip.decompress(body) if coding == "gzip" else body


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    one = Endpoint()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    sentry_sdk.get_client().close(timeout=5.0)
    sentry_sdk.init()
    server.close()
    await server.wait_closed()


async def test_the_trace_of_a_request_goes_on_through_the_outbox(
    endpoint: Endpoint, database: str, clickhouse_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentry, "_TRACED", 1.0)
    settings = msgspec.structs.replace(clickhouse_settings, database_url=database, sentry_dsn=endpoint.dsn)
    sentry.start(settings)
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        stage = Stage(database, pool, tables)
        with sentry_sdk.start_transaction(op="http.server", name="POST /users") as request:
            async with pool.acquire() as connection, connection.transaction():
                await publish_async(connection, Happened(1), Happened(2))
        await stage.publish(3)  # outside of any trace
        moved = await stage.relayed()
        assert moved
        assert moved.stored == 5
    await asyncio.to_thread(sentry_sdk.flush, 5.0)
    await until(lambda: _has(endpoint, 3))
    written, *relayed = sorted(endpoint.transactions, key=lambda one: str(one["transaction"] != "POST /users"))
    (publishing,) = written["spans"]
    assert publishing["op"] == "queue.publish"
    joined = [one for one in relayed if one["contexts"]["trace"]["trace_id"] == request.trace_id]
    assert len(joined) == 1
    for one in relayed:
        (insert,) = one["spans"]
        assert (one["transaction"], one["contexts"]["trace"]["op"]) == ("outbox relay", "queue.process")
        assert (insert["op"], insert["description"]) == ("db.query", "INSERT INTO event_log")
        assert one["start_timestamp"] <= insert["start_timestamp"] <= insert["timestamp"] <= one["timestamp"]
    assert joined[0]["contexts"]["trace"]["parent_span_id"] == publishing["span_id"]


async def _has(endpoint: Endpoint, count: int) -> bool:
    return len(endpoint.transactions) >= count


async def test_without_a_dsn_nothing_of_sentry_is_loaded() -> None:
    """Not by the relay, and never by the service that takes clicks."""
    program = (
        "import sys, aggregator.service, ingest.app\n"
        "from shared.settings import Settings\n"
        "from shared.telemetry import sentry\n"
        "from aggregator.outbox import traces\n"
        "sentry.start(Settings()); sentry.stop()\n"
        "assert not traces.is_on()\n"
        "print('sentry_sdk' in sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"False\n"


def test_a_dsn_without_the_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(SettingsError, match="tallybook\\[sentry\\]"):
        sentry.start(Settings(sentry_dsn="http://key@127.0.0.1:1/1"))
