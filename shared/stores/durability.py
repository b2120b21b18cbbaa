"""Check that the stores keep what they acknowledge: versions, clocks, and the settings of Redis."""

import time
from typing import Any, Literal, NamedTuple

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.stores.redis_client import masters

#: `unsafe`: acknowledged clicks can be lost, which TALLYBOOK_ALLOW_UNSAFE_REDIS accepts. `unfit`: a version or a schema
#: that this service cannot work with. `unreachable`: nothing else is known.
Level = Literal["ok", "warning", "unsafe", "unfit", "unreachable"]

#: Oldest releases that the scripts and statements are written for.
_REDIS_OLDEST, _POSTGRES_OLDEST = (7, 0), 14
#: Seconds that the clock of a store may differ from ours.
_SKEW_S = 2.0

#: What Redis has to be told, and what happens otherwise.
_WANTED = {
    "appendonly": ("yes", "a restart loses every open minute"),
    "appendfsync": ("always", "a kill loses clicks that were acknowledged up to a second ago"),
    "no-appendfsync-on-rewrite": ("no", "a kill during a rewrite loses acknowledged clicks"),
    "maxmemory-policy": ("noeviction", "a full memory evicts open minutes"),
}


class Finding(NamedTuple):
    """The result of one check."""

    store: str
    level: Level
    message: str


async def examine_redis(redis: "Redis", memory_bytes: int | None = None) -> list[Finding]:
    """Check every master of a cluster, or the only server. Raises REDIS_ERRORS if one does not answer."""
    return [
        finding
        for server, to in (await masters(redis)).items()
        for finding in await _server(redis, server, to, memory_bytes)
    ]


async def _server(redis: "Redis", server: str, to: dict[str, Any], memory_bytes: int | None) -> list[Finding]:
    info = await redis.info("server", **to)
    version = str(info.get("valkey_version") or info["redis_version"])
    name = info.get("server_name", "redis")
    findings = [_version(server, f"{name} {version}", _numbers(version) >= _REDIS_OLDEST, "7.0")]
    for setting, (wanted, otherwise) in _WANTED.items():
        findings.append(await _setting(redis, server, to, setting, wanted, otherwise))
    if memory_bytes is not None:
        memory = await redis.info("memory", **to)
        findings.append(_memory(server, memory.get("maxmemory"), memory_bytes))
        findings += _fill(server, int(memory["used_memory"]), memory.get("maxmemory"))
    before = time.time()
    seconds, microseconds = await redis.time(**to)
    return [*findings, *_clock(server, seconds + microseconds / 1e6, before)]


async def examine_postgres(database_url: str) -> list[Finding]:
    """Check Postgres. Raises POSTGRES_ERRORS if it does not answer."""
    connection = await asyncpg.connect(database_url, timeout=5)
    try:
        version = str(await connection.fetchval("SHOW server_version")).split()[0]
        synchronous = await connection.fetchval("SHOW synchronous_commit")
        before = time.time()
        theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        findings = _clock("postgres", theirs, before)
    finally:
        await connection.close()
    if synchronous == "off":
        findings.append(Finding("postgres", "unsafe", "synchronous_commit is off: a crash loses flushed minutes"))
    is_fit = _numbers(version) >= (_POSTGRES_OLDEST,)
    return [_version("postgres", f"postgres {version}", is_fit, str(_POSTGRES_OLDEST)), *findings]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _version(store: str, name: str, is_fit: bool, oldest: str) -> Finding:
    if is_fit:
        return Finding(store, "ok", name)
    return Finding(store, "unfit", f"{name} is older than {oldest}: upgrade it")


async def _setting(redis: "Redis", server: str, to: dict[str, Any], name: str, wanted: str, otherwise: str) -> Finding:
    try:
        found = (await redis.config_get(name, **to)).get(name)
    except ResponseError:  # managed services forbid CONFIG
        found = None
    if found is None:
        return Finding(server, "warning", f"{name} cannot be verified; it has to be {wanted}, or {otherwise}")
    if found == wanted:
        return Finding(server, "ok", f"{name} {wanted}")
    return Finding(server, "unsafe", f"{name} is {found}, not {wanted}: {otherwise}")


def _memory(server: str, most: int | None, wanted: int) -> Finding:
    """Compare `maxmemory`, which INFO tells also where CONFIG is forbidden, with what is shared out."""
    shared = f"TALLYBOOK_REDIS_MEMORY_BYTES, which is {wanted}"
    if most is None:
        return Finding(server, "warning", f"maxmemory cannot be verified; it has to be at least {shared}")
    if most == 0:
        return Finding(server, "warning", f"maxmemory is not set: set it, to at least {shared}")
    if most < wanted:
        return Finding(server, "unfit", f"maxmemory is {most}, less than {shared}: raise the one or lower the other")
    return Finding(server, "ok", f"maxmemory {most} has room for {shared}")


def _fill(server: str, used: int, most: int | None) -> list[Finding]:
    """Warn if there is more than `maxmemory`, as after one that is lower than before."""
    if not most or used <= most:
        return []
    refused = "it refuses whatever is written until minutes and records have left, or TALLYBOOK_REDIS_MEMORY_BYTES is"
    return [Finding(server, "warning", f"{used} bytes are in use, more than maxmemory, {most}: {refused} raised")]


def _clock(store: str, theirs: float, before: float) -> list[Finding]:
    """Warn if that clock is off by more than the time of the question explains."""
    took = time.time() - before
    differs_s = theirs - before - took / 2
    if abs(differs_s) - took / 2 < _SKEW_S:
        return []
    return [Finding(store, "warning", f"its clock differs from this host's by {differs_s:+.1f} s: keep both in time")]
