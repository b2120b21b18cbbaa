"""Embedded servers of tests: an owner in a process of its own, and what tests write and read."""

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis import Redis

from tests.harness.http import request

#: An owner of a folder, as the supervisor is one, that says where its servers are and keeps them alive.
OWNER = """
import json, signal, sys
import structlog
from tallybook.stack.embedded import EmbeddedServers
from tallybook.exits import Stop
from tallybook.stack.data_folder import DataFolder
from tallybook.interrupt import Interrupt, Interrupted

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
interrupt = Interrupt()
interrupt.install()
folder = DataFolder(sys.argv[1])
servers = EmbeddedServers(folder, clickhouse="clickhouse" in sys.argv)
try:
    folder.take()
    servers.start(interrupt.check)
except Stop as stop:
    sys.stderr.write(f"{stop.code.name}: {stop}")
    sys.exit(stop.code)
try:
    pids = None
    while True:
        if pids != (pids := {name: process.pid for name, process in servers.processes.items()}):
            urls = {"redis_url": servers.redis_url, "database_url": servers.database_url}
            urls["clickhouse_url"] = servers.clickhouse_url
            print(json.dumps({**pids, **urls}), flush=True)
        interrupt.sleep(0.05)
        servers.revive()
except Interrupted:
    servers.stop()
    folder.release()
"""


def write(state: dict[str, Any]) -> None:
    """One row and one key."""
    Redis.from_url(state["redis_url"]).incrby("clicks", 7)
    asyncio.run(execute(state["database_url"], "CREATE TABLE kept AS SELECT 7 AS clicks"))


def read(state: dict[str, Any]) -> tuple[int, int]:
    """What was written."""
    clicks = Redis.from_url(state["redis_url"]).get("clicks")
    return int(clicks or 0), asyncio.run(execute(state["database_url"], "SELECT clicks FROM kept"))  # type: ignore[arg-type]


async def execute(url: str, sql: str) -> int:
    """The number that a statement gives; 0 for none."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(sql) or 0)
    finally:
        await connection.close()


def ask(url: str, sql: str) -> str:
    """What ClickHouse answers."""
    parts = urlsplit(url)
    headers = {"X-ClickHouse-User": parts.username or "", "X-ClickHouse-Key": parts.password or ""}
    assert parts.port is not None
    return request(parts.port, "/", "POST", sql.encode(), headers).text


def need_root() -> None:
    """Skip for ordinary users: nothing special happens for them."""
    if os.geteuid() != 0:
        pytest.skip("only root has to drop its rights")
