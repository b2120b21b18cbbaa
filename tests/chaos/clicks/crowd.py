"""The crowd: clients that click in every way there is, and readers that compare what they see with the books."""

import asyncio
import contextlib
import itertools
import json
import random
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.counting import cells
from shared.runtime.tasks import end
from tests.chaos.clicks.books import Books
from tests.harness.http import BROKEN, Answer, Connection

#: Banners of plain clicks: a few that everybody wants, and many that take slots in the lanes.
HOT, COLD = range(1, 9), range(1000, 1100)
#: Banners of clicks with keys, of bulk requests whose items have ids, and of those whose items have none.
KEYED, BULK, PLAIN_BULK = range(101, 105), range(201, 205), range(301, 305)
#: Banners of links, whose slug is `b` and the banner, and of links that lead LINK_CLICKS people on: `l` and a number.
LINKED, LIMITED, LIMITED_LINKS, LINK_CLICKS = range(401, 405), range(501, 505), 3_000, 1
#: Headers of who follows a link and is no machine.
AGENT = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
#: Clients that follow a limited link at once.
_RIVALS = 8
#: Banners of pages, and the site of these.
PAGES, SITE_HOST = range(601, 605), "shop.example"
#: What is counted besides clicks of people, by the name of its metric and the class of its traffic.
KINDS = {"clicks": cells.CLICK, "served": cells.SERVED, "viewable": cells.VIEWABLE}
_ITEMS = {"click": cells.CLICK, "served": cells.SERVED, "viewable": cells.VIEWABLE}
#: Milliseconds of the largest age that a page says.
_AGE_MS = 20_000
#: Seconds that a client waits for an answer, and after a connection that broke.
_ANSWER_S, _PAUSE_S = 8.0, 0.05
#: Seconds in which a client must have finished what it had begun.
_FINISH_S = 30.0
#: Codes of answers after which nothing was counted, so that the client did not even try.
_REFUSALS = ("lanes_full", "busy", "too_many_new_banners")


class Crowd:
    """Tasks that run until `stop`. While `calm` is clear they finish what they have begun, and wait."""

    def __init__(self, port: int, books: Books, chance: random.Random) -> None:
        self._port, self._books, self._chance = port, books, chance
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = 0
        self._fresh = itertools.count()
        self.is_open = asyncio.Event()
        self.is_open.set()

    def start(self) -> None:
        """Begin to click and to read."""
        trades = [*[self._click] * 8, *[self._keyed] * 2, *[self._bulk] * 2, self._plain_bulk, *[self._page] * 3]
        trades += [*[self._link] * 2, self._limited_link]
        trades += [*[self._read] * 3, *[self._read_kinds] * 2]
        self._tasks = [asyncio.create_task(self._live(trade)) for trade in trades]

    async def stop(self) -> None:
        """End, at once."""
        await end(*self._tasks)

    async def pause(self) -> bool:
        """Wait until every client has finished what it had begun, repeats included, and let go of its connection.

        False, and a fault: some never do.
        """
        self.is_open.clear()
        deadline = time.monotonic() + _FINISH_S
        while self._busy:
            self.check()
            if time.monotonic() > deadline:
                self._books.fault("liveness", f"{self._busy} clients wait for an answer, or repeat for ever")
                return False
            await asyncio.sleep(0.02)
        return True

    def resume(self) -> None:
        """Go on."""
        self.is_open.set()

    def check(self) -> None:
        """Raise what ended a client: that is a fault of this suite."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _live(self, trade: Any) -> None:
        client = _Client(self._port, self._chance)
        try:
            while True:
                if not self.is_open.is_set():
                    await client.close()
                    await self.is_open.wait()
                self._busy += 1
                try:
                    await trade(client)
                finally:
                    self._busy -= 1
                await asyncio.sleep(self._chance.uniform(0, 0.01))
        finally:
            client.drop()

    # -- clicks ----------------------------------------------------------------------------------------------------

    async def _click(self, client: "_Client") -> None:
        """One click without a key: whoever does not know what became of it does not repeat it."""
        banner = self._chance.choice(HOT if self._chance.random() < 0.7 else COLD)
        await self._once(client, f"/stats/{banner}", {banner: 1})

    async def _plain_bulk(self, client: "_Client") -> None:
        banners = [self._chance.choice(PLAIN_BULK) for _ in range(5)]
        items = [{"bannerId": banner} | self._moment() for banner in banners]
        await self._once(client, "/stats", dict.fromkeys(PLAIN_BULK, 0) | _sums((one, 1) for one in banners), items)

    async def _link(self, client: "_Client") -> None:
        """Follow a link; plain ones and, by a body that is ignored, those behind Granian."""
        banner = self._chance.choice(LINKED)
        body = None if self._chance.random() < 0.7 else []
        await self._once(client, f"/r/b{banner}", {banner: 1}, body, method="GET")

    async def _limited_link(self, client: "_Client") -> None:
        """Follow a link that nobody has followed, at the same moment as others: so many are led on, and no more."""
        number = next(self._fresh)
        if number >= LIMITED_LINKS:
            return
        banner, rivals = LIMITED[number % len(LIMITED)], [client]
        rivals += [_Client(self._port, self._chance) for _ in range(_RIVALS - 1)]
        try:
            if all(await asyncio.gather(*(one.connect() for one in rivals))):
                await self._race(rivals, number, banner)
        finally:
            for one in rivals[1:]:
                one.drop()

    async def _race(self, rivals: "list[_Client]", number: int, banner: int) -> None:
        self._books.attempted[banner] += LINK_CLICKS
        answers = await asyncio.gather(*(one.ask("GET", f"/r/l{number}", AGENT) for one in rivals))
        led = sum(answer is not None and answer.status == 302 for answer in answers)
        for answer in answers:
            if answer is not None and answer.status not in (302, 410):
                self._note(answer, "/r/l")
        self._books.acked[banner] += min(led, LINK_CLICKS)
        self._books.outcomes["led on"] += led
        if led > LINK_CLICKS:
            self._books.fault("I8", f"link l{number} led {led} people on, of at most {LINK_CLICKS}")

    async def _once(
        self, client: "_Client", path: str, clicks: dict[int, int], body: object = None, method: str = "POST"
    ) -> None:
        if not await client.connect():
            return
        self._books.attempted.update(clicks)
        answer = await client.ask(method, path, AGENT if method == "GET" else None, body)
        if answer is None:
            self._books.outcomes["unknown"] += 1
        elif answer.status in (200, 204, 302):
            self._books.acked.update(clicks)
            self._books.outcomes["acked"] += 1
        elif answer.status == 503 and answer.json()["code"] in _REFUSALS:
            self._books.attempted.subtract(clicks)
            self._books.outcomes["refused"] += 1
        else:
            self._note(answer, path)

    async def _keyed(self, client: "_Client") -> None:
        """One click with a key, repeated until it is acknowledged, and sometimes once more."""
        banner, key = self._chance.choice(KEYED), secrets.token_hex(8)
        await self._until_acked(client, f"/stats/{banner}", {banner: 1}, {"idempotency-key": key})

    async def _bulk(self, client: "_Client") -> None:
        """Items with ids, of now and of minutes that are long over, repeated as a whole until they are acknowledged."""
        items: list[dict[str, Any]] = [
            {
                "bannerId": self._chance.choice(BULK),
                "kind": self._chance.choice([*_ITEMS]),
                "count": self._chance.randint(1, 3),
                "id": secrets.token_hex(6),
            }
            | self._moment()
            for _ in range(self._chance.randint(1, 20))
        ]
        sums = _sums((cells.cell(_ITEMS[one["kind"]], one["bannerId"]), one["count"]) for one in items)
        await self._until_acked(client, "/stats", sums, body=items)

    async def _page(self, client: "_Client") -> None:
        """A page that reports clicks and impressions of one view, repeated as a whole until they are acknowledged."""
        view, is_driven = str(uuid.UUID(int=self._chance.getrandbits(128))), self._chance.random() < 0.3
        banners = self._chance.sample(PAGES, 2)
        items = [
            {"k": kind, "v": view, "n": n, "t": self._chance.randint(0, _AGE_MS), "b": str(banner)}
            for n, (kind, banner) in enumerate((kind, banner) for kind in _ITEMS for banner in banners)
        ]
        items = self._chance.sample(items, self._chance.randint(1, len(items)))
        machine = cells.MACHINE * is_driven
        sums = _sums((cells.cell(_ITEMS[str(one["k"])] + machine, int(str(one["b"]))), 1) for one in items)
        headers = AGENT | {"origin": f"https://{SITE_HOST}", "content-type": "text/plain"}
        await self._until_acked(client, f"/c?w={is_driven:d}", sums, headers, items)

    def _moment(self) -> dict[str, str]:
        if self._chance.random() < 0.5:
            return {}
        return {"timestamp": (datetime.now(UTC) - timedelta(seconds=self._chance.uniform(0, 20))).isoformat()}

    async def _until_acked(
        self,
        client: "_Client",
        path: str,
        clicks: dict[int, int],
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> None:
        self._books.attempted.update(clicks)
        for tries in itertools.count(1):
            answer = await client.ask("POST", path, headers, body) if await client.connect() else None
            if answer is not None and answer.status in (200, 204):
                self._books.acked.update(clicks)
                self._books.outcomes["acked"] += 1
                if tries > 1:
                    self._books.outcomes["repeated"] += 1
                break
            if answer is not None:
                self._note(answer, path)
        if self._chance.random() < 0.2:  # a client that did not see its answer
            await client.ask("POST", path, headers, body)

    def _note(self, answer: Answer, path: str) -> None:
        """An answer that is no success: an outage is one thing, anything else is a fault."""
        if answer.status == 503:
            self._books.outcomes[str(answer.json()["code"])] += 1
        else:
            self._books.fault("HTTP", f"{path}: {answer.status} {answer.body[:200]!r}")

    # -- reads -----------------------------------------------------------------------------------------------------

    async def _read(self, client: "_Client") -> None:
        """Totals over all time, so that no click can be in a minute that is not looked at."""
        if not await client.connect():
            return
        banners = self._chance.choice(([*HOT, *KEYED, *BULK, *PLAIN_BULK], [*COLD], [*LINKED, *LIMITED]))
        floor = self._books.floor(banners)
        totals = await self._totals(client, banners)
        if totals is not None:
            self._books.check_read(floor, totals)

    async def _read_kinds(self, client: "_Client") -> None:
        """Totals of each kind over all time."""
        if not await client.connect():
            return
        banners, (traffic, machine) = [*BULK, *PAGES], self._chance.choice([("human", 0), ("bots", cells.MACHINE)])
        floor = self._books.floor([cells.cell(kind + machine, one) for kind in KINDS.values() for one in banners])
        answer = await self._asked(client, banners, f"&metrics={','.join(KINDS)}&traffic={traffic}")
        if answer is not None:
            totals = {
                cells.cell(kind + machine, one["bannerId"]): one["totals"][name]
                for one in answer["banners"]
                for name, kind in KINDS.items()
            }
            self._books.check_read(floor, totals)

    async def _totals(self, client: "_Client", banners: list[int]) -> dict[int, int] | None:
        """The clicks of each banner, or None while the service cannot say."""
        answer = await self._asked(client, banners, "")
        return None if answer is None else {one["bannerId"]: one["total"] for one in answer["banners"]}

    async def _asked(self, client: "_Client", banners: list[int], more: str) -> Any:
        """What the service says of the banners over all time, or None while it cannot say."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin, end = (f"{today + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (-1, 2))
        path = f"/stats?bannerIds={','.join(map(str, banners))}&tsFrom={begin}&tsTo={end}&step=day{more}"
        answer = await client.ask("GET", path)
        if answer is None:
            self._books.outcomes["read unknown"] += 1
            return None
        if answer.status != 200:
            self._books.outcomes["read failed"] += 1
            self._note(answer, "GET /stats")
            return None
        return answer.json()


def _sums(pairs: Any) -> dict[int, int]:
    sums: dict[int, int] = {}
    for banner, count in pairs:
        sums[banner] = sums.get(banner, 0) + count
    return sums


class _Client:
    """One connection, made anew whenever it breaks, and sometimes just so: the next worker is another one then."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self._connection: Connection | None = None

    async def connect(self) -> bool:
        """Whether there is a connection now. Where nobody listens, nothing was tried."""
        if self._connection is None:
            try:
                self._connection = await Connection.open(self._port)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                return False
        return True

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: object = None
    ) -> Answer | None:
        """The answer, or None: then nobody knows what became of the request."""
        if self._connection is None:
            return None
        content = b"" if body is None else json.dumps(body).encode()
        try:
            answer = await asyncio.wait_for(self._connection.ask(method, path, headers or {}, content), _ANSWER_S)
        except (TimeoutError, ValueError, *BROKEN):
            await self.close()
            await asyncio.sleep(_PAUSE_S)
            return None
        if answer.status >= 500:
            await asyncio.sleep(_PAUSE_S)
        if self._chance.random() < 0.1:
            await self.close()
        return answer

    def drop(self) -> None:
        """Let the connection go at once."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    async def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(OSError):
                await connection.close()
