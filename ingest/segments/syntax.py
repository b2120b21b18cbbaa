"""What a segment is made of, and how it is written.

    segment  = conjunction *( "or" conjunction )
    conjunction = negation *( "and" negation )
    negation = "not" negation / "(" segment ")" / term
    term     = field operator value
    field    = name *( "." key )            a key is a word or a quoted string
    operator = ":" / "!=" / "<" / "<=" / ">" / ">="      "=" is another way to write ":"
    value    = word / quoted string         a quoted string is one of JSON

Nodes are canonical: a conjunction has no conjunction among its parts and at least two of them, and so have
alternatives. So what is equal is written alike, and `parse(write(node)) == node`.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Operator = Literal[":", "!=", "<", "<=", ">", ">="]

#: What a value or a key may be without quotes. Everything that could be taken for something else is left out.
WORD = re.compile(r"""[^\s()"'\\.:=<>!]+(?:\.[^\s()"'\\.:=<>!]+)*""")
#: A key is one part of a path, so it has no dot of its own.
KEY = re.compile(r"""[^\s()"'\\.:=<>!]+""")
KEYWORDS = frozenset({"and", "or", "not"})
#: A number of JSON.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Term(Struct, frozen=True):
    """One field compared with one value."""

    field: tuple[str, ...]
    operator: Operator
    value: str
    is_quoted: bool = False

    @property
    def number(self) -> float | None:
        """The value as a number; None when it is none, or quoted, or too large to be one."""
        if self.is_quoted or not _NUMBER.fullmatch(self.value):
            return None
        number = float(self.value)
        return number if math.isfinite(number) else None


class Not(Struct, frozen=True):
    """Whatever the part is not."""

    part: "Node"


class And(Struct, frozen=True):
    """All of at least two parts, none of which is an And."""

    parts: tuple["Node", ...]


class Or(Struct, frozen=True):
    """Any of at least two parts, none of which is an Or."""

    parts: tuple["Node", ...]


Node = Term | Not | And | Or


def joined(kind: type[And] | type[Or], parts: Iterable[Node]) -> Node:
    """The parts as one node of the kind; a single one as it is."""
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else [part]
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def write(node: Node) -> str:
    """The segment as text: as short as it can be, and the same for equal segments."""
    match node:
        case Term(field, operator, value, is_quoted):
            return named(field) + operator + (_quoted(value) if is_quoted else _text(value))
        case Not(part):
            return f"not {_part(part, (And, Or))}"
        case And(parts):
            return " and ".join(_part(part, (Or,)) for part in parts)
        case Or(parts):
            return " or ".join(map(write, parts))


def _part(node: Node, weaker: tuple[type, ...]) -> str:
    """A part of a node that binds more strongly than the kinds named."""
    return f"({write(node)})" if isinstance(node, weaker) else write(node)


def named(field: tuple[str, ...]) -> str:
    """The field as a segment names it."""
    name, *keys = field
    return ".".join([name, *(key if KEY.fullmatch(key) else _quoted(key) for key in keys)])


def valued(value: str | float | bool) -> str:
    """The value of a document as a segment writes it."""
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    return value if _is_bare(value) else _quoted(value)


def _is_bare(value: str) -> bool:
    return WORD.fullmatch(value) is not None and value.lower() not in KEYWORDS


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
