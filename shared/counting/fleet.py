"""All lanes of this host, seen by a process that does not write them."""

import asyncio
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from shared.counting.lane import BadLane, View, check_shards, paths

#: Seconds that a read waits at most until the lanes have drained, on machines where they cannot be read while they
#: are written.
_BARRIER_S = 0.25


class Fleet:
    """Read-only maps of the lane files of a folder, each made once per file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._views: dict[tuple[Path, int], View] = {}

    def views(self) -> list[View]:
        """The lanes that are there now."""
        former, self._views = self._views, {}
        for path in paths(self._folder):
            try:
                key = path, os.stat(path).st_ino
                self._views[key] = former.pop(key) if key in former else _opened(path)
            except (OSError, BadLane):
                continue  # gone meanwhile, half made, or a copy: no lane
        for gone in former.values():
            gone.close()
        return list(self._views.values())

    def check_shards(self, shards: int) -> None:
        """Raise SettingsError where a lane began with more shards."""
        check_shards(self._folder, max((view.shards for view in self.views()), default=0), shards)

    def clicks(
        self, views: list[View], banners: Collection[int], first: int, last: int
    ) -> Iterator[tuple[str, int, int, int, int]]:
        """(lane, seq, minute, banner, count) of what waits in the lanes, for minutes first..last; no banners means
        all."""
        for view in views:
            for seq, page in view.waiting():
                for minute, banner, count in zip(*page, strict=True):
                    if first <= minute <= last and (not banners or banner in banners):
                        yield view.id, seq, minute, banner, count

    async def drained(self) -> None:
        """Wait until what the lanes hold now is in Redis. Raises TimeoutError after 250 ms."""
        targets = [(view, view.head) for view in self.views() if view.pending()]
        deadline = time.monotonic() + _BARRIER_S
        while any(view.tail <= head for view, head in targets):
            if time.monotonic() > deadline:
                raise TimeoutError("the lanes of this host have not drained")
            await asyncio.sleep(0.001)


def _opened(path: Path) -> View:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        view = View(descriptor)
        if view.inode != os.fstat(descriptor).st_ino:
            view.close()
            raise BadLane("a copy of another lane")
        return view
    finally:
        os.close(descriptor)
