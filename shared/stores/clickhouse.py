"""Connect to ClickHouse over HTTP: a server, or the gateway in front of the embedded engine, which looks the same.

Time-outs are nested: the statement ends first, then the wait for its answer, then the call. So a call
seldom gives up on a slow statement that still runs, and a repeated insert seldom meets itself.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from clickhouse_connect.driver import create_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient

from shared.settings import Settings, is_loopback
from shared.stores.clickhouse_errors import CLICKHOUSE_ERRORS as CLICKHOUSE_ERRORS
from shared.stores.clickhouse_errors import Class as Class
from shared.stores.clickhouse_errors import classify as classify

#: The database, where the URL names none. `default` would be an Overlay in the embedded engine.
DATABASE = "tallybook"
#: Shares of the time of a call in which the statement must have ended, and its answer must have come.
_STATEMENT, _ANSWER = 0.8, 0.9
#: Seconds to wait for a new connection, at most.
_CONNECT_S = 5.0
#: Connections of one process, and the seconds for which one may be idle: less than any server waits (10 s in old ones).
_CONNECTIONS, _IDLE_S = 8, 5.0

#: What every insert is sent with, beside its token. Each of them has had another default in some release.
_INSERT: Mapping[str, Any] = {
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,  # else a repeated block counts again in the views
    "async_insert": 0,  # the answer means that the rows are stored
    "wait_end_of_query": 1,
    "date_time_input_format": "best_effort",
    "input_format_skip_unknown_fields": 0,
    "input_format_try_infer_dates": 0,  # a text in a JSON column stays what was written
    "input_format_try_infer_datetimes": 0,
}
_NO_MORE: Mapping[str, Any] = {}
#: A server goes on with a read whose client has left, unless it is told; the gateway does not.
_END_WITH_US = {"cancel_http_readonly_queries_on_client_close": 1}
#: Settings at the end of a statement of ours, and one of them.
_SETTINGS = re.compile(r"\nSETTINGS ([^\n]+)\s*\Z")
_SETTING = re.compile(r"(\w+) = '?(\w+)'?")


class ClickHouse:
    """A client that connects at first use, so that a service starts while ClickHouse is away. Every call raises one of
    CLICKHOUSE_ERRORS when it fails; `classify` says what that means."""

    def __init__(
        self, settings: Settings, database: str | None, workload: str | None = None, *, is_reader: bool = False
    ) -> None:
        """Let a reader only read: as the user of TALLYBOOK_CLICKHOUSE_READ_URL, or because each of its
        statements says so."""
        if settings.clickhouse_url is None:
            raise ValueError("TALLYBOOK_CLICKHOUSE_URL is not set; `tallybook up` sets it for its children")
        self.database = database
        self._url = settings.clickhouse_url
        if is_reader and settings.clickhouse_read_url is not None:
            self._url = settings.clickhouse_read_url
        self._is_restricted = is_reader and settings.clickhouse_read_url is None
        self._timeout_s = settings.clickhouse_timeout_s
        self._workload = {"workload": workload, **_END_WITH_US} if workload else {}
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def insert(
        self,
        table: str,
        rows: bytes,
        token: str,
        form: str = "JSONEachRow",
        columns: Sequence[str] | None = None,
        more: Mapping[str, Any] = _NO_MORE,
    ) -> None:
        """Store rows, one JSON object per line unless `form` names another format, whose columns are then named.
        `more` are settings that suit the tables behind it. The same token with the same rows in the same order stores
        them once, however often it is repeated; with other rows, those are lost: never use a token for two things."""
        if not token:
            raise ValueError("an insert without a token cannot be repeated")
        settings = {**self._limits(), **_INSERT, **more, "insert_deduplication_token": token}
        async with asyncio.timeout(self._timeout_s):
            client = await self._connected()
            await client.raw_insert(table, columns, insert_block=rows, fmt=form, settings=settings)

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return the rows of a SELECT, with values for its `{name:Type}`."""
        async with asyncio.timeout(self._timeout_s):
            client = await self._connected()
            settings = self._limits()
            if self._is_restricted:
                sql, own = _apart(sql)
                settings = {**own, **settings, "readonly": 1}
            result = await client.query(sql, parameters=dict(parameters or {}), settings=settings)
            return result.result_rows

    async def file(self, sql: str, parameters: Mapping[str, Any], format_: str) -> bytes:
        """Return the rows of a SELECT as a file in one of ClickHouse's formats, such as Parquet."""
        async with asyncio.timeout(self._timeout_s):
            client = await self._connected()
            # Rows that are parameters go through a table function, which the stricter mode does not let through.
            settings = {**self._limits(), **({"readonly": 2} if self._is_restricted else {})}
            return await client.raw_query(sql, parameters=dict(parameters), settings=settings, fmt=format_)

    async def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that has no result."""
        async with asyncio.timeout(self._timeout_s):
            client = await self._connected()
            await client.command(sql, parameters=dict(parameters or {}), settings=self._limits())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _limits(self) -> dict[str, Any]:
        return {**self._workload, "max_execution_time": max(1, round(self._timeout_s * _STATEMENT))}

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> AsyncClient:
        parts = urlsplit(self._url)
        host = parts.hostname or "127.0.0.1"
        if parts.scheme == "http" or is_loopback(host):
            _go_directly_to(host)
        return await create_async_client(
            interface=parts.scheme,
            host=host,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=self.database,
            compress=False,
            connect_timeout=min(_CONNECT_S, self._timeout_s),
            send_receive_timeout=self._timeout_s * _ANSWER,
            connector_limit=_CONNECTIONS,
            connector_limit_per_host=_CONNECTIONS,
            keepalive_timeout=_IDLE_S,
            autogenerate_session_id=False,  # one client serves several tasks at once
            client_name="tallybook",
            show_clickhouse_errors=True,
        )


def _apart(sql: str) -> tuple[str, dict[str, str]]:
    """A statement without the settings in its last line, and these: where everything is read-only, a statement may not
    change any, but they may be sent beside it."""
    found = _SETTINGS.search(sql)
    if found is None:
        return sql, {}
    return sql[: found.start()], {name: value for name, value in _SETTING.findall(found[1])}


def connect(settings: Settings) -> ClickHouse:
    """Return a client of the database that TALLYBOOK_CLICKHOUSE_URL names. Use it with `async with`, or close it with
    `aclose()`."""
    return ClickHouse(settings, database(settings))


def connect_without_database(settings: Settings) -> ClickHouse:
    """Return a client for work that precedes the database."""
    return ClickHouse(settings, None)


def database(settings: Settings) -> str:
    """Return the name of the database."""
    return unquote(urlsplit(settings.clickhouse_url or "").path.strip("/")) or DATABASE


def _go_directly_to(host: str) -> None:
    """Keep statements and password from the proxy of the environment, which clickhouse-connect asks even for loopback.
    It takes no argument against that. Over https a proxy sees neither, and may be the only way out."""
    present = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if present != "*" and host not in (name.strip().lower() for name in present.split(",")):
        os.environ["no_proxy"] = ",".join(filter(None, (present, host)))
