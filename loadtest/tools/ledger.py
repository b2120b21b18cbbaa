"""The client's own book: what each banner was acknowledged, and what nobody knows."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


class Ledger:
    """Clicks per banner: acknowledged by a 2xx, or sent without a known outcome."""

    def __init__(self) -> None:
        self.acknowledged: Counter[int] = Counter()
        self.unknown: Counter[int] = Counter()

    def sending(self, clicks: Mapping[int, int]) -> None:
        """Clicks are about to be sent: unknown until their answer is noted, also if the user is killed meanwhile."""
        self.unknown.update(clicks)

    def answered(self, clicks: Mapping[int, int], status: int) -> None:
        """Note the answer: 2xx is counted, 4xx and 503 are not; anything else, or none (0), leaves them unknown."""
        if 200 <= status < 300:
            self.acknowledged.update(clicks)
        if 200 <= status < 300 or 400 <= status < 500 or status == 503:
            self.unknown.subtract(clicks)

    def write(self, path: Path) -> None:
        """Keep it in a file; `read` adds up the files of several processes."""
        books = {"acknowledged": self.acknowledged, "unknown": self.unknown}
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(books))
        unfinished.replace(path)

    def compare(self, counted: Callable[[int], int]) -> list[str]:
        """Every banner whose count does not lie between acknowledged and acknowledged + unknown, in words."""
        wrong = []
        for banner in sorted(self.acknowledged.keys() | self.unknown.keys()):
            least, most = self.acknowledged[banner], self.acknowledged[banner] + self.unknown[banner]
            if not least <= (found := counted(banner)) <= most:
                wrong.append(f"banner {banner}: {found} counted, {least} acknowledged, {most - least} unknown")
        return wrong


def read(paths: Iterable[Path]) -> Ledger:
    """The sum of what several processes wrote."""
    ledger = Ledger()
    for path in paths:
        books = json.loads(path.read_text())
        for book, sums in (("acknowledged", ledger.acknowledged), ("unknown", ledger.unknown)):
            sums.update({int(banner): clicks for banner, clicks in books[book].items()})
    return ledger
