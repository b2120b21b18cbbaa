"""Read one page of a list: the rows behind the last one of the page before, and a cursor while there are more."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from ingest.http import cursor as cursors
from ingest.http.query import integer, query, words
from ingest.state import Request

#: Rows of a page, at most and when the request does not say.
MOST, DEFAULT = 1000, 100

_Row = TypeVar("_Row")


class Page:
    """What a request asks of a list: `words` to search for, `last`, the place behind which to begin, and `limit`."""

    def __init__(self, request: Request, words_most: int, place: Any, first: Any, more: Iterable[str] = ()) -> None:
        """Read the parameters. `place` is the type of a place, `first` stands before all of them, and `more` are
        parameters that the list has besides. Raises Invalid."""
        question = ("q", *more)
        self.values = query(request, (*question, "limit", "cursor"))
        self.words = words(self.values, "q", words_most)
        self.limit = integer(self.values, "limit", 1, MOST, DEFAULT)
        self._digest = cursors.digest_of(self.values, question)
        self.last = cursors.unpacked(self.values, self._digest, place, question) or first

    def cut(
        self, found: list[Any], made: Callable[[Any], _Row], place_of: Callable[[_Row], Any]
    ) -> tuple[list[_Row], str | UnsetType]:
        """Return the rows of the page and the cursor of the next one, of one row more than `limit`."""
        page = [made(row) for row in found[: self.limit]]
        following = cursors.packed(place_of(page[-1]), self._digest) if len(found) > self.limit else UNSET
        return page, following
