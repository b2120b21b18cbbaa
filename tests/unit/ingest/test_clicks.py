"""The routes that write, over stores in memory: what is counted, what is refused, and in which order."""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ingest.clicks.bulk import COUNT_MAX
from ingest.clicks.operations import OPERATIONS
from ingest.http.client_address import ClientAddress
from ingest.http.cors import Origins
from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from ingest.http.rate_limits import Allowance
from shared.counting.cells import CLICK, SERVED, VIEWABLE, kind_of, minute_of
from shared.counting.keyed import KeyedClick
from shared.counting.lane import BANNER_MAX, banner_id
from shared.errors import (
    LanesFull,
    Limited,
    PostgresUnavailable,
    RedisUnavailable,
    TallybookError,
    TooManyNewBanners,
    UnknownBanner,
)
from shared.settings import Settings

ORIGIN = "https://shop.example"
JSON = {"content-type": "application/json"}


class Counter:
    """A lane in memory."""

    def __init__(self, settings: Settings, log: list[str]) -> None:
        self.minute_s = settings.minute_s
        self.clicks: dict[tuple[int, int], int] = {}
        self.error: TallybookError | None = None
        self.unconfirmed: TallybookError | None = None
        self.refused: set[int] = set()
        self.log = log

    def minute(self) -> int:
        return int(time.time()) // self.minute_s

    def admit(self, minute: int, banner: int) -> None:
        if banner in self.refused:
            raise TooManyNewBanners

    def add(self, banner: str) -> bool:
        if isinstance(self.error, LanesFull):
            return False
        self.add_many({(self.minute(), banner_id(banner)): 1})
        return True

    def add_many(self, clicks: Mapping[tuple[int, int], int]) -> None:
        self.log.append("lane")
        if self.error is not None:
            raise self.error
        for cell, count in clicks.items():
            self.clicks[cell] = self.clicks.get(cell, 0) + count

    async def durable(self) -> None:
        self.log.append("durable")
        if self.unconfirmed is not None:
            raise self.unconfirmed

    def of(self, banner: int) -> int:
        return sum(count for (_, other), count in self.clicks.items() if other == banner)


class Keyed:
    """The script in Redis, in memory."""

    def __init__(self, log: list[str]) -> None:
        self.seen: set[bytes] = set()
        self.clicks: list[KeyedClick] = []
        self.error: TallybookError | None = None
        self.log = log

    async def count(self, clicks: Sequence[KeyedClick]) -> list[bool]:
        self.log.append("keyed")
        if self.error is not None:
            raise self.error
        answers = []
        for click in clicks:
            answers.append(click.key not in self.seen)
            if answers[-1]:
                self.clicks.append(click)
            self.seen.add(click.key)
        return answers

    def of(self, banner: int) -> int:
        return sum(click.count for click in self.clicks if click.banner == banner)


class Banners:
    """A registry in memory."""

    def __init__(self) -> None:
        self.refused: dict[int, TallybookError] = {}

    async def check(self, banner: int) -> None:
        if banner in self.refused:
            raise self.refused[banner]

    async def refusals(self, banners: Collection[int]) -> dict[int, TallybookError]:
        return {banner: self.refused[banner] for banner in banners if banner in self.refused}


class Limiter:
    """Gives so many writes to each client."""

    def __init__(self, rate_per_s: float) -> None:
        self.is_on = rate_per_s > 0
        self.left = 1

    async def take(self, client: str) -> dict[str, str]:
        self.left -= 1
        headers = {"RateLimit-Remaining": str(max(0, self.left))}
        if self.left < 0:
            raise Limited(retry_after_s=7, headers=headers)
        return headers


class Service:
    """The write routes with their stores, and a client of them."""

    def __init__(self, **fields: Any) -> None:
        settings = Settings(**({"bulk_items_max": 50} | fields))
        self.log: list[str] = []
        self.counter, self.keyed = Counter(settings, self.log), Keyed(self.log)
        self.banners, self.limiter = Banners(), Limiter(settings.rate_limit_per_s)
        self.state = {
            "origins": Origins([ORIGIN]),
            "settings": settings,
            "counter": self.counter,
            "keyed": self.keyed,
            "banners": self.banners,
            "limiter": self.limiter,
            "client": ClientAddress(("127.0.0.1/32",)),
            "allowance": Allowance(settings),
        }
        self.app = Starlette(routes=routes(OPERATIONS), exception_handlers=HANDLERS)

    async def _with_state(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = dict(self.state)
        await self.app(scope, receive, send)

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._with_state)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            return await http.request(method, path, **more)

    async def post(self, path: str, **more: Any) -> httpx2.Response:
        return await self.ask("POST", path, **more)

    async def bulk(self, body: Any, headers: Mapping[str, str] = JSON) -> httpx2.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.post("/stats", content=content, headers=dict(headers))

    def clicks(self) -> int:
        return sum(self.counter.clicks.values()) + sum(click.count for click in self.keyed.clicks)


@pytest.fixture
def service() -> Service:
    return Service()


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


# -- one click ---------------------------------------------------------------------------------------------------------


async def test_a_click_is_counted_in_the_lane(service: Service) -> None:
    answer = await service.post("/stats/42")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (service.counter.of(42), service.keyed.clicks) == (1, [])


async def test_a_click_with_a_key_counts_once_and_the_repeat_is_named(service: Service) -> None:
    headers = {"idempotency-key": "k1"}
    first, second = [await service.post("/stats/42", headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (204, 204)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert (service.keyed.of(42), service.counter.clicks) == (1, {})


async def test_a_key_belongs_to_its_banner(service: Service) -> None:
    for banner in (1, 2):
        answer = await service.post(f"/stats/{banner}", headers={"idempotency-key": "k"})
        assert "idempotent-replayed" not in answer.headers
    assert service.clicks() == 2


async def test_a_key_as_header_and_as_id_of_an_item_names_two_clicks(service: Service) -> None:
    await service.post("/stats/1", headers={"idempotency-key": "k"})
    answer = await service.bulk([{"bannerId": 1, "id": "k"}])
    assert answer.json()["accepted"] == 1
    assert service.clicks() == 2


@pytest.mark.parametrize("key", ["", " ", "a b", "a" * 129, "ä", "a\tb", "\x7f"])
async def test_a_bad_key_is_refused_and_nothing_is_counted(service: Service, key: str) -> None:
    answer = await service.post("/stats/42", headers=[("idempotency-key", key.encode("latin-1"))])
    assert code_of(answer) == (400, "malformed")
    assert service.clicks() == 0


@pytest.mark.parametrize("key", ["!", "~" * 128, '"quoted"'])
async def test_the_bounds_of_a_key_are_taken(service: Service, key: str) -> None:
    assert (await service.post("/stats/42", headers={"idempotency-key": key})).status_code == 204
    assert service.keyed.of(42) == 1


async def test_two_keys_are_refused(service: Service) -> None:
    answer = await service.post("/stats/42", headers=[("idempotency-key", "a"), ("idempotency-key", "a")])
    assert code_of(answer) == (400, "malformed")
    assert service.clicks() == 0


HOSTILE = [
    "0",
    "01",
    "-1",
    "+1",
    "1e3",
    "1.0",
    "1_0",
    "%201",
    "1%20",
    "١",
    "１２３",
    "9" * 20,
    str(BANNER_MAX + 1),
    "%00",
    "1%0A",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}])
async def test_i3_only_canonical_ids_of_banners_count(service: Service, text: str, headers: dict[str, str]) -> None:
    answer = await service.post(f"/stats/{text}", headers=headers)
    assert code_of(answer) == (400, "malformed")
    assert (service.clicks(), service.keyed.clicks) == (0, [])


@pytest.mark.parametrize("banner", [1, BANNER_MAX])
async def test_i4_the_smallest_and_the_largest_id_count(service: Service, banner: int) -> None:
    assert (await service.post(f"/stats/{banner}")).status_code == 204
    assert (await service.bulk([{"bannerId": banner}])).status_code == 200
    assert service.counter.of(banner) == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LanesFull(), (503, "lanes_full")),
        (TooManyNewBanners(), (429, "too_many_new_banners")),
    ],
)
async def test_what_the_lane_refuses_is_said(
    service: Service, error: TallybookError, expected: tuple[int, str]
) -> None:
    service.counter.error = error
    answer = await service.post("/stats/42")
    assert code_of(answer) == expected
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_click_with_a_key_needs_redis(service: Service) -> None:
    service.keyed.error = RedisUnavailable()
    answer = await service.post("/stats/42", headers={"idempotency-key": "k"})
    assert code_of(answer) == (503, "redis_unavailable")
    assert service.clicks() == 0


async def test_a_key_is_no_way_around_the_number_of_new_banners(service: Service) -> None:
    service.counter.refused = {42}
    answer = await service.post("/stats/42", headers={"idempotency-key": "k"})
    assert code_of(answer) == (429, "too_many_new_banners")
    answer = await service.bulk([{"bannerId": 1}, {"bannerId": 2, "id": "a"}, {"bannerId": 42, "id": "b"}])
    assert code_of(answer) == (429, "too_many_new_banners")
    assert (service.clicks(), service.log) == (0, [])


async def test_an_unknown_banner_is_not_counted() -> None:
    service = Service(banners="registered")
    service.banners.refused[42] = UnknownBanner()
    for headers in ({}, {"idempotency-key": "k"}):
        assert code_of(await service.post("/stats/42", headers=headers)) == (404, "unknown_banner")
    assert (service.clicks(), service.log) == (0, [])


async def test_a_click_waits_for_redis_where_that_was_asked_for() -> None:
    service = Service(ack="redis")
    assert (await service.post("/stats/42")).status_code == 204
    assert service.log == ["lane", "durable"]
    service.counter.unconfirmed = RedisUnavailable()
    assert code_of(await service.post("/stats/42")) == (503, "redis_unavailable")


async def test_a_client_over_its_limit_is_told_when_to_come_again() -> None:
    service = Service(rate_limit_per_s=1)
    first, second = [await service.post("/stats/42") for _ in range(2)]
    assert first.headers["ratelimit-remaining"] == "0"
    assert code_of(second) == (429, "limited")
    assert second.headers["retry-after"] == "7"
    assert code_of(await service.bulk([{"bannerId": 42}])) == (429, "limited")
    assert service.clicks() == 1


async def test_no_address_shortens_the_window_of_ids_for_the_others() -> None:
    service, other = Service(keyed_limit_per_s=0.01, bulk_items_max=30_000), {"x-forwarded-for": "192.0.2.1"}
    many = [{"bannerId": 1, "id": str(number)} for number in range(30_000)]
    assert (await service.bulk(many, JSON | other)).json()["accepted"] == 30_000
    refused = await service.bulk([{"bannerId": 1, "id": "more"}, {"bannerId": 2}], JSON | other)
    assert code_of(refused) == (429, "limited")
    assert code_of(await service.post("/stats/1", headers={"idempotency-key": "more"} | other)) == (429, "limited")
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert (service.clicks(), service.counter.of(2)) == (30_000, 0)
    assert (await service.bulk([{"bannerId": 1}], JSON | other)).status_code == 200  # without ids there is no limit
    assert (
        await service.bulk([{"bannerId": 1, "id": "x"}], JSON | {"x-forwarded-for": "192.0.2.2"})
    ).status_code == 200


async def test_no_address_opens_the_minutes_of_a_day_again_and_again() -> None:
    service, other = Service(bulk_items_max=2000), {"x-forwarded-for": "192.0.2.1"}
    now = int(time.time())
    day = [
        {"bannerId": 1, "timestamp": datetime.fromtimestamp(now - 60 * back, UTC).isoformat()}
        for back in range(1, 1440)
    ]
    answers = [await service.bulk(day, JSON | other) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert code_of(answers[2]) == (429, "limited")
    assert service.clicks() == 2 * 1439
    assert (await service.bulk([{"bannerId": 1}], JSON | other)).status_code == 200
    assert (await service.bulk(day, JSON | {"x-forwarded-for": "192.0.2.2"})).status_code == 200


# -- many clicks -------------------------------------------------------------------------------------------------------


async def test_items_are_counted_with_their_numbers(service: Service) -> None:
    answer = await service.bulk([{"bannerId": 1}, {"bannerId": 1, "count": 4}, {"bannerId": 2, "id": "a", "count": 2}])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "items": 3,
        "accepted": 3,
        "duplicate": 0,
        "rejected": 0,
        "clicks": 7,
        "impressions": 0,
        "duplicates": [],
        "errors": [],
    }
    assert (service.counter.of(1), service.keyed.of(2)) == (5, 2)


async def test_impressions_are_counted_under_their_own_kinds(service: Service) -> None:
    now = datetime.now(UTC)
    answer = await service.bulk(
        [
            {"bannerId": 1, "kind": "served", "count": 30},
            {"bannerId": 1, "kind": "viewable", "count": 20, "timestamp": (now - timedelta(hours=1)).isoformat()},
            {"bannerId": 1, "kind": "click", "count": 4},
            {"bannerId": 1, "kind": "served", "id": "a"},
            {"bannerId": 1, "kind": "viewable", "id": "b", "count": 2},
        ]
    )
    counted = answer.json()
    assert (counted["accepted"], counted["clicks"], counted["impressions"]) == (5, 4, 53)
    in_lane = {(kind_of(cell), banner): n for (cell, banner), n in service.counter.clicks.items()}
    assert in_lane == {(SERVED, 1): 30, (VIEWABLE, 1): 20, (CLICK, 1): 4}
    assert {minute_of(cell) - service.counter.minute() for cell, _ in service.counter.clicks} <= {-61, -60, -1, 0}
    assert [(kind_of(click.minute), click.count) for click in service.keyed.clicks] == [(SERVED, 1), (VIEWABLE, 2)]


async def test_one_id_names_one_item_of_each_kind(service: Service) -> None:
    items = [{"bannerId": 1, "kind": kind, "id": "a"} for kind in ("click", "served", "viewable")]
    answer = (await service.bulk([*items, *items])).json()
    assert (answer["accepted"], answer["duplicates"]) == (3, [3, 4, 5])
    assert (answer["clicks"], answer["impressions"]) == (1, 2)


@pytest.mark.parametrize("kind", ["", "Served", "impression", None, 1, ["served"], "click "])
async def test_other_kinds_are_rejected(service: Service, kind: Any) -> None:
    answer = await service.bulk([{"bannerId": 1, "kind": kind}])
    assert code_of(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/0/kind"
    assert service.clicks() == 0


async def test_valid_items_count_and_the_others_are_named(service: Service) -> None:
    items: list[Any] = [
        {"bannerId": 1},
        {"bannerId": "1"},
        {"bannerId": 2, "count": 0},
        {},
        {"bannerId": 3, "timestamp": "yesterday"},
        {"bannerId": 4, "id": "a b"},
        {"bannerId": 5, "colour": "red"},
        [1],
        None,
        {"bannerId": 6, "count": 2},
    ]
    answer = (await service.bulk(items)).json()
    assert (answer["items"], answer["accepted"], answer["rejected"], answer["clicks"]) == (10, 2, 8, 3)
    assert [(fault["index"], fault["pointer"]) for fault in answer["errors"]] == [
        (1, "/1/bannerId"),
        (2, "/2/count"),
        (3, "/3"),
        (4, "/4/timestamp"),
        (5, "/5/id"),
        (6, "/6"),
        (7, "/7"),
        (8, "/8"),
    ]
    assert all(fault["code"] == "invalid" and fault["detail"] for fault in answer["errors"])
    assert service.clicks() == 3


async def test_all_items_rejected_is_an_error(service: Service) -> None:
    answer = await service.bulk([{"bannerId": 0}, {"bannerId": 1, "count": -1}])
    assert code_of(answer) == (422, "invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/0/bannerId", "/1/count"]
    assert (service.clicks(), service.log) == (0, [])


async def test_no_items_are_no_error(service: Service) -> None:
    answer = await service.bulk([])
    assert (answer.status_code, answer.json()["items"]) == (200, 0)


async def test_more_items_than_allowed_count_nothing(service: Service) -> None:
    assert code_of(await service.bulk([{"bannerId": 1}] * 51)) == (422, "invalid")
    assert code_of(await service.bulk([{"bannerId": 1}] * 50 + [{}])) == (422, "invalid")
    assert service.clicks() == 0
    assert (await service.bulk([{"bannerId": 1}] * 50)).json()["accepted"] == 50


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"bannerId":1}',
        b"null",
        b"1",
        b'"x"',
        b"[",
        b'[{"bannerId":1}',
        b"\xff",
        b"\xef\xbb\xbf[]",
    ],
)
async def test_i1_a_body_that_is_no_array_is_refused(service: Service, body: bytes) -> None:
    assert code_of(await service.bulk(body)) == (400, "malformed")
    assert service.clicks() == 0


@pytest.mark.parametrize(
    "item",
    [
        b'{"bannerId":1,"extra":1}',
        b'{"bannerId":true}',
        b'{"bannerId":"1"}',
        b'{"bannerId":[1]}',
        b'{"bannerId":1.5}',
        b'{"bannerId":1,"count":"2"}',
        b'{"bannerId":1,"count":null}',
        b'{"bannerId":1,"timestamp":"2026-03-01T00:00:00"}',
        b'{"bannerId":1,"timestamp":1767225600}',
        b'{"bannerId":1,"id":7}',
        b'{"bannerId":1,"id":""}',
        b'{"bannerId":1,"id":"a\\n"}',
        b'{"bannerId":1,"id":"\\ud800"}',
        b'{"bannerId":1,"id":"\xed\xa0\x80"}',
        b'{"bannerId":1,"id":"\xff"}',
        b'{"bannerId":1,"\\u0000":1}',
        b"{'bannerId':1}",
    ],
)
async def test_i1_what_is_not_exactly_of_its_type_does_not_count(service: Service, item: bytes) -> None:
    answer = await service.bulk(b"[" + item + b"]")
    assert answer.status_code in (400, 422)
    assert service.clicks() == 0


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (b'{"bannerId":1,"id":"\\ud800"}', "surrogates"),
        (b'{"bannerId":1,"id":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"bannerId":1,"id":"\xff"}', "UTF-8"),
        (b'{"bannerId":1,"id":"\\x"}', "escape"),
        (b'{"bannerId":1,"id":"\x01"}', "character"),
        (b'{"bannerId":01}', "malformed|leading zero|invalid number|trailing|expected"),
        (b"{'bannerId':1}", "malformed|object keys|expected|quote"),
        (b'{"bannerId":1,}', "trailing|expected|object"),
        (b'{"bannerId":1,"count":NaN}', "invalid|character"),
    ],
)
async def test_one_broken_text_is_rejected_alone_and_named(service: Service, item: bytes, why: str) -> None:
    answer = await service.bulk(b'[{"bannerId":7},' + item + b',{"bannerId":8,"count":2,"id":"k"},' + item + b"]")
    assert answer.status_code == 200
    counted = answer.json()
    assert (counted["items"], counted["accepted"], counted["clicks"], counted["rejected"]) == (4, 2, 3, 2)
    assert [(fault["index"], fault["pointer"], fault["code"]) for fault in counted["errors"]] == [
        (1, "/1", "malformed"),
        (3, "/3", "malformed"),
    ]
    assert all(re.search(why, fault["detail"]) for fault in counted["errors"])
    assert service.clicks() == 3


async def test_too_many_items_are_refused_however_they_look(service: Service) -> None:
    most = service.state["settings"].bulk_items_max
    answer = await service.bulk(b"[" + b'"\\x",' * most + b'{"bannerId":1}]')
    assert code_of(answer) == (422, "invalid")
    assert service.clicks() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        DEEP,
        b'[{"bannerId":1,"x":' + DEEP + b"}]",
        b'[{"bannerId":0},' + DEEP + b"]",
        b'[{"bannerId":' + b"1" * 5000 + b"}]",
        b'[{"bannerId":1,"count":' + b"9" * 5000 + b"}]",
        b'[{"bannerId":1,"count":NaN}]',
        b'[{"bannerId":1,"count":Infinity}]',
        b'[{"bannerId":1,"count":1e999}]',
        b'[{"bannerId":1,"count":-1e999}]',
    ],
    ids=["open", "deep", "deep field", "deep item", "long id", "long count", "nan", "inf", "1e999", "-1e999"],
)
async def test_i2_hostile_json_is_refused_and_never_stored(service: Service, body: bytes) -> None:
    answer = await service.bulk(body)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 4096
    assert service.clicks() == 0


async def test_i2_of_a_name_that_stands_twice_one_valid_value_counts(service: Service) -> None:
    answer = await service.bulk(b'[{"bannerId":1,"bannerId":2,"count":3,"count":4}]')
    assert (answer.status_code, answer.json()["clicks"]) == (200, 4)
    assert (service.counter.of(1), service.counter.of(2)) == (0, 4)
    assert (await service.bulk(b'[{"bannerId":0,"bannerId":2}]')).status_code == 422


@pytest.mark.parametrize("text", ["0", "-1", str(BANNER_MAX + 1), str(2**63), str(2**64), "1e400", "-0", "01"])
async def test_i4_ids_out_of_range_do_not_count(service: Service, text: str) -> None:
    answer = await service.bulk(b'[{"bannerId":' + text.encode() + b"}]")
    assert answer.status_code in (400, 422)
    assert service.clicks() == 0


@pytest.mark.parametrize(
    ("count", "status"), [(1, 200), (COUNT_MAX, 200), (0, 422), (-1, 422), (COUNT_MAX + 1, 422), (2**63, 422)]
)
async def test_i4_an_item_stands_for_a_bounded_number_of_clicks(service: Service, count: int, status: int) -> None:
    assert (await service.bulk([{"bannerId": 1, "count": count}])).status_code == status
    assert service.clicks() == (count if status == 200 else 0)


@pytest.mark.parametrize(
    "kind", ["text/plain;charset=UTF-8", "application/json; charset=utf-8", "APPLICATION/JSON", None]
)
async def test_media_types_of_beacons_and_sdks_are_read(service: Service, kind: str | None) -> None:
    answer = await service.bulk([{"bannerId": 1}], {"content-type": kind} if kind else {})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/csv", "application/jsonx"]
)
async def test_other_media_types_are_refused(service: Service, kind: str) -> None:
    answer = await service.bulk([{"bannerId": 1}], {"content-type": kind})
    assert code_of(answer) == (415, "unsupported_media_type")
    assert service.clicks() == 0


# -- moments -----------------------------------------------------------------------------------------------------------


async def test_a_timestamp_decides_the_minute(service: Service) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    east = timezone(timedelta(hours=5, minutes=45))
    await service.bulk([{"bannerId": 1, "timestamp": at}, {"bannerId": 1, "timestamp": at.astimezone(east)}])
    assert service.counter.clicks == {(int(at.timestamp()) // 60, 1): 2}
    await service.bulk([{"bannerId": 1, "timestamp": at, "id": "a"}])
    assert service.keyed.clicks[0].minute == int(at.timestamp()) // 60


@pytest.mark.parametrize(
    ("ahead_s", "code"),
    [(-86_400 + 30, None), (-86_400 - 30, "too_old"), (60 - 30, None), (60 + 30, "in_future")],
)
async def test_a_timestamp_lies_within_bounds(service: Service, ahead_s: int, code: str | None) -> None:
    at = datetime.now(UTC) + timedelta(seconds=ahead_s)
    answer = (await service.bulk([{"bannerId": 1}, {"bannerId": 2, "timestamp": at}])).json()
    assert [(fault["pointer"], fault["code"]) for fault in answer["errors"]] == (
        [("/1/timestamp", code)] if code else []
    )
    assert service.clicks() == (1 if code else 2)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z"]
)
async def test_i4_moments_at_the_ends_of_time_do_not_count(service: Service, text: str) -> None:
    answer = await service.bulk([{"bannerId": 1, "timestamp": text}])
    assert code_of(answer) == (422, "invalid")
    assert service.clicks() == 0


# -- once, in order ----------------------------------------------------------------------------------------------------


async def test_an_id_that_stands_twice_in_one_request_counts_once(service: Service) -> None:
    answer = (await service.bulk([{"bannerId": 1, "id": "a"}, {"bannerId": 1}, {"bannerId": 1, "id": "a"}])).json()
    assert (answer["accepted"], answer["duplicate"], answer["duplicates"], answer["clicks"]) == (2, 1, [2], 2)


async def test_a_repeated_request_counts_its_ids_once(service: Service) -> None:
    items = [{"bannerId": 1, "id": "a"}, {"bannerId": 0}, {"bannerId": 1, "id": "b"}]
    await service.bulk(items)
    answer = (await service.bulk(items)).json()
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (0, [0, 2], 1)
    assert service.clicks() == 2


async def test_a_full_lane_counts_no_plain_item_and_the_repeat_counts_each_once(service: Service) -> None:
    items = [{"bannerId": 1}, {"bannerId": 2, "id": "a"}, {"bannerId": 1, "count": 3}]
    service.counter.error = LanesFull()
    answer = await service.bulk(items)
    assert code_of(answer) == (503, "lanes_full")
    assert answer.headers["retry-after"]
    assert (service.log, service.counter.clicks, service.keyed.of(2)) == (["keyed", "lane"], {}, 1)
    service.counter.error = None
    repeat = (await service.bulk(items)).json()
    assert (repeat["accepted"], repeat["duplicates"], repeat["clicks"]) == (2, [1], 4)
    assert (service.counter.of(1), service.keyed.of(2)) == (4, 1)


async def test_without_redis_no_plain_item_of_a_request_with_ids_counts(service: Service) -> None:
    service.keyed.error = RedisUnavailable()
    answer = await service.bulk([{"bannerId": 1}, {"bannerId": 2, "id": "a"}])
    assert code_of(answer) == (503, "redis_unavailable")
    assert (service.log, service.clicks()) == (["keyed"], 0)
    assert (await service.bulk([{"bannerId": 1}])).status_code == 200  # and without ids it is not needed


async def test_many_clicks_wait_for_redis_where_that_was_asked_for() -> None:
    service = Service(ack="redis")
    await service.bulk([{"bannerId": 1}, {"bannerId": 1, "id": "a"}])
    assert service.log == ["keyed", "lane", "durable"]
    service.log.clear()
    await service.bulk([{"bannerId": 1, "id": "b"}])
    assert service.log == ["keyed"]


async def test_items_of_unknown_banners_are_rejected() -> None:
    service = Service(banners="registered")
    service.banners.refused[2] = UnknownBanner()
    answer = (await service.bulk([{"bannerId": 1}, {"bannerId": 2}, {"bannerId": 2, "id": "a"}, {}])).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 3)
    assert [(fault["pointer"], fault["code"]) for fault in answer["errors"]] == [
        ("/1/bannerId", "unknown_banner"),
        ("/2/bannerId", "unknown_banner"),
        ("/3", "invalid"),
    ]
    assert code_of(await service.bulk([{"bannerId": 2}])) == (422, "invalid")


async def test_while_the_registry_is_away_nothing_unknown_counts() -> None:
    service = Service(banners="registered")
    service.banners.refused[2] = PostgresUnavailable()
    assert code_of(await service.post("/stats/2")) == (503, "postgres_unavailable")
    assert code_of(await service.bulk([{"bannerId": 2}])) == (503, "postgres_unavailable")
    assert service.clicks() == 0


# -- anything ----------------------------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_fields = st.sampled_from(["bannerId", "count", "timestamp", "id", "kind", "x"])
_kinds = st.sampled_from(["click", "served", "viewable", "seen"])
_values = st.one_of(
    _kinds,
    st.integers(-1, 5),
    st.just(BANNER_MAX),
    st.sampled_from(["a", "b", "a b"]),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.builds(lambda: datetime.now(UTC).isoformat()),
    _scalars,
)
_items = st.one_of(
    st.dictionaries(_fields, _values),
    st.fixed_dictionaries(
        {"bannerId": st.integers(1, 3)}, optional={"id": st.sampled_from("ab"), "count": _values, "kind": _kinds}
    ),
    st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5),
)


@given(items=st.lists(_items, max_size=30))
async def test_i1_every_item_is_accepted_a_duplicate_or_rejected(items: list[Any]) -> None:
    service = Service()
    answer = await service.bulk(items)
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        assert service.clicks() == 0
        return
    counted = answer.json()
    assert counted["items"] == len(items)
    assert counted["accepted"] + counted["duplicate"] + counted["rejected"] == len(items)
    assert counted["clicks"] + counted["impressions"] == service.clicks()
    named = [fault["index"] for fault in counted["errors"]]
    assert named == sorted(set(named))
    assert len(named) == counted["rejected"]
    assert not set(named) & set(counted["duplicates"])


@given(body=st.binary(max_size=200))
async def test_i1_no_bytes_break_it(body: bytes) -> None:
    assert (await Service().bulk(body)).status_code in (200, 400, 422)


# -- pages of other origins --------------------------------------------------------------------------------------------

PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}


@pytest.mark.parametrize("path", ["/stats", "/stats/1"])
async def test_o6_pages_of_allowed_origins_may_use_keys(service: Service, path: str) -> None:
    answer = await service.ask("OPTIONS", path, headers={"origin": ORIGIN, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "content-type, idempotency-key"
    assert "access-control-request-headers" in answer.headers["vary"].lower()
    assert service.clicks() == 0


@pytest.mark.parametrize("path", ["/stats", "/stats/1"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil", "http://shop.example"])
async def test_o6_pages_of_other_origins_may_not_use_keys(service: Service, path: str, origin: str) -> None:
    answer = await service.ask("OPTIONS", path, headers={"origin": origin, **PREFLIGHT})
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_o6_an_allowed_page_reads_what_became_of_its_click_and_others_do_not(service: Service) -> None:
    key = {"idempotency-key": "k"}
    for origin, is_readable in [(ORIGIN, True), ("https://evil.example", False)]:
        answers = [
            await service.post("/stats/1", headers={"origin": origin, **key}),
            await service.post("/stats/0", headers={"origin": origin, **key}),
            await service.bulk([{"bannerId": 1}], {"origin": origin, **JSON}),
            await service.bulk([], {"origin": origin, "content-type": "image/gif"}),
        ]
        assert [answer.status_code for answer in answers] == [204, 400, 200, 415]
        for answer in answers:
            assert answer.headers.get("access-control-allow-origin") == (ORIGIN if is_readable else None)
            assert ("idempotent-replayed" in answer.headers.get("access-control-expose-headers", "")) is is_readable
            assert answer.headers["vary"] == "Origin"
