"""Reads a segment, by recursive descent: each rule of `ingest/segments/syntax.py` is a method.

Everything is bounded: characters, terms, keys, different paths, and the depth to which it is nested. An error says at
which character it was met, counted from 0.
"""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from ingest.segments.fields import Field
from ingest.segments.syntax import KEY, KEYWORDS, WORD, And, Node, Not, Operator, Or, Term, joined
from shared.errors import Invalid, Malformed, TallybookError

#: Characters, comparisons and keys of one path in a segment, and how deep parentheses and negations may be nested.
LENGTH_MOST, TERMS_MOST, KEYS_MOST, DEPTH_MOST = 1000, 50, 8, 20
#: Different paths into documents. ClickHouse goes through the document of every row once for each of them, which is
#: what a segment costs; how often one of them is compared hardly matters.
PATHS_MOST = 8
#: Characters of the client's text that an error repeats.
_SHOWN_MOST = 24

_BLANKS = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPERATOR = re.compile(r"!=|<=|>=|[:=<>]")
_OPERATORS: Mapping[str, Operator] = {":": ":", "=": ":", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse(text: str, fields: Mapping[str, Field], parameter: str = "segment") -> Node:
    """The segment that the text means. Raises Malformed for what cannot be read, and Invalid for a field that there is
    not, for a comparison that it does not take, and for too much of anything; both name the character."""
    return _Parser(text, fields, parameter).parsed()


class _Parser:
    def __init__(self, text: str, fields: Mapping[str, Field], parameter: str) -> None:
        self._text, self._fields, self._parameter = text, fields, parameter
        self._at = 0
        self._terms = 0
        self._paths = set[tuple[str, ...]]()

    def parsed(self) -> Node:
        if len(self._text) > LENGTH_MOST:
            self._refuse(LENGTH_MOST, f"a segment has at most {LENGTH_MOST:,} characters")
        node = self._any(0)
        if self._at < len(self._text):
            self._fail(f"expected `and`, `or` or the end, but found {self._shown()}")
        return node

    # -- rules -----------------------------------------------------------------------------------------------------

    def _any(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._takes("or"):
            parts.append(self._all(depth))
        return joined(Or, parts)

    def _all(self, depth: int) -> Node:
        parts = [self._negation(depth)]
        while self._takes("and"):
            parts.append(self._negation(depth))
        return joined(And, parts)

    def _negation(self, depth: int) -> Node:
        self._skip_blanks()
        began = self._at
        if depth > DEPTH_MOST:
            self._refuse(began, f"is nested more than {DEPTH_MOST} deep")
        if self._takes("not"):
            return Not(self._negation(depth + 1))
        if not self._takes_character("("):
            return self._term()
        node = self._any(depth + 1)
        if not self._takes_character(")"):
            self._fail(f"expected `and`, `or` or `)`, but found {self._shown()}; the `(` is at {began}")
        return node

    def _term(self) -> Term:
        began = self._at
        self._terms += 1
        if self._terms > TERMS_MOST:
            self._refuse(began, f"has more than {TERMS_MOST} comparisons")
        path = self._path()
        field = self._field(path, began)
        self._skip_blanks()
        at_operator = self._at
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            self._fail(f"expected one of : != < <= > >= after the field, but found {self._shown()}")
        operator = _OPERATORS[match[0]]
        self._at = match.end()
        self._skip_blanks()
        at_value = self._at
        term = Term(path, operator, *self._value())
        if operator not in field.operators:
            self._refuse(at_operator, f"{path[0]} takes {' and '.join(field.operators)} only")
        if (fault := field.fault(term)) is not None:
            self._refuse(at_value, fault)
        return term

    def _path(self) -> tuple[str, ...]:
        match = _NAME.match(self._text, self._at)
        if match is None or match[0].lower() in KEYWORDS:
            self._fail(f"expected a field, `not` or `(`, but found {self._shown()}")
        self._at = match.end()
        keys = [match[0]]
        while self._text[self._at : self._at + 1] == ".":
            self._at += 1
            if len(keys) > KEYS_MOST:
                self._refuse(self._at, f"has more than {KEYS_MOST} keys in one path")
            key = self._string() if self._text[self._at : self._at + 1] == '"' else self._word(KEY, "a key")
            keys.append(key)
        return tuple(keys)

    def _field(self, path: tuple[str, ...], began: int) -> Field:
        field = self._fields.get(path[0])
        if field is None:
            self._refuse(began, f"{path[0][:_SHOWN_MOST]!r} is no field; there are {', '.join(self._fields)}")
        if field.has_keys and len(path) == 1:
            self._fail(f"expected a key after {path[0]}, as {path[0]}.country, but found {self._shown()}")
        if not field.has_keys and len(path) > 1:
            self._refuse(began, f"{path[0]} has no keys")
        if field.has_keys:
            self._paths.add(path)
            if len(self._paths) > PATHS_MOST:
                self._refuse(began, f"has more than {PATHS_MOST} different paths into documents")
        return field

    def _value(self) -> tuple[str, bool]:
        if self._text[self._at : self._at + 1] == '"':
            return self._string(), True
        began = self._at
        word = self._word(WORD, "a value, or one in double quotes")
        if word.lower() in KEYWORDS:
            self._at = began
            self._fail(f"expected a value, but found {self._shown()}; put it in double quotes if it is meant as one")
        return word, False

    def _string(self) -> str:
        began = self._at
        match = _STRING.match(self._text, began)
        if match is None:
            self._fail("the string that begins here has no closing quote")
        try:
            text: str = json.loads(match[0])
            text.encode()  # half of a surrogate pair is no character
        except json.JSONDecodeError as error:
            self._at = began + error.pos
            self._fail("expected a string as JSON writes it")
        except UnicodeEncodeError:
            self._fail("the string that begins here is no text")
        self._at = match.end()
        return text

    # -- characters ------------------------------------------------------------------------------------------------

    def _word(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail(f"expected {what}, but found {self._shown()}")
        self._at = match.end()
        return match[0]

    def _takes(self, keyword: str) -> bool:
        """Whether this keyword comes next; if so it is behind us."""
        self._skip_blanks()
        match = WORD.match(self._text, self._at)
        if match is None or match[0].lower() != keyword:
            return False
        self._at = match.end()
        return True

    def _takes_character(self, character: str) -> bool:
        self._skip_blanks()
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        self._skip_blanks()
        return True

    def _skip_blanks(self) -> None:
        match = _BLANKS.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _shown(self) -> str:
        if self._at >= len(self._text):
            return "the end"
        match = WORD.match(self._text, self._at)
        return ascii(match[0][:_SHOWN_MOST] if match else self._text[self._at])

    def _fail(self, what: str) -> NoReturn:
        raise self._error(Malformed, self._at, what)

    def _refuse(self, position: int, what: str) -> NoReturn:
        raise self._error(Invalid, position, what)

    def _error(self, kind: type[TallybookError], position: int, what: str) -> TallybookError:
        fault = {"parameter": self._parameter, "position": position, "detail": what}
        return kind(f"{self._parameter}, character {position}: {what}.", errors=[fault])
