"""Views, visitors and visits, compared with what a program makes of the same rows one by one."""

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from ingest.statistics.ranges import midnight
from ingest.statistics.web.statistics import BY
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from tests.harness.subjects.collecting import Pages, pages

pytestmark = pytest.mark.every_engine

GAP_MS, EARLY_MS, DAY = 1_800_000, 1_800_000, timedelta(days=1)
SOURCES, PATHS = ["", "news", "google.com"], ["/", "/a", "/b"]


class Row(NamedTuple):
    """A row of the table, as far as visits look at it."""

    day: date
    ms: int
    kind: str
    person: int
    path: str
    source: str
    engaged: int
    bot: str
    number: int

    @property
    def visitor(self) -> int:
        return 0 if not self.person else number_of(self.person, self.day)


def number_of(person: int, day: date) -> int:
    """The visitor that a person is on a day."""
    return person * 1_000_000 + day.toordinal()


class Service:
    """The service with one site in some zone, and its table."""

    def __init__(self, page: Pages, tables: ClickHouse) -> None:
        self._page, self._tables = page, tables

    async def fill(self, rows: list[Row], zone: str) -> None:
        await self._tables.execute("TRUNCATE TABLE web_items")
        lines = []
        for row in rows:
            moment = datetime.fromtimestamp(row.ms / 1000, UTC)
            is_early = row.ms - midnight(row.day, ZoneInfo(zone)) * 1000 < EARLY_MS
            lines.append(
                {
                    "date": f"{moment:%Y-%m-%d}",
                    "day": str(row.day),
                    "time": f"{moment:%Y-%m-%d %H:%M:%S}.{row.ms % 1000:03}",
                    "site": "shop",
                    "kind": row.kind,
                    "view": str(UUID(int=row.number + 1)),
                    "n": 0,
                    "visitor": row.visitor,
                    "visitor_before": number_of(row.person, row.day - DAY) if row.person and is_early else 0,
                    "bot": row.bot,
                    "path": row.path if row.kind == "view" else "",
                    "source": row.source,
                    "name": "signup" if row.kind == "event" else "",
                    "engaged_ms": row.engaged,
                }
            )
        body = "\n".join(map(json.dumps, lines)).encode()
        await self._tables.insert("web_items", body, f"token {random.random()}")
        await self._page.state["pool"].execute("UPDATE sites SET timezone = $1 WHERE site = 'shop'", zone)
        await self._page.state["sites"]._refresh()

    async def answer(self, **values: Any) -> Any:
        return await self._page.ask("GET", "/stats/web", params={"site": "shop"} | values, headers={"origin": None})

    async def ask(self, **values: Any) -> Any:
        answer = await self.answer(**values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def status(self, **values: Any) -> tuple[int, str]:
        answer = await self._page.ask("GET", "/stats/web", params=values, headers={"origin": None})
        return answer.status_code, answer.json()["code"]

    async def file(self, media: str, **values: Any) -> str:
        headers = {"origin": None, "accept": media}
        answer = await self._page.ask("GET", "/stats/web", params={"site": "shop"} | values, headers=headers)
        assert answer.status_code == 200
        return answer.text


@pytest.fixture(scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, module_database: str, module_clickhouse: Settings
) -> AsyncIterator[Service]:
    settings = Settings(
        data_dir=str(tmp_path_factory.mktemp("web")),
        keys="off",
        redis_url=redis_url,
        database_url=module_database,
        clickhouse_url=module_clickhouse.clickhouse_url,
    )
    async with pages(settings) as page, clickhouse.connect(settings) as tables:
        yield Service(page, tables)


# -- one by one --------------------------------------------------------------------------------------------------------


class Visit(NamedTuple):
    """A visit, by its rows in the order of time."""

    rows: list[Row]

    @property
    def views(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "view"]

    @property
    def is_bounce(self) -> bool:
        return len(self.views) == 1 and not any(row.kind in ("event", "out") for row in self.rows)


def chains(rows: list[Row]) -> list[list[Row]]:
    """The chains of one visitor."""
    found: list[list[Row]] = []
    for row in sorted(rows, key=lambda one: one.ms):
        if not found or row.ms - row.engaged - found[-1][-1].ms > GAP_MS:
            found.append([])
        found[-1].append(row)
    return found


def visits_of(rows: list[Row], zone: str) -> list[Visit]:
    """All visits that there are."""
    by_day: dict[tuple[int, bool, date], list[Row]] = defaultdict(list)
    for row in rows:
        if row.person:
            by_day[row.person, bool(row.bot), row.day].append(row)
    made = {key: chains(own) for key, own in by_day.items()}

    def crosses(person: int, is_bot: bool, day: date) -> bool:
        """Whether the first chain of the day could go on from the day before."""
        own, before = made.get((person, is_bot, day)), made.get((person, is_bot, day - DAY))
        if not own or not before:
            return False
        first, is_early = own[0][0], own[0][0].ms - midnight(day, ZoneInfo(zone)) * 1000 < EARLY_MS
        return is_early and first.ms - first.engaged - before[-1][-1].ms <= GAP_MS

    found = []
    for (person, is_bot, day), own in made.items():
        for index, chain in enumerate(own):
            if index == 0 and crosses(person, is_bot, day) and not _is_whole(made, crosses, person, is_bot, day - DAY):
                continue
            whole = list(chain)
            is_first = index == 0 and crosses(person, is_bot, day)
            if index == len(own) - 1 and not is_first and crosses(person, is_bot, day + DAY):
                whole += made[person, is_bot, day + DAY][0]
            found.append(Visit(whole))
    return [visit for visit in found if visit.views]


def _is_whole(made: Any, crosses: Any, person: int, is_bot: bool, day: date) -> bool:
    """Whether the last chain of a day has come over a midnight itself: then nothing is added to it."""
    return len(made[person, is_bot, day]) == 1 and bool(crosses(person, is_bot, day))


def numbers(rows: list[Row], visits: list[Visit]) -> dict[str, Any]:
    """What the answer should say of these rows and visits."""
    views = [row for row in rows if row.kind == "view"]
    count = len(visits)
    return {
        "views": len(views),
        "visits": count,
        "bounceRate": round(sum(one.is_bounce for one in visits) / count, 6) if count else None,
        "duration": round(sum(one.rows[-1].ms - one.rows[0].ms for one in visits) / count / 1000, 3) if count else None,
        "engaged": round(sum(row.engaged for one in visits for row in one.rows) / count / 1000, 3) if count else None,
        "visitorDays": len({row.visitor for row in rows if row.person}),
        "unattributed": sum(not row.person for row in views),
    }


def history(chance: random.Random, zone: str, first: date, days: int) -> list[Row]:
    """Rows of some people, many of them around midnight."""
    info, rows = ZoneInfo(zone), list[Row]()
    begins = [midnight(first + DAY * number, info) * 1000 for number in range(days + 1)]
    times = set[int]()
    for person in (0, 1, 2, 3, 4):
        for begin in begins[:-1]:
            at = begin + chance.choice([0, 0, chance.randrange(80_000_000), 84_000_000]) + chance.randrange(2_000_000)
            for _ in range(chance.choice([0, 1, 2, 5, 60])):
                at += chance.choice([1_000, 60_000, 1_200_000, 1_700_000, 1_799_999, 1_800_001, 1_900_000, 9_000_000])
                while at in times:
                    at += 1
                if not begins[0] <= at < begins[-1]:
                    break
                times.add(at)
                day = datetime.fromtimestamp(at / 1000, UTC).astimezone(info).date()
                kind = chance.choice(["view", "view", "leave", "event", "out"])
                engaged = chance.choice([1, 60_000, 1_800_000]) if kind == "leave" else 0
                bot = "agent" if person == 4 else ""
                source = chance.choice(SOURCES) if kind == "view" else ""
                rows.append(Row(day, at, kind, person, chance.choice(PATHS), source, engaged, bot, len(rows)))
    return rows


ZONES = [
    ("UTC", date(2026, 3, 1)),
    ("Europe/Berlin", date(2026, 3, 27)),
    ("Europe/Berlin", date(2026, 10, 23)),
    ("Africa/Cairo", date(2026, 4, 22)),  # at midnight clocks go on to 01:00
    ("America/Santiago", date(2026, 9, 4)),
    ("Pacific/Kiritimati", date(2026, 3, 1)),
]


@pytest.mark.parametrize(("zone", "first"), ZONES)
async def test_visits_are_what_a_program_makes_of_the_rows_one_by_one(service: Service, zone: str, first: date) -> None:
    for seed in range(2):
        chance = random.Random(f"{zone} {first} {seed}")
        rows = history(chance, zone, first, 5)
        await service.fill(rows, zone)
        begin, end = first + DAY * chance.choice([0, 1, 2]), first + DAY * chance.choice([2, 3, 4])
        for traffic, is_wanted in (("all", {True, False}), ("human", {False}), ("bots", {True})):
            own = [row for row in rows if bool(row.bot) in is_wanted]
            inside = [row for row in own if begin <= row.day <= end]
            visits = [one for one in visits_of(own, zone) if begin <= one.rows[0].day <= end]
            told = await service.ask(**{"from": begin, "to": end, "traffic": traffic})
            assert told["totals"] == numbers(inside, visits), (seed, traffic)
            assert told.get("visitors") == (told["totals"]["visitorDays"] if begin == end else None)
        by = {"from": begin, "to": end, "traffic": "all"}
        everything = [one for one in visits_of(rows, zone) if begin <= one.rows[0].day <= end]
        values = {"source": lambda one: {one.views[0].source}, "entry": lambda one: {one.views[0].path}}
        values |= {"exit": lambda one: {one.views[-1].path}, "page": lambda one: {row.path for row in one.views}}
        values |= {"day": lambda one: {str(one.rows[0].day)}}
        for name, value in values.items():
            expected: dict[str, list[Visit]] = defaultdict(list)
            for one in everything:
                for text in value(one):
                    expected[text].append(one)
            told = {row["value"]: row for row in (await service.ask(**by, by=name))["rows"]}
            assert {text: row["visits"] for text, row in told.items() if row["visits"]} == {
                text: len(own) for text, own in expected.items()
            }, (seed, name)
            for text, own in expected.items():
                assert told[text]["bounceRate"] == numbers([], own)["bounceRate"]


async def test_human_and_bots_are_all(service: Service) -> None:
    rows = history(random.Random(7), "UTC", date(2026, 3, 1), 5)
    await service.fill(rows, "UTC")
    asked = {"from": "2026-03-01", "to": "2026-03-05"}
    told = {name: (await service.ask(**asked, traffic=name))["totals"] for name in ("human", "bots", "all")}
    for number in ("views", "visits", "visitorDays", "unattributed"):
        assert told["human"][number] + told["bots"][number] == told["all"][number]
    assert told["bots"]["visits"] > 0


async def test_a_visit_over_midnight_is_one_and_over_two_midnights_two(service: Service) -> None:
    first, minute = date(2026, 3, 1), 60_000

    def row(day: int, at_ms: int, number: int) -> Row:
        begin = midnight(first + DAY * day, ZoneInfo("UTC")) * 1000
        return Row(first + DAY * day, begin + at_ms, "view", 1, "/", "", 0, "", number)

    late, night = 86_390_000, [20 * minute * step for step in range(72)]
    over_one = [row(0, late, 0), row(1, minute, 1), row(1, 2 * minute, 2)]
    await service.fill(over_one, "UTC")
    told = await service.ask(**{"from": first, "to": first + DAY, "by": "day"})
    assert [(one["value"], one["views"], one["visits"]) for one in told["rows"]] == [
        ("2026-03-01", 1, 1),
        ("2026-03-02", 2, 0),
    ]
    assert (await service.ask(**{"from": first + DAY, "to": first + DAY}))["totals"]["visits"] == 0
    through = [row(0, late, 0), *(row(1, at, number) for number, at in enumerate(night, 1)), row(2, minute, 99)]
    await service.fill(through, "UTC")
    assert (await service.ask(**{"from": first, "to": first + 2 * DAY}))["totals"]["visits"] == 2


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 3, 1), 24)])
async def test_a_day_of_changing_clocks_has_all_of_its_hours_and_views(service: Service, day: date, hours: int) -> None:
    zone, quarter = "Europe/Berlin", 900_000
    info = ZoneInfo(zone)
    begin, end = (midnight(one, info) * 1000 for one in (day, day + DAY))
    moments = range(begin - 4 * quarter, end + 4 * quarter, quarter)
    days = [datetime.fromtimestamp(at / 1000, UTC).astimezone(info).date() for at in moments]
    rows = [Row(of, at, "view", 1, "/", "", 0, "", at) for of, at in zip(days, moments, strict=True)]
    await service.fill(rows, zone)
    told = await service.ask(**{"from": day, "to": day, "by": "hour"})
    assert [row["views"] for row in told["rows"]] == [4] * hours
    assert told["rows"][0]["value"] == f"{datetime.fromtimestamp(begin / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert (told["totals"]["views"], told["visitors"]) == (4 * hours, 1)
    around = await service.ask(**{"from": day - DAY, "to": day + DAY, "by": "day"})
    assert [row["views"] for row in around["rows"]] == [4, 4 * hours, 4]


# -- what can be asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", list(BY))
async def test_everything_can_be_asked_for(service: Service, by: str) -> None:
    await service.fill(history(random.Random(3), "UTC", date(2026, 3, 1), 3), "UTC")
    told = await service.ask(**{"from": "2026-03-01", "to": "2026-03-03", "by": by, "limit": 2})
    assert told["by"] == by
    assert isinstance(told["rows"], list)
    assert len(told["rows"]) <= (72 if by in ("day", "hour") else 2)


async def test_a_filter_looks_at_views_and_at_first_views(service: Service) -> None:
    rows = history(random.Random(5), "UTC", date(2026, 3, 1), 4)
    await service.fill(rows, "UTC")
    told = await service.ask(**{"from": "2026-03-01", "to": "2026-03-04", "traffic": "all", "filter": "source:news"})
    assert told["totals"]["views"] == sum(row.source == "news" for row in rows)
    visits = visits_of(rows, "UTC")
    assert told["totals"]["visits"] == sum(one.views[0].source == "news" for one in visits)
    assert told["filter"] == "source:news"


VALUES = {
    "source": lambda one: {one.views[0].source},
    "exit": lambda one: {one.views[-1].path},
    "page": lambda one: {row.path for row in one.views},
    "event": lambda one: {"signup" for row in one.rows if row.kind == "event"},
}


@pytest.mark.parametrize("by", list(VALUES))
async def test_a_filter_and_a_value_are_of_the_same_visits(service: Service, by: str) -> None:
    rows = history(random.Random(11), "UTC", date(2026, 3, 1), 4)
    await service.fill(rows, "UTC")
    asked = {"from": "2026-03-01", "to": "2026-03-04", "traffic": "all", "by": by}
    told = await service.ask(**asked, filter="NOT source:news")
    expected: dict[str, int] = defaultdict(int)
    for one in visits_of(rows, "UTC"):
        for text in VALUES[by](one) if one.views[0].source != "news" else ():
            expected[text] += 1
    assert expected
    assert {row["value"]: row["visits"] for row in told["rows"] if row["visits"]} == expected


async def test_visitors_of_several_days_are_refused_by_name_and_those_of_one_are_told(service: Service) -> None:
    rows = history(random.Random(5), "UTC", date(2026, 3, 1), 2)
    await service.fill(rows, "UTC")
    told = await service.ask(**{"from": "2026-03-01", "to": "2026-03-01", "metrics": "visitors"})
    assert told["visitors"] == told["totals"]["visitorDays"]
    longer = {"from": "2026-03-01", "to": "2026-03-02"}
    assert "visitors" not in await service.ask(**longer, metrics="visitorDays,views")
    answer = await service.answer(**longer, metrics="visitors")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "metrics")
    assert "Ask for visitorDays" in answer.text


async def test_a_person_and_a_machine_under_one_visitor_are_two(service: Service) -> None:
    rows = history(random.Random(5), "UTC", date(2026, 3, 1), 2)
    both = [*rows, *(row._replace(bot="webdriver", number=len(rows) + row.number) for row in rows if not row.bot)]
    await service.fill(both, "UTC")
    asked = {"from": "2026-03-01", "to": "2026-03-02", "by": "day"}
    told = {name: await service.ask(**asked, traffic=name) for name in ("human", "bots", "all")}
    for number in ("views", "visits", "visitorDays"):
        parts = [told[name]["totals"][number] for name in ("human", "bots")]
        assert sum(parts) == told["all"]["totals"][number] > max(parts)
        days = [sum(row[number] for row in told[name]["rows"]) for name in told]
        assert days[0] + days[1] == days[2]


async def test_files_have_the_rows(service: Service) -> None:
    await service.fill(history(random.Random(5), "UTC", date(2026, 3, 1), 4), "UTC")
    text = await service.file("text/csv", **{"from": "2026-03-01", "to": "2026-03-04", "by": "day"})
    assert text.splitlines()[0] == "value,views,visits,bounce_rate,duration,engaged,visitor_days,unattributed,items"
    assert len(text.splitlines()) > 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (400, "malformed")),
        ({"site": "shop", "from": "2026-03-01"}, (400, "malformed")),
        ({"site": "nothing", "from": "2026-03-01", "to": "2026-03-01"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-02", "to": "2026-03-01"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2027-03-02"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-01", "by": "person"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-01", "traffic": "some"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-01", "filter": "visitor:1"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-01", "limit": "0"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-01", "metrics": "people"}, (422, "invalid")),
        ({"site": "shop", "from": "2026-03-01", "to": "2026-03-02", "metrics": "views,visitors"}, (422, "invalid")),
    ],
)
async def test_what_cannot_be_asked_is_said(
    service: Service, values: dict[str, str], expected: tuple[int, str]
) -> None:
    assert await service.status(**values) == expected
