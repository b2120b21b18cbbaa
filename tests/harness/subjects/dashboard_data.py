"""A stack with something of everything that the dashboard shows, made by its public ways in, the same for a seed."""

import json
import math
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import asyncpg

from tallybook_sdk.outbox import Event, publish_async
from tests.harness.http import request
from tests.harness.stacks import run
from tests.harness.wait import wait_for

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
VIEWS = (
    *("banners", "links", "trackers", "visitors", "pages", "events", "retention", "logs", "health"),
    *("sites", "settings"),
)
SITE = "shop"
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
    _impressions(port, names, now, chance)
    _links(stores)
    visitors = _visits(port, stores, chance)
    _succeed(run("generate", "--target", note["redis_url"], "--mode", "max", "--events", 3000, "--max-step", 60_000))
    return {"names": names, "clicks": clicks, "trackers": trackers, "visitors": visitors, "now": now}


def _succeed(done: Any) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def post(port: int, path: str, body: object) -> None:
    """Send a body that has to be taken."""
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
        post(port, "/stats", items[begin : begin + PER_REQUEST])
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
    post(port, "/events", events)


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


def rank(port: int, banners: int, day: datetime, first: int = 90_000) -> None:
    """Count clicks of so many banners on a day, each with a number of its own; every third had some the day before."""
    items: list[dict[str, Any]] = []
    for place in range(banners):
        items.append({"bannerId": first + place, "count": 2 + 7 * place, "timestamp": _moment(day)})
        if place % 3 == 0:
            items.append({"bannerId": first + place, "count": 1 + place, "timestamp": _moment(day - DAY)})
    post(port, "/stats", items)


def _impressions(port: int, names: dict[int, str], now: datetime, chance: random.Random) -> None:
    """Two days of the first banners by hour; the last of them was never viewable."""
    items: list[dict[str, Any]] = []
    for hours in range(48):
        for place, banner in enumerate(list(names)[:4]):
            served = 3000 // (place + 1) + chance.randrange(600)
            for kind, count in (("served", served), ("viewable", int(served * 0.6) if place < 3 else 0)):
                at = now - timedelta(hours=hours, minutes=5)
                items.append({"bannerId": banner, "kind": kind, "count": count, "timestamp": _moment(at)})
    post(port, "/stats", [one for one in items if one["count"]])


def _links(stores: dict[str, Any]) -> None:
    long = f"https://shop.example/a/very/long/way?{'x' * 200}=1"
    for slug, banner, url in (("spring", FIRST, "https://shop.example/sale"), ("newsletter", FIRST + 1, long)):
        _succeed(run("links", "add", slug, "--banner", banner, "--url", url, **stores))
    _succeed(run("links", "add", "old", "--banner", FIRST, "--url", "https://shop.example/", **stores))
    _succeed(run("links", "set", "old", "--inactive", **stores))


def _visits(port: int, stores: dict[str, Any], chance: random.Random) -> int:
    """Visitors of a site, each with a browser of its own, as pages report them. Return how many."""
    _succeed(run("sites", "add", SITE, "--host", "shop.example", "--tz", "Europe/Berlin", **stores))
    visitors = 24
    for number in range(visitors):
        items: list[dict[str, Any]] = []
        for place in range(1 + number % 4):
            view = {"v": str(uuid.UUID(int=chance.getrandbits(128), version=4)), "t": 60_000 - place * 9_000}
            path = chance.choice(("", "sale", "products/7", "checkout"))
            source = quote(HOSTILE[0]) if number == 0 else "news"
            came = f"?utm_source={source}&utm_medium=mail" if place == 0 and number % 3 == 0 else ""
            referrer = "https://search.example/" if place == 0 and number % 3 == 1 else ""
            items.append({"k": "view", "n": 0, "u": f"https://shop.example/{path}{came}", "r": referrer, **view})
            items.append({"k": "leave", "n": 1, "ms": chance.randrange(1_000, 9_000), **view})
        if number % 5 == 0:
            items.append({"k": "event", "n": 2, "e": "signed_up", "u": "https://shop.example/", **view})
            items.append({"k": "out", "n": 3, "u": "https://partner.example/", **view})
        agent = f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{120 + number}.0.0.0 Safari/537.36"
        headers = {"origin": "https://shop.example", "content-type": "text/plain", "user-agent": agent}
        body = json.dumps(items).encode()

        def is_taken(body: bytes = body, headers: dict[str, str] = headers) -> bool:
            return request(port, "/c", "POST", body, headers).status == 204

        wait_for(is_taken, "the site in every worker")
    return visitors


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
