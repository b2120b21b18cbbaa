"""Make strings of users harmless: they are data that a model reads, and may have been written to steer it."""

import re
from typing import Any

#: Characters of a value. A longer one is cut, and says so.
VALUE_MAX = 256
#: What nobody sees: controls, marks of direction and of width, separators, tags, selectors of variants.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)


def harmless(value: Any) -> tuple[Any, int]:
    """Return a value of JSON with every string escaped and cut, and how many were cut."""
    match value:
        case str():
            return _text(value)
        case dict():
            names = [_text(name) for name in value]
            parts = [harmless(one) for one in value.values()]
            made = {name: part for (name, _), (part, _) in zip(names, parts, strict=True)}
            return made, sum(cut for _, cut in names) + sum(cut for _, cut in parts)
        case list():
            parts = [harmless(one) for one in value]
            return [part for part, _ in parts], sum(cut for _, cut in parts)
    return value, 0


def _text(text: str) -> tuple[str, int]:
    more = len(text) - VALUE_MAX
    seen = _UNSEEN.sub(lambda found: _escaped(ord(found[0])), text[:VALUE_MAX])
    return (f"{seen}...[{more:,} more characters]", 1) if more > 0 else (seen, 0)


def _escaped(point: int) -> str:
    return f"\\u{point:04x}" if point < 1 << 16 else f"\\U{point:08x}"
