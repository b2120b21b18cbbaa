"""Uploads of events: what is answered, and that each id is stored and counted once, however it comes again."""

import asyncio
import gzip
import json
import os
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from ingest.events.recent_ids import CLAIMED, HOLD_S, NEW, OTHER, STORED, EventWindow
from ingest.events.routes import CUT
from ingest.events.upload_keys import KEPT_S, Attempt, Uploads
from shared.errors import Conflict, LogFull, RedisUnavailable
from shared.events.rows import blocks
from shared.events.table import TOPIC
from shared.record_log import accounting
from shared.record_log.accounting import TableAccount
from shared.record_log.factory import chosen_log
from shared.record_log.record_log import BEGIN
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse
from tests.harness.process import is_alive
from tests.harness.subjects.events import EventStage, event, event_stage, moment
from tests.harness.subjects.tracking import tracking
from tests.harness.wait import until

pytestmark = pytest.mark.every_engine

#: Where a worker can be made to die with an upload in its hands; at the last one only with one under a key.
POINTS = ("events_claimed", "events_appended", "upload_taken")
_KEY = {"idempotency-key": "upload-9"}
#: Where answers to uploads under keys are kept, and what that was before.
_UPLOADS, _FORMER = "tallybook:{events.uploads.0}:now", "tallybook:{events.uploads.0}:former"
_JSON = {"content-type": "application/json"}


# -- books -------------------------------------------------------------------------------------------------------------


async def test_the_accounts_of_events_speak_of_events(
    stage: EventStage, redis_client: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is what they show: waiting in the log, stored, left out as a duplicate, and dead."""
    events = [event() for _ in range(2500)]
    assert set(await stage.statuses(*events)) == {"accepted"}
    async with stage.sink(records=1):  # the log is known to the books once a sink reads it
        await stage.drained()
    assert await stage.account() == TableAccount(2500, 2500, 0, 0, 0, 0, 0, 0)
    await stage.forget(redis_client)
    assert await stage.statuses(*events[:700], event()) == ["accepted"] * 701
    assert await stage.account() == TableAccount(3201, 2500, 0, 0, 0, 701, 0, 0)
    key, block = next(blocks([bytes(64)] * 30, CUT))
    async with chosen_log(stage.settings) as log:
        damaged = [(key, block[:-1] + b"\1"), (b"", b"of another program")]
        await log.append(TOPIC, log.partition_of(key), damaged, producer="tests", seq=1)
    assert await stage.account() == TableAccount(3232, 2500, 0, 0, 0, 732, 0, 0)
    with monkeypatch.context() as busy:  # more waits than can be read in time: all that is noted is known all the same
        busy.setattr(accounting, "_COUNT_S", 0.0)
        assert await stage.account() == TableAccount(None, 2500, 0, 0, 0, None, 0, 0)
    await stage.settle()
    assert await stage.account() == TableAccount(3232, 2501, 700, 31, 0, 0, 0, 0)
    assert await stage.lying() == 2501


# -- what is answered --------------------------------------------------------------------------------------------------


async def test_each_event_becomes_a_row_that_says_what_was_sent(stage: EventStage) -> None:
    sent = event(
        occurred_at="2026-03-01T12:00:00.250+02:00",
        user_id="ю" * 128,
        properties={"b": [1, {"c": None}], "a": "\u0000\n"},
    )
    bare = {name: value for name, value in event().items() if name != "properties"}
    assert await stage.statuses(sent, bare) == ["accepted", "accepted"]
    await stage.settle()
    rows = await stage.rows()
    at, user, kind, properties = rows[sent["event_id"]]
    assert (at.isoformat(), user, kind) == ("2026-03-01T10:00:00.250000", "ю" * 128, "view")
    assert json.loads(properties) == sent["properties"]
    assert rows[bare["event_id"]][3] == "{}"
    day = await stage.tables.query(
        "SELECT toString(event_date) FROM events WHERE event_id = {id:UUID}", {"id": sent["event_id"]}
    )
    assert day == [("2026-03-01",)]


async def test_each_event_has_its_own_result(stage: EventStage) -> None:
    good = event()
    items = [
        good,
        event(event_id="no uuid"),
        event(occurred_at=moment(10_000)),
        event(occurred_at="2199-01-01T00:00:00Z"),
        event(occurred_at="2026-03-01T12:00:00"),
        event(user_id=""),
        event(event_type="a b"),
        event(extra=1),
        event(properties={"a": {"b": {"c": {"d": {}}}}}),
        event(properties=dict.fromkeys(map(str, range(65)))),
        event(properties={"a": "x" * 9000}),
        5,
        good,
        good | {"user_id": "another"},
    ]
    answer = await stage.send(*items)  # type: ignore[arg-type]
    assert answer.status_code == 202
    told = answer.json()
    assert [one.get("code", one["status"]) for one in told["results"]] == [
        "accepted",
        "invalid",
        "too_old",
        "in_future",
        *["invalid"] * 4,
        "too_deep",
        "too_many",
        "too_large",
        "invalid",
        "duplicate",
        "conflict",
    ]
    assert told["results"][1]["pointer"] == "/1/event_id"
    assert told["results"][8]["pointer"] == "/8/properties"
    assert [told[name] for name in ("accepted", "duplicate", "conflict", "rejected")] == [1, 1, 1, 11]
    await stage.settle()
    assert {key: row[1] for key, row in (await stage.rows()).items()} == {good["event_id"]: good["user_id"]}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {}, 400),
        (b"[", {}, 400),
        (b"", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'[{"a":' * 50_000, {}, 400),
        (b"\xff[]", {}, 400),
        (b"[]", {"content-type": "application/xml"}, 415),
        (b"[]", {"content-encoding": "br"}, 415),
        (b"[]", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"[]", mtime=0)[:-3], {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"[]", mtime=0) * 2, {"content-encoding": "gzip"}, 400),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"content-encoding": "gzip"}, 413),
        (b"[" + b"1," * 10_000 + b"1]", {}, 422),
        (b"[]", {"idempotency-key": "a b"}, 400),
    ],
)
async def test_what_is_no_upload_is_refused_with_a_problem(
    module_stage: EventStage, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await module_stage.service.http.post(
        "/events", content=content, headers={"content-type": "application/json"} | headers
    )
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_lines_and_gzip_are_read_as_well(stage: EventStage) -> None:
    lines = "\n".join(json.dumps(event()) for _ in range(3)) + "\n"
    kind = {"content-type": "application/x-ndjson"}
    assert await stage.statuses(content=lines.encode(), headers=kind) == ["accepted"] * 3
    broken = f"{json.dumps(event())}\nno json\n\n{json.dumps(event())}"
    assert await stage.statuses(content=broken.encode(), headers=kind) == ["accepted", "rejected", "accepted"]
    packed = gzip.compress(json.dumps([event() for _ in range(3000)]).encode())
    assert await stage.statuses(content=packed, headers={"content-encoding": "gzip"}) == ["accepted"] * 3000
    assert await stage.statuses() == []
    await stage.settle()
    assert len(await stage.rows()) == 3005


@pytest.mark.parametrize("kind", [None, "", "text/plain; charset=utf-8", "Application/JSON"])
async def test_an_array_needs_no_type_of_its_own(module_stage: EventStage, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await module_stage.service.http.post("/events", content=json.dumps([event()]).encode(), headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl", "application/x-jsonlines"])
async def test_a_pointer_into_lines_counts_results_and_no_blank_lines(module_stage: EventStage, kind: str) -> None:
    lines = ["", json.dumps(event()), " ", "", json.dumps(event(user_id=""))]
    answer = await module_stage.send(content="\n".join(lines).encode(), headers={"content-type": kind})
    assert [one.get("pointer") for one in answer.json()["results"]] == [None, "/1/user_id"]


# -- once --------------------------------------------------------------------------------------------------------------


async def test_a_repeat_is_a_duplicate_and_another_content_is_a_conflict(stage: EventStage) -> None:
    one = event()
    assert await stage.statuses(one) == ["accepted"]
    same = {**one, "properties": dict(reversed(one["properties"].items()))}
    assert await stage.statuses(same, event(), one | {"user_id": "x"}) == ["duplicate", "accepted", "conflict"]
    await stage.settle()
    assert (await stage.rows())[one["event_id"]][1] == one["user_id"]
    assert await stage.lying() == 2


async def test_of_uploads_at_the_same_time_one_is_accepted(stage: EventStage) -> None:
    events = [event() for _ in range(50)]
    told = await asyncio.gather(*(stage.statuses(*events) for _ in range(20)))
    for statuses in zip(*told, strict=True):
        assert Counter(statuses) == {"accepted": 1, "duplicate": 19}
    await stage.settle()
    assert len(await stage.rows()) == await stage.lying() == 50


@pytest.mark.parametrize("change", [{}, {"user_id": "x"}, {"occurred_at": moment(3)}, {"occurred_at": moment(100)}])
async def test_what_comes_again_after_weeks_is_stored_once_and_the_first_wins(
    stage: EventStage, redis_client: "Redis", change: dict[str, Any]
) -> None:
    """The window has forgotten it; also another month does not make it another event."""
    events = [event() for _ in range(20)]
    await stage.send(*events)
    await stage.settle()
    before = await stage.rows()
    await stage.forget(redis_client)
    assert await stage.statuses(*(one | change for one in events)) == ["accepted"] * 20
    await stage.settle()
    assert await stage.rows() == before
    assert await stage.lying() == 20


async def test_an_id_that_waits_twice_in_the_log_is_stored_once(stage: EventStage, redis_client: "Redis") -> None:
    """In one batch, in two, and in two partitions."""
    events = [event() for _ in range(40)]
    for days in range(6):
        await stage.forget(redis_client)
        await stage.send(*(one | {"occurred_at": moment(days * 20)} for one in events))
    async with stage.sink(records=1), stage.sink(records=1):
        await stage.drained()
    assert len(await stage.rows()) == await stage.lying() == 40


async def test_rows_that_got_in_all_the_same_count_once_at_every_moment(stage: EventStage) -> None:
    """Nobody writes past the gate; if somebody did, equal days would be one event, and the earliest would count."""
    one = str(uuid.uuid4())
    for number in (5, 3, 9):
        row = {
            "event_date": "2026-03-01",
            "occurred_at": "2026-03-01 10:00:00",
            "event_id": one,
            "user_id": f"u{number}",
        }
        more = {
            "event_type": "a",
            "properties": "{}",
            "received_at": f"2026-03-02 10:00:0{number}",
            "log_offset": number,
        }
        await stage.tables.insert(
            "events", json.dumps(row | more | {"log_partition": 0, "log_seq": 0}).encode(), f"t{number}"
        )
        assert len(await stage.rows()) == 1
    assert (await stage.rows())[one][1] == "u3"
    await stage.tables.execute("OPTIMIZE TABLE events FINAL")
    assert (await stage.rows())[one][1] == "u3"


# -- crashes and outages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "keys"), [*((point, {}) for point in POINTS[:2]), *((one, _KEY) for one in POINTS)])
async def test_what_a_worker_died_of_is_stored_once_when_it_comes_again_to_another(
    stage: EventStage, redis_client: "Redis", tmp_path: Path, point: str, keys: dict[str, str]
) -> None:
    """Whoever got no answer sends the same once more; whatever the worker had done by then, each event counts once."""
    events = [event(occurred_at=moment(number % 70)) for number in range(2500)]
    await stage.send(*events[:3])
    folder = tmp_path / "dying"
    folder.mkdir()
    settings = stage.settings
    environ = {"TALLYBOOK_CRASH": f"{point}=1"}
    async with tracking(folder, settings.redis_url or "", settings.database_url or "", environ) as dying:
        [worker] = dying.workers()
        with pytest.raises(httpx2.TransportError):
            await dying.http.post("/events", content=json.dumps(events), headers=keys | _JSON)
        await until(lambda: not is_alive(worker), "the death of the worker")
        assert f"crash_point {point}\n" in (folder / "log").read_text()
    if keys:  # the key is that of the attempt that died, until its time is over
        answer = await stage.send(*events, headers=keys)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (409, "conflict", "1")
        await _end_attempts(redis_client)
    answer = await stage.send(*events, headers=keys)
    assert answer.status_code == 202
    assert {one["status"] for one in answer.json()["results"]} == {"duplicate"}  # the first attempt has claimed them
    if keys:
        again = await stage.send(*events, headers=keys)
        assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    await stage.settle()
    assert {key: row[1] for key, row in (await stage.rows()).items()} == {
        one["event_id"]: one["user_id"] for one in events
    }
    assert await stage.lying() == len(events)


async def test_a_claim_that_was_never_confirmed_loses_nothing(stage: EventStage, redis_client: "Redis") -> None:
    """The worker died between the claim and the log; the repeat goes to the log, though its id is known."""
    one, other = event(), event()
    await stage.send(one)
    await _unconfirm(redis_client)
    logs = ["tallybook:{events.0}:log", "tallybook:{events.1}:log"]
    await redis_client.delete(*logs, "tallybook:{events.0}:book", "tallybook:{events.1}:book")
    assert await stage.statuses(one, other) == ["duplicate", "accepted"]
    there = [await redis_client.xlen(log) for log in logs]
    assert await stage.statuses(one) == ["duplicate"]  # and now it is stored, so this stays out of the log
    assert [await redis_client.xlen(log) for log in logs] == there
    await stage.settle()
    assert set(await stage.rows()) == {one["event_id"], other["event_id"]}


async def _unconfirm(redis: "Redis", back_s: int = 0) -> None:
    """As if the worker had died before it could say that the event is in the log, some seconds ago."""
    key = "tallybook:{events.ids.0}:now"
    found = await redis.hgetall(key)
    [(identity, value)] = [(field, value) for field, value in found.items() if len(field) == 16]
    await redis.hdel(key, value[12:])
    second = int.from_bytes(value[8:12], "little") - back_s
    await redis.hset(key, identity, value[:8] + second.to_bytes(4, "little") + value[12:])


async def test_another_content_takes_over_what_was_claimed_long_ago(stage: EventStage, redis_client: "Redis") -> None:
    one = event()
    await stage.send(one)
    await _unconfirm(redis_client, HOLD_S + 1)
    assert await stage.statuses(one | {"user_id": "x"}) == ["accepted"]
    await stage.settle()
    assert (await stage.rows())[one["event_id"]][1] == one["user_id"]  # which was in the log, after all


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_claim_is_confirmed_wherever_the_window_keeps_its_ids(redis_client: "Redis", shards: int) -> None:
    """Ids move to the former half of the window, before or after they are confirmed, and are forgotten with it."""
    window = EventWindow(Settings(shards=shards), redis_client)
    names = [os.urandom(24) for _ in range(2500)]
    claim = await window.claim(names)
    assert set(claim.verdicts) == {NEW}
    for is_confirmed in (False, True):
        for shard in range(shards):
            key = f"tallybook:{{events.ids.{shard}}}:"
            await redis_client.rename(key + "now", key + "former")
        if not is_confirmed:
            await window.confirm(claim)
            assert set((await window.claim(names)).verdicts) == {STORED}
            others = [name[:16] + bytes(8) for name in names]
            assert set((await window.claim(others)).verdicts) == {OTHER}
    assert set((await window.claim(names)).verdicts) == {NEW}


async def test_who_repeats_an_unconfirmed_claim_has_it_and_may_confirm_it(redis_client: "Redis") -> None:
    window, names = EventWindow(Settings(), redis_client), [os.urandom(24) for _ in range(10)]
    died = await window.claim(names[:6])
    claim = await window.claim(names)
    assert claim.verdicts == bytes([CLAIMED] * 6 + [NEW] * 4)
    await window.confirm(claim)
    assert set((await window.claim(names)).verdicts) == {STORED}
    await window.confirm(died)
    assert set((await window.claim(names)).verdicts) == {STORED}


async def test_while_redis_is_away_nothing_is_kept(
    tmp_path: Path,
    redis_client: "Redis",
    redis_url: str,
    database: str,
    clickhouse_settings: Settings,
    tables: ClickHouse,
) -> None:
    one = event()
    async with event_stage(tmp_path, redis_url, database, clickhouse_settings, tables, redis_timeout_s=0.5) as stage:
        await redis_client.execute_command("CLIENT", "PAUSE", "1500", "ALL")
        answer = await stage.send(one)
        assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
        assert answer.headers["retry-after"]
        await redis_client.ping()  # answered when the pause is over
        assert await stage.statuses(one) in (["accepted"], ["duplicate"])
        await stage.settle()
        assert set(await stage.rows()) == {one["event_id"]}


async def test_a_log_more_than_half_full_of_blocks_lets_stored_ones_go(redis_url: str, redis_client: "Redis") -> None:
    """The bound of blocks is another one than that of records, for whoever appends and for whoever trims."""
    async with chosen_log(Settings(redis_url=redis_url, log_records_max=40, log_partitions=1)) as log:
        for seq in (1, 2, 3):
            await log.append(TOPIC, 0, [(b"", b"")], producer="tests", seq=seq)
        with pytest.raises(LogFull):
            await log.append(TOPIC, 0, [(b"", b"")] * 2, producer="tests", seq=4)
        await log.trim(TOPIC, 0, await log.end(TOPIC, 0), 3600)
        left = (await log.stock(TOPIC, 0, BEGIN)).waiting
        assert left <= 2
        await log.append(TOPIC, 0, [(b"", b"")] * 2, producer="tests", seq=4)
        assert (await log.stock(TOPIC, 0, BEGIN)).waiting == left + 2


# -- uploads under a key -----------------------------------------------------------------------------------------------


async def test_under_a_key_the_first_answer_is_given_again_byte_for_byte(stage: EventStage) -> None:
    events, key = [event(), event(user_id="")], {"idempotency-key": "upload-1"}
    first = await stage.send(*events, headers=key)
    again = await stage.send(*events, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = await stage.send(event(), headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "invalid")
    await stage.settle()
    assert set(await stage.rows()) == {events[0]["event_id"]}


async def test_of_uploads_under_one_key_at_the_same_time_one_works(stage: EventStage) -> None:
    events, key = [event() for _ in range(2000)], {"idempotency-key": "upload-2"}
    answers = await asyncio.gather(*(stage.send(*events, headers=key) for _ in range(10)))
    assert {one.status_code for one in answers} <= {202, 409}
    taken = {one.content for one in answers if one.status_code == 202}
    assert len(taken) == 1
    assert json.loads(taken.pop())["accepted"] == 2000
    for one in answers:
        assert one.status_code == 202 or (one.json()["code"], one.headers["retry-after"]) == ("conflict", "1")


async def test_a_key_is_free_again_after_an_upload_that_was_refused(stage: EventStage) -> None:
    key = {"idempotency-key": "upload-3"}
    assert (await stage.send(content=b"{}", headers=key)).status_code == 400
    assert await stage.statuses(event(), headers=key) == ["accepted"]


async def test_a_key_of_an_attempt_that_died_is_taken_when_its_time_is_over(
    stage: EventStage, redis_client: "Redis"
) -> None:
    events, key = [event()], {"idempotency-key": "upload-4"}
    await stage.send(*events, headers=key)
    [(name, value)] = (await redis_client.hgetall(_UPLOADS)).items()
    await redis_client.hset(_UPLOADS, name, value[:24] + b"\xff" * 4)
    assert (await stage.send(*events, headers=key)).status_code == 409
    await _end_attempts(redis_client)
    assert await stage.statuses(*events, headers=key) == ["duplicate"]
    assert 2 * KEPT_S < await redis_client.ttl(_UPLOADS) <= 2 * KEPT_S + 60


async def _end_attempts(redis: "Redis") -> None:
    """As if the time were over for which attempts without an answer have their keys."""
    for name, value in (await redis.hgetall(_UPLOADS)).items():
        if len(value) == 28:
            await redis.hset(_UPLOADS, name, value[:24] + bytes(4))


async def _kept(redis: "Redis") -> int:
    """Bytes of what is kept of uploads."""
    halves = [await redis.hgetall(_UPLOADS), await redis.hgetall(_FORMER)]
    return sum(len(name) + len(value) for half in halves for name, value in half.items())


async def _upload(uploads: Uploads, number: int, answer: bytes) -> Attempt:
    """The attempt of an upload whose answer is kept now."""
    attempt = await uploads.begin(f"upload-{number}", b"body", "application/json")
    assert await uploads.finish(attempt, answer) == answer
    return attempt


async def test_of_too_many_answers_the_oldest_are_forgotten_and_the_latest_half_is_kept(redis_client: "Redis") -> None:
    """Redis has to have room for clicks, whoever uploads under however many keys."""
    uploads, most = Uploads(Settings(), redis_client, bytes_max=200_000), 0
    for number in range(200):
        await _upload(uploads, number, os.urandom(3000))
        most = max(most, await _kept(redis_client))
    assert 100_000 < most < 200_000
    latest = [await uploads.begin(f"upload-{number}", b"body", "application/json") for number in range(170, 200)]
    assert all(attempt.answer is not None and len(attempt.answer) == 3000 for attempt in latest)
    assert (await uploads.begin("upload-0", b"another body", "application/json")).answer is None


async def test_attempts_without_an_answer_are_bounded_too(redis_client: "Redis") -> None:
    uploads = Uploads(Settings(), redis_client, bytes_max=50_000)
    for number in range(600):
        await uploads.begin(f"upload-{number}", b"body", "application/json")
    assert await redis_client.hlen(_UPLOADS) + await redis_client.hlen(_FORMER) <= 50_000 // 128 + 2


async def test_an_answer_is_found_in_both_halves_of_what_is_kept(redis_client: "Redis") -> None:
    uploads = Uploads(Settings(), redis_client)
    began = await uploads.begin("upload-1", b"body", "application/json")
    await _upload(uploads, 2, b"two")
    await redis_client.rename(_UPLOADS, _FORMER)
    with pytest.raises(Conflict):
        await uploads.begin("upload-1", b"body", "application/json")
    assert (await uploads.begin("upload-2", b"body", "application/json")).answer == b"two"
    assert await uploads.finish(began, b"one") == b"one"
    assert (await uploads.begin("upload-1", b"body", "application/json")).answer == b"one"
    gone = await uploads.begin("upload-3", b"body", "application/json")
    await redis_client.rename(_UPLOADS, _FORMER)
    await uploads.abandon(gone)
    assert (await uploads.begin("upload-3", b"another body", "application/json")).answer is None


async def test_a_clock_that_goes_back_forgets_no_answer(redis_client: "Redis") -> None:
    """As after a failover to a Redis that is behind."""
    uploads = Uploads(Settings(), redis_client)
    await _upload(uploads, 1, b"one")
    await redis_client.rename(_UPLOADS, _FORMER)
    for number in (2, 3):
        await redis_client.hincrby(_UPLOADS.replace(":now", ":book"), "since", 100)
        await _upload(uploads, number, b"more")
    assert (await uploads.begin("upload-1", b"body", "application/json")).answer == b"one"


async def test_what_redis_did_without_an_answer_leaves_the_key_free(
    redis_client: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, run = Uploads(Settings(), redis_client), Uploads._run

    async def loses_the_answer(self: Uploads, *arguments: Any) -> None:
        monkeypatch.setattr(Uploads, "_run", run)
        await run(self, *arguments)
        raise ConnectionError

    monkeypatch.setattr(Uploads, "_run", loses_the_answer)
    with pytest.raises(RedisUnavailable):
        await uploads.begin("upload-1", b"body", "application/json")
    assert (await uploads.begin("upload-1", b"body", "application/json")).answer is None


async def test_who_was_forgotten_meanwhile_keeps_its_answer_and_who_was_overtaken_gives_that_of_the_other(
    redis_client: "Redis",
) -> None:
    uploads = Uploads(Settings(), redis_client)
    slow = await uploads.begin("upload-1", b"body", "application/json")
    await redis_client.delete(_UPLOADS)
    assert await uploads.finish(slow, b"one") == b"one"
    slow = await uploads.begin("upload-2", b"body", "application/json")
    await _end_attempts(redis_client)
    other = await uploads.begin("upload-2", b"body", "application/json")
    with pytest.raises(Conflict):
        await uploads.finish(slow, b"slow")
    assert await uploads.finish(other, b"other") == b"other"
    assert await uploads.finish(slow, b"slow") == b"other"
