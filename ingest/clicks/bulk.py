"""Count the items of a request with many clicks or impressions.

Items with an id are counted first, in Redis, where checking the id and counting are one step. Then all other items are
counted in the lane in one step, or none of them. So when this raises, no item without an id was counted, and the client
may send the whole request again. The ids that were counted are then duplicates, and everything else is counted.

There is one exception. With `TALLYBOOK_ACK=redis`, a 503 can come after the step in the lane, when Redis does not
confirm in time. Items without ids are then in the lane and will be counted, so a repeat counts them twice.
"""

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.http.idempotency_key import KEY_MAX, KEY_PATTERN, is_key
from ingest.http.json_array import UNREADABLE, raw_items, why
from ingest.http.openapi import BannerId
from ingest.http.problems import explained
from ingest.http.rate_limits import SKEW_MAX_S
from ingest.state import State
from shared.counting import cells
from shared.counting.keyed import KeyedClick
from shared.errors import Invalid, Malformed, PostgresUnavailable, TallybookError, Unavailable, UnknownBanner
from shared.moments import TimedDecoder
from shared.settings import Settings
from shared.telemetry.metrics import CLICKS_DUPLICATE, CLICKS_REJECTED, REASONS

#: Clicks that one item may stand for.
COUNT_MAX = 1_000_000
#: Faults that one answer lists. `rejected` counts all of them.
_FAULTS_MAX = 1000
#: Characters of an explanation; msgspec repeats names of unknown fields, however long.
_DETAIL_MAX = 200


#: The kind of each word, and what else than the banner and the id names an item of it.
KINDS: dict[str, int] = {"click": cells.CLICK, "served": cells.SERVED, "viewable": cells.VIEWABLE}
_FIRST_IMPRESSION = cells.cell(cells.SERVED, 0)
_NAMES = {"click": b"item", "served": b"item.served", "viewable": b"item.viewable"}


class Click(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """Clicks, or impressions, of one banner."""

    banner_id: BannerId
    kind: Annotated[
        Literal["click", "served", "viewable"],
        Meta(description="What is counted: clicks, impressions served, or impressions that were viewable"),
    ] = "click"
    count: Annotated[int, Meta(ge=1, le=COUNT_MAX, description="Clicks or impressions that the item stands for")] = 1
    timestamp: (
        Annotated[datetime, Meta(tz=True, description="When they happened, RFC 3339 with zone; now when not given")]
        | UnsetType
    ) = UNSET
    id: (
        Annotated[
            str,
            Meta(
                pattern=KEY_PATTERN, description="Names the item: the same id on the same banner counts once per kind"
            ),
        ]
        | UnsetType
    ) = UNSET


class Fault(Struct):
    """Why one item was not counted."""

    index: Annotated[int, Meta(ge=0, description="Place of the item in the array, from 0")]
    pointer: Annotated[str, Meta(description="JSON pointer to what is wrong")]
    code: Annotated[str, Meta(description="The stable name of the fault", examples=["invalid", "too_old"])]
    detail: Annotated[str, Meta(description="What is wrong, for people")]


class Counted(Struct):
    """What became of the items. Each is one of `accepted`, `duplicate` and `rejected`; the last two are named."""

    items: Annotated[int, Meta(ge=0, description="Items in the request")]
    accepted: Annotated[int, Meta(ge=0, description="Items that were counted now")] = 0
    duplicate: Annotated[int, Meta(ge=0, description="Items whose id was counted before, or stands here twice")] = 0
    rejected: Annotated[int, Meta(ge=0, description="Items that were not counted")] = 0
    clicks: Annotated[int, Meta(ge=0, description="Clicks that the accepted items stand for")] = 0
    impressions: Annotated[int, Meta(ge=0, description="Impressions, served and viewable, that they stand for")] = 0
    duplicates: Annotated[list[int], Meta(description="Places of the duplicate items")] = []
    errors: Annotated[list[Fault], Meta(description=f"Why items were rejected: the first {_FAULTS_MAX:,} of them")] = []


_CLICK = TimedDecoder(Click, "timestamp")
#: Takes the number of items with ids, and of minutes that are not now.
Charge = Callable[[int, int], None]


def keyed_click(source: bytes, cell: int, banner: int, count: int, key: str) -> KeyedClick:
    """Return the clicks of a cell under 128 bits of source, banner and key.

    One key on two banners, or as a header and as an item's id, names two clicks.
    """
    name = struct.pack("<B", len(source)) + source + struct.pack("<Q", banner) + key.encode("ascii")
    return KeyedClick(cell, banner, count, blake2b(name, digest_size=16, person=b"tallybook.click").digest())


async def count_all(state: State, body: bytes, charge: Charge) -> Counted:
    """Count every valid item of the body.

    `charge` gets the number of items with ids and of minutes other than this one, and may raise Limited.

    Raise Malformed for a body that is no array, and Invalid for too many items or if none is valid. Raise
    RedisUnavailable, LanesFull, TooManyNewBanners or PostgresUnavailable as the module says.
    """
    bulk = _Bulk(state, charge)
    clicks, indexes = bulk.decoded(body)
    if state.settings.banners != "open":
        clicks, indexes = await bulk.registered(clicks, indexes)
    bulk.sort(clicks, indexes)
    bulk.refuse_if_nothing_is_left()
    await bulk.count()
    return bulk.answer


class _Bulk:
    """Hold one request while its items are sorted and counted."""

    def __init__(self, state: State, charge: Charge) -> None:
        self._state = state
        self._charge = charge
        self._settings: Settings = state.settings
        self._plain: dict[tuple[int, int], int] = {}
        self._plain_items = 0
        self._keyed: list[KeyedClick] = []
        self._keyed_at: list[int] = []
        self._is_retryable = False
        self.answer = Counted(0)

    # -- reading ---------------------------------------------------------------------------------------------------

    def decoded(self, body: bytes) -> tuple[Sequence[Click], Sequence[int]]:
        """Return the valid items and their places."""
        try:
            clicks = _CLICK.decode_list(body)
        except UNREADABLE:  # one bad item fails the whole list, so decode each
            return self._decoded_one_by_one(body)
        self._check_number(len(clicks))
        return clicks, range(len(clicks))

    def _decoded_one_by_one(self, body: bytes) -> tuple[Sequence[Click], Sequence[int]]:
        try:
            raw = raw_items(body, self._settings.bulk_items_max)
        except ValueError as error:
            CLICKS_REJECTED.labels("malformed").inc()
            what = 'The body has to be a JSON array of clicks, as [{"bannerId": 42}].'
            raise Malformed(f"{what} This one cannot be read: {error}.") from error
        self._check_number(len(raw))
        clicks: list[Click] = []
        indexes: list[int] = []
        for index, item in enumerate(raw):
            try:
                clicks.append(_CLICK.decode(item))
                indexes.append(index)
            except msgspec.ValidationError as error:
                what, pointer = explained(error)
                self._reject(index, pointer, "invalid", what)
            except UNREADABLE as error:
                self._reject(index, "", "malformed", f"This cannot be read as JSON: {why(error)}")
        return clicks, indexes

    def _check_number(self, items: int) -> None:
        most = self._settings.bulk_items_max
        if items > most:
            CLICKS_REJECTED.labels("invalid").inc(items)
            what = f"This request has more than the {most:,} items that one may have. Nothing was counted."
            raise Invalid(what, errors=[{"pointer": "", "detail": what}])
        self.answer.items = items

    # -- sorting ---------------------------------------------------------------------------------------------------

    async def registered(
        self, clicks: Sequence[Click], indexes: Sequence[int]
    ) -> tuple[Sequence[Click], Sequence[int]]:
        """Return the items whose banners count, and their places. Reject the others."""
        refusals = await self._state.banners.refusals({click.banner_id for click in clicks})
        if not refusals:
            return clicks, indexes
        left: list[Click] = []
        places: list[int] = []
        for index, click in zip(indexes, clicks, strict=True):
            error: TallybookError | None = refusals.get(click.banner_id)
            if error is None:
                left.append(click)
                places.append(index)
            else:
                self._is_retryable |= error.retryable
                self._reject(index, "/bannerId", error.code, error.detail)
        return left, places

    def sort(self, clicks: Sequence[Click], indexes: Sequence[int]) -> None:
        """Assign each click its minute, and to the lane or to Redis. The loop is short for plain clicks."""
        special: list[tuple[int, Click]] = []
        now: dict[int, int] = {}
        for index, click in zip(indexes, clicks, strict=True):
            if click.id is UNSET and click.timestamp is UNSET and click.kind == "click":
                banner = click.banner_id
                now[banner] = now.get(banner, 0) + click.count
            else:
                special.append((index, click))
        minute = self._state.counter.minute()
        self._plain = {(minute, banner): count for banner, count in now.items()}
        self._plain_items = len(clicks) - len(special)
        self._sort_special(special, minute)

    def _sort_special(self, special: Sequence[tuple[int, Click]], current: int) -> None:
        second = time.time()
        oldest, latest = second - self._settings.backdate_max_s, second + SKEW_MAX_S
        for index, click in special:
            minute = current
            if click.timestamp is not UNSET:
                second = click.timestamp.timestamp()
                if not oldest <= second <= latest:
                    self._reject(index, "/timestamp", *self._out_of_time(second < oldest))
                    continue
                minute = int(second) // self._settings.minute_s
            cell = cells.cell(KINDS[click.kind], minute)
            if click.id is UNSET:
                at = cell, click.banner_id
                self._plain[at] = self._plain.get(at, 0) + click.count
                self._plain_items += 1
            elif is_key(click.id):
                self._keyed.append(keyed_click(_NAMES[click.kind], cell, click.banner_id, click.count, click.id))
                self._keyed_at.append(index)
            else:  # the pattern lets a line end pass
                self._reject(index, "/id", "invalid", f"Expected 1 to {KEY_MAX} visible ASCII characters")

    def _out_of_time(self, is_old: bool) -> tuple[str, str]:
        if is_old:
            return "too_old", f"The timestamp lies more than {self._settings.backdate_max_s} s back"
        return "in_future", f"The timestamp lies more than {SKEW_MAX_S} s ahead"

    def _reject(self, index: int, pointer: str, code: str, detail: str) -> None:
        answer = self.answer
        answer.rejected += 1
        CLICKS_REJECTED.labels(code if code in REASONS else "invalid").inc()
        if len(answer.errors) < _FAULTS_MAX:
            answer.errors.append(Fault(index, f"/{index}{pointer}", code, detail[:_DETAIL_MAX]))

    def refuse_if_nothing_is_left(self) -> None:
        """Raise if no item can be counted."""
        answer = self.answer
        if not answer.items or answer.rejected < answer.items:
            return
        answer.errors.sort(key=lambda fault: fault.index)
        faults = [msgspec.to_builtins(fault) for fault in answer.errors]
        if self._is_retryable:
            raise PostgresUnavailable("It is not known now which of these banners are registered.", errors=faults)
        raise Invalid("No item can be counted; `errors` says why.", errors=faults)

    # -- counting --------------------------------------------------------------------------------------------------

    async def count(self) -> None:
        """Count the items with ids, then all others at once."""
        answer, state = self.answer, self._state
        try:
            self._charge(len(self._keyed), self._other_minutes())
            await self._count_keyed()
            self._count_plain()
        except TallybookError as error:
            CLICKS_REJECTED.labels(reason(error)).inc(
                answer.items - answer.rejected - answer.accepted - answer.duplicate
            )
            raise
        answer.errors.sort(key=lambda fault: fault.index)
        if self._settings.ack == "redis" and self._plain:
            await state.counter.durable()

    def _other_minutes(self) -> int:
        """Return how many cells the items name beside those of the current minute: each opens an incarnation."""
        now = self._state.counter.minute()
        named = {cell for cell, _ in self._plain} | {click.minute for click in self._keyed}
        return sum(cells.minute_of(cell) != now for cell in named)

    async def _count_keyed(self) -> None:
        if not self._keyed:
            return
        answer = self.answer
        now = self._state.counter.minute()
        for click in self._keyed:
            self._state.counter.admit(now, click.banner)
        is_new = await self._state.keyed.count(self._keyed)
        answer.duplicates = [index for index, new in zip(self._keyed_at, is_new, strict=True) if not new]
        answer.duplicate = len(answer.duplicates)
        answer.accepted = len(is_new) - answer.duplicate
        self._sum((click.minute, click.count) for click, new in zip(self._keyed, is_new, strict=True) if new)
        CLICKS_DUPLICATE.inc(answer.duplicate)

    def _count_plain(self) -> None:
        if not self._plain:
            return
        try:
            self._state.counter.add_many(self._plain)
        except UnknownBanner as error:  # removed from the registry while the items with ids were counted
            raise Unavailable("The registered banners have just changed. Send the same request again.") from error
        self.answer.accepted += self._plain_items
        self._sum((cell, count) for (cell, _), count in self._plain.items())

    def _sum(self, counted: Iterable[tuple[int, int]]) -> None:
        """Add (cell, count) to the sums of the answer."""
        clicks = impressions = 0
        for cell, count in counted:
            if cell < _FIRST_IMPRESSION:
                clicks += count
            else:
                impressions += count
        self.answer.clicks += clicks
        self.answer.impressions += impressions


def reason(error: TallybookError) -> str:
    """Return the label of a refusal in the metric of rejected clicks."""
    if error.code in REASONS:
        return error.code
    return "redis" if error.code == "redis_unavailable" else "invalid"
