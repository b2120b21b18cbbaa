"""`tallybook import-events`: rows of files into the table, each id once, also beside uploads and after any stop."""

import asyncio
import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.settings import Settings
from shared.stores import clickhouse
from tallybook.exits import Exit
from tallybook.imports import event_file
from tallybook.imports.event_file import EventFile
from tests.harness.process import ROOT
from tests.harness.subjects.events import EventStage, event, moment


def write(path: Path, events: Iterable[dict[str, Any]]) -> Path:
    """A CSV file of the events."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(event_file.COLUMNS)
        for one in events:
            rows.writerow([*list(one.values())[:4], json.dumps(one["properties"])])
    return path


def rows_of(path: Path) -> list[list[str]]:
    """Those of a CSV file."""
    with path.open(newline="", errors="surrogateescape") as file:
        return list(csv.reader(file))


def begun(stage: EventStage, *arguments: object, **environ: str) -> "subprocess.Popen[bytes]":
    """The command, as a process."""
    settings = stage.settings
    values = {
        "TALLYBOOK_REDIS_URL": settings.redis_url or "",
        "TALLYBOOK_DATABASE_URL": settings.database_url or "",
        "TALLYBOOK_CLICKHOUSE_URL": settings.clickhouse_url or "",
        "TALLYBOOK_CLICKHOUSE_TIMEOUT_S": "5",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tallybook", "import-events", "--json", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | values | environ, cwd=stage.service.folder, **pipes)  # type: ignore[call-overload,no-any-return]


def imported(
    stage: EventStage, *arguments: object, wanted: int = 0, given: bytes = b"", **environ: str
) -> dict[str, int]:
    """What the command said of the rows."""
    process = begun(stage, *arguments, **environ)
    said, errors = process.communicate(given, timeout=120)
    assert process.returncode == wanted, errors.decode()[-3000:]
    figures: dict[str, int] = json.loads(said) if said else {}
    names = ("read", "stored", "duplicates", "rejected")
    return {name: figures[name] for name in (*names, *(["conflicts"] if figures.get("conflicts") else [])) if figures}


@pytest.mark.every_engine
async def test_rows_of_files_are_events_and_a_repeat_changes_nothing(stage: EventStage, tmp_path: Path) -> None:
    events = [event(occurred_at=moment(day)) for day in range(300)]
    write(tmp_path / "a.csv", events[:100])
    write(tmp_path / "b.csv.gz", events[100:200])
    text = write(tmp_path / "c.csv", [*events[200:], events[250], events[0]]).read_bytes()
    (tmp_path / "c.csv").unlink()
    assert imported(stage, tmp_path / "*.csv*") == {"read": 200, "stored": 200, "duplicates": 0, "rejected": 0}
    assert imported(stage, "-", given=text) == {"read": 102, "stored": 100, "duplicates": 2, "rejected": 0}
    assert imported(stage, tmp_path / "*.csv*") == {"read": 200, "stored": 0, "duplicates": 200, "rejected": 0}
    rows = await stage.rows()
    assert {one["event_id"]: one["user_id"] for one in events} == {key: row[1] for key, row in rows.items()}
    when, *_, properties = rows[events[5]["event_id"]]
    assert when.replace(tzinfo=UTC) == datetime.fromisoformat(events[5]["occurred_at"])
    assert json.loads(properties) == events[5]["properties"]
    assert await stage.lying() == 300


async def test_what_cannot_be_taken_is_beside_the_file_with_line_and_reason(stage: EventStage, tmp_path: Path) -> None:
    good = event()
    path = tmp_path / "mixed.csv"
    lines = [
        "user_id,event_type,event_id,occurred_at,properties_json,ignored",
        f'u,view,{good["event_id"]},{moment()},"{{""a"":\n1}}",x',
        f"u,view,no uuid,{moment()},,x",
        f"u,view,{uuid.uuid4()},2026-03-01 10:00:00,,x",
        f"u,вид,{uuid.uuid4()},{moment()},,x",
        f"u,view,{uuid.uuid4()},{moment()},[],x",
        f"u,view,{uuid.uuid4()},{moment(9999)},,x",
        "short",
        f"\ufffdu,view,{uuid.uuid4()},{moment()},,x",
        "",
    ]
    path.write_bytes("\n".join(lines).encode().replace("\ufffd".encode(), b"\xff"))
    assert imported(stage, path, wanted=Exit.REJECTED) == {"read": 8, "stored": 1, "duplicates": 0, "rejected": 7}
    told = rows_of(tmp_path / "mixed.csv.rejected.csv")
    assert told[0] == ["line", "code", "reason", *event_file.COLUMNS]
    assert [(row[0], row[1]) for row in told[1:]] == [
        ("4", "invalid"),
        ("5", "invalid"),
        ("6", "invalid"),
        ("7", "invalid"),
        ("8", "too_old"),
        ("9", "columns"),
        ("10", "malformed"),
    ]
    assert set(await stage.rows()) == {good["event_id"]}
    assert not (tmp_path / "mixed.csv.import.json").exists()


async def test_rejected_rows_that_were_mended_are_imported_as_the_file_says(stage: EventStage, tmp_path: Path) -> None:
    """Whatever the order of the columns was, and what stood beside them; properties too long to look at are whole."""
    good, bad, short = event(), event(occurred_at="yesterday", properties={"a": "x" * 5000}), event()
    path = tmp_path / "a.csv"
    lines = ["event_type,properties,user_id,extra,occurred_at,event_id"]
    for one in (good, bad):
        properties = json.dumps(one["properties"]).replace('"', '""')
        lines.append(f'view,"{properties}",{one["user_id"]},x,{one["occurred_at"]},{one["event_id"]}')
    lines.append(f"view,,{short['user_id']},x,{short['occurred_at']}")
    path.write_text("\n".join(lines))
    assert imported(stage, path, wanted=Exit.REJECTED) == {"read": 3, "stored": 1, "duplicates": 0, "rejected": 2}
    rejected = tmp_path / "a.csv.rejected.csv"
    rejected.write_text(rejected.read_text().replace("yesterday", moment()).replace(",,", f",{short['event_id']},"))
    assert imported(stage, rejected) == {"read": 2, "stored": 2, "duplicates": 0, "rejected": 0}
    rows = await stage.rows()
    assert {key: row[1] for key, row in rows.items()} == {one["event_id"]: one["user_id"] for one in (good, bad, short)}
    assert json.loads(rows[bad["event_id"]][3]) == bad["properties"]


async def test_an_id_with_other_content_is_a_conflict_where_that_is_known(stage: EventStage, tmp_path: Path) -> None:
    """By HTTP before, in another file, or in the same one; of another day, user or type, or with other properties."""
    events = [event(properties={"z": 1, "a": "ж" * 200}, user_id="u" * 128) for _ in range(8)]
    await stage.send(*events[:4])
    await stage.settle()
    assert imported(stage, write(tmp_path / "a.csv", events)) == {
        "read": 8, "stored": 4, "duplicates": 4, "rejected": 0
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"user_id": "other"}, {"event_type": "other"}, {"properties": {}}, {"occurred_at": moment(60)}
    ]  # fmt: skip
    changed = [one | change for one, change in zip(events, changes * 2, strict=True)]
    fresh = event()
    rows = [*changed, *events, fresh, fresh, fresh | {"user_id": "other"}]
    counts = {"read": 19, "stored": 1, "duplicates": 9, "rejected": 0, "conflicts": 9}
    assert imported(stage, write(tmp_path / "b.csv", rows)) == counts
    assert {key: row[1] for key, row in (await stage.rows()).items()} == {
        one["event_id"]: one["user_id"] for one in [*events, fresh]
    }


async def test_import_after_http_and_back_counts_once_and_the_first_stays(stage: EventStage, tmp_path: Path) -> None:
    by_http, by_file = [event() for _ in range(50)], [event() for _ in range(50)]
    await stage.send(*by_http)
    await stage.settle()
    changed = [one | {"occurred_at": moment(60), "user_id": "changed"} for one in by_http]
    assert imported(stage, write(tmp_path / "a.csv", changed + by_file))["stored"] == 50
    back = [one | {"occurred_at": moment(60), "user_id": "changed"} for one in by_file]
    await stage.send(*back, *by_http)
    await stage.settle()
    rows = await stage.rows()
    assert {key: row[1] for key, row in rows.items()} == {one["event_id"]: one["user_id"] for one in by_http + by_file}
    assert await stage.lying() == 100


async def test_imports_and_uploads_at_the_same_time_store_each_id_once(stage: EventStage, tmp_path: Path) -> None:
    """The same ids with other days, from two imports and from uploads, while sinks run."""
    events = [event() for _ in range(600)]
    paths = [
        write(tmp_path / f"{days}.csv", [one | {"occurred_at": moment(days)} for one in events]) for days in (40, 80)
    ]
    async with stage.sink(records=2), stage.sink(records=2):
        processes = [begun(stage, path) for path in paths]
        for at in range(0, 600, 20):
            await stage.send(*events[at : at + 20])
        for process in processes:
            _, errors = await _ended(process)
            assert process.returncode == 0, errors.decode()[-3000:]
        await stage.drained()
    assert set(await stage.rows()) == {one["event_id"] for one in events}
    assert await stage.lying() == 600


async def _ended(process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    return await asyncio.to_thread(process.communicate, None, 120)


@pytest.mark.parametrize("point", ["import_sifted", "import_inserted", "import_noted"])
async def test_an_import_that_is_killed_goes_on_where_it_was(
    stage: EventStage, tmp_path: Path, point: str, redis_client: "Redis"
) -> None:
    events = [event() for _ in range(200)]
    path = write(tmp_path / "a.csv", events)
    killed = begun(stage, path, TALLYBOOK_CRASH=f"{point}=1")
    await _ended(killed)
    assert killed.returncode == -signal.SIGKILL
    if point != "import_noted":  # its gate holds until no insert of it can come
        assert await stage.pool.fetchval("SELECT holder LIKE 'import:%' FROM event_gate")
        await stage.pool.execute("UPDATE event_gate SET until = now() - interval '1 s'")
    counts = imported(stage, path)
    assert counts["read"] == 200
    assert counts["stored"] == (0 if point == "import_inserted" else 200)
    assert set(await stage.rows()) == {one["event_id"] for one in events}
    assert await stage.lying() == 200


@pytest.fixture
def small_batches(tmp_path: Path) -> dict[str, str]:
    """The environment of a command whose batches have 50 rows."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "sitecustomize.py").write_text(
        "from tallybook.imports import event_file\nevent_file.BATCH_ROWS = 50\n", encoding="utf-8"
    )
    return {"PYTHONPATH": f"{tmp_path / 'small'}:{ROOT}"}


async def test_a_signal_lets_the_batch_end_and_the_next_run_goes_on(
    stage: EventStage, tmp_path: Path, small_batches: dict[str, str]
) -> None:
    """The gate is somebody else's after some batches, so the signal comes in the midst of the file."""
    events = [event() for _ in range(1000)]
    for at in range(0, 1000, 7):
        events[at]["occurred_at"] = f"yesterday, {at}"
    good = [one["event_id"] for at, one in enumerate(events) if at % 7]
    whole, cut = write(tmp_path / "whole.csv", events), write(tmp_path / "cut.csv", events)

    process = begun(stage, cut, **small_batches)
    taken = (
        "UPDATE event_gate SET holder = 'import:other', until = now() + interval '1 hour' "
        "WHERE holder IS NULL OR until < now() RETURNING 1"
    )
    while not await stage.lying() or not await stage.pool.fetchval(taken):
        assert process.poll() is None, "it was over before the gate could be taken"
        await asyncio.sleep(0)
    process.terminate()
    _, errors = await _ended(process)
    assert process.returncode == Exit.INTERRUPTED, errors
    await stage.pool.execute("UPDATE event_gate SET holder = NULL, until = NULL")
    note = json.loads((tmp_path / "cut.csv.import.json").read_bytes())
    assert note["counts"]["stored"] == await stage.lying() < len(good)
    rejected = tmp_path / "cut.csv.rejected.csv"
    before = len(rejected.read_bytes().splitlines()) - 1
    assert 0 < before == note["counts"]["rejected"] < 1000 - len(good)
    with rejected.open("ab") as file:
        file.write(b"what a kill could have left behind the note")

    counts = {"read": 1000, "stored": len(good), "duplicates": 0, "rejected": 1000 - len(good)}
    assert imported(stage, cut, wanted=Exit.REJECTED, **small_batches) == counts
    assert set(await stage.rows()) == set(good)
    assert await stage.lying() == len(good)
    undisturbed = {**counts, "stored": 0, "duplicates": len(good)}
    assert imported(stage, whole, wanted=Exit.REJECTED) == undisturbed
    assert rejected.read_bytes() == (tmp_path / "whole.csv.rejected.csv").read_bytes()
    assert not (tmp_path / "cut.csv.import.json").exists()


async def test_an_insert_of_an_import_that_comes_too_late_is_refused(stage: EventStage) -> None:
    """A process that was stopped between the gate and the insert, and goes on when somebody else has the gate."""
    row = {"event_date": "2026-03-01", "occurred_at": "2026-03-01 10:00:00", "event_id": str(uuid.uuid4())}
    more = {"user_id": "u", "event_type": "a", "properties": "{}", "received_at": "2026-03-01 10:00:00"}
    place = {"log_partition": 65535, "log_offset": 1, "log_seq": 1, "insert_before": int(time.time()) - 1}
    with pytest.raises(clickhouse.CLICKHOUSE_ERRORS) as refused:
        await stage.tables.insert("events", json.dumps(row | more | place).encode(), "late")
    assert getattr(refused.value, "code", None) == 469
    assert await stage.rows() == {}


async def test_files_that_imports_wrote_are_left_out_unless_named_alone(stage: EventStage, tmp_path: Path) -> None:
    good, bad = event(), event(occurred_at="yesterday")
    path = write(tmp_path / "a.csv", [good, bad])
    assert imported(stage, path, wanted=Exit.REJECTED)["rejected"] == 1
    rejected = tmp_path / "a.csv.rejected.csv"
    assert [row[:2] for row in rows_of(rejected)] == [["line", "code"], ["3", "invalid"]]
    process = begun(stage, path, rejected)
    said, errors = await _ended(process)
    assert json.loads(said)["read"] == 2
    assert f"skipped: {rejected}," in errors.decode()
    alone = begun(stage, rejected)
    said, errors = await _ended(alone)
    assert alone.returncode == Exit.REJECTED
    assert json.loads(said)["rejected"] == 1
    assert not errors.decode().count("skipped")
    twice = begun(stage, rejected, rejected)
    await _ended(twice)
    assert twice.returncode == Exit.USAGE
    write(path, [good, event()])
    assert imported(stage, path) == {"read": 2, "stored": 1, "duplicates": 1, "rejected": 0}
    assert not rejected.exists()


async def test_a_pipe_is_read_as_stdin_is(stage: EventStage, tmp_path: Path) -> None:
    events = [event() for _ in range(30)]
    text = write(tmp_path / "a.csv", [*events[:20], event(occurred_at="yesterday")]).read_bytes()
    counts = {"read": 21, "stored": 20, "duplicates": 0, "rejected": 1}
    assert imported(stage, "/dev/stdin", wanted=Exit.REJECTED, given=text) == counts
    assert len((stage.service.folder / "stdin.rejected.csv").read_bytes().splitlines()) == 2
    os.mkfifo(tmp_path / "pipe")
    process = begun(stage, tmp_path / "pipe")
    await asyncio.to_thread((tmp_path / "pipe").write_bytes, write(tmp_path / "b.csv", events).read_bytes())
    said, errors = await _ended(process)
    assert process.returncode == 0, errors.decode()
    assert json.loads(said)["stored"] == 10
    assert not [name for name in os.listdir(tmp_path) if name.startswith("pipe.")]


async def test_a_damaged_file_is_one_sentence(stage: EventStage, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", [event() for _ in range(2000)])
    whole = path.read_bytes()
    middle = len(whole) // 2
    ways = {"cut": whole[:middle], "no gzip": b"text", "no zlib": b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 64}
    for way, value in ways.items():
        path.write_bytes(value)
        process = begun(stage, path)
        said, errors = await _ended(process)
        assert (process.returncode, said) == (Exit.FAILED, b""), way
        assert errors.decode().splitlines()[-1].startswith(f"error: {path} cannot be read: "), way
        assert b"Traceback" not in errors, way


async def test_i7_an_open_quote_is_told_with_the_lines_that_it_hides(stage: EventStage, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [event(properties={}) for _ in range(20_000)])
    lines = path.read_text().splitlines(keepends=True)
    lines[100] = lines[100].replace(",{}", ',"{}')
    path.write_text("".join(lines))
    process = begun(stage, path)
    said, _ = await _ended(process)
    counts = json.loads(said)
    _, one = rows_of(tmp_path / "a.csv.rejected.csv")
    last = int(one[0])
    assert 5_000 < last < 15_000
    hidden = f"lines 101 to {last} are one row, maybe by an open quote: it was not read: "
    assert one[1:] == ["malformed", f"{hidden}field larger than field limit (1048576)"]
    assert (counts["read"], counts["rejected"], counts["rejected_lines"]) == (20_101 - last, 1, last - 100)
    assert counts["stored"] == await stage.lying() == 99 + 20_001 - last


def test_a_file_is_read_in_batches_and_from_any_line_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "BATCH_ROWS", 7)
    events = [event(properties={"a": "x\n" * (number % 3)}) for number in range(50)]
    path = write(tmp_path / "a.csv", events)
    text = path.read_text().replace("\\n", "\n")  # properties with line ends inside: rows of several lines
    path.write_text(text)

    def read(skip: int) -> list[event_file.FileBatch]:
        file = EventFile(Settings(), str(path))
        try:
            return list(file.batches(skip))
        finally:
            file.close()

    whole = read(0)
    every = [number for batch in whole for number in batch.numbers + [one.line for one in batch.rejected]]
    assert len(every) == len(set(every)) == 50
    for at, batch in enumerate(whole):
        rest = [number for one in read(batch.lines) for number in one.numbers]
        assert rest == [number for one in whole[at + 1 :] for number in one.numbers]


def test_each_row_is_stored_or_rejected_whatever_stands_beside_it(tmp_path: Path) -> None:
    """Ids without hyphens are ids, too, though rows of them are not packed with others."""
    events = [event() for _ in range(700)]
    for at in range(0, 700, 7):
        events[at]["event_id"] = events[at]["event_id"].replace("-", "")
    bad = {*range(3, 40), 100, 499, 500, 699}
    for at in bad:
        events[at]["occurred_at"] = "yesterday"
    file = EventFile(Settings(), str(write(tmp_path / "a.csv", events)))
    [batch] = file.batches(0)
    file.close()
    assert [one.line for one in batch.rejected] == [at + 2 for at in sorted(bad)]
    assert {one.code for one in batch.rejected} == {"invalid"}
    assert batch.numbers == [at + 2 for at in range(700) if at not in bad]
    texts = [one[7::-1].hex() + one[:7:-1].hex() for one in batch.events.ids]
    assert texts == [one["event_id"].replace("-", "") for at, one in enumerate(events) if at not in bad]
