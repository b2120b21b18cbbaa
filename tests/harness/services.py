"""Real services for the tests: from the environment, else embedded or local, else in a container, else a loud skip.

`TALLYBOOK_TEST_REQUIRE=redis,postgres,...` turns the skip of a service that it names into a failure.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

from tallybook.exits import Stop
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

#: Where Debian keeps programs that are not on every user's PATH.
_MORE_PATH = "/usr/sbin:/usr/local/sbin"


def missing(service: str, reason: str) -> NoReturn:
    """Skip, or fail where the service is required."""
    if service in os.environ.get("TALLYBOOK_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{service} is required by TALLYBOOK_TEST_REQUIRE, but {reason}", pytrace=False)
    pytest.skip(f"NO {service.upper()}: {reason}")


def enterable(folder: Path) -> Path:
    """The folder of a test, which servers of another user may enter from now on."""
    for one in (folder, *folder.parents):
        if one.name.startswith(("pytest-", "test_")):
            one.chmod(0o755)
    return folder


def require(program: str) -> str:
    """The path of a program, such as prometheus, promtool, nginx or wrk."""
    path = shutil.which(program) or shutil.which(program, path=_MORE_PATH)
    if path is None:
        missing(program, f"there is no {program} on PATH")
    return path


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis for the tests, which they may empty."""

    def container(stack: ExitStack) -> str:
        from testcontainers.redis import RedisContainer

        one = RedisContainer("valkey/valkey:9.1.2").with_command("valkey-server --appendonly yes --appendfsync always")
        stack.enter_context(one)
        return f"redis://{one.get_container_host_ip()}:{one.get_exposed_port(6379)}"

    with _service("redis", "redis_url", folder, container) as url:
        yield url


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a Postgres for the tests, in which they may make databases."""

    def container(stack: ExitStack) -> str:
        from testcontainers.postgres import PostgresContainer

        return str(stack.enter_context(PostgresContainer("postgres:18.1", driver=None)).get_connection_url())

    with _service("postgres", "database_url", folder, container) as url:
        yield url


@contextmanager
def clickhouse(folder: Path) -> Iterator[str]:
    """The URL of a ClickHouse for the tests, in which they may make databases."""

    def container(stack: ExitStack) -> str:
        from testcontainers.clickhouse import ClickHouseContainer

        one = stack.enter_context(ClickHouseContainer("clickhouse/clickhouse-server:25.8", port=8123))
        host, port = one.get_container_host_ip(), one.get_exposed_port(8123)
        return f"http://{one.username}:{one.password}@{host}:{port}"

    with _service("clickhouse", "clickhouse_url", folder, container) as url:
        yield url


@contextmanager
def _service(service: str, setting: str, folder: Path, container: Callable[[ExitStack], str]) -> Iterator[str]:
    """The URL of the environment, else of an embedded server, else of a container."""
    if url := os.environ.get(f"TALLYBOOK_{setting.upper()}"):
        yield url
        return
    with ExitStack() as stack:
        servers = stack.enter_context(_embedded(service, folder))
        if servers is None:
            _need_engine(service)
            yield container(stack)
        else:
            yield getattr(servers, setting)


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same Postgres."""
    return urlsplit(url)._replace(path=f"/{name}").geturl().replace("postgresql:/t", "postgresql:///t")


def with_user(url: str, user: str, password: str) -> str:
    """The same URL for somebody else."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{host}").geturl()


@contextmanager
def _embedded(service: str, folder: Path) -> Iterator[EmbeddedServers | None]:
    data = DataFolder(folder)
    data.take()
    wanted = {name: service == name for name in ("redis", "postgres", "clickhouse")}
    servers = EmbeddedServers(data, **wanted)
    try:
        servers.start()
    except Stop as stop:
        data.release()
        print(f"no embedded {service}: {stop}")
        yield None
        return
    try:
        yield servers
    finally:
        servers.stop()
        data.release()


def _need_engine(service: str) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        missing(service, "there is no URL, no embedded or local server, and no container engine")
