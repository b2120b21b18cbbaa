"""Views, leaves, events and links out, from `POST /c` to the table: each once, whatever is sent again, and nobody's
address anywhere."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from aggregator import salts
from aggregator.sink import web_items
from aggregator.sink.batch_policy import Policy
from aggregator.sink.configured_pipelines import WEB
from aggregator.sink.partition import Stores
from aggregator.sink.pipelines import Pipeline
from aggregator.sink.sink import Sink
from shared.record_log.accounting import account
from shared.record_log.cursors import Cursors
from shared.record_log.record_log import Batch, Position, Record
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from tests.harness.proxy import Proxy, to_url
from tests.harness.subjects.collecting import SITE, Pages, item, pages
from tests.harness.subjects.sinks import LEASE_S, Sinks
from tests.harness.wait import until

pytestmark = pytest.mark.usefixtures("quiet", "hurried")

URL = "https://shop.example/p/7?utm_source=news&q=secret#x"


class Stage(Sinks):
    """Pages that report, and the sink behind them."""

    def __init__(self, page: Pages, tables: ClickHouse) -> None:
        super().__init__(page.state["pool"])
        self.page, self.tables = page, tables

    def sink(self, pipeline: Pipeline = WEB) -> Sink:
        """One of a new process, which runs."""
        log, limit = self.page.state["log"], Policy("hybrid", 100, 0.05).limit(16 << 20)
        cursors = Cursors(self.pool, log.name, f"owner {len(self.sinks)} {uuid4()}", LEASE_S)
        return self.run(Sink(Stores(log, cursors, self.tables, limit), pipeline))

    async def stored(self, columns: str = "view, n, kind", rows: int | None = None) -> list[tuple[Any, ...]]:
        """The rows, once nothing is on its way and, if so many are said, they are there."""

        async def is_done() -> bool:
            taken = await account(self.page.state["log"], self.pool, WEB)
            found = (await self.tables.query("SELECT count() FROM web_items"))[0][0]
            return taken.in_flight == 0 and (rows is None or found >= rows)

        await until(is_done, "every record is somewhere")
        found = await self.tables.query(f"SELECT {columns} FROM web_items ORDER BY view, n")
        return [tuple(row) for row in found]


@pytest.fixture
async def one(
    tmp_path: Path, redis_client: "Redis", redis_url: str, database: str, clickhouse_settings: Settings
) -> AsyncIterator[Stage]:
    settings = msgspec.structs.replace(
        clickhouse_settings, data_dir=str(tmp_path), redis_url=redis_url, database_url=database, log_partitions=2
    )
    async with pages(settings) as page, clickhouse.connect(settings) as tables:
        await salts.renew_salts(page.state["pool"])
        await page.state["salts"]._refresh()
        stage = Stage(page, tables)
        yield stage
        await stage.close()


def view(n: int = 0, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return item("view", name, n, **{"u": URL, "r": "https://www.google.com/search?q=secret"} | fields)


# -- rows --------------------------------------------------------------------------------------------------------------


async def test_each_kind_is_a_row(one: Stage) -> None:
    name = str(uuid4())
    items = [
        view(0, name, t=1500),
        item("event", name, 1, e="signup", p='{"plan":"pro"}', u=URL),
        item("out", name, 2, u="https://other.example/a?b=c#d"),
        item("leave", name, 3, ms=90_000_000 - 10_000_000),
    ]
    before = time.time()
    answer = await one.page.send(items)
    assert (answer.status_code, answer.content) == (204, b"")
    one.sink()
    rows = await one.stored("kind, n, site, host, path, referrer, source, name, properties, target, engaged_ms, bot", 4)
    assert rows == [
        ("view", 0, SITE, "shop.example", "/p/7", "google.com", "news", "", "", "", 0, ""),
        ("event", 1, SITE, "shop.example", "/p/7", "", "", "signup", '{"plan":"pro"}', "", 0, ""),
        ("out", 2, SITE, "", "", "", "", "", "", "https://other.example/a", 0, ""),
        ("leave", 3, SITE, "", "", "", "", "", "", "", 1_800_000, ""),
    ]
    rows = await one.stored(
        "toUnixTimestamp64Milli(time), date = toDate(time), day = toDate(time), visitor, browser, os"
    )
    assert abs(rows[0][0] / 1000 - (before - 1.5)) < 5
    assert {row[1:3] for row in rows} == {(1, 1)}
    [visitor] = {row[3] for row in rows}
    assert visitor > 0
    assert {row[4:] for row in rows} == {("Firefox", "Linux")}


async def test_a_click_on_a_redirect_link_is_named(one: Stage) -> None:
    await one.page.send([view(u="https://shop.example/?tbid=42.abcdefghijklmnop&gclid=person")])
    one.sink()
    assert await one.stored("banner, click_id, ad", 1) == [(42, "42.abcdefghijklmnop", "gclid")]


async def test_machines_are_told_apart(one: Stage) -> None:
    name = str(uuid4())
    await one.page.send([view(0, name)], "?w=1")
    await one.page.send([view(1, name)], headers={"user-agent": "Googlebot/2.1"})
    await one.page.send([view(2, name)], headers={"user-agent": None})
    await one.page.send([view(3, name)])
    one.sink()
    assert await one.stored("n, bot", 4) == [(0, "webdriver"), (1, "agent"), (2, "no_agent"), (3, "")]


@pytest.mark.parametrize("header", [{"sec-gpc": "1"}, {}])
async def test_who_asks_not_to_be_known_is_counted_and_nobody(one: Stage, header: dict[str, str]) -> None:
    if not header:
        await one.page.add_site("quiet", "quiet.example", visitors="none")
        header = {"origin": "https://quiet.example"}
    await one.page.send([view()], headers=header)
    await one.page.send([view()])
    one.sink()
    assert sorted(row[0] > 0 for row in await one.stored("visitor", 2)) == [False, True]


async def test_without_a_salt_there_are_views_and_no_visitors(one: Stage) -> None:
    await one.pool.execute("DELETE FROM web_salts")
    await one.page.state["salts"]._refresh()
    await one.page.send([view()])
    one.sink()
    assert await one.stored("visitor, visitor_before", 1) == [(0, 0)]


async def test_an_address_that_is_none_is_named_and_the_others_are_stored(one: Stage) -> None:
    answer = await one.page.send([view(), view(u="https://[::1/"), item("out", u="https://?")])
    assert answer.status_code == 200
    assert [(fault["index"], fault["code"]) for fault in answer.json()["rejected"]] == [(1, "invalid"), (2, "invalid")]
    one.sink()
    assert len(await one.stored(rows=1)) == 1


async def test_visitors_behind_a_proxy_are_told_apart_by_the_word_of_a_trusted_one_alone(one: Stage) -> None:
    """Two addresses of IPv4 are two, two of one /64 one. A proxy that nobody trusts is one, whatever it says."""
    addresses = ("203.0.113.7", "203.0.113.8", "203.0.113.7", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    one.sink()
    for trusted, visitors in ((("127.0.0.1/32",), 4), ((), 1)):
        one.page.state["client"].__init__(trusted)
        await one.tables.execute("TRUNCATE TABLE web_items")
        for address in addresses:
            assert (await one.page.send([view()], headers={"x-forwarded-for": address})).status_code == 204
        found = {row[0] for row in await one.stored("visitor", len(addresses))}
        assert 0 not in found
        assert len(found) == visitors


# -- once --------------------------------------------------------------------------------------------------------------


async def test_what_is_sent_again_is_one_row_and_the_first_wins(one: Stage) -> None:
    name = str(uuid4())
    await one.page.send([view(0, name), view(1, name)])
    one.sink()
    await one.stored(rows=2)
    await one.page.send([view(0, name, u="https://shop.example/other"), view(1, name.upper()), view(2, name)])
    await one.page.send([view(0, name), view(0, name), view(2, name)])
    assert await one.stored("n, path", 3) == [(0, "/p/7"), (1, "/p/7"), (2, "/p/7")]


async def test_a_repeat_across_the_hour_is_found(one: Stage) -> None:
    """The age of a repeat is larger by the time that went by, give or take what the network took."""
    name, log = str(uuid4()), one.page.state["log"]
    key, hour = UUID(name).bytes, int(time.time()) // 3600 * 3600
    await log.prepare(WEB.topic)
    partition, rows = log.partition_of(key), []
    await one.page.send([view(0, name)])
    one.sink()
    [_] = await one.stored(rows=1)
    for number, second in enumerate((hour - 1, hour, hour + 3600, hour - 3601)):
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        [text] = await _records(log, 1)
        value = msgspec.json.encode(msgspec.json.decode(text) | {"time": f"{moment}.500", "n": 7 + number // 2})
        rows.append((moment, value))
    for seq, (_, value) in enumerate(rows, 1):
        await log.append(WEB.topic, partition, [(key, value)], producer="tests", seq=seq)
        await one.stored()  # a batch of its own
    # The first two lie on both sides of an hour. The last two are more than a neighbour apart: nobody repeats so late.
    assert [row[1] for row in await one.stored(rows=4)] == [0, 7, 8, 8]


async def _records(log: Any, number: int) -> list[bytes]:
    from shared.record_log.record_log import BEGIN, Limit

    found: list[bytes] = []
    for partition in range(log.partitions):
        batch = await log.reader(WEB.topic, partition, "tests").read(BEGIN, {}, Limit(wait_s=0))
        found += [record.value for record in batch.records]
    return found[:number]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_sent_and_dies_each_item_is_stored_once(one: Stage, seed: int) -> None:
    chance = random.Random(seed)
    names = [str(uuid4()) for _ in range(12)]
    sent = [view(n, name, t=chance.randrange(300_000)) for name in names for n in range(6)]
    requests = [chance.sample(sent, chance.randint(1, 12)) for _ in range(20)]
    requests += [[one] for one in sent]
    sink = one.sink()
    for request in requests:
        assert (await one.page.send(request)).status_code == 204
        if chance.random() < 0.15:
            await one.kill(sink)
            sink = one.sink()
    rows = await one.stored(rows=len(sent))
    assert sorted((str(name), n) for name, n, _ in rows) == sorted((one["v"], one["n"]) for one in sent)
    taken = await account(one.page.state["log"], one.pool, WEB)
    assert (taken.difference, taken.stored) == (0, len(sent))


async def test_no_look_for_repeats_is_caught(one: Stage) -> None:
    """The mutant: a table that takes what comes."""
    name = str(uuid4())
    one.sink(WEB._replace(repeats=None))
    await one.page.send([view(0, name)])
    await one.page.send([view(0, name)])
    assert len(await one.stored(rows=2)) == 2


async def test_a_batch_is_compared_with_what_lies_before_it_and_with_itself(one: Stage) -> None:
    def record(n: int, at: int, **fields: Any) -> Record:
        value = {
            "time": "2026-03-01 12:00:00.000",
            "site": SITE,
            "view": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
            "n": n,
        }
        return Record(Position(at), b"", msgspec.json.encode(value | fields))

    records = [record(1, 1), record(1, 2), record(2, 3), record(1, 4, site="blog"), record(1, 5, time="never")]
    records.append(Record(Position(6), b"", b"\xff"))
    batch = Batch(Position(1), Position(7), records, {})
    assert await web_items.repeats(one.tables, 0, batch) == {Position(2)}


# -- outages -----------------------------------------------------------------------------------------------------------


async def test_while_the_log_is_away_views_are_in_the_journal_and_stored_later(
    tmp_path: Path, redis_client: "Redis", redis_url: str, database: str, clickhouse_settings: Settings
) -> None:
    proxy = Proxy(to_url(redis_url), random.Random(1))
    await proxy.start(tmp_path / "redis.sock")
    settings = msgspec.structs.replace(
        clickhouse_settings,
        data_dir=str(tmp_path / "data"),
        redis_url=f"unix://{tmp_path}/redis.sock",
        database_url=database,
        log_partitions=2,
        redis_timeout_s=0.5,
    )
    async with pages(settings) as page, clickhouse.connect(settings) as tables:
        stage, name = Stage(page, tables), str(uuid4())
        assert (await page.send([view(0, name)])).status_code == 204
        await proxy.stop()
        answers = await asyncio.gather(*(page.send([view(n, name)]) for n in range(1, 6)))
        assert {answer.status_code for answer in answers} <= {204, 503}
        acked = {0} | {n for n, answer in enumerate(answers, 1) if answer.status_code == 204}
        assert len(acked) > 1
        mixed = await page.send([view(9, name), item("click", name, 8, b="42")])
        assert mixed.status_code == 503
        await proxy.start(tmp_path / "redis.sock")
        for n in range(6):
            await until_stored(page, [view(n, name)])
        stage.sink()
        assert [n for _, n, _ in await stage.stored(rows=6)] == list(range(6))
        await stage.close()
    await proxy.stop()


async def until_stored(page: Pages, items: list[dict[str, Any]]) -> None:
    """Send until there is a 204, as a page does."""

    async def is_taken() -> bool:
        return (await page.send(items)).status_code == 204

    await until(is_taken)


async def test_a_view_has_one_partition(one: Stage) -> None:
    names = [str(uuid4()) for _ in range(20)]
    for n in range(3):
        await asyncio.gather(*(one.page.send([view(n, name)]) for name in names))
    one.sink()
    await one.stored(rows=60)
    rows = await one.tables.query("SELECT view, uniqExact(log_partition) FROM web_items GROUP BY view")
    assert {number for _, number in rows} == {1}


# -- salts -------------------------------------------------------------------------------------------------------------


async def test_salts_are_made_ahead_once_and_go_when_their_day_is_over(database: str) -> None:
    async with create_pool(Settings(database_url=database)) as pool:

        async def there() -> dict[int, bytes]:
            rows = await pool.fetch("SELECT day - (now() AT TIME ZONE 'UTC')::date AS ahead, salt FROM web_salts")
            return {row["ahead"]: row["salt"] for row in rows}

        [yesterday] = (await there()).values()
        await asyncio.gather(*(salts.renew_salts(pool) for _ in range(4)))
        made = await there()
        kept = {-1} if -1 in made else set()  # it goes at 13:00 of the next day
        assert set(made) == {0, 1, 2} | kept
        assert len({*made.values(), yesterday}) == 3 + 1
        await salts.renew_salts(pool)
        assert await there() == made
        await pool.execute("UPDATE web_salts SET day = day - 3")
        await salts.renew_salts(pool)
        again = await there()
        assert min(again) >= -1
        assert set(again.values()).isdisjoint({made[0]})
        assert {0, 1, 2} <= set(again)


async def test_workers_follow_the_salts(one: Stage) -> None:
    known = one.page.state["salts"]
    day = await one.pool.fetchval("SELECT max(day) FROM web_salts")
    assert known.known(day) == await one.pool.fetchval("SELECT salt FROM web_salts WHERE day = $1", day)
    await one.pool.execute("DELETE FROM web_salts WHERE day = $1", day)
    await until(lambda: known.known(day) is None)


# -- privacy -----------------------------------------------------------------------------------------------------------


async def test_a_marked_address_and_a_marked_agent_are_nowhere(
    one: Stage, tmp_path: Path, redis_client: "Redis", capsys: pytest.CaptureFixture[str]
) -> None:
    mark, address = "Zq7MarkedAgent", "203.0.113.77"
    agent = f"Mozilla/5.0 (X11; Linux x86_64; {mark}) Gecko/20100101 Firefox/140.0"
    one.page.state["client"].__init__(("127.0.0.1/32",))
    headers = {"user-agent": agent, "x-forwarded-for": address, "cookie": f"a={mark}"}
    name = str(uuid4())
    items = [view(0, name), item("event", name, 1, e="a", u=URL), item("out", name, 2, u=URL)]
    items += [item("leave", name, 3, ms=5), item("click", name, 4, b="42")]
    assert (await one.page.send(items, headers=headers)).status_code == 204
    one.sink()
    rows = await one.stored("*", 4)
    dump = [repr(rows)]
    async for key in redis_client.scan_iter("*"):
        dump.append(repr((key, await redis_client.dump(key))))
    for table in [
        row["tablename"] for row in await one.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]:
        dump += [repr(tuple(row)) for row in await one.pool.fetch(f'SELECT * FROM "{table}"')]
    dump += files(tmp_path)
    dump.append(repr(capsys.readouterr()))
    for secret in (mark, address, "secret", "203.0.113"):
        assert not any(re.search(re.escape(secret), text) for text in dump), secret
    assert any(name in text for text in dump)  # it was looked for where the items are


def files(folder: Path) -> list[str]:
    """What lies in every file of a folder, as text."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
