"""Counting clicks, wherever one comparison in shared memory is not enough: keys, bulk, limits, and saying what was
wrong."""

import re
import struct
import time
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingest.openapi import Answer, BannerId, Body, Operation, Parameter
from ingest.problems import explained
from ingest.query import malformed, quoted
from shared.counting.keyed import KeyedClick
from shared.counting.lane import BANNER_MAX, banner_id
from shared.errors import (
    BodyTimeout,
    Busy,
    Invalid,
    LanesFull,
    Limited,
    Malformed,
    PostgresUnavailable,
    RedisUnavailable,
    TallybookError,
    TooLarge,
    TooManyNewBanners,
    UnknownBanner,
    UnsupportedMediaType,
)
from shared.metrics import CLICKS_DUPLICATE, CLICKS_REJECTED

#: Idempotency keys and ids of items: visible ASCII.
KEY_MAX = 128
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
#: Clicks that one item of a bulk request may stand for.
COUNT_MAX = 1_000_000
#: Media types of a bulk request. `navigator.sendBeacon` sends text/plain without asking first.
_MEDIA = frozenset({"application/json", "text/plain", ""})
#: Faults that one answer lists; the numbers count all of them.
_FAULTS_MAX = 1000

_NO_STORE = {"cache-control": "no-store"}
_REPLAYED = {"idempotent-replayed": "true"}


class Click(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """Clicks of one banner. `id` makes them count once; `timestamp` is the moment they belong to, now when not
    given."""

    banner_id: BannerId
    count: Annotated[int, Meta(ge=1, le=COUNT_MAX)] = 1
    timestamp: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    id: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,128}$")] | UnsetType = UNSET


class Fault(Struct):
    """Why one item was not counted."""

    index: int
    pointer: str
    code: str
    detail: str


class Counted(Struct):
    """What became of a bulk request. Items are `accepted`, `duplicate` or `rejected`; the last two are named."""

    items: Annotated[int, Meta(ge=0, description="Items in the request")]
    accepted: Annotated[int, Meta(ge=0, description="Items that were counted now")]
    clicks: Annotated[int, Meta(ge=0, description="Clicks that they stand for")]
    duplicate: Annotated[int, Meta(ge=0, description="Items whose id was counted before")]
    rejected: Annotated[int, Meta(ge=0, description="Items that were not counted")]
    duplicates: Annotated[list[int], Meta(description="Indexes of the duplicate items")] = []
    errors: Annotated[list[Fault], Meta(description=f"Why items were rejected; the first {_FAULTS_MAX:,}")] = []


_CLICKS = msgspec.json.Decoder(list[Click])
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_CLICK = msgspec.json.Decoder(Click)


# -- one click ---------------------------------------------------------------------------------------------------------


async def count_click(request: Request) -> Response:
    """One click, now. The plain ones are answered in `ingest/hotpath.py` and come here only when the lane refused."""
    try:
        headers = await _limited(request)
        banner = _banner(request.path_params["bannerId"])
        await request.state.banners.check(banner)
        if (key := _key(request)) is None:
            await _count(request, banner)
        elif not (await request.state.keyed.count([_keyed(request.state.counter.minute(), banner, 1, key)]))[0]:
            CLICKS_DUPLICATE.inc()
            headers |= _REPLAYED
    except TallybookError as error:
        CLICKS_REJECTED.labels(_reason(error)).inc()
        raise
    return Response(status_code=204, headers=headers)


async def _count(request: Request, banner: int) -> None:
    if not request.state.counter.add(str(banner)):
        raise LanesFull
    if request.state.settings.ack == "redis":
        await request.state.counter.durable()


def _banner(text: str) -> int:
    try:
        return banner_id(text)
    except ValueError:
        what = f"is {quoted(text)}, but has to be a decimal integer from 1 to {BANNER_MAX} without zeros in front."
        raise malformed("bannerId", what) from None


def _key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Malformed(f"Idempotency-Key has to be one header of 1 to {KEY_MAX} visible ASCII characters.")
    return keys[0]


def _keyed(minute: int, banner: int, count: int, key: str) -> KeyedClick:
    """The click under 128 bits that name banner and key: the same key on another banner is another click."""
    digest = blake2b(struct.pack("<Q", banner) + key.encode("ascii"), digest_size=16, person=b"tallybook.click")
    return KeyedClick(minute, banner, count, digest.digest())


async def _limited(request: Request) -> dict[str, str]:
    """The headers of the rate limit. Raises Limited."""
    if request.state.settings.rate_limit_per_s == 0:
        return {}
    headers: dict[str, str] = await request.state.limiter.take(request.state.client.of(request.scope))
    return headers


def _reason(error: TallybookError) -> str:
    return "redis" if isinstance(error, RedisUnavailable) else error.code if error.code in _REASONS else "invalid"


_REASONS = frozenset({"malformed", "too_large", "unknown_banner", "limited", "too_many_new_banners", "lanes_full"})


# -- many clicks -------------------------------------------------------------------------------------------------------


async def count_clicks(request: Request) -> Response:
    """Many clicks in one request: all valid items are counted, and the answer names the others.

    The items with ids are counted first, in Redis; then the others all at once, in the lane, or none of them. So
    after a
    503 the same request may be sent again: its ids count once, and nothing without an id had been counted.
    """
    headers = await _limited(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _MEDIA:
        raise UnsupportedMediaType
    bulk = _Bulk(request, *_decoded(await request.body(), request.state.settings.bulk_items_max))
    await bulk.sort()
    try:
        await bulk.count()
    except TallybookError as error:
        CLICKS_REJECTED.labels(_reason(error)).inc(bulk.answer.items - bulk.answer.rejected)
        raise
    answer = bulk.answer
    if answer.rejected and answer.rejected == answer.items:
        raise Invalid("No item could be counted.", errors=[msgspec.to_builtins(fault) for fault in answer.errors])
    return Response(msgspec.json.encode(answer), headers=_NO_STORE | headers, media_type="application/json")


def _decoded(body: bytes, items_max: int) -> tuple[list[tuple[int, Click]], int, list[Fault]]:
    """(valid items with their index, number of all items, faults of the others). Raises Malformed or Invalid."""
    try:
        clicks = _CLICKS.decode(body)
    except msgspec.ValidationError:
        return _decoded_one_by_one(body, items_max)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("The body has to be a JSON array of clicks.") from error
    _check_number(len(clicks), items_max)
    return list(enumerate(clicks)), len(clicks), []


def _decoded_one_by_one(body: bytes, items_max: int) -> tuple[list[tuple[int, Click]], int, list[Fault]]:
    try:
        raw = _RAW.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed('The body has to be a JSON array, as [{"bannerId": 42}].') from error
    _check_number(len(raw), items_max)
    clicks: list[tuple[int, Click]] = []
    faults: list[Fault] = []
    for index, item in enumerate(raw):
        try:
            clicks.append((index, _CLICK.decode(item)))
        except msgspec.ValidationError as error:
            what, pointer = explained(error)
            faults.append(Fault(index, f"/{index}{pointer}", "invalid", what))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            faults.append(Fault(index, f"/{index}", "malformed", "This is not JSON that can be read."))
    return clicks, len(raw), faults


def _check_number(items: int, items_max: int) -> None:
    if items > items_max:
        raise Invalid(f"{items} items are more than the {items_max} that one request may have.")


class _Bulk:
    """The clicks of one bulk request, sorted by the way they take."""

    def __init__(self, request: Request, clicks: list[tuple[int, Click]], items: int, faults: list[Fault]) -> None:
        self._state: Any = request.state
        self._clicks = clicks
        self._plain: dict[tuple[int, int], int] = {}
        self._plain_items = 0
        self._keyed: list[KeyedClick] = []
        self._keyed_at: list[int] = []
        self.answer = Counted(items, 0, 0, 0, 0)
        for fault in faults:
            self._reject(fault)

    async def sort(self) -> None:
        """Give each click its minute and its way, and reject those that have none. Raises PostgresUnavailable."""
        settings, minute, now = self._state.settings, self._state.counter.minute(), time.time()
        oldest, latest = now - settings.backdate_max_s, now + settings.skew_max_s
        is_open = settings.banners == "open"
        plain = self._plain
        for index, click in self._clicks:
            if not is_open and not await self._is_known(index, click.banner_id):
                continue
            at = minute
            if click.timestamp is not UNSET:
                second = click.timestamp.timestamp()
                if not oldest <= second <= latest:
                    self._reject(_out_of_time(index, second < oldest, settings))
                    continue
                at = int(second) // settings.minute_s
            if click.id is UNSET:
                cell = at, click.banner_id
                plain[cell] = plain.get(cell, 0) + click.count
                self._plain_items += 1
            else:
                self._keyed.append(_keyed(at, click.banner_id, click.count, click.id))
                self._keyed_at.append(index)

    async def _is_known(self, index: int, banner: int) -> bool:
        try:
            await self._state.banners.check(banner)
        except UnknownBanner as error:
            self._reject(Fault(index, f"/{index}/bannerId", error.code, error.detail))
            return False
        return True

    async def count(self) -> None:
        """Raises RedisUnavailable, LanesFull or TooManyNewBanners; then nothing without an id was counted."""
        answer = self.answer
        if self._keyed:
            counted = await self._state.keyed.count(self._keyed)
            answer.duplicates = [at for at, is_new in zip(self._keyed_at, counted, strict=True) if not is_new]
            answer.duplicate = len(answer.duplicates)
            CLICKS_DUPLICATE.inc(answer.duplicate)
            answer.clicks = sum(c.count for c, is_new in zip(self._keyed, counted, strict=True) if is_new)
        if self._plain:
            self._state.counter.add_many(self._plain)
            if self._state.settings.ack == "redis":
                await self._state.counter.durable()
        answer.clicks += sum(self._plain.values())
        answer.accepted = self._plain_items + len(self._keyed) - answer.duplicate

    def _reject(self, fault: Fault) -> None:
        self.answer.rejected += 1
        CLICKS_REJECTED.labels(fault.code if fault.code in _REASONS else "invalid").inc()
        if len(self.answer.errors) < _FAULTS_MAX:
            self.answer.errors.append(fault)


def _out_of_time(index: int, is_old: bool, settings: Any) -> Fault:
    if is_old:
        what = f"The timestamp lies more than {settings.backdate_max_s} s back."
    else:
        what = f"The timestamp lies more than {settings.skew_max_s} s ahead."
    return Fault(index, f"/{index}/timestamp", "too_old" if is_old else "in_future", what)


# -- operations --------------------------------------------------------------------------------------------------------

_LIMIT = {"RateLimit-Limit": "Writes in a row, where a limit is set", "RateLimit-Remaining": "Writes left of them"}

OPERATIONS = [
    Operation(
        method="POST",
        path="/stats/{bannerId}",
        handler=count_click,
        summary="Count one click",
        description="Counted in the minute in which it is accepted, exactly once. A body is ignored. With an "
        "`Idempotency-Key`, the same key on the same banner counts once within ${idempotency_window_s} seconds at "
        "least; repeat such a request after any error. Without one, repeat it only after an error that says so.",
        tag="clicks",
        parameters=(
            Parameter("bannerId", BannerId, "The banner", "path", example=42),
            Parameter(
                "Idempotency-Key",
                Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,128}$")],
                "Names this click, so that a repeat does not count",
                "header",
                example="5f3c2b1a",
            ),
        ),
        answers={204: Answer("Counted, or counted before", headers={"Idempotent-Replayed": "`true`: before"} | _LIMIT)},
        errors=(
            Malformed,
            UnknownBanner,
            BodyTimeout,
            TooLarge,
            UnsupportedMediaType,
            TooManyNewBanners,
            Limited,
            LanesFull,
            RedisUnavailable,
            PostgresUnavailable,
            Busy,
        ),
        order=100,
    ),
    Operation(
        method="POST",
        path="/stats",
        handler=count_clicks,
        summary="Count many clicks",
        description="For servers and SDKs: up to ${bulk_items_max} items in ${bulk_body_max_bytes} bytes. All valid "
        "items are counted, and the answer names the others. An item's `id` makes it count once within "
        "${idempotency_window_s} seconds at least. After a 503 send the same request again: items with ids count once, "
        "and no item without one had been counted, unless clicks are acknowledged by Redis.",
        tag="clicks",
        body=Body(
            list[Click],
            "The clicks",
            example=[
                {"bannerId": 42},
                {"bannerId": 43, "count": 5, "timestamp": "2026-03-01T00:00:00Z", "id": "7d1f"},
            ],
        ),
        answers={
            200: Answer(
                "What became of the items",
                Counted,
                headers=_LIMIT,
                example={
                    "items": 3,
                    "accepted": 1,
                    "clicks": 1,
                    "duplicate": 1,
                    "rejected": 1,
                    "duplicates": [1],
                    "errors": [
                        {
                            "index": 2,
                            "pointer": "/2/bannerId",
                            "code": "invalid",
                            "detail": "Expected `int`, got `str`",
                        }
                    ],
                },
            )
        },
        errors=(
            Malformed,
            BodyTimeout,
            TooLarge,
            UnsupportedMediaType,
            Invalid,
            TooManyNewBanners,
            Limited,
            LanesFull,
            RedisUnavailable,
            PostgresUnavailable,
            Busy,
        ),
        order=110,
    ),
]
