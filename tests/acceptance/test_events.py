"""Product events from the first upload to the last erasure, on the stack as users run it, against a model in Python."""

import csv
import gzip
import json
import random
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tallybook.exits import Exit
from tests.harness.process import environ
from tests.harness.services import enterable
from tests.harness.stacks import TALLYBOOK, Stack, run, running
from tests.harness.subjects import analytics
from tests.harness.wait import PATIENCE_S, wait_for

pytestmark = pytest.mark.timeout(300)

DAYS, ZONES = 14, ("UTC", "Europe/Kyiv", "America/New_York")
FIRST = (datetime.now(UTC) - timedelta(days=DAYS + 2)).replace(hour=0, minute=0, second=0, microsecond=0)
SEGMENTS = {
    "": lambda one: True,
    "event_type:purchase": lambda one: one["event_type"] == "purchase",
    "properties.country:UA and not properties.price>=50": lambda one: (
        one["properties"]["country"] == "UA" and one["properties"]["price"] < 50
    ),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = enterable(tmp_path_factory.mktemp("test_events")) / "data"
    with running(folder) as one:
        yield one


def made(number: int, chance: random.Random) -> dict[str, Any]:
    """An event of the days looked at, whose user comes back on some of them."""
    at = FIRST + timedelta(milliseconds=chance.randrange(DAYS * 86_400_000))
    return {
        "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "occurred_at": at.isoformat(timespec="milliseconds"),
        "user_id": f"user-{chance.randrange(150)}",
        "event_type": chance.choice(("view", "view", "view", "cart", "purchase")),
        "properties": {"country": chance.choice(("UA", "PL", "DE")), "price": chance.randrange(100), "n": number},
    }


class Client:
    """Uploads and questions over HTTP."""

    def __init__(self, port: int) -> None:
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, body: bytes, status: int = 202, **headers: str) -> httpx2.Response:
        """One body."""
        fields = {"content-type": "application/json"} | {name.replace("_", "-"): one for name, one in headers.items()}
        answer = self._http.post("/events", content=body, headers=fields)
        assert answer.status_code == status, answer.text
        return answer

    def counts(self, body: bytes, **headers: str) -> tuple[int, ...]:
        """How many were accepted, duplicates, conflicts and rejected."""
        told = self.upload(body, **headers).json()
        return tuple(told[name] for name in ("accepted", "duplicate", "conflict", "rejected"))

    def ask(self, path: str, **parameters: object) -> Any:
        """A question."""
        answer = self._http.get(path, params={name: str(one) for name, one in parameters.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settle(self) -> None:
        """Wait until every block is in the table."""

        def is_settled() -> bool:
            account = self.ask("/accounting")["records"]["events"]
            return bool(account["inFlight"] == account["difference"] == 0)

        wait_for(is_settled, "all events are in the table")


def check(client: Client, stored: Mapping[str, dict[str, Any]]) -> None:
    """Every number that can be asked for, against the model."""
    first, last = FIRST.date() - timedelta(days=1), FIRST.date() + timedelta(days=DAYS)
    for zone in ZONES:
        for segment, matches in SEGMENTS.items():
            events = [_of_model(one) for one in stored.values() if matches(one)]
            more = {"tz": zone} | ({"segment": segment} if segment else {})
            days = client.ask("/stats/dau", **{"from": first, "to": last}, **more)["days"]
            assert [(day["date"], day["users"]) for day in days] == analytics.dau(events, first, last, zone)
            types = client.ask("/stats/top-events", **{"from": first, "to": last}, limit=3, **more)["events"]
            assert [(one["event_type"], one["count"]) for one in types] == analytics.top(events, first, last, zone, 3)
        for window, length, kind in (("day", 1, ""), ("week", 7, ""), ("day", 1, "purchase")):
            start: date = FIRST.date() + timedelta(days=2)
            more = {"tz": zone, "window": window} | ({"event_type": kind} if kind else {})
            told = client.ask("/stats/retention", start_date=start, windows=4, **more)["cohorts"]
            everything = [_of_model(one) for one in stored.values()]
            triangle = analytics.retention(
                everything, start, 4, length, zone, lambda one, kind=kind: not kind or one.event_type == kind
            )
            assert [cohort["users"] for cohort in told] == triangle
            assert sum(map(sum, triangle)) > 0


def _of_model(one: Mapping[str, Any]) -> analytics.Event:
    number = uuid.UUID(one["event_id"]).int
    at = datetime.fromisoformat(one["occurred_at"])
    return analytics.Event(number, at, one["user_id"], one["event_type"], one["properties"])


def test_what_was_uploaded_and_imported_is_what_statistics_exports_and_erasures_say(stack: Stack) -> None:
    chance = random.Random(5)
    events = [made(number, chance) for number in range(4000)]
    body, lines = json.dumps, lambda some: b"".join(json.dumps(one).encode() + b"\n" for one in some)
    path = stack.folder.parent / "events.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("event_id", "occurred_at", "user_id", "event_type", "properties_json"))
        rows.writerows((*list(one.values())[:4], json.dumps(one["properties"])) for one in events[2000:])
        rows.writerow(("no uuid", *list(events[0].values())[1:4], "{}"))
    with Client(stack.port) as client:
        # An import runs beside the uploads, and each has some of what the other has.
        importing = subprocess.Popen(
            [str(TALLYBOOK), "import-events", "--json", "--data-dir", str(stack.folder), str(path)],
            env=environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.counts(body(events[:1000]).encode()) == (1000, 0, 0, 0)
        assert client.counts(lines(events[800:2000]), content_type="application/x-ndjson") == (1000, 200, 0, 0)
        packed = gzip.compress(body(events[1900:3000]).encode())
        key = {"content_encoding": "gzip", "idempotency_key": "upload/1"}
        first, again = client.upload(packed, **key), client.upload(packed, **key)
        assert (first.content, again.headers["idempotent-replayed"]) == (again.content, "true")
        assert (first.json()["accepted"], first.json()["duplicate"]) == (1000, 100)
        assert client.upload(b"[]", 422, **key | {"content_encoding": "identity"}).json()["code"] == "invalid"
        mixed = [events[5], events[6] | {"user_id": "somebody else"}, events[7] | {"event_type": "no type"}]
        assert client.counts(body(mixed).encode()) == (0, 1, 1, 1)
        said, errors = importing.communicate(timeout=PATIENCE_S)
        assert importing.returncode == Exit.REJECTED, errors.decode()
        figures = json.loads(said)
        assert (figures["read"], figures["rejected"], figures["stored"] >= 1000) == (2001, 1, True)
        client.settle()
        stored = {one["event_id"]: one for one in events}
        check(client, stored)

        # Everything once more, by either way, changes nothing.
        again = run("import-events", "--json", path, data_dir=stack.folder)
        assert again.returncode == Exit.REJECTED, again.stderr
        assert json.loads(again.stdout)["stored"] == 0
        assert client.counts(body(events).encode())[2:] == (0, 0)
        client.settle()
        check(client, stored)

        # One person's events, and what is left without them.
        user = events[0]["user_id"]
        own = {key: one for key, one in stored.items() if one["user_id"] == user}
        exported = run("users", "export", user, data_dir=stack.folder)
        assert exported.returncode == Exit.OK, exported.stderr
        found = {row["event_id"]: row for row in map(json.loads, exported.stdout.splitlines())}
        assert {key: json.loads(row["properties"]) for key, row in found.items()} == {
            key: one["properties"] for key, one in own.items()
        }
        erased = run("users", "erase", user, "--yes", "--json", data_dir=stack.folder)
        assert erased.returncode == Exit.OK, erased.stderr
        assert json.loads(erased.stdout)["erased"]["events"] == len(own) > 0
        check(client, {key: one for key, one in stored.items() if key not in own})
