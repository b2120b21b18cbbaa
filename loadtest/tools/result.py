"""The file of results behind the page of figures: one key per part, the day of each part, and the machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parents[1] / "results" / "bench.json"


class Result:
    """The results of earlier runs, and of this one. Each part that is kept replaces the former one."""

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        self._path = path
        self.parts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self._machine = dict(machine)
        self.parts.setdefault("machine", self._machine)

    def keep(self, part: str, measured: dict[str, Any]) -> None:
        """Write a part into the file, atomically."""
        self.parts["machine"] = self._machine
        self.parts[part] = measured
        self.parts.setdefault("dates", {})[part] = self._machine["date"]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.parts, indent=1) + "\n")
        unfinished.replace(self._path)
