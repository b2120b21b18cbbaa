"""API keys asked of the real service: what they open, what they do not, and what they cost Postgres."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx2
import jwt
import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from ingest.app import OPERATIONS
from ingest.auth import api_keys as module
from ingest.auth.api_keys import Keys
from shared.api_keys import Key, KeyScope, new, parsed
from shared.errors import Busy, PostgresUnavailable, Unauthorized
from shared.settings import Settings
from tallybook.cli import main
from tallybook.exits import Exit
from tallybook.registries import api_keys
from tests.harness.counted_pool import counted
from tests.harness.subjects.events import event
from tests.harness.subjects.tracking import Tracking, add_tracker, tracking
from tests.harness.wait import until

HOUR = timedelta(hours=1)
RANGE = {"tsFrom": "2026-03-01T00:00:00Z", "tsTo": "2026-03-02T00:00:00Z"}


@pytest.fixture
async def connection(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    one = await asyncpg.connect(database)
    yield one
    await one.close()


@pytest.fixture
def make(connection: "asyncpg.Connection[asyncpg.Record]") -> Callable[..., Any]:
    """Makes keys with these scopes."""

    async def made(*scopes: str, expires_at: datetime | None = None) -> Key:
        return await api_keys.create(connection, "of a test", scopes, expires_at)

    return made


def bearer(key: Key | str) -> dict[str, str]:
    return {"authorization": f"Bearer {key if isinstance(key, str) else key.text}"}


async def read(one: Tracking, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await one.http.get("/stats/42", params=RANGE, headers=headers)


def assert_refused(answer: httpx2.Response, status: int, challenge: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == {401: "unauthorized", 403: "forbidden"}[status]
    assert answer.headers["www-authenticate"] == f'Bearer realm="tallybook"{challenge}'


# -- routes ------------------------------------------------------------------------------------------------------------


async def test_a1_a_key_opens_what_it_has_scopes_for_and_nothing_else(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    async with tracking(tmp_path, redis_url, database, keys="required") as one:
        reader, writer, admin = await make("stats:read"), await make("events:write"), await make("admin")
        invalid = ', error="invalid_token"'
        assert_refused(await read(one), 401, "")
        assert_refused(await one.http.post("/events", content="[]"), 401, "")
        assert_refused(await one.http.get("/accounting"), 401, "")
        assert (await read(one, bearer(reader))).status_code == 200
        assert (await read(one, {"authorization": f"bearer   {reader.text}"})).status_code == 200
        assert (await one.http.head("/stats/42", params=RANGE, headers=bearer(reader))).status_code == 200
        assert (await one.http.post("/events", json=[], headers=bearer(writer))).status_code == 202
        for path, key, scope in [("/stats/42", writer, "stats:read"), ("/accounting", reader, "admin")]:
            answer = await one.http.get(path, params=RANGE, headers=bearer(key))
            assert_refused(answer, 403, f', error="insufficient_scope", scope="{scope}"')
        assert (await read(one, bearer(admin))).status_code == 200
        assert (await one.http.get("/accounting", headers=bearer(admin))).status_code == 200
        wrong = [
            Key(reader.prefix, new().secret).text,  # a prefix that there is
            new().text,  # one that there is not
            f"{reader.text}x",
            reader.secret,
            "x",
        ]
        for text in wrong:
            assert_refused(await read(one, bearer(text)), 401, invalid)
        assert_refused(await read(one, {"authorization": f"Basic {reader.text}"}), 401, invalid)
        twice = [("authorization", f"Bearer {reader.text}")] * 2
        assert_refused(await one.http.get("/stats/42", params=RANGE, headers=twice), 401, invalid)
        # A key in the address is none (and would be in logs of proxies).
        assert_refused(await one.http.get("/stats/42", params={**RANGE, "key": reader.text}), 401, "")


async def test_l3_who_has_no_key_takes_no_place_of_an_upload(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    key = await make("events:write")
    async with tracking(tmp_path, redis_url, database, keys="required", bodies_max=1) as one:
        slow = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(8)]
        for reader, writer in slow:
            writer.write(b"POST /events HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n1")
            assert b" 401 " in await reader.readline()  # which does not wait for the second byte
        for _ in range(4):
            assert (await one.http.post("/events", json=[], headers=bearer(key))).status_code == 202
        for _, writer in slow:
            writer.close()


async def test_each_key_names_uploads_of_its_own_and_a_click_is_one_whoever_repeats_it(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    scopes = "events:write,clicks:write"
    one_key, other_key = await make(*scopes.split(",")), await make(*scopes.split(","))
    name = {"idempotency-key": "2026-03-01/7"}
    async with tracking(tmp_path, redis_url, database, keys="required", keys_for=scopes) as service:

        async def upload(key: Key, *events: dict[str, Any]) -> httpx2.Response:
            return await service.http.post("/events", json=events, headers=bearer(key) | name)

        first, other = await upload(one_key, event()), await upload(other_key)
        assert (first.status_code, other.status_code) == (202, 202)
        assert (first.json()["accepted"], other.json()["accepted"]) == (1, 0)
        again = await upload(other_key)
        assert (again.content, again.headers["idempotent-replayed"]) == (other.content, "true")
        assert (await upload(one_key)).status_code == 422
        answers = [await service.http.post("/stats/42", headers=bearer(key) | name) for key in (one_key, other_key)]
        assert ["idempotent-replayed" in answer.headers for answer in answers] == [False, True]


async def test_browsers_count_without_a_key_and_documents_are_open(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    tracker = uuid4()
    await add_tracker(database, tracker, "x")
    async with tracking(tmp_path, redis_url, database, keys="required") as one:
        for method in ("GET", "POST"):
            assert (await one.track(tracker, method=method)).status_code == 204
        assert (await one.track(tracker, path="/track.gif")).status_code == 200
        assert (await one.http.post("/stats/42")).status_code == 204
        assert (await one.http.post("/stats", json=[{"bannerId": 42}])).status_code == 200
        for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
            assert (await one.http.get(path)).status_code == 200
        assert (await one.http.get("/health/ready")).json()["checks"]["keys"] == "ok"
        document = (await one.http.get("/openapi.json")).json()
        assert document["paths"]["/stats/{bannerId}"]["get"]["security"] == [{"key": ["stats:read"]}]
        assert document["paths"]["/stats/{bannerId}"]["post"]["security"] == [{}, {"key": ["clicks:write"]}]
        assert "security" not in document["paths"]["/health/live"]["get"]


async def test_clicks_and_hits_need_a_key_where_that_is_set(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    tracker, key = uuid4(), await make("clicks:write", "hits:write")
    await add_tracker(database, tracker, "x")
    scopes = "clicks:write,hits:write"
    async with tracking(tmp_path, redis_url, database, keys="required", keys_for=scopes) as one:
        for method, path in [("POST", "/stats/42"), ("POST", "/stats"), ("GET", "/track"), ("GET", "/track.gif")]:
            assert_refused(await one.http.request(method, path, params={"id": str(tracker)}), 401, "")
        assert await one.hits() == []
        assert (await one.http.post("/stats/42", headers=bearer(key))).status_code == 204
        assert (await one.track(tracker, headers=bearer(key))).status_code == 204
        assert len(await one.hits()) == 1
        answer = await read(one)  # reading is open here
        assert answer.status_code == 200


async def test_a5_every_route_with_a_scope_refuses_who_has_no_key(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    every = ",".join(get_args(KeyScope))
    asked = [(one.method, one.path.replace("{bannerId}", "42")) for one in OPERATIONS if one.scope]
    assert len(asked) >= 14
    async with tracking(tmp_path, redis_url, database, keys="required", keys_for=every) as one:
        for method, path in asked:
            assert_refused(await one.http.request(method, path), 401, "")
            if method == "GET":
                assert (await one.http.head(path)).status_code == 401


async def test_the_command_of_the_books_sends_a_key(
    redis_client: "Redis",
    redis_url: str,
    database: str,
    tmp_path: Path,
    make: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tracking(tmp_path, redis_url, database, keys="required") as one:
        monkeypatch.setenv("TALLYBOOK_PORT", str(one.port))
        monkeypatch.setenv("TALLYBOOK_DATA_DIR", str(tmp_path / "none"))
        (tmp_path / "one").write_text((await make("admin")).text + "\n")
        asked = ["accounting", "--key-file", str(tmp_path / "one")]
        books = await asyncio.to_thread(CliRunner().invoke, main, asked)
        assert json.loads(books.stdout)["difference"] == 0
        refused = await asyncio.to_thread(CliRunner().invoke, main, ["accounting"])
        assert refused.exit_code == Exit.FAILED
        assert "--key-file" in refused.stderr


async def test_on_loopback_nobody_needs_a_key(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database) as one:
        assert (await read(one)).status_code == 200
        assert (await one.http.post("/events", json=[])).status_code == 202
        assert "keys" not in (await one.http.get("/health/ready")).json()["checks"]


async def test_on_another_address_keys_are_needed_unless_they_are_switched_off(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, host="0.0.0.0") as one:
        assert_refused(await read(one), 401, "")
    async with tracking(tmp_path, redis_url, database, host="0.0.0.0", keys="off") as one:
        assert (await read(one)).status_code == 200


async def test_a_key_ends_when_it_expires_or_is_revoked_and_both_of_a_rotation_work(
    redis_client: "Redis",
    redis_url: str,
    database: str,
    tmp_path: Path,
    make: Callable[..., Any],
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    async with tracking(tmp_path, redis_url, database, keys="required") as one:
        old = await make("stats:read")
        assert (await read(one, bearer(old))).status_code == 200
        renewed = await make("stats:read", expires_at=datetime.now(UTC) + HOUR)
        over = await make("stats:read", expires_at=datetime.now(UTC) - HOUR)
        assert [(await read(one, bearer(key))).status_code for key in (old, renewed)] == [200, 200]
        refused = await read(one, bearer(over))
        assert_refused(refused, 401, ', error="invalid_token"')
        assert refused.json()["detail"] == "This key has expired."
        assert await api_keys.revoke(connection, old.prefix)

        async def is_refused() -> bool:
            return (await read(one, bearer(old))).status_code == 401

        await until(is_refused, "the key is revoked")
        assert (await read(one, bearer(old))).json()["detail"] == "This key was revoked."
        # Without the secret nobody learns even that.
        other = await read(one, bearer(Key(old.prefix, new().secret)))
        assert other.json()["detail"] == "This is not a key."
        assert (await read(one, bearer(renewed))).status_code == 200


async def test_a2_a_key_stands_in_no_log_no_error_and_no_metric(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    async with tracking(tmp_path, redis_url, database, keys="required", log_level="debug") as one:
        key = await make("stats:read")
        wrong = Key(key.prefix, new().secret)
        said = b""
        for headers in (bearer(key), bearer(wrong), bearer(key.text + "x"), {"authorization": key.text}):
            for path in ("/stats/42", "/accounting", "/events"):
                answer = await one.http.get(path, params=RANGE, headers=headers)
                said += answer.content + str(answer.headers).encode()
    logged = (tmp_path / "log").read_bytes()
    assert logged.count(b'"event":"request"') + logged.count(b'"event": "request"') >= 12
    for secret in (key.secret, wrong.secret):
        assert secret.encode() not in said + logged


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_a_key_has_a_limit_of_its_own_over_all_workers(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    limits = {"key_rate_limit_per_s": 0.001, "key_rate_limit_burst": 10}
    limits |= {"rate_limit_per_s": 0.001, "rate_limit_burst": 3}
    async with tracking(tmp_path, redis_url, database, keys="required", workers=2, **limits) as one:
        key, other = await make("stats:read", "events:write"), await make("stats:read")
        answers = []
        for _ in range(15):
            async with httpx2.AsyncClient(base_url=one.http.base_url) as client:  # to any of the workers
                answers.append(await client.get("/stats/42", params=RANGE, headers=bearer(key)))
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 5
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:10]] == [str(n) for n in range(9, -1, -1)]
        assert answers[0].headers["ratelimit-limit"] == "10"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].json()["code"] == "limited"
        assert (await read(one, bearer(other))).headers["ratelimit-remaining"] == "9"
        # Writes under a key are not counted against the address as well, and those without are.
        writer = await make("events:write")
        taken = [(await one.http.post("/events", json=[], headers=bearer(writer))).status_code for _ in range(6)]
        assert taken == [202] * 6
        assert [(await one.http.post("/stats/42")).status_code for _ in range(4)] == [204] * 3 + [429]
        # What a refused request says of the limit stands in errors of the handler too.
        bad = await one.http.post("/events", content="no", headers=bearer(writer))
        assert (bad.status_code, bad.headers["ratelimit-remaining"]) == (400, "3")


# -- tokens ------------------------------------------------------------------------------------------------------------


async def test_a_token_of_the_issuer_is_as_good_as_a_key(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    secret, now = "0123456789abcdef" * 2, int(time.time())
    (tmp_path / "secret").write_text(secret + "\n")
    claims = {"iss": "https://id.example", "aud": "tallybook", "sub": "a", "iat": now, "exp": now + 600}
    more = {"jwt_algorithm": "HS256", "jwt_issuer": claims["iss"], "jwt_audience": "tallybook"}
    more |= {"jwt_keys_file": str(tmp_path / "secret")}
    async with tracking(tmp_path, redis_url, database, keys="required", **more) as one:
        assert (await read(one, bearer(jwt.encode(claims | {"scope": "stats:read"}, secret)))).status_code == 200
        narrow = await read(one, bearer(jwt.encode(claims | {"scope": "events:write"}, secret)))
        assert_refused(narrow, 403, ', error="insufficient_scope", scope="stats:read"')
        forged = await read(one, bearer(jwt.encode(claims | {"scope": "admin"}, secret[::-1])))
        assert_refused(forged, 401, ', error="invalid_token"')
        assert (await read(one, bearer(await make("stats:read")))).status_code == 200


# -- what it costs Postgres --------------------------------------------------------------------------------------------


async def test_a_flood_of_unknown_keys_reaches_postgres_a_few_times(database: str) -> None:
    async with counted(Settings(database_url=database), Keys) as (keys, pool):
        flood = [new() for _ in range(2000)]
        answers = await asyncio.gather(*(keys.scopes(key) for key in flood * 3), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unauthorized}
        assert pool.look_ups <= 3  # a thousand in each, and the first may be alone
        answers = await asyncio.gather(*(keys.scopes(flood[-1]) for _ in range(1000)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unauthorized}
        assert pool.look_ups <= 3
        more = await asyncio.gather(*(keys.scopes(new()) for _ in range(10_500)), return_exceptions=True)
        assert [type(answer) for answer in more].count(Busy) == 500
        assert pool.writes == 0


async def test_a_wrong_secret_of_a_known_key_never_reaches_postgres(database: str, make: Callable[..., Any]) -> None:
    key = await make("stats:read")
    async with counted(Settings(database_url=database), Keys) as (keys, pool):
        before = pool.look_ups
        for _ in range(100):
            with pytest.raises(Unauthorized):
                await keys.scopes(Key(key.prefix, new().secret))
        assert pool.look_ups == before
        assert keys._used == {}


async def test_uses_are_written_together_and_seldom(
    database: str, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    made = [await make("stats:read") for _ in range(20)]
    unused = await make("stats:read")
    async with counted(Settings(database_url=database), Keys) as (keys, pool):
        version = await connection.fetchval("SELECT version FROM api_keys_version")
        for _ in range(50):
            for key in made:
                await keys.scopes(key)
        await keys.write_uses()
        assert pool.writes == 1
        rows = {row.prefix: row.last_used_at for row in await api_keys.listed(connection)}
        assert rows.pop(unused.prefix) is None
        assert all(used is not None and used > datetime.now(UTC) - HOUR for used in rows.values())
        # Used again within the minute: the row stays as it is, and workers have nothing to read anew.
        await keys.scopes(made[0])
        await keys.write_uses()
        assert {row.last_used_at for row in await api_keys.listed(connection)} == {*rows.values(), None}
        assert await connection.fetchval("SELECT version FROM api_keys_version") == version
        assert keys._used == {}


async def test_the_uses_of_a_worker_that_stops_are_written(
    database: str, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    key = await make("stats:read")
    async with counted(Settings(database_url=database), Keys) as (keys, _):
        await keys.scopes(key)
    [row] = await api_keys.listed(connection)
    assert row.last_used_at is not None


async def test_what_is_remembered_of_uses_is_bounded(
    database: str, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_USED_MAX", 3)
    made = [await make("stats:read") for _ in range(5)]
    async with counted(Settings(database_url=database), Keys) as (keys, _):
        for key in [*made, made[2]]:
            await keys.scopes(key)
        assert list(keys._used) == [made[3].prefix, made[4].prefix, made[2].prefix]


async def test_known_keys_go_on_without_postgres_and_their_uses_wait(
    database: str, postgres_url: str, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    key = await make("stats:read")
    await connection.close()
    name = urlsplit(database).path.removeprefix("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        async with counted(Settings(database_url=database), Keys) as (keys, _):
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await until(lambda: keys._is_failing, "Postgres is missed")
            assert await keys.scopes(key) == {"stats:read"}
            with pytest.raises(PostgresUnavailable):
                await keys.scopes(new())
            await keys.write_uses()
            assert list(keys._used) == [key.prefix]
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await until(lambda: not keys._is_failing, "Postgres is back")
            await keys.write_uses()
            assert keys._used == {}
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")

    def asked(*arguments: str) -> Result:
        result = CliRunner().invoke(main, ("keys", *arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return asked


def test_a_key_is_shown_once_and_only_its_hash_is_kept(run: Callable[..., Result], database: str) -> None:
    made = run("create", "warehouse", "--scope", "events:write", "--scope", "stats:read", "--expires", "90d")
    key = parsed(made.stdout.strip())
    assert key is not None
    [shown] = map(json.loads, run("list", "--json").stdout.splitlines())
    assert (shown["prefix"], shown["name"], shown["state"]) == (key.prefix, "warehouse", "active")
    assert shown["scopes"] == ["events:write", "stats:read"]
    left = datetime.fromisoformat(shown["expiresAt"]) - datetime.fromisoformat(shown["createdAt"])
    assert timedelta(days=89) < left < timedelta(days=91)
    until = f"{datetime.fromisoformat(shown['expiresAt']):%Y-%m-%dT%H:%MZ}"
    assert run("list").stdout == f"{key.prefix}\tactive\tevents:write,stats:read\t{until}\tnever\twarehouse\n"

    async def stored() -> str:
        connection = await asyncpg.connect(database)
        try:
            return str(await connection.fetch("SELECT * FROM api_keys"))
        finally:
            await connection.close()

    row = asyncio.run(stored())
    assert key.secret not in row
    assert repr(key.hash) in row


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "\x1b[2Ja", "a\u2028b", "a\u202eb", "\udc80", "", "ü" * 101])
def test_a_name_is_one_line_that_can_be_shown(run: Callable[..., Result], name: str) -> None:
    refused = run("create", name, "--scope", "admin")
    assert refused.exit_code == Exit.USAGE
    assert "a name " in refused.stderr
    assert run("list").stdout == ""


def test_a_name_of_former_times_breaks_no_list(run: Callable[..., Result], database: str) -> None:
    async def store() -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "INSERT INTO api_keys (prefix, hash, name, scopes) VALUES ('aaaaaaaaaaaa', $1, $2, '{admin}')",
            bytes(32),
            "a\tb\nc",
        )
        await connection.close()

    asyncio.run(store())
    assert run("list").stdout == "aaaaaaaaaaaa\tactive\tadmin\tnever\tnever\ta b c\n"


def test_a_key_is_revoked_by_its_prefix_and_stays_so(run: Callable[..., Result]) -> None:
    key = parsed(run("create", "x", "--scope", "admin").stdout.strip())
    assert key is not None
    assert run("revoke", key.prefix).stdout == f"{key.prefix}\n"
    [first] = map(json.loads, run("list", "--json").stdout.splitlines())
    assert run("revoke", key.text).stdout == f"{key.prefix}\n"
    [again] = map(json.loads, run("list", "--json").stdout.splitlines())
    assert first["state"] == "revoked"
    assert first == again


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("create", "x"), "--scope"),
        (("create", "x", "--scope", "root"), "root"),
        (("create", "", "--scope", "admin"), "a name has"),
        (("create", "x" * 201, "--scope", "admin"), "a name has"),
        (("create", "x", "--scope", "admin", "--expires", "soon"), "neither a span"),
        (("create", "x", "--scope", "admin", "--expires", "2099-01-01T00:00:00"), "no zone"),
        (("create", "x", "--scope", "admin", "--expires", "2020-01-01T00:00:00Z"), "is over"),
        (("revoke", "UPPER"), "a prefix has"),
        (("revoke", "aaaaaaaaaaaa"), "there is no key"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    run: Callable[..., Result], arguments: tuple[str, ...], what: str
) -> None:
    refused = run(*arguments)
    assert refused.exit_code == Exit.USAGE
    assert what in refused.stderr
    assert run("list").stdout == ""
