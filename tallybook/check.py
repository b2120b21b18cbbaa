"""Looks at everything that the service needs, without changing anything."""

from collections.abc import Iterable
from pathlib import Path

from shared import migrate
from shared.durability import Finding, Level, examine_postgres, examine_redis
from shared.migrate import SchemaError
from shared.postgres import POSTGRES_ERRORS
from shared.redis_client import REDIS_ERRORS, connect
from shared.settings import Settings
from tallybook.exits import Exit

#: Whether the kernel moves waiting connections when one of several listeners dies (ip-sysctl.rst, since Linux 5.14).
_MIGRATE_REQUESTS = Path("/proc/sys/net/ipv4/tcp_migrate_req")
#: The exit code that says the worst of what was found; the first that fits.
_VERDICTS: tuple[tuple[Level, Exit], ...] = (
    ("unsafe", Exit.UNSAFE),
    ("unfit", Exit.FOREIGN_DATA),
    ("unreachable", Exit.UNREACHABLE),
)


async def examine(settings: Settings) -> list[Finding]:
    """Everything that can be said about the stores and this host."""
    findings = []
    for name, look in (("redis", _redis), ("postgres", _postgres)):
        try:
            findings += await look(settings)
        except (*REDIS_ERRORS, *POSTGRES_ERRORS) as error:
            findings.append(Finding(name, "unreachable", f"does not answer: {type(error).__name__}"))
    return findings + _host()


def verdict(findings: Iterable[Finding], *, allow_unsafe: bool = False) -> Exit:
    """The exit code that these findings deserve."""
    levels = {finding.level for finding in findings}
    if allow_unsafe:
        levels.discard("unsafe")
    return next((code for level, code in _VERDICTS if level in levels), Exit.OK)


async def _redis(settings: Settings) -> list[Finding]:
    redis = connect(settings)
    try:
        return await examine_redis(redis)
    finally:
        await redis.aclose()


async def _postgres(settings: Settings) -> list[Finding]:
    url = settings.database_url or ""
    findings = await examine_postgres(url)
    try:
        missing = await migrate.pending(url)
    except SchemaError as error:
        return [*findings, Finding("postgres", "unfit", f"{error}: run the version that made it, or a newer one")]
    if missing:
        names = ", ".join(missing)
        return [*findings, Finding("postgres", "unfit", f"the schema lacks {names}: run `tallybook migrate`")]
    return [*findings, Finding("postgres", "ok", "schema migrated")]


def _host() -> list[Finding]:
    try:
        moves = _MIGRATE_REQUESTS.read_text().strip() == "1"
    except OSError:
        return []
    if moves:
        return []
    message = "net.ipv4.tcp_migrate_req is 0: connections that wait for a worker are reset when that worker dies"
    return [Finding("host", "warning", message)]
