"""Examine everything that the service needs, without changing it."""

from collections.abc import Iterable
from pathlib import Path

import asyncpg
from redis.exceptions import AuthenticationError, ResponseError

from shared.errors import SchemaError
from shared.events import cold_storage
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, classify, connect_without_database
from shared.stores.clickhouse import database as clickhouse_database
from shared.stores.clickhouse_errors import CLICKHOUSE_ERRORS
from shared.stores.durability import Finding, Level, examine_postgres, examine_redis
from shared.stores.postgres import POSTGRES_ERRORS
from shared.stores.redis_client import REDIS_ERRORS, connect
from tallybook.exits import Exit

#: Whether the kernel moves waiting connections when one of several listeners dies (ip-sysctl.rst, since Linux 5.14).
_MIGRATE_REQUESTS = Path("/proc/sys/net/ipv4/tcp_migrate_req")
#: Oldest release that upstream supports; it knows all settings that inserts send.
CLICKHOUSE_OLDEST = (25, 8)
#: Tables and views that routes read from.
_READ = ("events", "tracker_events", "page_views_agg_minute", "page_views_agg_hour", "event_log")
#: Exit codes by level, the worst first.
_VERDICTS: tuple[tuple[Level, Exit], ...] = (
    ("unsafe", Exit.UNSAFE),
    ("unfit", Exit.FOREIGN_DATA),
    ("unreachable", Exit.UNREACHABLE),
)


async def examine(settings: Settings, *, accepts: bool = True) -> list[Finding]:
    """Return findings about the stores and, if this process `accepts` requests, about the host."""
    findings = []
    looks = {"redis": _redis, "postgres": _postgres}
    if settings.log_url not in (None, settings.redis_url) and not str(settings.log_url).startswith("kafka://"):
        looks["log"] = _log
    if settings.clickhouse_url is not None:
        looks["clickhouse"] = _clickhouse
    for name, look in looks.items():
        try:
            findings += await look(settings)
        except (*REDIS_ERRORS, *POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
            findings.append(Finding(name, "unreachable", _refusal(error)))
    return findings + (_host() if accepts else [])


def _refusal(error: BaseException) -> str:
    """Return the class of an error and the store's own message, which holds neither address nor password."""
    if isinstance(error, ResponseError | AuthenticationError | asyncpg.PostgresError):
        return f"refuses: {type(error).__name__}: {error}"
    return f"does not answer: {type(error).__name__}"


def verdict(findings: Iterable[Finding], *, allow_unsafe: bool = False) -> Exit:
    """Return the exit code for the findings."""
    levels = {finding.level for finding in findings}
    if allow_unsafe:
        levels.discard("unsafe")
    return next((code for level, code in _VERDICTS if level in levels), Exit.OK)


async def _redis(settings: Settings) -> list[Finding]:
    return await _redis_at(settings, settings.redis_url)


async def _log(settings: Settings) -> list[Finding]:
    """Examine the record log in a Redis of its own."""
    findings = await _redis_at(settings, settings.log_url)
    return [finding._replace(store=finding.store.replace("redis", "log")) for finding in findings]


async def _redis_at(settings: Settings, url: str | None) -> list[Finding]:
    redis = connect(settings, url)
    try:
        return await examine_redis(redis, settings.redis_memory_bytes)
    finally:
        await redis.aclose()


async def _postgres(settings: Settings) -> list[Finding]:
    url = settings.database_url or ""
    findings = await examine_postgres(url)
    try:
        missing = await migrate_postgres.pending(url)
    except SchemaError as error:
        return [*findings, Finding("postgres", "unfit", f"{error}: run the version that made it, or a newer one")]
    if missing:
        names = ", ".join(missing)
        return [*findings, Finding("postgres", "unfit", f"the schema lacks {names}: run `tallybook migrate`")]
    return [*findings, Finding("postgres", "ok", "schema migrated")]


async def _clickhouse(settings: Settings) -> list[Finding]:
    async with connect_without_database(settings) as clickhouse:
        version = str((await clickhouse.query("SELECT version()"))[0][0])
    if tuple(int(part) for part in version.split(".")[:2]) < CLICKHOUSE_OLDEST:
        oldest = ".".join(map(str, CLICKHOUSE_OLDEST))
        return [Finding("clickhouse", "unfit", f"clickhouse {version} is older than {oldest}: upgrade it")]
    findings = [Finding("clickhouse", "ok", f"clickhouse {version}"), await _clickhouse_schema(settings)]
    if settings.clickhouse_read_url is not None and findings[-1].level == "ok":
        findings.append(await _clickhouse_reader(settings))
    return findings


async def _clickhouse_reader(settings: Settings) -> Finding:
    async with ClickHouse(settings, clickhouse_database(settings), is_reader=True) as reader:
        try:
            for table in _READ:
                await reader.query(f"SELECT count() FROM {table} WHERE false")  # noqa: S608 - constants
        except CLICKHOUSE_ERRORS as error:
            if classify(error) == "unknown":
                raise
            return Finding("clickhouse", "unfit", f"the user of TALLYBOOK_CLICKHOUSE_READ_URL cannot read {table}")
    return Finding("clickhouse", "ok", "the user of TALLYBOOK_CLICKHOUSE_READ_URL can read")


async def _clickhouse_schema(settings: Settings) -> Finding:
    try:
        missing = await migrate_clickhouse.pending(settings)
        async with connect_without_database(settings) as clickhouse:
            unfit = await cold_storage.unfit(clickhouse) if cold_storage.is_cold_ever(settings) else None
        bare = [] if missing else await migrate_clickhouse.unprotected(settings)
    except SchemaError as error:
        return Finding("clickhouse", "unfit", f"{error}: run the version that made it, or a newer one")
    if missing:
        return Finding("clickhouse", "unfit", f"the schema lacks {', '.join(missing)}: run `tallybook migrate`")
    if unfit:
        return Finding("clickhouse", "unfit", unfit)
    if bare:
        names = ", ".join(bare)
        return Finding(
            "clickhouse", "unfit", f"a repeated insert would count twice in {names}: {migrate_clickhouse.REMEDY}"
        )
    return Finding("clickhouse", "ok", "schema migrated, windows of block ids set")


def _host() -> list[Finding]:
    try:
        moves = _MIGRATE_REQUESTS.read_text().strip() == "1"
    except OSError:
        return []
    if moves:
        return []
    message = "net.ipv4.tcp_migrate_req is 0: connections that wait for a worker are reset when that worker dies"
    return [Finding("host", "warning", message)]
