"""Every answer of the tracker against its row in ClickHouse: `python -m loadtest.tracker --seconds 180`.

The real product behind the real nginx. Browsers with addresses, user agents and cookies of their own send hits at a
steady rate: pixels, beacons and fetches, some that opt out, some machines, and among them what is no hit (HEAD,
prefetches, unknown and malformed trackers). Then each answer is compared with the rows, field by field:

    answered 2xx      one row: tracker, value, url, ip, user agent, user_id of the cookie, flag, and a time in between
    anything else     no row, unless the outcome is unknown (no answer, 502, log_unavailable)

Exit code: 0 all equal, 1 a difference, 2 something is missing.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg

from loadtest.tools.browser import NIL, Answer, Browser, user_of
from loadtest.tools.nginx import Nginx
from loadtest.tools.stack import Stack, StartError
from shared.settings import Settings
from shared.stores import clickhouse

_BROWSERS, _TRACKERS = 64, 20
#: Seconds that the last hits may take into the table.
_PATIENCE_S = 60.0
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
)
_ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
#: Method, path and headers of hits, and how often each comes.
_HITS = (
    (("GET", "/track", {}), 5),
    (("GET", "/track.gif", {"accept": "image/*"}), 3),
    (("POST", "/track", {"origin": "https://shop.example"}), 2),
)
#: Of what is no hit, one of so many requests, each kind as often as the others.
_OTHERS_EVERY = 20
#: What a client must not be able to claim.
_FORGED = {"x-forwarded-for": "6.6.6.6", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
_COLUMNS = (
    "toString(date), toUnixTimestamp64Milli(date_time), toString(event_id), toString(tracker_id), toString(ip), "
    "toString(user_id), user_agent, url, value, is_bot"
)

Row = tuple[Any, ...]


class Expected(NamedTuple):
    """One request and what it was answered; `fields` are those of its row."""

    answer: Answer | None
    is_hit: bool
    fields: dict[str, Any]

    @property
    def is_counted(self) -> bool | None:
        """Whether there has to be a row; None when nobody knows."""
        if self.answer is None or self.answer.status == 502:
            return None
        if 200 <= self.answer.status < 300:
            return self.is_hit
        return None if self.answer.status == 503 else False


class Crowd:
    """The browsers, and what they asked and were told, by the number in each address."""

    def __init__(self, port: int, trackers: dict[UUID, str], seed: int) -> None:
        self.asked: dict[int, Expected] = {}
        self._port, self._trackers = port, trackers
        self._chance = random.Random(seed)
        self._idle: asyncio.Queue[Browser] = asyncio.Queue()
        for number in range(_BROWSERS):
            agent = _ROBOT if number % 16 == 5 else _AGENTS[number % len(_AGENTS)]
            browser = Browser(
                port, f"127.0.0.{number + 2}", agent, keeps_cookies=number % 4 != 1, opts_out=number % 8 == 3
            )
            self._idle.put_nowait(browser)

    async def send(self, rate: float, seconds: float) -> None:
        """Requests at this rate, whatever becomes of those before."""
        began, tasks = time.monotonic(), set[asyncio.Task[None]]()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            task = asyncio.create_task(self._one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _one(self, number: int) -> None:
        browser = await self._idle.get()
        tracker, value = self._chance.choice(list(self._trackers.items()))
        ((method, path, headers),) = self._chance.choices([kind for kind, _ in _HITS], [often for _, often in _HITS])
        asked, is_hit = str(tracker), True
        if number % _OTHERS_EVERY == 0:
            is_hit = False
            what = number // _OTHERS_EVERY % 4
            method = "HEAD" if what == 0 else "GET"
            headers = {"sec-purpose": "prefetch"} if what == 1 else {}
            asked = str(uuid4()) if what == 2 else "nobody" if what == 3 else asked
        target = f"{path}?id={asked}&page=%2Fp%20{number % 7}&n={number}"
        try:
            answer = await browser.ask(method, target, {**headers, **_FORGED})
        except (OSError, TimeoutError):
            answer = None
        fields = {
            "tracker_id": str(tracker),
            "ip": f"::ffff:{'127.0.0.0' if browser.opts_out else browser.address}",
            "user_id": NIL if answer is None else user_of(answer.headers),
            "user_agent": browser.user_agent,
            "url": f"http://127.0.0.1:{self._port}{target}",
            "value": value,
            "is_bot": browser.user_agent == _ROBOT,
        }
        self.asked[number] = Expected(answer, is_hit, fields)
        self._idle.put_nowait(browser)

    def close(self) -> None:
        """Drop all connections."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def compared(asked: dict[int, Expected], rows: list[Row]) -> list[str]:
    """All differences between what was answered and what is stored."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(int(row[7].rpartition("n=")[2]), []).append(row)
    differences = [f"{number}: a row of a request that nobody made" for number in found.keys() - asked.keys()]
    for number, expected in asked.items():
        there = found.get(number, [])
        if expected.is_counted is not None and len(there) != expected.is_counted:
            status = expected.answer.status if expected.answer else "nothing"
            differences.append(f"{number}: answered {status}, and there are {len(there)} rows")
        if len(there) > 1:
            differences.append(f"{number}: {len(there)} rows")
        if there:
            differences += _unequal(number, expected, there[0])
    ids = Counter(row[2] for row in rows)
    return differences + [f"event_id {one} of {count} rows" for one, count in ids.items() if count > 1]


def _unequal(number: int, expected: Expected, row: Row) -> list[str]:
    date, epoch_ms, event_id, *values = row
    names = ("tracker_id", "ip", "user_id", "user_agent", "url", "value", "is_bot")
    wanted = dict(expected.fields)
    if expected.answer is None:
        wanted["user_id"] = values[2]
    wrong = [
        f"{number}: {name} is {value!r}, not {wanted[name]!r}"
        for name, value in zip(names, values, strict=True)
        if value != wanted[name]
    ]
    if expected.answer and not expected.answer.sent_ms <= epoch_ms <= expected.answer.answered_ms:
        wrong.append(
            f"{number}: stored at {epoch_ms}, between {expected.answer.sent_ms} and {expected.answer.answered_ms}"
        )
    if date != f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d}":
        wrong.append(f"{number}: date {date} of {epoch_ms}")
    if UUID(event_id).int >> 80 != epoch_ms:
        wrong.append(f"{number}: event {event_id} is not of {epoch_ms}")
    return wrong


async def _check(stack: Stack, port: int, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    urls = stack.urls()
    trackers = {uuid4(): f"value {number} 'ä\u2028" for number in range(_TRACKERS)}
    connection = await asyncpg.connect(urls["TALLYBOOK_DATABASE_URL"])
    try:
        await connection.executemany("INSERT INTO trackers (uuid, value) VALUES ($1, $2)", list(trackers.items()))
    finally:
        await connection.close()
    crowd = Crowd(port, trackers, seed)
    await crowd.send(rate, seconds)
    crowd.close()
    wanted = sum(one.is_counted is True for one in crowd.asked.values())
    async with clickhouse.connect(Settings(clickhouse_url=urls["TALLYBOOK_CLICKHOUSE_URL"])) as tables:
        deadline = time.monotonic() + _PATIENCE_S
        count = "SELECT count() FROM tracker_events"
        while (await tables.query(count))[0][0] < wanted and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)  # for what should not come
        rows = [tuple(row) for row in await tables.query(f"SELECT {_COLUMNS} FROM tracker_events")]  # noqa: S608 - ours
    answers = [one.answer for one in crowd.asked.values() if one.answer is not None]
    return {
        "requests": len(crowd.asked),
        "seconds": seconds,
        "per_second": rate,
        "statuses": {str(status): n for status, n in sorted(Counter(one.status for one in answers).items())},
        "unanswered": len(crowd.asked) - len(answers),
        "counted": wanted,
        "rows": len(rows),
        "p99_ms": round(quantiles([one.took_s * 1000 for one in answers], n=100)[98], 2),
        "differences": compared(crowd.asked, rows),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tracker", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="how long (default 180)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of requests")
    parser.add_argument("--output", type=Path, help="a file for the result, in JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tallybook-tracker-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        folder.chmod(0o755)
        try:
            stack = Stack(folder / "stack", settings={"TALLYBOOK_TRUSTED_PROXIES": "127.0.0.1/32"})
            with stack, Nginx(folder / "nginx", [urlsplit(stack.url).port or 0]) as nginx:
                result = asyncio.run(_check(stack, nginx.port, options.rate, options.seconds, options.seed))
        except StartError as error:
            print(f"cannot check: {error}", file=sys.stderr)
            return 2
    differences = result["differences"]
    result["differences"], result["first"] = len(differences), differences[:20]
    text = json.dumps(result, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
