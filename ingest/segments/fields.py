"""The fields of a table that segments may name, and what a comparison of one means in SQL.

A table has a closed list of them: name -> field. Whatever a client wrote, values and keys alike, becomes a bound
parameter; SQL is made of constants only. Every condition is true or false, never NULL: what is not there equals
nothing and is not less than anything, so `not` and `!=` are true of it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol
from uuid import UUID

from msgspec import Struct

from ingest.segments.syntax import Operator, Term

_EQUALITY: tuple[Operator, ...] = (":", "!=")
_ALL: tuple[Operator, ...] = (":", "!=", "<", "<=", ">", ">=")
_BOOLEANS = frozenset({"true", "false"})
#: RFC 9562, section 4. `UUID()` itself takes braces, prefixes and hyphens anywhere.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Bound:
    """Parameters of one condition, under names of their own. Equal values have one name, so that equal parts of the
    condition are written alike, which is how ClickHouse finds out that it has to work them out once."""

    def __init__(self, prefix: str = "segment") -> None:
        self.parameters: dict[str, Any] = {}
        self._prefix = prefix
        self._names: dict[tuple[str, object], str] = {}

    def text(self, value: str) -> str:
        """A placeholder for a text."""
        return self._placeholder(value, "String")

    def number(self, value: float) -> str:
        """A placeholder for a finite number."""
        return self._placeholder(value, "Float64")

    def uuid(self, value: UUID) -> str:
        """A placeholder for a UUID."""
        return self._placeholder(str(value), "UUID")

    def _placeholder(self, value: object, kind: str) -> str:
        name = self._names.setdefault((kind, value), f"{self._prefix}_{len(self._names)}")
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"


class Field(Protocol):
    """What a name in a segment stands for."""

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The comparisons that it takes."""

    @property
    def has_keys(self) -> bool:
        """Whether keys follow the name, as in `properties.country`."""

    def fault(self, term: Term) -> str | None:
        """What is wrong with the value of a term; None when nothing is."""

    def condition(self, term: Term, bound: Bound) -> str:
        """SQL of a term with `:`, `<`, `<=`, `>` or `>=`."""


class Text(Struct, frozen=True):
    """A column of texts, by an expression that is one. It is compared for equality only."""

    expression: str

    operators: ClassVar[tuple[Operator, ...]] = _EQUALITY
    has_keys: ClassVar[bool] = False

    def fault(self, term: Term) -> str | None:
        return None

    def condition(self, term: Term, bound: Bound) -> str:
        return f"{self.expression} = {bound.text(term.value)}"


class Id(Struct, frozen=True):
    """A column of UUIDs, in small letters or in capitals. It is compared for equality only."""

    expression: str

    operators: ClassVar[tuple[Operator, ...]] = _EQUALITY
    has_keys: ClassVar[bool] = False

    def fault(self, term: Term) -> str | None:
        return None if _UUID.fullmatch(term.value) else "is no UUID, as 0195a1b2-0000-4000-8000-000000000001 is one"

    def condition(self, term: Term, bound: Bound) -> str:
        return f"{self.expression} = {bound.uuid(UUID(term.value))}"


class Document(Struct, frozen=True):
    """A column of JSON documents, whose values are named by their path.

    A value in quotes equals a text. One without equals that text, too, and the number or the boolean that it looks
    like; numbers are compared as Float64. Arrays and objects equal nothing.

    `raw` makes the SQL of a value of the document from its keys, which are placeholders: the value as JSON, and ''
    where there is none. That is the one pass over the document: every comparison is made with the text that it gives.
    """

    raw: Callable[[Sequence[str]], str]

    operators: ClassVar[tuple[Operator, ...]] = _ALL
    has_keys: ClassVar[bool] = True

    def fault(self, term: Term) -> str | None:
        if term.operator not in _EQUALITY and term.number is None:
            return f"{term.operator} compares numbers, so a number has to follow it"
        return None

    def condition(self, term: Term, bound: Bound) -> str:
        raw = self.raw([bound.text(key) for key in term.field[1:]])
        # Nothing but a number of JSON is a number here: texts have their quotes. NaN equals nothing, and is not less.
        number = f"toFloat64OrDefault({raw}, nan)"
        if term.operator != ":":
            assert term.number is not None  # noqa: S101 - `fault` saw to it
            return f"({number} {term.operator} {bound.number(term.number)})"
        # Written by the function that wrote `raw`, so that both escape alike.
        ways = [f"{raw} = JSONExtractRaw(toJSONString({bound.text(term.value)}))"]
        if term.number is not None:
            ways.append(f"{number} = {bound.number(term.number)}")
        if not term.is_quoted and term.value in _BOOLEANS:
            ways.append(f"{raw} = '{term.value}'")
        return f"({' OR '.join(ways)})"
