"""Prints the table of all settings, as docs/configuration.md and README.md hold it: `python -m
shared.configuration`."""

from typing import Any

import msgspec

from shared.settings import PREFIX, Settings

#: The README holds the table between these two lines.
BEGIN, END = "<!-- configuration: begin -->", "<!-- configuration: end -->"

#: Settings of an empty environment.
_DEFAULTS = Settings()

_INTRODUCTION = """\
# Configuration

Every setting is an environment variable. Where a command has a flag for it (`--help` says so), the flag wins. This page
is made from `shared/settings.py` by `python -m shared.configuration > docs/configuration.md`; a test compares the two.

- `<NAME>_FILE` names a file that holds the value, for secrets: `TALLYBOOK_DATABASE_URL_FILE=/run/secrets/database_url`.
- An empty value means the default. An unknown `TALLYBOOK_*` name is an error, so that no typing mistake passes unseen.
- Passwords in URLs never reach a log, an error or `tallybook check`.
- All processes of one installation must agree on `TALLYBOOK_SHARDS`, `TALLYBOOK_MINUTE_S` and
  `TALLYBOOK_IDEMPOTENCY_WINDOW_S`.
"""


def table() -> str:
    """All settings as a Markdown table: name, kind and bounds, default, meaning."""
    properties = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    lines = ["| variable | value | default | meaning |", "|---|---|---|---|"]
    for name, schema in properties.items():
        row = (f"`{PREFIX}{name.upper()}`", kind(schema), _default(getattr(_DEFAULTS, name)), schema["description"])
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole text of docs/configuration.md."""
    return f"{_INTRODUCTION}\n{table()}"


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words: `1..65535`, "`lane` or `redis`", "text"."""
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
