"""Return clicks of one banner, of several, and the most clicked banners, as JSON or CSV."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from ingest.http.problems import explained
from ingest.http.query import flag, integer, invalid, parsed_banner, parsed_banners, query
from ingest.state import Request
from ingest.statistics import csv
from ingest.statistics.answers import BannerSeries, BannerStatistics, Place, Statistics, Top
from ingest.statistics.click_series import as_csv, coverage, filled, labelled, marks, stamps
from ingest.statistics.exports import as_json
from ingest.statistics.ranges import Range, parse
from shared.counting.reader import Reader
from shared.errors import Invalid, Malformed
from shared.settings import Settings

#: Banners that one request may ask for.
BANNERS_MOST = 100
#: Banners times buckets of one answer: about 10 MB of JSON.
ROWS_MOST = 150_000
#: Places of a ranking.
PLACES_MOST = 1000
PLACES = 10
#: Longest range of a ranking, in days.
RANKING_DAYS_MOST = 366

#: Characters of a fault, which may quote a client's own text.
_FAULT_MAX = 120
_RANGE_NAMES = ("tsFrom", "tsTo", "step", "tz", "fill", "partial")


class RangeBody(Struct, rename="camel", forbid_unknown_fields=True):
    """The range as a body of GET, as the original interface takes it."""

    ts_from: str | UnsetType = UNSET
    ts_to: str | UnsetType = UNSET


_RANGE_BODY = msgspec.json.Decoder(RangeBody)


# -- handlers ----------------------------------------------------------------------------------------------------------


async def banner_statistics(request: Request) -> Response:
    """Return clicks of one banner over a range."""
    banner = parsed_banner("bannerId", request.path_params["bannerId"])
    asked = await _Asked.of(request, [banner])
    series, covered = await asked.answer()
    if asked.is_csv:
        return as_csv(("banner", str(banner), asked.range.step), asked.range, series, covered)
    [one] = series
    return as_json(BannerStatistics(banner_id=banner, total=one.total, stats=one.stats, **covered, **asked.stepped))


async def statistics(request: Request) -> Response:
    """Return clicks of several banners over a range."""
    asked = await _Asked.of(
        request, parsed_banners("bannerIds", request.query_params.get("bannerIds", ""), BANNERS_MOST), "bannerIds"
    )
    series, covered = await asked.answer()
    if asked.is_csv:
        return as_csv(("banners", asked.range.step), asked.range, series, covered)
    total = sum(one.total for one in series)
    return as_json(Statistics(total=total, banners=series, **covered, **asked.stepped))


async def top_banners(request: Request) -> Response:
    """Return the most clicked banners of a range."""
    values = query(request, ("tsFrom", "tsTo", "tz", "limit", "partial"))
    limit = integer(values, "limit", 1, PLACES_MOST, PLACES)
    asked = await _range(request, values, most_days=RANKING_DAYS_MOST)
    partial = flag(values, "partial")
    ranking = await request.state.reader.top(asked.start, asked.end, limit, partial=partial)
    covered = coverage(asked, ranking.as_of, ranking.missing)
    if not _wants_csv(request):
        return as_json(Top(banners=[Place(banner_id=banner, count=n) for banner, n in ranking.banners], **covered))
    columns = {
        "bannerId": [str(banner) for banner, _ in ranking.banners],
        "count": [str(count) for _, count in ranking.banners],
    }
    return csv.response(("top", *stamps(asked)), columns, marks(covered))


# -- questions ---------------------------------------------------------------------------------------------------------


class _Asked(Struct, frozen=True):
    """Hold one checked question about banners and a range."""

    banners: list[int]
    range: Range
    fill: bool
    partial: bool
    is_csv: bool
    reader: Reader
    settings: Settings

    @classmethod
    async def of(cls, request: Request, banners: list[int], *names: str) -> "_Asked":
        """Return the question of a request. Raise Malformed or Invalid."""
        values = query(request, (*names, *_RANGE_NAMES))
        settings = request.state.settings
        asked = await _range(request, values)
        is_csv = _wants_csv(request)
        return cls(
            banners, asked, flag(values, "fill"), flag(values, "partial"), is_csv, request.state.reader, settings
        )

    @property
    def stepped(self) -> dict[str, Any]:
        """Return the fields that answers with buckets share."""
        return {"step": self.range.step}

    async def answer(self) -> tuple[list[BannerSeries], dict[str, Any]]:
        """Return the clicks of each banner, and the fields that all answers share."""
        asked = self.range
        buckets = asked.buckets()
        if len(self.banners) * len(buckets.labels) > ROWS_MOST:
            most = ROWS_MOST // len(self.banners)
            raise invalid(
                "tsTo", f"is too late for {len(self.banners)} banners: {most:,} buckets is the most for them."
            )
        bounds = None if asked.step == "minute" else buckets.bounds
        reading = await self.reader.read(self.banners, asked.start, asked.end, bounds, partial=self.partial)
        final_before = 0.0 if reading.missing else reading.as_of - self.settings.grace_s
        series = []
        for banner in self.banners:
            points = reading.points.get(banner, [])
            stats = filled(points, buckets, final_before) if self.fill else labelled(points, buckets)
            series.append(BannerSeries(banner_id=banner, total=sum(count for _, count, _ in points), stats=stats))
            await asyncio.sleep(0)  # clicks are served between two banners of a long answer
        return series, coverage(asked, reading.as_of, reading.missing)


async def _range(request: Request, values: Mapping[str, str], **bounds: int) -> Range:
    """Return the range of the query or of the body. Raise Malformed or Invalid."""
    times = await _body(request, values)
    where: Literal["pointer", "parameter"] = "pointer" if times else "parameter"
    return parse({**values, **times}, time.time(), request.state.settings.minute_s, where=where, **bounds)


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


def _wants_csv(request: Request) -> bool:
    return csv.prefers_csv(",".join(request.headers.getlist("accept")))
