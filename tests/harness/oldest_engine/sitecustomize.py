"""Lets the gateway run on the oldest engine that `tallybook check` allows, in tests.

chdb 3.7.2 is the only release with that engine on PyPI. It keeps one session for all of its handles, knows no
parameters, and does not tell what kind of statement it was given. Python imports this file at its start from a folder
of PYTHONPATH, and it puts in front of that chdb what the gateway expects of one: sessions end with their statements.
Statements run one after another here.
"""

import os
import re
import sys
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

_READS = re.compile(r"(?:\s|--.*\n)*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b", re.IGNORECASE)
_NAME = re.compile(r"(\w+) = ")
#: A database is dropped at once, which that chdb waits for in vain.
_DROP = re.compile(r"^(DROP DATABASE .*) SYNC$")


def _main() -> None:
    sys.path.insert(0, os.environ["TESTS_CHDB"])
    import chdb

    connect, lock = chdb.connect, threading.Lock()
    real: list[Any] = []

    class Handle:
        def __init__(self, address: str) -> None:
            if not real:
                real.append(connect(address.partition("?")[0]))
            self._use, self._settings = "USE default", ""
            self._conn = SimpleNamespace(classify_query=_classified)

        def query(self, sql: str | bytes, form: str = "CSV", params: Mapping[str, str] | None = None) -> Any:
            text = sql.decode() if isinstance(sql, bytes) else sql
            if text.startswith("USE "):
                self._use = text
                return None
            if text.startswith("SET "):
                self._settings = text
                return None
            with lock:
                return self._run(text, form, params or {})

        def _run(self, text: str, form: str, params: Mapping[str, str]) -> Any:
            if "readonly = '2'" in self._settings and not _READS.match(text):
                raise RuntimeError("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            settings = self._settings.replace(", readonly = '2'", "")
            run, back = real[0].query, [name for name in _NAME.findall(settings)]
            run(self._use)
            try:
                if settings:
                    run(settings)
                for name, value in params.items():
                    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                    run(f"SET param_{name} = '{quoted}'")
                return _Result(run(_DROP.sub(r"\1", text), form))
            finally:
                if back:
                    run("SET " + ", ".join(f"{name} = DEFAULT" for name in back))

        def close(self) -> None:
            pass

    chdb.connect = Handle  # type: ignore[assignment, misc]


class _Result:
    """What newer results can tell, too."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def __str__(self) -> str:
        return str(self._result)

    def rows_written(self) -> int:
        return 0

    bytes_written = rows_written


def _classified(text: str, _: str) -> dict[str, Any]:
    kind = "READ_ONLY" if _READS.match(text) else "OTHER"
    return {"statement_count": 1, "query_class": SimpleNamespace(name=kind)}


if "TESTS_CHDB" in os.environ:
    _main()
