"""Convert values that other programs export into those of events. Unknown ones stay unchanged and are rejected."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from shared.events.rows import EPOCH, TYPE_MAX, TYPE_PATTERN

_ASCII = re.ASCII | re.IGNORECASE
#: Day, time, fraction, name of the zone, and its sign, hours and minutes: of ISO 8601, Postgres (+00), BigQuery (UTC),
#: Snowflake (+0000) and Go (+0000 UTC).
_CLOCK = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d+))?"
    r" ?(?:(Z|UTC|GMT)|([+-])(\d\d)(?::?(\d\d))?(?: UTC)?)?",
    _ASCII,
)
_EPOCH = re.compile(r"(\d{9,20})(?:\.(\d+))?", re.ASCII)
_EXPONENT = re.compile(r"\d+(\.\d+)?e[+-]?\d+", _ASCII)
#: Numbers below are seconds, milliseconds and microseconds since the epoch, above nanoseconds: no two of them mean
#: years between 1973 and 5138.
_UNITS = ((10**11, 0), (10**14, 3), (10**17, 6), (10**20, 9))
_UUID = re.compile(r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?", _ASCII)
_TYPE = re.compile(TYPE_PATTERN)
_NOTHING = frozenset({"", r"\N", "NULL", "null"})
#: What stands for no user. Of `NULL` csv does not say whether it was in quotes.
NOBODY = frozenset({"", r"\N", "NULL"})
#: Names of types that are remembered.
_NAMES_MAX = 10_000
#: What a value of a column has to be.
_WANTED = {
    "event_id": "It is no UUID; --foreign-ids NAME makes UUIDs of other ids",
    "occurred_at": "It is no time such as 2026-03-01T12:00:00Z, 2026-03-01 12:00:00+00 or 1772366400",
    "event_type": f"It is no name of 1 to {TYPE_MAX} letters and digits of ASCII, or _.:- behind the first",
}


class ForeignValues:
    """Convert the values of one file."""

    def __init__(self, zone: str | None = None, ids: str | None = None) -> None:
        """Convert with `zone` for times without one, and `ids` as the owner of ids that are no UUIDs."""
        self._zone = None if zone is None else ZoneInfo(zone)
        self._namespace = None if ids is None else uuid5(NAMESPACE_URL, f"urn:tallybook:{ids}")
        #: Types whose names were changed.
        self.renamed = dict[str, str]()

    def row(self, fields: Sequence[str]) -> Sequence[str]:
        """Return the fields of an event in the order of its columns."""
        if len(fields) != 5:
            return fields
        identity, moment, user, kind, properties = fields
        return (
            self._id(identity),
            self._time(moment.strip()),
            "" if user in NOBODY else user,
            self._type(kind),
            "" if properties.strip() in _NOTHING else properties,
        )

    def is_event(self, row: Sequence[str]) -> bool:
        """Return whether the row begins like an event: with an id and a time."""
        if len(row) != 5 or not (self._namespace or _UUID.fullmatch(row[0].strip())):
            return False
        return any(form.fullmatch(row[1].strip()) for form in (_CLOCK, _EPOCH))

    def why(self, column: str, text: str) -> str | None:
        """Return what is wrong with a value, or None if nothing specific is known."""
        if column == "occurred_at":
            if (clock := _CLOCK.fullmatch(text.strip())) and not clock[4] and not clock[5]:
                return "It has no zone; say which one is meant, as --zone UTC"
            if _EXPONENT.fullmatch(text.strip()):
                return "It has an exponent, so digits of it are lost; export it as text"
        if column == "user_id" and text in NOBODY:
            return r"It is empty, \N or NULL, which is nobody"
        return _WANTED.get(column)

    def _id(self, text: str) -> str:
        if found := _UUID.fullmatch(text.strip()):
            return "-".join(found.groups())
        return str(uuid5(self._namespace, text)) if self._namespace and text else text

    def _time(self, text: str) -> str:
        if found := _CLOCK.fullmatch(text):
            day, time, fraction, name, sign, hours, minutes = found.groups()
            end = f".{fraction}" if fraction else ""
            if name:
                return f"{day}T{time}{end}Z"
            if sign:
                return f"{day}T{time}{end}{sign}{hours}:{minutes or '00'}"
            return self._local(f"{day}T{time}", end) or text
        if found := _EPOCH.fullmatch(text):
            return _since_epoch(int(found[1]), found[2] or "") or text
        return text

    def _local(self, text: str, fraction: str) -> str | None:
        """Return a time of the zone; of an hour that the clock shows twice, the first."""
        if self._zone is None:
            return None
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=self._zone).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return f"{moment.replace(tzinfo=None).isoformat()}{fraction}Z"

    def _type(self, name: str) -> str:
        if _TYPE.fullmatch(name):
            return name
        if (made := self.renamed.get(name)) is None:
            made = type_name(name)
            if made != name and _TYPE.fullmatch(made) and len(self.renamed) < _NAMES_MAX:
                self.renamed[name] = made
        return made


def type_name(name: str) -> str:
    """Return the name of a type here: `pageview` for `$pageview`, `Order_Completed` for `Order Completed`.

    A name with letters of other alphabets stays unchanged and is rejected."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    if any(one.isalnum() and not one.isascii() for one in plain):
        return name
    return re.sub(r"[^A-Za-z0-9_.:-]+", "_", plain).lstrip("_.:-").rstrip("_") or name


def _since_epoch(number: int, fraction: str) -> str | None:
    for most, digits in _UNITS:
        if number < most:
            seconds, rest = divmod(number, 10**digits)
            end = (f"{rest:0{digits}}" if digits else "") + fraction
            moment = (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
            return f"{moment.isoformat()}{'.' if end else ''}{end}Z"
    return None
