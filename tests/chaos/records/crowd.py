"""The crowd of the record path: browsers whose hits are counted, pages that report, applications that upload events,
programs that append to the log themselves, good records and bad ones, and somebody who looks after the dead letters."""

import asyncio
import json
import random
import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import LogFull, LogUnavailable
from shared.record_log import dead_letters
from shared.record_log.producer import new_name
from shared.record_log.record_log import Log
from shared.stores.postgres import POSTGRES_ERRORS
from tests.chaos.clicks.crowd import AGENT, SITE_HOST, Crowd
from tests.chaos.records.books import RecordBooks, numbers

#: Codes of answers after which nothing was stored, and of those after which nobody knows.
_REFUSALS = ("log_full", "journal_full", "busy", "postgres_unavailable", "unavailable")
_UNKNOWN = ("log_unavailable",)
#: Chance of a record that can be no row, and seconds between two appends of a program.
_BAD, _PACE_S = 0.1, 0.3
_AWAY = (*POSTGRES_ERRORS, LogUnavailable, LogFull)


class RecordCrowd(Crowd):
    """See Crowd. `make_log` makes clients of the log; `database` is the address of Postgres."""

    def __init__(
        self,
        port: int,
        books: RecordBooks,
        chance: random.Random,
        trackers: list[uuid.UUID],
        make_log: Callable[[], Log],
        database: Callable[[], Any],
    ) -> None:
        super().__init__(port, books, chance)
        self._records, self._trackers, self._database = books, trackers, database
        self._make_log = make_log
        self._log: Log | None = None
        self._seen: dict[uuid.UUID, int] = {}
        #: The name of the program and its last append to each partition.
        self._name = new_name()
        self._seqs: dict[int, int] = {}

    def start(self) -> None:
        """Begin."""
        self._log = self._make_log()
        trades = [
            *[self._hit] * 10,
            *[self._upload] * 3,
            self._report,
            self._prefetch,
            self._program,
            self._clerk,
            self._count,
        ]
        self._tasks = [asyncio.create_task(self._live(trade)) for trade in trades]

    async def stop(self) -> None:
        """End, at once."""
        await super().stop()
        if self._log is not None:
            await self._log.close()
            self._log = None

    # -- hits ------------------------------------------------------------------------------------------------------

    async def _hit(self, client: Any) -> None:
        """One hit, which no browser repeats."""
        if not await client.connect():
            return
        number = self._records.number()
        method, path = self._chance.choice((("GET", "/track"), ("POST", "/track"), ("GET", "/track.gif")))
        headers = {"sec-gpc": "1"} if self._chance.random() < 0.2 else {}
        path = f"{path}?id={self._chance.choice(self._trackers)}&n={number}"
        answer = await client.ask(method, path, headers)
        if answer is None:
            self._books.outcomes["unknown"] += 1
        elif answer.status in (200, 204):
            self._records.take(number)
        elif answer.status == 503 and (code := str(answer.json()["code"])) in (*_REFUSALS, *_UNKNOWN):
            self._books.outcomes[code] += 1
            if code in _REFUSALS:
                self._records.refused.add(number)
        else:
            self._note(answer, path)

    async def _prefetch(self, client: Any) -> None:
        """What a browser fetches ahead is no hit."""
        await asyncio.sleep(_PACE_S)
        if not await client.connect():
            return
        number = self._records.number()
        self._records.mere.add(number)
        path = f"/track?id={self._chance.choice(self._trackers)}&n={number}"
        await client.ask("GET", path, {"sec-purpose": "prefetch"})

    # -- events ----------------------------------------------------------------------------------------------------

    async def _upload(self, client: Any) -> None:
        """Events, under a key or under none, again and again until they are acknowledged, and sometimes once more."""
        await asyncio.sleep(self._chance.uniform(0, _PACE_S))
        events = self._records.events.upload(self._chance)
        headers = self._key()
        while True:
            if not await client.connect():
                continue
            answer = await client.ask("POST", "/events", headers, events)
            if answer is None:
                self._books.outcomes["upload unknown"] += 1
            elif answer.status == 202:
                break
            elif answer.status == 409 and headers:  # the key is that of an attempt that died
                self._books.outcomes["upload under another key"] += 1
                headers = self._key()
            else:
                self._note(answer, "/events")
        told = {one["status"] for one in answer.json()["results"]}
        if not told <= {"accepted", "duplicate"}:
            self._books.fault("HTTP", f"/events: {told}")
        self._records.events.take(events)
        if self._chance.random() < 0.2:
            await client.ask("POST", "/events", headers, events)

    def _key(self) -> dict[str, str]:
        return {"idempotency-key": secrets.token_hex(8)} if self._chance.random() < 0.4 else {}

    # -- pages -----------------------------------------------------------------------------------------------------

    async def _report(self, client: Any) -> None:
        """Items of a page, sent under their names until they are acknowledged, and sometimes once more."""
        await asyncio.sleep(self._chance.uniform(0, _PACE_S))
        view = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        origin = f"https://{SITE_HOST}"
        items = [{"k": "view", "v": view, "n": n, "t": 0, "u": f"{origin}/"} for n in range(self._chance.randint(1, 5))]
        path, headers = "/c", AGENT | {"origin": origin, "content-type": "text/plain"}
        while True:
            if not await client.connect():
                continue
            answer = await client.ask("POST", path, headers, items)
            if answer is None:
                self._books.outcomes["report unknown"] += 1
            elif answer.status == 204:
                break
            else:
                self._note(answer, path)
        self._records.items.update((view, one["n"]) for one in items)
        if self._chance.random() < 0.3:
            await client.ask("POST", path, headers, items)

    # -- records of others -----------------------------------------------------------------------------------------

    async def _program(self, client: Any) -> None:
        """Append good records and bad ones, and repeat until the log has them."""
        await asyncio.sleep(_PACE_S)
        assert self._log is not None
        partition = self._chance.randrange(self._log.partitions)
        made = [self._made() for _ in range(self._chance.randint(1, 6))]
        records = [(b"program", content) for _, content in made]
        self._seqs[partition] = seq = self._seqs.get(partition, 0) + 1
        while True:
            try:
                await self._log.append("hits", partition, records, producer=self._name, seq=seq)
                break
            except (LogUnavailable, LogFull):
                self._books.outcomes["append repeated"] += 1
                await asyncio.sleep(0.1)
        for number, _ in made:
            self._records.take(number)

    def _made(self) -> tuple[int, bytes]:
        number = self._records.number()
        if self._chance.random() >= _BAD:
            return number, row(number, self._chance.choice(self._trackers))
        bad = self._chance.choice(
            (
                b'{"url": "n=%d"}' % number,
                b"n=%d" % number,
                row(number, self._trackers[0], date_time=secrets.token_hex(4)),
            )
        )
        return number, bad

    async def _clerk(self, client: Any) -> None:
        """Mend a letter and send it again, until that is known to have worked."""
        await asyncio.sleep(2 * _PACE_S)
        try:
            async with self._database() as connection:
                letters = await dead_letters.listed(connection, 20)
                if not letters or self._log is None:
                    return
                letter = self._chance.choice(letters)
                [number] = numbers([letter.value or b""])
                value = row(number, self._chance.choice(self._trackers)) if self._chance.random() < 0.7 else None
                await dead_letters.replay(connection, self._log, letter.place, value)
                self._books.outcomes["replayed"] += 1
        except dead_letters.Begun:
            self._books.outcomes["replay of another content refused"] += 1
        except _AWAY:
            self._books.outcomes["replay cut short"] += 1

    # -- reads -----------------------------------------------------------------------------------------------------

    async def _count(self, client: Any) -> None:
        """The count of a tracker never falls, and is never more than was tried."""
        await asyncio.sleep(_PACE_S)
        if not await client.connect():
            return
        tracker = self._chance.choice(self._trackers)
        today = datetime.now(UTC)
        since, to = (f"{today + timedelta(days=days):%Y-%m-%d}" for days in (-2, 2))
        answer = await client.ask("GET", f"/stats?tracker_id={tracker}&from={since}&to={to}")
        if answer is None:
            self._books.outcomes["read unknown"] += 1
        elif answer.status != 200:
            self._note(answer, "GET /stats")
        else:
            count, most = answer.json()["count"], self._books.attempted.total()
            self._books.outcomes["read"] += 1
            if not self._seen.get(tracker, 0) <= count <= most:
                self._books.fault("E4", f"{tracker}: {self._seen[tracker]} hits, and then {count} of {most}")
            self._seen[tracker] = count


def row(number: int, tracker: uuid.UUID, **fields: object) -> bytes:
    """A record that can be a row of `tracker_events`, but for the fields given."""
    now = datetime.now(UTC)
    content = {
        "date": f"{now:%Y-%m-%d}",
        "date_time": f"{now:%Y-%m-%d %H:%M:%S}.000",
        "event_id": str(uuid.uuid4()),
        "tracker_id": str(tracker),
        "ip": "203.0.113.9",
        "user_id": str(uuid.UUID(int=0)),
        "user_agent": "program",
        "url": f"https://example.org/?n={number}",
        "value": "",
        "is_bot": False,
    }
    return json.dumps({**content, **fields}).encode()
