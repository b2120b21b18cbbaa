"""Make the salts of visitors ahead, and remove those of days that are over.

With two days made ahead, midnight needs no Postgres in any zone, and the aggregator may be away for a day.
"""

import secrets

from shared.stores.postgres import Pool, statement

_MAKE = statement("aggregator/salts.make.sql")
_DROP = statement("aggregator/salts.drop.sql")
#: Salts that are there from today on, and bytes of one.
_DAYS, _BYTES = 3, 32


async def renew_salts(pool: Pool) -> None:
    """Make the salts that are missing from today on, and remove those that are over. Any number may do so at once."""
    await pool.execute(_MAKE, [secrets.token_bytes(_BYTES) for _ in range(_DAYS)])
    await pool.execute(_DROP)
