"""Segments and events by chance, and what a segment means, said in Python."""

import operator
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from ingest.segments.syntax import And, Node, Not, Operator, Or, Term, joined

_COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

#: Few of each, so that events and segments meet; and some that would break out of SQL or of the grammar.
WORDS = ("UA", "DE", "buy", "10", "10.5", "-3", "1e2", "true", "false", "null", "and", "NOT", "a b", "", "'", '"', "\\")
_MORE_WORDS = ("') OR 1=1 --", "{segment_0:String}", "ünïcode", "\u2028", "\t", "a.b", "a:b", "0", "x=y", "(", "\x00")
words = st.sampled_from(WORDS + _MORE_WORDS)
keys = st.sampled_from(["country", "amount", "a", "b", "or", "a b", "`", "ключ", "1"])
#: Texts as far as a request can carry them: no halves of surrogate pairs.
texts = words | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)


def terms() -> st.SearchStrategy[Node]:
    """Comparisons of every kind."""
    paths = st.lists(keys, min_size=1, max_size=3).map(lambda path: ("properties", *path))
    bare = st.sampled_from(["UA", "DE", "buy", "10", "10.5", "-3", "1e2", "true", "false", "null", "0", "a.b"])
    equality: st.SearchStrategy[Operator] = st.sampled_from([":", "!="])
    order: st.SearchStrategy[Operator] = st.sampled_from(["<", "<=", ">", ">="])
    columns = st.sampled_from([("event_type",), ("user_id",)])
    return st.one_of(
        st.builds(Term, columns, equality, bare),
        st.builds(Term, columns | paths, equality, texts, st.just(True)),
        st.builds(Term, paths, equality, bare),
        st.builds(Term, paths, order, numbers.map(repr)),
    )


def nodes() -> st.SearchStrategy[Node]:
    """Segments in their canonical form."""

    def larger(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(parts, min_size=2, max_size=3)
        return st.one_of(
            parts.map(Not), several.map(lambda some: joined(And, some)), several.map(lambda some: joined(Or, some))
        )

    return st.recursive(terms(), larger, max_leaves=6)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Properties of an event: scalars, arrays and objects."""
    scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
    return st.dictionaries(
        keys,
        st.recursive(
            scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
        ),
        max_size=4,
    )


def matches(node: Node, event: Mapping[str, Any]) -> bool:
    """Whether an event is in a segment."""
    match node:
        case And(parts):
            return all(matches(part, event) for part in parts)
        case Or(parts):
            return any(matches(part, event) for part in parts)
        case Not(part):
            return not matches(part, event)
        case Term(field, "!=", value, is_quoted):
            return not matches(Term(field, ":", value, is_quoted), event)
    found: Any = event
    for key in node.field:
        found = found.get(key) if isinstance(found, dict) else None
    return _equal(node, found) if node.operator == ":" else _is_compared(node, found)


def _equal(term: Term, found: Any) -> bool:
    if isinstance(found, str):
        return found == term.value
    if term.is_quoted:
        return False
    if isinstance(found, bool):
        return term.value == ("true" if found else "false")
    return isinstance(found, int | float) and term.number is not None and float(found) == term.number


def _is_compared(term: Term, found: Any) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    assert term.number is not None
    return bool(_COMPARED[term.operator](float(found), term.number))
