"""A stack with something of everything that the dashboard shows, made by its public ways in, the same for a seed."""

import json
import math
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from tallybook_sdk.outbox import Event, publish_async
from tests.harness.http import request
from tests.harness.stacks import run

NAMES = ("Spring sale", "Newsletter", "Homepage hero", "Search, brand", "Partner: Łódź", "Checkout", "Footer", "App")
TYPES = ("page_opened", "cart_filled", "purchase", "signed_up", "support_asked")
#: Texts that pages must show as texts.
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "evil\u202etxt.exe",
    "=HYPERLINK(1)",
    "x" * 120,
)
FIRST = 42
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
VIEWS = ("banners", "trackers", "events", "retention", "pages", "logs", "health", "settings")
DAYS = 9
PER_REQUEST = 10_000
#: Settings that a stack needs so that it takes old clicks.
SETTINGS = {"backdate_max_s": 30 * 86_400}


def fill(port: int, note: dict[str, Any], folder: Path, seed: int = 7, days: int = DAYS) -> dict[str, Any]:
    """Fill a stack at `port`, whose addresses are in `note`. Return what was sent: clicks and names by banner."""
    chance = random.Random(seed)
    now = datetime.now(UTC).replace(microsecond=0)
    stores = {"database_url": note["database_url"], "redis_url": note["redis_url"]}
    names = {FIRST + number: name for number, name in enumerate((*NAMES, HOSTILE[0], HOSTILE[3]))}
    listed = folder / "banners.csv"
    listed.write_text("banner_id,name\n" + "".join(f'{banner},"{name}"\n' for banner, name in names.items()))
    _succeed(run("banners", "import", listed, **stores))
    clicks = _clicks(port, names, now, days, chance)
    _events(port, now, days, chance)
    trackers = _hits(port, stores, folder, chance)
    _succeed(run("generate", "--target", note["redis_url"], "--mode", "max", "--events", 3000, "--max-step", 60_000))
    return {"names": names, "clicks": clicks, "trackers": trackers, "now": now}


def _succeed(done: Any) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def _post(port: int, path: str, body: object) -> None:
    headers = {"content-type": "application/json"}
    answer = request(port, path, "POST", json.dumps(body).encode(), headers)
    assert answer.status in (200, 202), answer.text


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _clicks(port: int, names: dict[int, str], now: datetime, days: int, chance: random.Random) -> dict[int, int]:
    """Days with a shape: today and yesterday by minute, before by quarter of an hour. One banner began late."""
    sent = dict.fromkeys(names, 0)
    items: list[dict[str, Any]] = []
    fine = range(2, 2 * 1440)
    for minutes in (*fine, *range(2 * 1440, days * 1440, 15)):
        at = now - timedelta(minutes=minutes)
        weight = (1 + math.sin((at.hour - 9) * math.pi / 12)) * (1 if minutes < 2 * 1440 else 15) * 12
        for place, banner in enumerate(names):
            if (place == 1 and minutes > 1440) or (place == 3 and minutes < 720):
                continue
            count = int(weight / (place + 1) * (0.6 + 0.8 * chance.random()))
            if count:
                items.append({"bannerId": banner, "count": count, "timestamp": _moment(at)})
                sent[banner] += count
    for begin in range(0, len(items), PER_REQUEST):
        _post(port, "/stats", items[begin : begin + PER_REQUEST])
    return sent


def _events(port: int, now: datetime, days: int, chance: random.Random) -> None:
    events = []
    for _ in range(4000):
        at = now - timedelta(seconds=chance.randrange(days * 4 * 86_400))
        kind = chance.choices((*TYPES, "checkout.step:2"), (40, 20, 8, 6, 3, 5))[0]
        properties = {"country": chance.choice(("UA", "DE", "PL")), "amount": chance.randrange(200)}
        events.append(
            {
                "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                "occurred_at": _moment(at),
                "user_id": f"u-{int(chance.paretovariate(0.6)) % 400}",
                "event_type": kind,
                "properties": properties,
            }
        )
    _post(port, "/events", events)


def _hits(port: int, stores: dict[str, Any], folder: Path, chance: random.Random) -> list[str]:
    trackers = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(4)]
    values = ("Spring sale", "Newsletter", HOSTILE[0], HOSTILE[2])
    listed = folder / "trackers.csv"
    listed.write_text("id,value\n" + "".join(f'{one},"{value}"\n' for one, value in zip(trackers, values, strict=True)))
    _succeed(run("trackers", "import", listed, **stores))
    for place, tracker in enumerate(trackers):
        for number in range(60 // (place + 1)):
            agent = "Googlebot/2.1" if number % 9 == 0 else "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
            request(port, f"/track?id={tracker}&n={number}", headers={"user-agent": agent})
    return trackers


def parsed(text: str) -> date:
    """A date."""
    return date.fromisoformat(text)


async def publish_entries(database_url: str, count: int = 150) -> None:
    """Publish entries of an application, some with hostile texts."""
    connection = await asyncpg.connect(database_url)
    try:
        now = datetime.now(UTC)
        for number in range(count):
            at = now - timedelta(minutes=7 * number)
            kind = ("deploy", "payment_failed", "user_created")[number % 3]
            body = {"n": number, "text": HOSTILE[number % len(HOSTILE)], "order": {"id": 4711 + number}}
            async with connection.transaction():
                await publish_async(connection, Event(body, event_type=kind, event_date_time=at))
    finally:
        await connection.close()
