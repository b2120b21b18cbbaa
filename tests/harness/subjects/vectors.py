"""The vectors of the SDKs: calls, items, answers and scripts that every SDK and the service agree on."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from tests.harness.process import ROOT

VECTORS = ROOT / "sdk/vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file."""
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def made(value: Any, moments: Mapping[str, Any]) -> Any:
    """Return a value with what JSON cannot hold: NaN, long texts, cycles, times, and the moments of this run."""
    match value:
        case {"$float": text}:
            return float(text)
        case {"$repeat": [text, times]}:
            return text * times
        case {"$cycle": True}:
            cycle: list[Any] = []
            cycle.append(cycle)
            return cycle
        case {"$time": text}:
            return datetime.fromisoformat(text)
        case {"$date": text}:
            return date.fromisoformat(text)
        case dict():
            return {name: made(one, moments) for name, one in value.items()}
        case list():
            return [made(one, moments) for one in value]
        case str() if value.startswith("$"):
            return moments[value]
    return value


def is_like(found: Any, wanted: Any) -> bool:
    """Whether it is what a vector wants, in which `$any` stands for a value that differs from run to run."""
    match wanted:
        case {"$any": _}:
            return found is not None
        case dict():
            return (
                isinstance(found, dict)
                and found.keys() == wanted.keys()
                and all(is_like(found[name], one) for name, one in wanted.items())
            )
        case list():
            return isinstance(found, list) and len(found) == len(wanted) and all(map(is_like, found, wanted))
    return bool(found == wanted)


def text(moment: datetime) -> str:
    """Return a moment as both sides write it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
