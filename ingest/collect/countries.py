"""Find the country of an address: where its network is registered, which is not always where it is used.

By default iptocc answers, from the tables of the internet registries. `TALLYBOOK_COUNTRY_DB` names another database, in
the format of MaxMind.
"""

import re
from collections.abc import Callable
from typing import Any

from shared.settings import Settings, SettingsError

#: A code of ISO 3166-1, two letters.
_CODE = re.compile(r"[A-Z]{2}")

Lookup = Callable[[str], Any]


class Countries:
    """Knows the countries of addresses. One per worker."""

    def __init__(self, settings: Settings) -> None:
        """Open the database. Raises SettingsError."""
        self._find: Lookup | None = None if settings.country_db is None else _own(settings.country_db)

    def of(self, address: str) -> str:
        """Return the code of the country of an address; empty where it is not known."""
        if not address:
            return ""
        if self._find is None:
            from iptocc import country_code  # its tables are loaded at first use

            self._find = country_code
        try:
            code = self._find(address)
        except ValueError:
            return ""
        return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _own(path: str) -> Lookup:
    """Return the look-up in a database of MaxMind's format. Raises SettingsError."""
    try:
        import maxminddb
    except ImportError:
        raise SettingsError("TALLYBOOK_COUNTRY_DB needs maxminddb: pip install 'tallybook[country]'") from None
    try:
        reader = maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise SettingsError(f"TALLYBOOK_COUNTRY_DB={path} cannot be read: {error}") from None

    def find(address: str) -> Any:
        found: Any = reader.get(address)
        country = found.get("country") or found.get("registered_country") if isinstance(found, dict) else None
        return country.get("iso_code") if isinstance(country, dict) else country

    return find
