"""Looks at everything that the service needs, without changing anything."""

import asyncio
from pathlib import Path

from shared import migrate
from shared.durability import Finding, examine_postgres, examine_redis
from shared.migrate import SchemaError
from shared.postgres import POSTGRES_ERRORS
from shared.redis_client import REDIS_ERRORS, connect
from shared.settings import Settings
from tallybook.exits import Exit

#: Whether the kernel moves waiting connections when one of several listeners dies (ip-sysctl.rst, since Linux 5.14).
_MIGRATE_REQUESTS = Path("/proc/sys/net/ipv4/tcp_migrate_req")


class Unreachable(Exception):
    """A store does not answer."""


async def examine(settings: Settings) -> tuple[list[Finding], Exit]:
    """Everything that was found, and the exit code that says it."""
    findings, is_unreachable = [], False
    for name, look in (("redis", _redis), ("postgres", _postgres)):
        try:
            findings += await look(settings)
        except (*REDIS_ERRORS, *POSTGRES_ERRORS) as error:
            is_unreachable = True
            findings.append(Finding(name, "unsafe", f"does not answer: {type(error).__name__}"))
        except SchemaError as error:
            findings.append(Finding(name, "unsafe", str(error)))
    findings += _host()
    if is_unreachable:
        return findings, Exit.UNREACHABLE
    is_unsafe = any(finding.level == "unsafe" for finding in findings) and not settings.allow_unsafe_redis
    return findings, Exit.UNSAFE if is_unsafe else Exit.OK


async def _redis(settings: Settings) -> list[Finding]:
    redis = connect(settings)
    try:
        return await examine_redis(redis)
    finally:
        await redis.aclose()


async def _postgres(settings: Settings) -> list[Finding]:
    url = settings.database_url or ""
    findings, missing = await asyncio.gather(examine_postgres(url), migrate.pending(url))
    if missing:
        findings.append(
            Finding("postgres", "unsafe", f"the schema lacks {', '.join(missing)}: run `tallybook migrate`")
        )
    return findings


def _host() -> list[Finding]:
    try:
        moves = _MIGRATE_REQUESTS.read_text().strip() == "1"
    except OSError:
        return []
    if moves:
        return []
    message = "net.ipv4.tcp_migrate_req is 0: connections that wait for a worker are reset when that worker dies"
    return [Finding("host", "warning", message)]
