"""Hot and cold product events: after some days parts of the table `events` move to another volume of its storage
policy, and every query reads them there. The policy comes from whoever runs ClickHouse: the gateway for the embedded
engine (`gateway/cold.py`), a file of its configuration for a server (deploy/clickhouse/cold.xml).
"""

from shared.errors import SchemaError
from shared.events.table import COLD, HOT, POLICY
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse

_VOLUMES = "SELECT volume_name FROM system.storage_policies WHERE policy_name = {policy:String}"
_POLICY_OF = "SELECT storage_policy FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"


def is_cold_ever(settings: Settings) -> bool:
    """Return whether events move at all: not those that are deleted before."""
    kept = settings.kept_days("events")
    return settings.events_cold_days > 0 and (kept is None or kept > settings.events_cold_days)


async def give_policy(clickhouse: ClickHouse, table: str) -> None:
    """Let a table have both volumes; nothing moves by that. It keeps them for good: a part may be on either. Raises
    SchemaError when ClickHouse does not know them, and CLICKHOUSE_ERRORS."""
    if (await clickhouse.query(_POLICY_OF, {"table": table}))[0][0] == POLICY:
        return
    if reason := await unfit(clickhouse):
        raise SchemaError(reason)
    await clickhouse.execute(f"ALTER TABLE {table} MODIFY SETTING storage_policy = '{POLICY}'")


async def unfit(clickhouse: ClickHouse) -> str | None:
    """Why events cannot move; None when they can."""
    volumes = {str(name) for [name] in await clickhouse.query(_VOLUMES, {"policy": POLICY})}
    if {HOT, COLD} <= volumes:
        return None
    return (
        f"TALLYBOOK_EVENTS_COLD_DAYS needs a storage policy {POLICY} with the volumes {HOT} and {COLD}, "
        "as in deploy/clickhouse/cold.xml"
    )
