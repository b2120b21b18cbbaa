"""Several `tallybook ingest` on one data folder, as replicas of a container share a volume."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallybook.exits import Exit
from tests.harness.http import fetched
from tests.harness.process import Program, environ, free_port
from tests.harness.stacks import TALLYBOOK
from tests.harness.wait import wait_for


class Replica:
    """One service alone, on ports of its own."""

    def __init__(self, folder: Path, redis_url: str, database: str, number: int) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        variables = environ(
            data_dir=folder,
            redis_url=redis_url,
            database_url=database,
            clickhouse_url="http://nobody:x@127.0.0.1:9/x",  # away; unset would embed one
            port=self.port,
            metrics_port=self.metrics_port,
            workers=1,
            log_format="console",
        )
        self.program = Program([str(TALLYBOOK), "ingest"], variables, folder.with_name(f"replica-{number}.log"))
        assert self.program.line().startswith("tallybook is ready")

    def asked(self, path: str, method: str = "GET", port: int | None = None) -> str:
        return fetched(port or self.port, path, method).decode()

    def total(self, banner: int) -> int:
        return int(json.loads(self.asked(f"/stats/{banner}"))["total"])

    def has_figures_of_lanes(self) -> bool:
        return "\ntallybook_lanes " in self.asked("/metrics", port=self.metrics_port)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextmanager
def replica(folder: Path, redis_url: str, database: str, number: int) -> Iterator[Replica]:
    one = Replica(folder, redis_url, database, number)
    try:
        yield one
    finally:
        one.program.close()


def test_replicas_on_one_folder_read_and_adopt_what_the_others_acknowledged(
    folder: Path, redis_url: str, database: str, redis_client: object
) -> None:
    with replica(folder, redis_url, database, 0) as first, replica(folder, redis_url, database, 1) as second:
        for one in (first, second):
            for _ in range(20):
                one.asked("/stats/5", "POST")
            assert second.total(5) == first.total(5)
        assert first.total(5) == 40
        assert sorted(path.name for path in folder.glob("replica-*")) == ["replica-0", "replica-1"]
        # One of them speaks for the lanes of both; when it is gone, the other does.
        assert [first.has_figures_of_lanes(), second.has_figures_of_lanes()] == [True, False]
        for _ in range(20):
            first.asked("/stats/5", "POST")
        first.program.signal(signal.SIGKILL)
        assert second.total(5) == 60
        wait_for(second.has_figures_of_lanes, "the living one speaks for the lanes")
        with replica(folder, redis_url, database, 2) as third:  # takes the folder and the lanes of the dead one
            third.asked("/stats/5", "POST")
            assert third.total(5) == second.total(5) == 61
        assert sorted(path.name for path in folder.glob("replica-*")) == ["replica-0", "replica-1"]


def test_a_folder_with_embedded_servers_has_one_owner(
    folder: Path, redis_url: str, database: str, redis_client: object
) -> None:
    with replica(folder, redis_url, database, 0):
        ports = ["--port", str(free_port()), "--data-dir", str(folder)]
        stack = Program([str(TALLYBOOK), "up", *ports], environ(metrics_port=0), folder.with_name("up.log"))
        try:
            assert stack.process.wait(60) == Exit.FOLDER_IN_USE
        finally:
            stack.close()
