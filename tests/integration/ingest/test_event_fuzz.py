"""Whatever is sent to `POST /events` is answered as documented, and what is stored can be read back as it was sent."""

import asyncio
import codecs
import gzip
import json
import uuid
from collections import Counter
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.harness.subjects.events import EventStage, event, moment

CODES = {"invalid", "malformed", "too_old", "in_future", "too_deep", "too_many", "too_large"}
#: A failure is told as it came: shrinking it over HTTP would take minutes.
_WITHOUT_SHRINKING = (Phase.explicit, Phase.generate)
#: Statuses of a refusal.
REFUSALS = {400, 413, 415, 422}


# -- bodies ------------------------------------------------------------------------------------------------------------

#: Values that are JSON, or look like it.
HOSTILE = [
    b'"\\ud800"',
    b'"\\udfff\\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b'"a\\u0000b\\n\\r\\t\\u2028"',
    b'"\x00"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\xf4\x90\x80\x80"',
    '"\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH JOINER}\N{BYTE ORDER MARK}"'.encode(),
    b'"\\x41"',
    b'"',
    b'""',
    b"''",
    b"1e999",
    b"-1e400",
    b"1e-400",
    b"5e-324",
    b"1.7976931348623157e308",
    b"-0",
    b"-0.0",
    b"9007199254740993",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"1" * 400,
    b"0" * 50,
    b"0x10",
    b"1_000",
    b"1.",
    b".5",
    b"+1",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"tru",
    b"{}",
    b"[]",
    b"[" * 2000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"a":1,"a":2}',
    b'{"":"","\\u0061":1,"a":{"a":[[]]}}',
    b'{"a.b":1,"a":{"b":2},"\\"\\\\":"\'"}',
    b'{"\\u0000":"\\u0000","\\ud800":1}',
    b'{"a":1e308,"b":-1e308,"c":123456789012345678901234567890}',
    b'"' + b"x" * 9000 + b'"',
    b'{"k":"' + b"\\u0001" * 3000 + b'"}',
    b'"9999-12-31T23:59:59.999Z"',
    b'"0001-01-01T00:00:00+23:59"',
    b'"2026-02-30T00:00:00Z"',
    b'"1E400"',
    b"1772366400",
]
NAMES = ("event_id", "occurred_at", "user_id", "event_type", "properties")
#: Few, so that the same one comes with the same content and with another.
IDS = [str(uuid.UUID(int=number, version=4)) for number in range(12)]
MOMENT = moment(2)


def good(name: str) -> st.SearchStrategy[bytes]:
    """A value that the member may have."""
    values: dict[str, st.SearchStrategy[Any]] = {
        "event_id": st.sampled_from(IDS) | st.uuids(version=4).map(str),
        "occurred_at": st.just(MOMENT),
        "user_id": st.text(st.characters(codec="utf-8"), min_size=1, max_size=128),
        "event_type": st.sampled_from(["view", "a.b:c-d_e", "x" * 64]),
        "properties": st.dictionaries(
            st.text(st.characters(codec="utf-8"), max_size=5),
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            max_size=4,
        ),
    }
    return values[name].map(lambda value: json.dumps(value).encode())


@st.composite
def items(draw: st.DrawFn) -> bytes:
    """An event: members may be missing, be there twice, or be something else."""
    odd = draw(st.sampled_from([*[()] * 3, *[(name,) for name in NAMES], NAMES]))
    members = [(name, draw(st.sampled_from(HOSTILE) if name in odd else good(name))) for name in NAMES]
    if "properties" not in odd and draw(st.booleans()):
        members[-1] = ("properties", b'{"p":' + draw(st.sampled_from(HOSTILE)) + b"}")
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from((*NAMES, "more", "")))
        members.append((name, draw(st.sampled_from(HOSTILE) | (good(name) if name in NAMES else st.just(b"1")))))
    if draw(st.integers(0, 9)) == 0:
        members.pop(draw(st.integers(0, len(members) - 1)))
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members) + b"}"


def good_items() -> st.SearchStrategy[bytes]:
    """A good event."""
    members = {name: good(name).map(msgspec.Raw) for name in NAMES}
    return st.fixed_dictionaries(members).map(msgspec.json.encode)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body with its headers."""
    are_lines = draw(st.booleans())
    odd = st.lists(st.one_of(items(), items(), items(), st.sampled_from(HOSTILE)), max_size=6)
    parts = draw(odd | odd | st.lists(good_items(), min_size=1, max_size=6))
    body = b"\n".join(parts) if are_lines else b"[" + b",".join(parts) + b"]"
    body = draw(st.sampled_from([body, body, body, draw(mutated(body)), draw(st.binary(max_size=200))]))
    headers = {"content-type": "application/x-ndjson" if are_lines else "application/json"}
    if draw(st.booleans()):
        packed = gzip.compress(body, 1)
        body = draw(st.sampled_from([packed, packed, draw(mutated(packed)), packed * 2, packed + b"x"]))
        headers["content-encoding"] = "gzip"
    return body, headers


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Some bytes changed, put in or taken away, or all behind one cut off."""
    changed = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        change = draw(st.sampled_from(("set", "insert", "remove", "cut")))
        if change == "cut":
            del changed[at:]
        elif change == "remove":
            del changed[at : at + draw(st.integers(1, 5))]
        elif change == "insert":
            changed[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif at < len(changed):
            changed[at] = draw(st.integers(0, 255))
    return bytes(changed)


def packed(plain: bytes) -> tuple[bytes, dict[str, str]]:
    """A body with gzip."""
    return gzip.compress(plain, 1), {"content-encoding": "gzip"}


BOMB = packed(b"[" + b" " * 60_000_000 + b"]")


# -- the judge ---------------------------------------------------------------------------------------------------------


class Judge:
    """Sends bodies, looks at each answer, and notes what is stored since."""

    def __init__(self, port: int) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.statuses = Counter[object]()
        #: Users and properties of stored events by id, as Python's own reader understands what was sent.
        self.said: dict[str, list[tuple[str, Any]]] = {}
        self.stored: set[str] = set()

    def send(self, body: bytes, headers: dict[str, str]) -> None:
        """One upload."""
        answer = self.http.post("/events", content=body, headers=headers)
        self.statuses[answer.status_code] += 1
        if answer.status_code != 202:
            assert answer.status_code in REFUSALS, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            return
        told = answer.json()
        counts = Counter(one["status"] for one in told["results"])
        self.statuses.update(counts)
        assert {name: told[name] for name in ("accepted", "duplicate", "conflict", "rejected")} == {
            name: counts[name] for name in ("accepted", "duplicate", "conflict", "rejected")
        }
        sent = _items(body, headers)
        assert len(sent) == len(told["results"])
        for place, one in enumerate(told["results"]):
            if one["status"] == "rejected":
                assert one["code"] in CODES, one
                assert one["pointer"].startswith(f"/{place}"), one
                assert 0 < len(one["detail"]) <= 200
                continue
            assert one.keys() == {"status"}
            item = sent[place]
            identity = str(uuid.UUID(item["event_id"]))
            self.stored.add(identity)
            said = (item["user_id"], _kept(item.get("properties", {})))
            self.said.setdefault(identity, []).append(said)


def _kept(value: Any) -> Any:
    """A value as the table keeps it: integers beyond 64 bits are texts of their digits."""
    if isinstance(value, dict):
        return {name: _kept(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_kept(one) for one in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _items(body: bytes, headers: dict[str, str]) -> list[Any]:
    """The items of a body that was taken."""
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    body = body.removeprefix(codecs.BOM_UTF8)
    texts = [line for line in body.split(b"\n") if line.strip()]
    if headers.get("content-type") == "application/x-ndjson":
        return [_read(text) for text in texts]
    return [_read(item) for item in _apart(body)]


def _apart(array: bytes) -> list[bytes]:
    """The items of an array, by its own commas: byte by byte, so in another way than the service's."""
    items, depth, is_text, is_escaped = [bytearray()], 0, False, False
    for byte in array.strip()[1:-1]:
        if byte == ord(",") and not is_text and depth == 0:
            items.append(bytearray())
            continue
        items[-1].append(byte)
        if is_text:
            is_text, is_escaped = byte != ord('"') or is_escaped, byte == ord("\\") and not is_escaped
        elif byte == ord('"'):
            is_text = True
        else:
            depth += (byte in b"[{") - (byte in b"]}")
    return [bytes(item) for item in items if item.strip()]


def _read(text: bytes) -> Any:
    """An item; None if it is none for Python, as one that was rejected may be."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


@pytest.mark.timeout(300)
async def test_nothing_breaks_the_reader_and_whatever_is_stored_can_be_read(stage: EventStage) -> None:
    judge = Judge(stage.service.port)

    @settings(
        max_examples=400,
        deadline=None,
        database=None,
        phases=_WITHOUT_SHRINKING,
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies())
    @example(BOMB)
    @example(packed(b"[" + b"1," * 10_001 + b"1]"))
    @example((b"[" * 5_000_000, {}))
    @example((b'[{"a":' * 500_000, {}))
    @example((b"[" + b"[]," * 9999 + b"[]]", {}))
    @example((b"\xef\xbb\xbf[]", {}))
    def fuzz(sent: tuple[bytes, dict[str, str]]) -> None:
        judge.send(*sent)

    with judge.http:
        await asyncio.to_thread(fuzz)
    assert judge.statuses[413] >= 1
    assert min(judge.statuses[name] for name in (202, 400, "accepted", "duplicate", "conflict", "rejected")) > 5, (
        judge.statuses
    )
    await check(stage, judge)


@pytest.mark.timeout(120)
async def test_each_hostile_value_in_each_place_is_taken_or_rejected_alone(stage: EventStage) -> None:
    """Its neighbours are taken whatever it is, if the body is an array at all."""
    judge = Judge(stage.service.port)
    kind = {"content-type": "application/x-ndjson"}
    with judge.http:
        for value in HOSTILE:
            for name in (*NAMES, "properties.p"):
                members = {key: json.dumps(one).encode() for key, one in event().items()}
                members[name.partition(".")[0]] = b'{"p":%b}' % value if "." in name else value
                odd = b"{" + b",".join(b'"%b":%b' % (key.encode(), one) for key, one in members.items()) + b"}"
                left, right = event(), event()
                before = Counter(judge.statuses)
                lines = (json.dumps(left).encode(), odd, json.dumps(right).encode())
                await asyncio.to_thread(judge.send, b"\n".join(lines), kind)
                assert judge.statuses - before in (
                    Counter({202: 1, "accepted": 3}),
                    Counter({202: 1, "accepted": 2, "rejected": 1}),
                )
    assert judge.statuses["rejected"] > len(HOSTILE)
    await check(stage, judge)


@pytest.mark.timeout(120)
async def test_each_hostile_value_is_taken_or_rejected_alone_in_an_array(stage: EventStage) -> None:
    """As far as anybody can say where its event ends."""
    judge = Judge(stage.service.port)
    endless = [value for value in HOSTILE if value in (b'"', b"[" * 2000)]
    assert len(endless) == 2
    with judge.http:
        for value in [*HOSTILE, b"[" * 100_000 + b"]" * 100_000]:
            odd = json.dumps(event(properties={"p": "HERE"})).encode().replace(b'"HERE"', value)
            before = Counter(judge.statuses)
            items = (json.dumps(event()).encode(), odd, json.dumps(event()).encode())
            await asyncio.to_thread(judge.send, b"[" + b",".join(items) + b"]", {"content-type": "application/json"})
            assert judge.statuses - before in (
                [Counter({400: 1})]
                if value in endless
                else [Counter({202: 1, "accepted": 3}), Counter({202: 1, "accepted": 2, "rejected": 1})]
            ), value
    await check(stage, judge)


async def check(stage: EventStage, judge: Judge) -> None:
    """What was taken, and nothing else, is in the table, is JSON there, and says what was sent."""
    await stage.settle()
    rows = await stage.rows()
    assert rows.keys() == judge.stored
    for identity, (_, user, _, properties) in rows.items():
        assert (user, json.loads(properties)) in judge.said[identity], identity
    [(broken,)] = await stage.tables.query("SELECT countIf(NOT isValidJSON(properties)) FROM events")
    assert broken == 0
    answer = await stage.service.http.get("/stats/top-events", params={"from": MOMENT[:10], "to": MOMENT[:10]})
    assert answer.status_code == 200
    assert not stage.service.events("request_failed")
    assert not await stage.pool.fetchval("SELECT count(*) FROM processing_errors")
