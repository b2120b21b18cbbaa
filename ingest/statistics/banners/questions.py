"""Read what a request asks about banners: which of them, which range, in which form."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ingest.http.problems import explained
from ingest.http.query import flag, invalid, query
from ingest.state import Request
from ingest.statistics import csv
from ingest.statistics.ranges import Buckets, Range, parse
from shared.counting.reader import Reader
from shared.errors import Invalid, Malformed
from shared.settings import Settings

#: Banners that one request may ask for.
BANNERS_MOST = 100
#: Banners times buckets of one answer: about 10 MB of JSON.
ROWS_MOST = 150_000

#: Characters of a fault, which may quote a client's own text.
_FAULT_MAX = 120
_RANGE_NAMES = ("tsFrom", "tsTo", "step", "tz", "fill", "partial", "metrics", "traffic")


class RangeBody(Struct, rename="camel", forbid_unknown_fields=True):
    """The range as a body of GET, as the original interface takes it."""

    ts_from: str | UnsetType = UNSET
    ts_to: str | UnsetType = UNSET


_RANGE_BODY = msgspec.json.Decoder(RangeBody)


class Asked(Struct, frozen=True):
    """Hold one checked question about banners and a range."""

    banners: list[int]
    range: Range
    fill: bool
    partial: bool
    is_csv: bool
    #: The parameters as they were given.
    values: Mapping[str, str]
    reader: Reader
    settings: Settings

    @classmethod
    async def of(cls, request: Request, banners: list[int], *names: str) -> "Asked":
        """Return the question of a request. Raise Malformed or Invalid."""
        values = query(request, (*names, *_RANGE_NAMES))
        asked = await asked_range(request, values)
        fill, partial = flag(values, "fill"), flag(values, "partial")
        state = request.state
        return cls(banners, asked, fill, partial, wants_csv(request), values, state.reader, state.settings)

    @property
    def stepped(self) -> dict[str, Any]:
        """Return the fields that answers with buckets share."""
        return {"step": self.range.step}

    def buckets(self) -> Buckets:
        """Return the buckets of the range. Raise Invalid where they are too many for the banners."""
        buckets = self.range.buckets()
        if len(self.banners) * len(buckets.labels) > ROWS_MOST:
            most = ROWS_MOST // len(self.banners)
            raise invalid(
                "tsTo", f"is too late for {len(self.banners)} banners: {most:,} buckets is the most for them."
            )
        return buckets


async def asked_range(request: Request, values: Mapping[str, str], most_days: int | None = None) -> Range:
    """Return the range of the query or of the body. Raise Malformed or Invalid."""
    times = await _body(request, values)
    where: Literal["pointer", "parameter"] = "pointer" if times else "parameter"
    return parse({**values, **times}, time.time(), request.state.settings.minute_s, where=where, most_days=most_days)


async def _body(request: Request, values: Mapping[str, str]) -> dict[str, str]:
    """Return the times of a JSON body; empty without one. Any media type will do, because a read has no effect."""
    content = await request.body()
    if not content:
        return {}
    if "tsFrom" in values or "tsTo" in values:
        raise Malformed("The range is given in the query and in the body. Give it once.")
    try:
        asked = _RANGE_BODY.decode(content)
    except msgspec.ValidationError as error:
        what, pointer = explained(error)
        fault = {"pointer": pointer, "detail": what[:_FAULT_MAX]}
        raise Invalid('The body has to be {"tsFrom": ..., "tsTo": ...}, both texts.', errors=[fault]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("The body is not JSON. Leave it out, or give the range in it.") from error
    times = {"tsFrom": asked.ts_from, "tsTo": asked.ts_to}
    return {name: text for name, text in times.items() if isinstance(text, str)}


def wants_csv(request: Request) -> bool:
    """Return whether the request prefers CSV to JSON."""
    return csv.prefers_csv(",".join(request.headers.getlist("accept")))
