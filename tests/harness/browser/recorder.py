"""A stand-in of `t.js` and `POST /c` that can be told to fail, and keeps what pages sent (docs/collect.md)."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.harness.browser.site import Asked, Page, Site, site
from tests.harness.process import ROOT
from tests.harness.wait import wait_for

SCRIPT = ROOT / "ingest/static/t.js"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
#: The fields of each kind of item, beside `k`, `v`, `n` and `t`.
_FIELDS = {
    "view": {"u", "r"},
    "leave": {"ms"},
    "click": {"b"},
    "served": {"b"},
    "viewable": {"b"},
    "event": {"e", "p", "u"},
    "out": {"u"},
}
Item = dict[str, Any]


class Carried(NamedTuple):
    """One request with items, and how it was answered; 0 is that it was taken, and the answer was lost."""

    asked: Asked
    items: list[Item]
    status: int


class Recorder:
    """Takes items as `POST /c` does: each name counts once, when a request that carries it was taken."""

    def __init__(self) -> None:
        #: Answers a request, of the given number from 0; it may wait.
        self.answer: Callable[[int], int] = lambda _: 204
        self.requests: list[Carried] = []
        #: The bytes of `t.js`.
        self.script_bytes = SCRIPT.read_bytes()
        #: Items that are not what the interface takes.
        self.faults: list[str] = []
        self.site: Site

    @property
    def script(self) -> str:
        """The address of the script: another origin than that of `Site.url`."""
        return f"{self.site.other_url}/t.js"

    def tag(self, more: str = "") -> str:
        """The element of a page."""
        return f'<script defer src="{self.script}" {more}></script>'

    def answers(self, asked: Asked) -> Page | None:
        """Answer the script, and requests with items."""
        if asked.path.endswith("/t.js"):
            return Page(self.script_bytes, headers={"content-type": "text/javascript", **_OPEN})
        if not asked.path.endswith("/c") or asked.method != "POST":
            return None
        items = json.loads(asked.body)
        number = len(self.requests)
        self.requests.append(Carried(asked, items, -1))
        self._check(asked, items)
        status = self.answer(number)
        self.requests[number] = Carried(asked, items, status)
        return Page(status=status, headers=_OPEN)

    def _check(self, asked: Asked, items: list[Item]) -> None:
        if asked.headers["content-type"] != "text/plain;charset=UTF-8":
            self.faults.append(asked.headers["content-type"])
        if not 1 <= len(items) <= 20 or len(asked.body) > 65_536:
            self.faults.append(f"{len(items)} items of {len(asked.body)} bytes")
        for item in items:
            fields = item.keys() - {"k", "v", "n", "t"}
            is_good = (
                fields <= _FIELDS.get(item["k"], set())
                and fields >= _FIELDS.get(item["k"], set()) - {"p"}
                and isinstance(item["v"], str)
                and _UUID.fullmatch(item["v"])
                and type(item["n"]) is int
                and type(item["t"]) is int
                and 0 <= item["t"] <= 300_000
            )
            if not is_good:
                self.faults.append(json.dumps(item))

    def counted(self) -> list[Item]:
        """Return the items of requests that were taken, each name once, with its moment as `at`."""
        found: dict[tuple[str, int], Item] = {}
        for asked, items, status in list(self.requests):
            if status == 0 or 200 <= status < 300:
                for item in items:
                    found.setdefault((item["v"], item["n"]), item | {"at": asked.at * 1000 - item["t"]})
        return list(found.values())

    def kinds(self) -> Counter[str]:
        """Return how many items of each kind were counted."""
        return Counter(item["k"] for item in self.counted())

    def of(self, kind: str) -> list[Item]:
        """Return the counted items of a kind, in the order of their making."""
        return sorted((item for item in self.counted() if item["k"] == kind), key=lambda item: item["at"])

    def wait(self, **kinds: int) -> None:
        """Wait until so many items are there. Too many come to light when the test compares."""
        wait_for(lambda: all(self.kinds()[kind] >= count for kind, count in kinds.items()), f"{kinds}", 15)

    def settled(self) -> Counter[str]:
        """Return how many items of each kind were counted once no request came for longer than the script gathers."""
        seen = -1
        while seen != (seen := len(self.requests)):
            time.sleep(0.65)
        return self.kinds()

    def forget(self) -> None:
        """Forget what came."""
        self.requests.clear()
        self.site.forget()

    def check(self) -> None:
        """Fail if an item was none, or a browser asked for permission first."""
        assert self.faults == []
        assert self.site.asked("OPTIONS") == []


_OPEN = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


@contextmanager
def recorder(**pages: Page | str) -> Iterator[Recorder]:
    """A recorder, whose site may have pages of its own."""
    one = Recorder()
    with site({f"/{name}": page for name, page in pages.items()}, one.answers) as place:
        one.site = place
        yield one
        one.check()
