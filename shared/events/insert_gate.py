"""The gate to the table of events: whoever adds rows looks first which ids are there, and nobody else may add any
between the look and the end of the insert. So an id is there once, also when it comes again with another day, from
another host, or from an import.

It is a row in Postgres and not a lock, because it has to outlive its holder: an insert may still be on its way then. A
sink's stays until its batch is recorded, by itself or by whoever replays it. An import's has an end; each of its rows
says when the insert has to begin at the latest (`insert_before`), and the table refuses it later.
"""

import secrets
from typing import TYPE_CHECKING

from shared.stores.postgres import Queries, statement

if TYPE_CHECKING:
    from shared.record_log.cursors import Claim

#: What `log_partition` is in rows of imports. No log has as many partitions.
IMPORTED = 65_535
#: Seconds in which an import's insert may begin after it took the gate, and by which clocks may differ.
BEGIN_S, CLOCKS_S = 10.0, 5.0
#: Seconds of the first and of the longest wait for the gate.
WAIT_S = (0.005, 0.05)

_ENTER = statement("shared/events/insert_gate.enter.sql")
_LEAVE = statement("shared/events/insert_gate.leave.sql")
_IMPORT = statement("shared/events/insert_gate.import.sql")
_END = "UPDATE event_gate SET holder = NULL, until = NULL WHERE holder = $1"
_HOLDER = "SELECT holder FROM event_gate"


async def enter(connection: Queries, log: str, claim: "Claim") -> bool:
    """Take the gate if it is free. Return whether the sink has it now. Raises POSTGRES_ERRORS."""
    return bool(await connection.fetchval(_ENTER, *_of(log, claim)))


async def leave(connection: Queries, log: str, claim: "Claim") -> None:
    """Leave the gate once the sink's batch is recorded, or was never begun. Raises POSTGRES_ERRORS."""
    await connection.execute(_LEAVE, *_of(log, claim))


class ImportGate:
    """The gate as one import sees it. `insert_s` is how long an insert can take."""

    def __init__(self, connection: Queries, insert_s: float) -> None:
        self._connection = connection
        self._insert_s = insert_s
        self._holder = f"import:{secrets.token_hex(8)}"

    async def enter(self) -> int | None:
        """Take the gate. Return the Unix second before which an insert has to begin, or None while another holds it.

        Raises POSTGRES_ERRORS.
        """
        found = await self._connection.fetchval(_IMPORT, self._holder, BEGIN_S, self._insert_s + CLOCKS_S)
        return None if found is None else int(found)

    async def leave(self) -> None:
        """Leave the gate: no insert is on its way. Raises POSTGRES_ERRORS."""
        await self._connection.execute(_END, self._holder)

    async def holder(self) -> str | None:
        """Return the name of the gate's holder, or None."""
        name: str | None = await self._connection.fetchval(_HOLDER)
        return name


def _of(log: str, claim: "Claim") -> tuple[str, str, str, int, str, int]:
    return f"sink:{log}/{claim.partition}", log, claim.topic, claim.partition, claim.sink, claim.epoch
