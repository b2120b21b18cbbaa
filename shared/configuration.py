"""Print docs/configuration.md: `python -m shared.configuration`. README.md holds the table of the usual settings."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from shared.settings import NAMES, Settings, variable

#: The README holds the table between these two lines.
BEGIN, END = "<!-- configuration: begin -->", "<!-- configuration: end -->"

_PROPERTIES = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
#: Schemas of the settings that an operator can set, in the order of their subjects.
_SCHEMAS = {name: _PROPERTIES[name] for name in NAMES}
#: Settings of an empty environment.
_DEFAULTS = Settings()

_INTRODUCTION = """\
# Configuration

Every setting is an environment variable. Where a command has a flag for it (`--help` says so), the flag wins.
This page is made from `shared/settings/fields.py` by `make docs`. A test compares the two.

- `<NAME>_FILE` names a file that holds the value, for secrets: `TALLYBOOK_DATABASE_URL_FILE=/run/secrets/database_url`.
- An empty value means the default.
- An unknown `TALLYBOOK_*` name is an error, so that a misspelt one is found.
  The error for a former setting says what to set instead.
- Passwords in URLs never reach a log, an error or `tallybook check`.
- All processes of one installation must agree on `TALLYBOOK_SHARDS` and `TALLYBOOK_IDEMPOTENCY_WINDOW_S`.
"""


def table(names: Iterable[str]) -> str:
    """Return settings as a Markdown table: name, kind and bounds, default, meaning."""
    lines = ["| variable | value | default | meaning |", "|---|---|---|---|"]
    for name in names:
        schema = _SCHEMAS[name]
        row = (f"`{variable(name)}`", kind(schema), _default(getattr(_DEFAULTS, name)), schema["description"])
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def usual() -> str:
    """Return the table of the settings that most people set."""
    return table(name for name, schema in _SCHEMAS.items() if schema["often"])


def page() -> str:
    """Return the whole text of docs/configuration.md: a table for each subject."""
    subjects = groupby(NAMES, lambda name: _SCHEMAS[name]["subject"])
    return "\n".join([_INTRODUCTION, *(f"## {subject}\n\n{table(names)}" for subject, names in subjects)])


def kind(schema: dict[str, Any]) -> str:
    """Return a JSON schema in a few words: `1..65535`, "`lane` or `redis`", "text"."""
    if "anyOf" in schema:
        return kind(next(option for option in schema["anyOf"] if option.get("type") != "null"))
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] in ("integer", "number"):
        return _range(schema)
    return {"string": "text", "boolean": "`true` or `false`", "array": "list"}[schema["type"]]


def _range(schema: dict[str, Any]) -> str:
    word = "number" if schema["type"] == "number" else "integer"
    most = f"{schema['maximum']:,.15g}" if "maximum" in schema else None
    if "exclusiveMinimum" in schema:
        return f"{word} > {schema['exclusiveMinimum']:,}" + (f", up to {most}" if most else "")
    return f"{word} {schema['minimum']:,}..{most}" if most else f"{word} from {schema['minimum']:,}"


def _default(value: Any) -> str:
    if value is None or value == ():
        return "unset"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
