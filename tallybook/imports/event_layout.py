"""Find the columns of an event by the heading of a file, or refuse the file."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from tallybook.imports.csv_file import CsvFile, shown
from tallybook.imports.foreign_values import ForeignValues

COLUMNS = ("event_id", "occurred_at", "user_id", "event_type", "properties_json")
#: What other programs call them, without anything but letters and digits.
_ALIASES = {
    "event_id": ("eventid", "uuid", "insertid", "messageid", "id"),
    "occurred_at": ("occurredat", "timestamp", "time", "eventtime", "eventtimestamp"),
    "user_id": ("userid", "distinctid"),
    "event_type": ("eventtype", "event", "eventname"),
    "properties_json": ("propertiesjson", "properties", "eventproperties"),
}
#: What an import writes before the columns of a rejected row, and what it wrote formerly.
REJECTED_COLUMNS = ("line", "code", "reason")
_FORMER = [*REJECTED_COLUMNS, "row"]


class NotEvents(Exception):
    """The file holds no events, or other columns. The message says where, and what to do."""


class Layout(NamedTuple):
    """Places of the columns in a row (None if they are in order), and the line behind which events begin."""

    places: list[int] | None
    begin: int
    #: Columns that have other names, and those that are not used: for whoever imports the file.
    said: str = ""
    #: Whether an import wrote the file.
    is_of_rejects: bool = False
    #: Columns of the heading.
    width: int = len(COLUMNS)


def rank(foreign: ForeignValues, named: Mapping[str, str], row: list[str]) -> int:
    """Return how well a row fits the first row of a file of events."""
    if foreign.is_event(row):
        return len(COLUMNS) + 1
    return len(_found(row, named))


def layout(file: CsvFile, foreign: ForeignValues, named: Mapping[str, str]) -> Layout:
    """Return the layout of a file; `named` maps columns to their names there. Raises NotEvents."""
    if file.first is None:
        return Layout(None, 0)
    row, line, before = file.first
    if foreign.is_event(row):
        if named:
            raise NotEvents(f"line {line} is an event, so the file has no heading in which --column could name columns")
        return Layout(None, before)
    if [name.strip().lower() for name in row] == _FORMER:
        return Layout([3, 4, 5, 6, 7], line, "", is_of_rejects=True, width=8)
    found = _found(row, named)
    _check(row, line, found, named)
    places = [found[name][0] for name in COLUMNS if name in found]
    is_of_rejects = tuple(row[: len(REJECTED_COLUMNS)]) == REJECTED_COLUMNS
    said = "" if is_of_rejects else _said(row, found)
    in_order = len(row) == len(COLUMNS) and places == sorted(places) and len(places) == len(COLUMNS)
    return Layout(None if in_order else places, line, said, is_of_rejects, len(row))


def _found(row: list[str], named: Mapping[str, str]) -> dict[str, list[int]]:
    """Return the places of each column: by its own name, or else by its other names."""
    exact = [name.strip().lower() for name in row]
    plain = [re.sub(r"[^a-z0-9]", "", name) for name in exact]
    found = dict[str, list[int]]()
    for column in COLUMNS:
        if column in named:
            wanted = named[column].strip().lower()
            places = [at for at, name in enumerate(exact) if name == wanted]
        else:
            places = [at for at, name in enumerate(exact) if name == column]
            places = places or [at for at, name in enumerate(plain) if name in _ALIASES[column]]
        if places:
            found[column] = places
    return found


def _check(row: list[str], line: int, found: Mapping[str, list[int]], named: Mapping[str, str]) -> None:
    """Raise NotEvents unless each column has one place."""
    if not found:
        hint = (
            "; this is JSON: send it to POST /events, or write it as CSV" if row[0].lstrip()[:1] in ("{", "[") else ""
        )
        raise NotEvents(
            f"line {line} is neither a heading with the columns {', '.join(COLUMNS)} nor an event: {shown(row)}{hint}"
        )
    for column, places in found.items():
        if len(places) > 1:
            several = " and ".join(shown([row[at]]) for at in places)
            raise NotEvents(f"line {line}: {column} may be {several}; say which one: --column {column}=NAME")
    if unknown := [f"{column}={name}" for column, name in named.items() if column not in found]:
        raise NotEvents(f"line {line} has no column for --column {unknown[0]}; it has {shown(row)}")
    if missing := [name for name in COLUMNS[:4] if name not in found]:
        raise NotEvents(
            f"the heading in line {line} lacks {', '.join(missing)}; it has {shown(row)}. "
            f"If one of them is meant, say so: --column {missing[0]}=NAME"
        )


def _said(row: list[str], found: Mapping[str, list[int]]) -> str:
    others = [f"{column} is {shown([row[at]])}" for column, (at,) in found.items() if row[at].strip().lower() != column]
    used = {at for (at,) in found.values()}
    unused = [name for at, name in enumerate(row) if at not in used]
    return "; ".join(filter(None, (", ".join(others), f"not used: {shown(unused)}" if unused else "")))
