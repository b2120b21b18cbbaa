"""Run the engine of ClickHouse in this process, on one folder, with one handle per statement.

    a handle per statement   0.15 ms; statements run side by side, and USE and SET end with their statement
    one handle for good      merges, mutations and TTLs run only while one is open

Never fork after `open`, and keep to one process per folder: the engine locks it.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import chdb

from gateway.compression import unpacked
from gateway.failure import Failure, refusal
from gateway.statement import Statement, format_of_result, quoted, quoted_name, split_insert
from shared.runtime.machine import file_of

#: Largest body, in bytes, as it was sent and unpacked.
BODY_MAX = 128 << 20
#: Bytes of the cache of marks; 5 GB by default, which the machine may not have.
_MARK_CACHE = 64 << 20
#: What makes the engine behave as a server does: without the first, `selec` would be read as the name of a column. The
#: second has no counterpart there; here nothing else would end a statement that nobody waits for.
_AS_A_SERVER = {"implicit_select": "0", "max_execution_time": "300"}
_SETTING = re.compile(r"\w+")
#: The engine signals the whole process group then, and is gone.
_ENDS_THE_ENGINE = re.compile(rb"\bSYSTEM\b.*\b(SHUTDOWN|KILL)\b", re.IGNORECASE | re.DOTALL)
#: What the engine lets through in its mode `readonly` = 1. Values are parameters, so no text of a client is met.
_READS_OR_WRITES_FILES = re.compile(rb"\bfile\s*\(|\bOUTFILE\b", re.IGNORECASE)


class Result(NamedTuple):
    """Hold the result of a statement."""

    body: bytes
    #: None for a statement that has no result.
    output_format: str | None
    summary: dict[str, str]


class Engine:
    """The engine on one folder. `execute` may be called from several threads at once."""

    def __init__(self, folder: Path, memory_bytes: int, configuration: str | None = None) -> None:
        if "?" in str(folder):
            raise ValueError(f"{folder} cannot hold the files of ClickHouse, because of the question mark in its path")
        self._address = f"{folder}?max_server_memory_usage={memory_bytes}&mark_cache_size={_MARK_CACHE}"
        self._configuration = configuration
        self._files = contextlib.ExitStack()
        self._keeper: Any = None
        self.timezone = "UTC"

    def open(self) -> None:
        """Open the folder. Raises Failure if another process has it, or if its files cannot be read."""
        with _failures():
            if self._configuration is not None:  # in no folder: it may hold a key
                path = self._files.enter_context(file_of(memoryview(self._configuration.encode())))
                self._address += f"&config-file={path}"
            self._keeper = chdb.connect(self._address)
            self._index_symbols()
            self.timezone = str(self._keeper.query("SELECT timezone()", "TSV")).strip()

    def _index_symbols(self) -> None:
        """Have the engine fail once while there is memory. It indexes the symbols of its library at its first error;
        where that is a failure to allocate, the index fails as well, and the process ends by SIGSEGV."""
        with contextlib.suppress(Exception):
            self._keeper.query("SELECT throwIf(1)")

    def close(self) -> None:
        """Close the engine. No statement may run."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._files.close()

    def execute(self, statement: Statement, mark: str | None = None) -> Result:
        """Run one statement, in a worker thread; `cancel` finds it by its mark. Raises Failure."""
        body = unpacked(statement.body, statement.encoding, BODY_MAX)
        sql = b"\n".join(part for part in (statement.text, body) if part)
        if not sql.strip():
            raise refusal(62, "SYNTAX_ERROR", "Syntax error: Empty query.")
        with _failures(), contextlib.closing(chdb.connect(self._address)) as handle:
            _prepare(handle, statement, {} if mark is None else {"log_comment": mark})
            insert = split_insert(sql)
            if insert is None:
                return _query(handle, sql, statement)
            # Not `send_insert`: it answers that all is well when a view throws, a constraint fails or there are too
            # many partitions (chdb-core 26.9.0). And as a part of the text rows are read four times as slowly.
            with file_of(insert.rows) as path:
                source = f"FROM INFILE {quoted(path)} COMPRESSION 'none'"
                text = f"{insert.text} {source} {insert.settings} FORMAT {insert.input_format}"
                return _query(handle, text.encode(), statement)

    def cancel(self, mark: str) -> None:
        """End the statement with the mark, if it runs. Raises Failure."""
        with _failures(), contextlib.closing(chdb.connect(self._address)) as handle:
            handle.query(f"KILL QUERY WHERE Settings['log_comment'] = {quoted(mark)} ASYNC")


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Turn errors of chDB (RuntimeError and others, with the text of ClickHouse) into Failure."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        raise Failure(str(error)) from None


def _prepare(handle: Any, statement: Statement, more: dict[str, str]) -> None:
    for name in statement.settings:
        if not _SETTING.fullmatch(name):
            raise refusal(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}.")
    if statement.database:
        handle.query(f"USE {quoted_name(statement.database)}")
    settings = _AS_A_SERVER | statement.settings | more
    handle.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))


def _query(handle: Any, sql: bytes, statement: Statement) -> Result:
    # What kind of statement it is, by the parser that will run it. The call is private: chdb is pinned.
    kind = handle._conn.classify_query(sql.decode(), "default")
    if kind["statement_count"] > 1:
        raise refusal(62, "SYNTAX_ERROR", "Syntax error: Multi-statements are not allowed.")
    if kind["query_class"].name == "CONTROL" and _ENDS_THE_ENGINE.search(sql):
        raise refusal(48, "NOT_IMPLEMENTED", "SYSTEM SHUTDOWN and SYSTEM KILL are not supported.")
    if statement.settings.get("readonly") == "1" and (
        kind["query_class"].name != "READ_ONLY" or _READS_OR_WRITES_FILES.search(sql)
    ):
        raise refusal(164, "READONLY", "Cannot execute query in readonly mode.")
    done = handle.query(sql, statement.output_format, params=statement.parameters)
    body = done.bytes() or b""
    has_result = bool(body) or kind["query_class"].name == "READ_ONLY"
    summary = {
        "read_rows": str(done.storage_rows_read()),
        "read_bytes": str(done.storage_bytes_read()),
        "written_rows": str(done.rows_written()),
        "written_bytes": str(done.bytes_written()),
        "elapsed_ns": str(int(done.elapsed() * 1e9)),
    }
    return Result(body, format_of_result(sql, statement.output_format) if has_result else None, summary)
