"""Sessions of the dashboard, asked of the real service: what a cookie opens, how long, and what it never does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import jwt
import pytest
from redis.asyncio import Redis

from ingest.auth.api_keys import Keys
from ingest.auth.caller import Caller
from ingest.auth.sessions import SESSIONS_MOST, Sessions
from shared.api_keys import Key, new
from shared.errors import Unauthorized
from shared.settings import Settings
from shared.stores.postgres import create_pool
from tallybook.registries import api_keys
from tests.harness.subjects.tracking import Tracking, tracking
from tests.harness.wait import until

HTTP, HTTPS = "tallybook_session", "__Host-tallybook"
RANGE = {"tsFrom": "2026-03-01T00:00:00Z", "tsTo": "2026-03-02T00:00:00Z"}
HOUR = timedelta(hours=1)


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


@pytest.fixture
async def service(redis_client: "Redis", redis_url: str, database: str, tmp_path: Path) -> AsyncIterator[Tracking]:
    async with tracking(tmp_path, redis_url, database, keys="required", log_level="debug") as one:
        yield one


async def sign_in(one: Tracking, key: Key | str, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    text = key if isinstance(key, str) else key.text
    answer = await one.http.post("/session", headers={"authorization": f"Bearer {text}"} | (headers or {}), **more)
    one.http.cookies.clear()  # each test says itself what it sends
    return answer


def attributes(answer: httpx2.Response) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes of the cookie that an answer sets."""
    [header] = answer.headers.get_list("set-cookie")
    first, *rest = header.split("; ")
    name, _, value = first.partition("=")
    return name, value, dict(one.partition("=")[::2] for one in rest)


def cookie(answer: httpx2.Response) -> dict[str, str]:
    name, value, _ = attributes(answer)
    return {"cookie": f"other=1; {name}={value}"}


async def asked(one: Tracking, headers: dict[str, str], path: str = "/stats/42", method: str = "GET") -> int:
    params = RANGE if path == "/stats/42" else {}
    return (await one.http.request(method, path, params=params, headers=headers)).status_code


async def state(one: Tracking, headers: dict[str, str]) -> Any:
    return (await one.http.get("/session", headers=headers)).raise_for_status().json()


# -- signing in --------------------------------------------------------------------------------------------------------


async def test_a_key_signs_in_and_its_cookie_reads(service: Tracking, make: Callable[..., Any]) -> None:
    key = await make("stats:read", "events:write")
    answer = await sign_in(service, key)
    assert answer.status_code == 201
    said = answer.json()
    assert (said["state"], said["name"], said["scopes"]) == ("in", key.prefix, ["stats:read"])
    left = datetime.fromisoformat(said["expiresAt"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
    name, token, of = attributes(answer)
    assert (name, of.pop("Max-Age").isdigit(), of) == (HTTP, True, {"Path": "/", "HttpOnly": "", "SameSite": "Strict"})
    assert len(token) == 43
    assert await asked(service, cookie(answer)) == 200
    assert await asked(service, cookie(answer), method="HEAD") == 200
    assert await asked(service, cookie(answer), "/banners") == 200
    refused = await service.http.get("/accounting", headers=cookie(answer))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert 'scope="admin"' in refused.headers["www-authenticate"]
    found = await state(service, cookie(answer))
    limits = (await service.http.get("/limits")).json()
    within = found["service"].pop("limits")
    assert within.pop("now") <= limits.pop("now")
    assert within == limits | {"scopes": ["stats:read"]}
    assert found == said | {"service": {"minuteS": 60, "banners": "open", "clickhouse": False}}


async def test_a_browser_that_is_to_remember_stays_for_a_month(service: Tracking, make: Callable[..., Any]) -> None:
    answer = await sign_in(service, await make("admin"), json={"remember": True})
    left = datetime.fromisoformat(answer.json()["expiresAt"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert 30 * 86_400 - 60 < int(attributes(answer)[2]["Max-Age"]) <= 30 * 86_400
    assert await asked(service, cookie(answer), "/accounting") == 200


async def test_who_may_not_read_or_has_no_key_cannot_sign_in(service: Tracking, make: Callable[..., Any]) -> None:
    refused = await sign_in(service, await make("events:write", "hits:write"))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await sign_in(service, new())).status_code == 401
    none = await service.http.post("/session", json={"remember": True})
    assert (none.status_code, none.headers["www-authenticate"]) == (401, 'Bearer realm="tallybook"')
    key = await make("stats:read")
    signed = await sign_in(service, key)
    assert (await service.http.post("/session", headers=cookie(signed))).status_code == 401
    for body, status in ((b"{", 400), (b'{"remember":1}', 422), (b'{"forget":true}', 422), (b" " * 1025, 413)):
        assert (await sign_in(service, key, content=body)).status_code == status, body
    assert (await sign_in(service, key, params={"key": "x"})).status_code == 400
    assert "set-cookie" not in refused.headers


async def test_over_https_the_cookie_is_of_this_host_alone(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    secure = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
    async with tracking(tmp_path, redis_url, database, trusted_proxies="127.0.0.0/8") as one:
        answer = await sign_in(one, await make("stats:read"), secure)
        name, value, of = attributes(answer)
        assert (name, of.pop("Max-Age").isdigit()) == (HTTPS, True)
        assert of == {"Path": "/", "Secure": "", "HttpOnly": "", "SameSite": "Strict"}
        assert await asked(one, cookie(answer) | secure) == 200
        assert await asked(one, cookie(answer)) == 401
        assert await asked(one, {"cookie": f"{HTTP}={value}"} | secure) == 401


# -- what it never does ------------------------------------------------------------------------------------------------


async def test_o7_a_cookie_reads_for_pages_of_this_origin_and_does_nothing_else(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    every = "events:write,clicks:write,hits:write,stats:read,logs:read,admin"
    async with tracking(tmp_path, redis_url, database, keys="required", keys_for=every) as one:
        signed = cookie(await sign_in(one, await make("admin")))
        assert [await asked(one, signed, path) for path in ("/stats/42", "/accounting")] == [200, 200]
        for method, path in (
            *(("POST", "/stats/42"), ("POST", "/stats"), ("POST", "/events"), ("GET", "/events")),
            *(("GET", "/track"), ("POST", "/track"), ("GET", "/track.gif"), ("POST", "/session")),
        ):
            assert await asked(one, signed, path, method) == 401, (method, path)
        for site, status in (("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401), ("", 401)):
            assert await asked(one, signed | {"sec-fetch-site": site}) == status, site
        # What is said in the header counts, and nothing beside it.
        assert await asked(one, signed | {"authorization": "Bearer x"}) == 401
        assert await asked(one, signed | {"authorization": f"Bearer {(await make('hits:write')).text}"}) == 403
        other = await one.http.delete("/session", headers=signed | {"sec-fetch-site": "cross-site"})
        assert other.status_code == 204
        assert await asked(one, signed) == 200


async def test_a2_neither_key_nor_token_stands_in_a_log_or_in_postgres(
    service: Tracking, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> None:
    key = await make("stats:read")
    answer = await sign_in(service, key)
    _, token, _ = attributes(answer)
    assert key.secret not in answer.text + str(answer.headers)
    assert token not in answer.text
    await asked(service, cookie(answer))
    await state(service, cookie(answer))
    [row] = await connection.fetch("SELECT * FROM sessions")
    assert row["hash"] == sha256(token.encode()).digest()
    logged = (tmp_path / "log").read_bytes()
    assert b"/session" in logged
    for secret in (token, key.secret):
        assert secret.encode() not in logged
        assert secret not in str(dict(row))


async def test_what_is_no_session_opens_nothing(service: Tracking) -> None:
    for value in ("", "x", "A" * 43, "A" * 5000, "a=b", "A" * 42 + "%"):
        headers = {"cookie": f"{HTTP}={value}"}
        answer = await service.http.get("/stats/42", params=RANGE, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert await state(service, headers) == {"state": "out"}


# -- how it ends -------------------------------------------------------------------------------------------------------


async def test_a_sign_out_ends_the_session_for_every_worker(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    async with tracking(tmp_path, redis_url, database, keys="required", workers=2) as one:
        signed = cookie(await sign_in(one, await make("stats:read")))

        async def statuses() -> set[int]:
            found = set()
            for _ in range(8):  # to any of the workers
                async with httpx2.AsyncClient(base_url=one.http.base_url) as client:
                    found.add((await client.get("/stats/42", params=RANGE, headers=signed)).status_code)
            return found

        assert await statuses() == {200}
        answer = await one.http.delete("/session", headers=signed)
        assert (answer.status_code, attributes(answer)[1], attributes(answer)[2]["Max-Age"]) == (204, "", "0")

        async def is_over() -> bool:
            return await statuses() == {401}

        await until(is_over, "the session is over everywhere")
        assert await state(one, signed) == {"state": "out"}
        assert (await one.http.delete("/session")).status_code == 204


async def test_a_session_has_the_scopes_that_its_key_has_now_and_ends_with_it(
    service: Tracking, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    key, short = await make("stats:read"), await make("stats:read", expires_at=datetime.now(UTC) + HOUR)
    signed = cookie(await sign_in(service, key))
    ends = datetime.fromisoformat((await sign_in(service, short, json={"remember": True})).json()["expiresAt"])
    assert abs(ends - datetime.now(UTC) - HOUR) < timedelta(minutes=1)
    await connection.execute("UPDATE api_keys SET scopes = '{logs:read}' WHERE prefix = $1", key.prefix)

    async def is_narrow() -> bool:
        return await asked(service, signed) == 403

    await until(is_narrow, "the key has other scopes")
    assert (await state(service, signed))["scopes"] == ["logs:read"]
    assert await api_keys.revoke(connection, key.prefix)

    async def is_out() -> bool:
        return await state(service, signed) == {"state": "out"}

    await until(is_out, "the key is revoked")
    assert await asked(service, signed) == 401


async def test_l6_a_key_has_a_hundred_sessions_and_the_oldest_goes(
    database: str, make: Callable[..., Any], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    one, other = await make("stats:read"), await make("stats:read")
    async with create_pool(Settings(database_url=database)) as pool:
        keys = Keys(pool)
        sessions = Sessions(pool, keys)
        await keys.start()
        await sessions.start()
        try:
            callers = [Caller("key", key.prefix, frozenset({"stats:read"})) for key in (one, other)]
            begin = partial(sessions.begin, is_remembered=False)
            token, _ = await begin(callers[1])
            first, _ = await begin(callers[0])
            await asyncio.gather(*(begin(callers[0]) for _ in range(SESSIONS_MOST + 4)))
            count = "SELECT count(*) FROM sessions WHERE prefix = $1"
            assert await connection.fetchval(count, one.prefix) == SESSIONS_MOST
            assert (await sessions.caller(token)).subject == other.prefix
            with pytest.raises(Unauthorized):
                await sessions.caller(first)
            await connection.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
            await begin(callers[0])
            assert await connection.fetchval("SELECT count(*) FROM sessions") == 1
        finally:
            await sessions.stop()
            await keys.stop()


async def test_a_session_expires_by_itself(database: str, make: Callable[..., Any]) -> None:
    key, now = await make("stats:read"), [datetime.now(UTC)]
    async with create_pool(Settings(database_url=database)) as pool:
        keys = Keys(pool)
        sessions = Sessions(pool, keys, lambda: now[0])
        await keys.start()
        await sessions.start()
        try:
            caller = Caller("key", key.prefix, frozenset({"stats:read"}))
            token, expires_at = await sessions.begin(caller, is_remembered=False)
            now[0] = expires_at - timedelta(seconds=1)
            assert (await sessions.caller(token)).expires_at == expires_at
            now[0] = expires_at
            with pytest.raises(Unauthorized):
                await sessions.caller(token)
        finally:
            await sessions.stop()
            await keys.stop()


async def test_a_token_signs_in_with_its_scopes_and_until_it_ends(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    secret, now = "0123456789abcdef" * 2, int(time.time())
    claims = {"iss": "https://id.example", "aud": "tallybook", "sub": "ann", "iat": now, "exp": now + 600}
    more = {"jwt_algorithm": "HS256", "jwt_issuer": claims["iss"], "jwt_audience": "tallybook", "jwt_keys": secret}
    async with tracking(tmp_path, redis_url, database, keys="required", **more) as one:
        answer = await sign_in(one, jwt.encode(claims | {"scope": "stats:read events:write"}, secret))
        ends = f"{datetime.fromtimestamp(now + 600, UTC):%Y-%m-%dT%H:%M:%S}Z"
        assert answer.json() == {"state": "in", "name": "ann", "scopes": ["stats:read"], "expiresAt": ends}
        assert await asked(one, cookie(answer)) == 200
        assert await asked(one, cookie(answer), "/accounting") == 403


async def test_known_sessions_go_on_without_postgres_and_nobody_signs_in(
    service: Tracking, make: Callable[..., Any], database: str, postgres_url: str
) -> None:
    key = await make("stats:read")
    signed = cookie(await sign_in(service, key))
    assert (await state(service, signed))["state"] == "in"
    name = urlsplit(database).path.removeprefix("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        assert (await state(service, signed))["state"] == "in"
        for answer in (await sign_in(service, key), await service.http.delete("/session", headers=signed)):
            assert (answer.status_code, answer.json()["code"]) == (503, "postgres_unavailable")
            assert "set-cookie" not in answer.headers
        unknown = await service.http.get("/session", headers={"cookie": f"{HTTP}={'A' * 43}"})
        assert unknown.status_code == 503
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_a_session_counts_under_the_limit_of_its_key(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, make: Callable[..., Any]
) -> None:
    limits = {"key_rate_limit_per_s": 0.001, "key_rate_limit_burst": 4}
    async with tracking(tmp_path, redis_url, database, keys="required", **limits) as one:
        key = await make("stats:read")
        answer = await sign_in(one, key)
        assert answer.headers["ratelimit-remaining"] == "3"
        assert [await asked(one, cookie(answer)) for _ in range(3)] == [200] * 3
        assert await asked(one, cookie(answer)) == await asked(one, {"authorization": f"Bearer {key.text}"}) == 429


# -- where no key is needed --------------------------------------------------------------------------------------------


async def test_where_no_key_is_needed_there_is_nothing_to_sign_in_to(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, banners="registered") as one:
        answer = await one.http.post("/session")
        assert (answer.status_code, answer.json()) == (200, {"state": "open"})
        assert "set-cookie" not in answer.headers
        found = await state(one, {})
        assert (found["state"], found["service"]["banners"]) == ("open", "registered")
        assert "scopes" not in found["service"]["limits"]
        assert (await one.http.delete("/session")).status_code == 204


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_limits_say_what_a_client_may_send_and_what_its_key_is_good_for(
    service: Tracking, make: Callable[..., Any]
) -> None:
    before = datetime.now(UTC)
    open_ = (await service.http.get("/limits")).raise_for_status().json()
    assert before <= datetime.fromisoformat(open_.pop("now")) <= datetime.now(UTC)
    assert open_.pop("version")
    assert open_ == {
        "clicks": {"itemsMax": 10_000, "bytesMax": 1 << 20, "windowS": 600, "backdateMaxS": 86_400, "skewMaxS": 60},
        "events": {"itemsMax": 10_000, "bytesMax": 5 << 20, "propertiesBytesMax": 8192},
    }
    key = await make("stats:read", "events:write")
    named = await service.http.get("/limits", headers={"authorization": f"Bearer {key.text}"})
    assert named.json()["scopes"] == ["events:write", "stats:read"]
    wrong = await service.http.get("/limits", headers={"authorization": f"Bearer {new().text}"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthorized")
