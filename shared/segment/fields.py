"""The fields of a table that segments may name, and what a comparison of one means in SQL.

A table has a closed list of them: name -> field. Whatever a client wrote, values and keys alike, becomes a bound
parameter; SQL is made of constants only. Every condition is true or false, never NULL: what is not there equals
nothing and is not less than anything, so `not` and `!=` are true of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

from msgspec import Struct

from shared.segment.syntax import Operator, Term

_EQUALITY: tuple[Operator, ...] = (":", "!=")
_ALL: tuple[Operator, ...] = (":", "!=", "<", "<=", ">", ">=")
_BOOLEANS = frozenset({"true", "false"})
#: What JSONType calls numbers.
_NUMBERS = "('Int64', 'UInt64', 'Double')"


class Bound:
    """Parameters of one condition, under names of their own."""

    def __init__(self, prefix: str = "segment") -> None:
        self.parameters: dict[str, Any] = {}
        self._prefix = prefix

    def text(self, value: str) -> str:
        """A placeholder for a text."""
        return self._placeholder(value, "String")

    def number(self, value: float) -> str:
        """A placeholder for a finite number."""
        return self._placeholder(value, "Float64")

    def _placeholder(self, value: object, kind: str) -> str:
        name = f"{self._prefix}_{len(self.parameters)}"
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


class Document(Struct, frozen=True):
    """A column of JSON documents, whose values are named by their path.

    A value in quotes equals a text. One without equals that text, too, and the number or the boolean that it looks
    like; numbers are compared as Float64. Arrays and objects equal nothing.

    `value` makes the SQL of a value of the document from its keys, which are placeholders: what it is as a `text`, a
    `number` or a `bool`, or which `kind` it is of, as JSONType of ClickHouse names them.
    """

    value: Callable[[Sequence[str], Literal["text", "number", "bool", "kind"]], str]

    operators: ClassVar[tuple[Operator, ...]] = _ALL
    has_keys: ClassVar[bool] = True

    def fault(self, term: Term) -> str | None:
        if term.operator not in _EQUALITY and term.number is None:
            return f"{term.operator} compares numbers, so a number has to follow it"
        return None

    def condition(self, term: Term, bound: Bound) -> str:
        keys = tuple(bound.text(key) for key in term.field[1:])
        kind = self.value(keys, "kind")
        number = term.number
        is_number = f"{kind} IN {_NUMBERS} AND {self.value(keys, 'number')}"
        if term.operator != ":":
            assert number is not None  # noqa: S101 - `fault` saw to it
            return f"({is_number} {term.operator} {bound.number(number)})"
        ways = [f"{kind} = 'String' AND {self.value(keys, 'text')} = {bound.text(term.value)}"]
        if number is not None:
            ways.append(f"{is_number} = {bound.number(number)}")
        if not term.is_quoted and term.value in _BOOLEANS:
            ways.append(f"{kind} = 'Bool' AND {self.value(keys, 'bool')} = {term.value}")
        return f"({' OR '.join(ways)})"
