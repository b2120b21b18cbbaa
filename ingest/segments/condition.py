"""A segment as a condition of ClickHouse: SQL of constants, and every value a bound parameter."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from ingest.segments.fields import Bound, Field
from ingest.segments.parser import parse
from ingest.segments.syntax import And, Node, Not, Or, Term, write


class Condition(NamedTuple):
    """What goes behind WHERE, and the parameters that it names."""

    sql: str
    parameters: dict[str, Any]


#: The condition of whoever asked for no segment.
EVERYTHING = Condition("true", {})


def asked_for(values: Mapping[str, str], name: str, fields: Mapping[str, Field]) -> tuple[str | UnsetType, Condition]:
    """Return the segment of a parameter in its shortest form, and its condition. Raise Malformed or Invalid."""
    if name not in values:
        return UNSET, EVERYTHING
    node = parse(values[name], fields, name)
    return write(node), condition(node, fields)


def condition(node: Node, fields: Mapping[str, Field]) -> Condition:
    """The condition of a segment that was parsed with these fields."""
    bound = Bound()
    return Condition(_sql(node, fields, bound), bound.parameters)


def _sql(node: Node, fields: Mapping[str, Field], bound: Bound) -> str:
    match node:
        case And(parts):
            return f"({' AND '.join(_sql(part, fields, bound) for part in parts)})"
        case Or(parts):
            return f"({' OR '.join(_sql(part, fields, bound) for part in parts)})"
        case Not(part):
            return f"NOT ({_sql(part, fields, bound)})"
        case Term(field=(name, *_), operator="!="):
            equal = Term(node.field, ":", node.value, node.is_quoted)
            return f"NOT ({fields[name].condition(equal, bound)})"
        case Term(field=(name, *_)):
            return fields[name].condition(node, bound)
    raise AssertionError("unreachable")
