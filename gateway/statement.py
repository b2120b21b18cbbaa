"""Hold a statement of a request, and find where the text of an INSERT ends and its rows begin."""

import re
from typing import NamedTuple

#: White space and comments, quoted text of each kind, words, and any other byte: as far as is needed to find the word
#: FORMAT outside of them (ClickHouse, src/Parsers/Lexer.cpp).
_TOKEN = re.compile(
    rb"""\s+|--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\$(\w*)\$.*?\$\1\$|\w+|.""",
    re.DOTALL,
)
_FORMAT_NAME = re.compile(rb"\s+(\w+)[ \t\f]*(?:\r?\n)?")
_FORMAT_AT_THE_END = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*(?:SETTINGS\b[^;]*;?\s*)?\Z", re.IGNORECASE)
#: Bytes at the end of a statement among which its FORMAT is looked for.
_END = 512


class Statement(NamedTuple):
    """The statement of one request."""

    text: bytes
    #: What follows the text, as it was sent: rows of an INSERT, or the rest of the text.
    body: bytes
    encoding: str
    database: str | None
    settings: dict[str, str]
    #: Values of `{name:Type}`, by name.
    parameters: dict[str, str]
    output_format: str


class Insert(NamedTuple):
    """An INSERT whose rows follow its text."""

    text: str
    #: SETTINGS, if it has any: they stand between the source of the rows and FORMAT.
    settings: str
    input_format: str
    rows: memoryview


def split_insert(sql: bytes) -> Insert | None:
    """Return the parts of `INSERT ... FORMAT <name> <rows>`, or None for any other statement. Rows stay unread."""
    depth, is_insert, end = 0, False, 0
    for match in _TOKEN.finditer(sql):
        token = match.group()
        if token.isspace() or token.startswith((b"--", b"/*")):
            continue
        word = token.upper()
        if not is_insert:
            if word != b"INSERT":
                return None
            is_insert = True
        elif token in b"()":
            depth += 1 if token == b"(" else -1
        elif depth == 0 and word in (b"SELECT", b"WITH", b"VALUES", b"INFILE"):
            return None  # the rows are a part of the text, or come from elsewhere
        elif depth == 0 and word == b"SETTINGS":
            end = end or match.start()
        elif depth == 0 and word == b"FORMAT":
            name = _FORMAT_NAME.match(sql, match.end())
            if name is None or name[1].upper() == b"VALUES":
                return None
            end = end or match.start()
            text, settings = sql[:end].decode(), sql[end : match.start()].decode()
            return Insert(text, settings, name[1].decode(), memoryview(sql)[name.end() :])
    return None


def format_of_result(sql: bytes, default: str) -> str:
    """Return the format that a statement names at its end."""
    named = _FORMAT_AT_THE_END.search(sql[-_END:])
    return named[1].decode() if named else default


def quoted(value: str) -> str:
    """Return the text as a literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """Return the name as an identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
