"""Whether the stores keep what they acknowledge: their versions, and the settings of Redis on which the promise
rests."""

from typing import Literal, NamedTuple

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

Level = Literal["ok", "warning", "unsafe"]

#: Oldest releases that the scripts and statements are written for.
_REDIS_OLDEST, _POSTGRES_OLDEST = (7, 0), 14

#: What Redis has to be told, and what happens otherwise.
_WANTED = {
    "appendonly": ("yes", "a restart loses every open minute"),
    "appendfsync": ("always", "a kill loses clicks that were acknowledged up to a second ago"),
    "no-appendfsync-on-rewrite": ("no", "a kill during a rewrite loses acknowledged clicks"),
    "maxmemory-policy": ("noeviction", "a full memory evicts open minutes"),
}


class Finding(NamedTuple):
    """One thing that was looked at. `unsafe` ones are refused unless TALLYBOOK_ALLOW_UNSAFE_REDIS is set."""

    store: str
    level: Level
    message: str


async def examine_redis(redis: "Redis") -> list[Finding]:
    """Raises REDIS_ERRORS when it does not answer."""
    info = await redis.info("server")
    version = str(info.get("valkey_version") or info["redis_version"])
    findings = [Finding("redis", "ok", f"{info.get('server_name', 'redis')} {version}")]
    if tuple(map(int, version.split(".")[:2])) < _REDIS_OLDEST:
        findings = [Finding("redis", "unsafe", f"version {version} is older than 7.0")]
    for name, (wanted, otherwise) in _WANTED.items():
        findings.append(await _setting(redis, name, wanted, otherwise))
    return findings


async def _setting(redis: "Redis", name: str, wanted: str, otherwise: str) -> Finding:
    try:
        answer = await redis.config_get(name)
    except ResponseError:  # managed services hide CONFIG
        return Finding("redis", "warning", f"{name} cannot be read; it has to be {wanted}, or {otherwise}")
    found = answer.get(name)
    if found == wanted:
        return Finding("redis", "ok", f"{name} {wanted}")
    return Finding("redis", "unsafe", f"{name} is {found}, not {wanted}: {otherwise}")


async def examine_postgres(database_url: str) -> list[Finding]:
    """Raises POSTGRES_ERRORS when it does not answer."""
    connection = await asyncpg.connect(database_url, timeout=5)
    try:
        version = connection.get_server_version()
        synchronous = await connection.fetchval("SHOW synchronous_commit")
    finally:
        await connection.close()
    findings = [Finding("postgres", "ok", f"version {version.major}.{version.minor}")]
    if version.major < _POSTGRES_OLDEST:
        findings = [Finding("postgres", "unsafe", f"version {version.major} is older than {_POSTGRES_OLDEST}")]
    if synchronous == "off":
        findings.append(Finding("postgres", "unsafe", "synchronous_commit is off: a crash loses flushed minutes"))
    return findings
