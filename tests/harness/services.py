"""Real services for the tests: from the environment, else embedded or local, else in a container, else a loud skip.

`TALLYBOOK_TEST_REQUIRE=redis,postgres,...` turns the skip of a service that it names into a failure.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
    if url := os.environ.get("TALLYBOOK_REDIS_URL"):
        yield url
        return
    with _embedded("redis", folder) as servers:
        if servers is not None and servers.redis_url:
            yield servers.redis_url
            return
    _need_engine("redis")
    from testcontainers.redis import RedisContainer

    command = "valkey-server --appendonly yes --appendfsync always"
    with RedisContainer("valkey/valkey:9.1.2").with_command(command) as one:
        yield f"redis://{one.get_container_host_ip()}:{one.get_exposed_port(6379)}"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a Postgres for the tests, in which they may make databases."""
    if url := os.environ.get("TALLYBOOK_DATABASE_URL"):
        yield url
        return
    with _embedded("postgres", folder) as servers:
        if servers is not None and servers.database_url:
            yield servers.database_url
            return
    _need_engine("postgres")
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer("postgres:18.1", driver=None) as one:
        yield one.get_connection_url()


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same Postgres."""
    return urlsplit(url)._replace(path=f"/{name}").geturl().replace("postgresql:/t", "postgresql:///t")


def with_user(url: str, user: str, password: str) -> str:
    """The same URL for somebody else."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{host}").geturl()


@contextmanager
def clickhouse(folder: Path) -> Iterator[str]:
    """The URL of a ClickHouse for the tests, in which they may make databases."""
    if url := os.environ.get("TALLYBOOK_CLICKHOUSE_URL"):
        yield url
        return
    with _embedded("clickhouse", folder) as servers:
        if servers is not None and servers.clickhouse_url:
            yield servers.clickhouse_url
            return
    _need_engine("clickhouse")
    from testcontainers.clickhouse import ClickHouseContainer

    with ClickHouseContainer("clickhouse/clickhouse-server:25.8", port=8123) as one:
        host, port = one.get_container_host_ip(), one.get_exposed_port(8123)
        yield f"http://{one.username}:{one.password}@{host}:{port}"


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
