"""Migrate the schema of ClickHouse: apply the `.sql` files of `shared/migrations/clickhouse/` in the order of their
names, each once.

There are no transactions and no locks: every statement bears a repetition, and a file that was cut short, or that two
processes apply at once, is applied again as a whole. Afterwards no table may be left without a window of block ids, for
there a repeated insert would count twice. There is no way back; a mistake is mended by the next file.
"""

import json
import re
from pathlib import Path

from shared.errors import SchemaError
from shared.events.cold_storage import give_policy, is_cold_ever
from shared.events.table import COLD
from shared.migrations.migrate_postgres import Migration, migrations, unapplied
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, connect, connect_without_database, database
from shared.stores.postgres import statement

_FOLDER = Path(__file__).parent / "clickhouse"
#: The end of a statement: a semicolon that ends its line.
_END = re.compile(r";\s*\n")
#: The rule that says when rows of a table expire, or go elsewhere.
_TTL = re.compile(r"\bTTL (\w+ \+ toIntervalDay\(.*?) SETTINGS\b")

#: What to do about a table without a window.
REMEDY = "ALTER TABLE ... MODIFY SETTING non_replicated_deduplication_window = 10000"

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name String, sha256 String, applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree ORDER BY name
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
"""
_CREATION = statement("shared/migrations/migrate_clickhouse.creation.sql")
_TABLES = statement("shared/migrations/migrate_clickhouse.tables.sql")
#: The target of a view, as `create_table_query` of system.tables words it.
_TARGET = re.compile(r"\bTO (?:`([^`]+)`|(\w+))\.(?:`([^`]+)`|(\w+))")
_WINDOW = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
#: Replicated tables have a window by default: only one that was taken away is missed.
_REPLICATED_WINDOW = re.compile(r"\breplicated_deduplication_window = (\d+)")


async def migrate(settings: Settings) -> list[str]:
    """Apply what is missing and return the names applied. Raises SchemaError, or one of CLICKHOUSE_ERRORS."""
    await _make_database(settings)
    async with connect(settings) as clickhouse:
        await clickhouse.execute(_TABLE)
        missing = await _missing(clickhouse)
        for name, text, digest in missing:
            for command in _END.split(text):
                if command.strip():
                    await clickhouse.execute(command)
            row = json.dumps({"name": name, "sha256": digest}).encode()
            await clickhouse.insert("schema_migrations", row, f"{name}:{digest}")
        await _set_rule(clickhouse, "tracker_events", _rule("date", settings.kept_days("hits")))
        await _set_rule(clickhouse, "web_items", _rule("date", settings.kept_days("web")))
        if is_cold_ever(settings):
            await give_policy(clickhouse, "events")
        cold_days = settings.events_cold_days if is_cold_ever(settings) else None
        await _set_rule(clickhouse, "events", _rule("event_date", settings.kept_days("events"), cold_days))
        if bare := await _unprotected(clickhouse):
            raise SchemaError(f"a repeated insert would count twice in {', '.join(bare)}: {REMEDY}")
        return [name for name, _, _ in missing]


async def pending(settings: Settings) -> list[str]:
    """Return the names that `migrate` would apply now. Raises as `migrate` does."""
    async with connect_without_database(settings) as clickhouse:
        made = await clickhouse.query(_CREATION, {"database": database(settings)})
    if "schema_migrations" not in {name for name, _ in made}:
        return [name for name, _, _ in migrations(_FOLDER)]
    async with connect(settings) as clickhouse:
        return [name for name, _, _ in await _missing(clickhouse)]


async def unprotected(settings: Settings) -> list[str]:
    """Return the tables of the database, and of its views, in which a repeated insert would count twice."""
    async with connect(settings) as clickhouse:
        return await _unprotected(clickhouse)


async def _make_database(settings: Settings) -> None:
    """Create the database if it is missing: a user may not always be allowed to."""
    name = database(settings)
    if not re.fullmatch(r"\w{1,64}", name):
        raise SchemaError(f"{name!r} in TALLYBOOK_CLICKHOUSE_URL cannot be the name of a database")
    async with connect_without_database(settings) as clickhouse:
        if not await clickhouse.query("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": name}):
            await clickhouse.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` ENGINE = Atomic")


async def _unprotected(clickhouse: ClickHouse) -> list[str]:
    made = await clickhouse.query(_CREATION, {"database": clickhouse.database})
    views = (str(text) for _, text in made if str(text).startswith("CREATE MATERIALIZED VIEW"))
    targets = [(one[1] or one[2], one[3] or one[4]) for view in views if (one := _TARGET.search(view))]
    # An empty array would have no type.
    parameters = {"database": clickhouse.database, "targets": targets or [("", "")]}
    tables = await clickhouse.query(_TABLES, parameters)
    return [f"{place}.{name}" for place, name, engine, text in tables if not _has_window(engine, text)]


def _has_window(engine: str, create: str) -> bool:
    if engine.startswith(("Replicated", "Shared")):
        found = _REPLICATED_WINDOW.search(create)
        return found is None or int(found[1]) > 0
    found = _WINDOW.search(create)
    return found is not None and int(found[1]) > 0


def _rule(day: str, kept_days: int | None, cold_days: int | None = None) -> str:
    """Return when rows expire by their day, and when they move to the cold volume, as ClickHouse words it; empty if
    never."""
    moved = f"{day} + toIntervalDay({cold_days}) TO VOLUME '{COLD}'" if cold_days is not None else ""
    deleted = f"{day} + toIntervalDay({kept_days})" if kept_days is not None else ""
    return ", ".join(filter(None, (moved, deleted)))


async def _set_rule(clickhouse: ClickHouse, table: str, wanted: str) -> None:
    """Give a table its rule, if it lacks it. Parts learn of it in the background, however large they are:
    the statement does not wait for that."""
    made = await clickhouse.query(_CREATION, {"database": clickhouse.database})
    found = next((one[1] for name, text in made if name == table and (one := _TTL.search(str(text)))), "")
    if wanted == found:
        return
    change = f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"
    await clickhouse.execute(f"ALTER TABLE {table} {change} SETTINGS mutations_sync = 0, alter_sync = 0")


async def _missing(clickhouse: ClickHouse) -> list[Migration]:
    applied = {
        str(name): str(digest) for name, digest in await clickhouse.query("SELECT name, sha256 FROM schema_migrations")
    }
    return unapplied(migrations(_FOLDER), applied)
