"""Files of events as other programs write them: what they are is recognised, or one error says what was seen."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import threading
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings
from tallybook.imports import event_file
from tallybook.imports.event_file import READ_ERRORS, EventFile, FileBatch, Reading
from tallybook.imports.event_layout import NotEvents
from tallybook.imports.file_bytes import Foreign
from tests.harness.process import ROOT
from tests.harness.subjects.events import event, moment

HEADING = "event_id,occurred_at,user_id,event_type,properties_json"


def batches(path: Path | str, reading: Reading | None = None, skip: int = 0) -> list[FileBatch]:
    file = EventFile(Settings(), str(path), reading or Reading())
    try:
        return list(file.batches(skip))
    finally:
        file.close()


def users(path: Path | str, reading: Reading | None = None) -> list[str]:
    """The users of all rows of a file, none of which is rejected."""
    found = batches(path, reading)
    assert [one for batch in found for one in batch.rejected] == []
    return [user[1:].decode() for batch in found for user in batch.events.users]


def row(user: str, delimiter: str = ",", **wishes: Any) -> str:
    one = event(user_id=user, **wishes)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([*list(one.values())[:4], json.dumps(one["properties"])])
    return text.getvalue()


def heading(delimiter: str = ",") -> str:
    return HEADING.replace(",", delimiter) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    "before", ["\n", "\n \r\n\n", "sep=,\n", '"sep=,"\r\n\n', "SEP=,\n", ",,,,\n", "\ufeff", "\ufeff\n"]
)
@pytest.mark.parametrize("head", ["", heading()])
def test_what_stands_before_the_first_row_moves_no_column(path: Path, before: str, head: str) -> None:
    path.write_text(before + head + row("ann") + "\n   \n" + row("bob"))
    assert users(path) == ["ann", "bob"]
    [batch] = batches(path)
    lines = len((before + head).replace("\ufeff", "").splitlines())
    assert batch.numbers == [lines + 1, lines + 4]


@pytest.mark.parametrize(
    "first",
    [
        "# exported",
        "identity,when,who,what,more",
        "purchase,ann,2026-03-01T12:00:00Z,x,{}",
        f"2026-03-01T12:00:00Z,{'0' * 32},ann,view,",
        "Export of 2026-03-01,,,,",
        '{"event": "view", "properties": {"time": 1772625600}}',
    ],
)
def test_a_first_row_that_is_neither_heading_nor_event_stops_the_import_with_its_line(path: Path, first: str) -> None:
    path.write_text(f"\n{first}\n{row('ann')}")
    with pytest.raises(NotEvents, match=r"line 2 is neither a heading with the columns event_id, .* nor an event: "):
        batches(path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("event_id,occurred_at,user_id,event_type,properties", "properties_json is properties"),
        ("uuid,timestamp,distinct_id,event,properties", "event_id is uuid"),
        ("$insert_id,time,distinct_id,event,properties", "event_id is $insert_id"),
        ("messageId,timestamp,userId,event,properties", "event_id is messageId"),
        ("ID,Event Time,User ID,Event Type,Event Properties", "event_id is ID"),
    ],
)
def test_columns_may_have_the_names_of_other_products_and_that_is_said(path: Path, names: str, said: str) -> None:
    path.write_text(f"{names},team\n{row('ann').strip()},7\n")
    file = EventFile(Settings(), str(path))
    [batch] = file.batches(0)
    file.close()
    assert json.loads(batch.events.properties[0][1:]) == {"country": "UA", "price": 12.5}
    assert said in file.said
    assert file.said.endswith("not used: team")


@pytest.mark.parametrize(
    ("names", "reading", "reason"),
    [
        ("event_id,when,user_id,event_type", {}, "line 1 lacks occurred_at; it has .*--column occurred_at=NAME"),
        ("uuid,id,time,user_id,event", {}, "event_id may be uuid and id; say which one: --column event_id=NAME"),
        ("event_id,event_id,time,user_id,event", {}, "event_id may be event_id and event_id"),
        (
            "event_id,time,user_id,event",
            {"user_id": "who"},
            "no column for --column user_id=who; it has event_id, time",
        ),
    ],
)
def test_columns_that_are_not_clear_stop_the_import(
    path: Path, names: str, reading: dict[str, str], reason: str
) -> None:
    path.write_text(f"{names}\n")
    with pytest.raises(NotEvents, match=reason):
        batches(path, Reading(columns=reading))


def test_a_row_with_more_fields_than_the_heading_is_rejected_and_moves_no_column(path: Path) -> None:
    """A delimiter in a text that was not quoted; empty fields of a spreadsheet at the end are none."""
    first, second, third = (f"{uuid.uuid4()},{moment()}" for _ in range(3))
    path.write_text(f"event_id,time,user_id,event\n{first},a,b,view\n{second},ann,view,,\n{third},ann,view\n")
    [batch] = batches(path)
    assert [(one.line, one.code) for one in batch.rejected] == [(2, "columns")]
    assert batch.rejected[0].fields == [*first.split(","), "a", "b", "", "view"]
    assert batch.numbers == [3, 4]


def test_a_column_that_is_named_is_taken_whatever_it_is_called(path: Path) -> None:
    one = event()
    path.write_text(f"event_id,key,time,who,event\n7,{one['event_id']},{one['occurred_at']},ann,view\n")
    assert users(path, Reading(columns={"event_id": "KEY", "user_id": "who"})) == ["ann"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("has_heading", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_delimiters_and_encodings_are_recognised(path: Path, delimiter: str, has_heading: bool, encoding: str) -> None:
    text = (heading(delimiter) if has_heading else "") + row("anna", delimiter) + row("женя", delimiter)
    path.write_bytes(text.encode(encoding))
    assert users(path) == ["anna", "женя"]
    packed = path.with_suffix(".CSV.GZ")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert users(packed) == ["anna", "женя"]


def test_gzip_is_recognised_in_a_pipe_that_gives_its_bytes_one_by_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for byte in gzip.compress((heading() + row("ann")).encode("utf-16")):
                file.write(bytes([byte]))

    writer = threading.Thread(target=write)
    writer.start()
    assert users(pipe) == ["ann"]
    writer.join()


def test_gzip_on_stdin_is_unpacked(tmp_path: Path) -> None:
    code = (
        "from shared.settings import Settings\nfrom tallybook.imports.event_file import EventFile\n"
        "print([len(one.numbers) for one in EventFile(Settings(), '-').batches(0)])"
    )
    given = gzip.compress((heading() + row("ann")).encode())
    done = subprocess.run([sys.executable, "-c", code], input=given, check=True, capture_output=True, timeout=60)
    assert done.stdout == b"[1]\n"


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.csv", data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (zipped(b"a"), "a zip file or a spreadsheet"),
        (bz2.compress(b"a"), "bzip2"),
        (lzma.compress(b"a"), "xz"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PGCOPY\n\xff\r\n\0\0", "a binary COPY"),
        (gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), "gzip within gzip"),
        (gzip.compress(b"PAR1\x15\x04", mtime=0), "Parquet"),
        ("a,b".encode("utf-32"), "UTF-32"),
    ],
)
def test_a_file_of_another_kind_is_one_error_that_says_what_it_is(path: Path, data: bytes, seen: str) -> None:
    path.write_bytes(data)
    with pytest.raises(Foreign, match=f"this is {seen}.*; "):
        batches(path)


def test_half_a_character_of_utf16_is_one_error_and_a_lone_half_rejects_its_row(path: Path) -> None:
    text = heading() + row("ann") + row("b\ud800b") + row("cid")
    data = b"\xff\xfe" + text.encode("utf-16-le", errors="surrogatepass")
    path.write_bytes(data)
    [batch] = batches(path)
    assert [(one.line, one.code) for one in batch.rejected] == [(3, "malformed")]
    assert len(batch.numbers) == 2
    path.write_bytes(data[:-1])
    with pytest.raises(EOFError, match="within a character"):
        batches(path)


def test_a_file_in_another_encoding_is_one_error_with_the_way_out(path: Path) -> None:
    path.write_bytes(heading().encode() + "".join(row(f"Jörg {n}") for n in range(200)).encode("latin-1"))
    with pytest.raises(NotEvents, match=r"first \d+ rows .* Line 2: It is no UTF-8; .*iconv"):
        batches(path)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"occurred_at": "2026-03-04 12:00:00"}, "Line 2: occurred_at: It has no zone; .*--zone"),
        ({"event_id": "7"}, "Line 2: event_id: It is no UUID; --foreign-ids"),
        ({"event_type": "Замовлення"}, "Line 2: event_type: It is no name"),
    ],
)
def test_a_file_whose_first_rows_fail_alike_is_one_error_and_not_ten_thousand(
    path: Path, wishes: dict[str, str], reason: str
) -> None:
    path.write_text(heading() + "".join(row("ann", **wishes) for _ in range(120)))
    with pytest.raises(NotEvents, match=reason):
        batches(path)


def test_rows_that_fail_each_in_its_own_way_or_in_their_time_do_not_end_an_import(path: Path) -> None:
    old = "".join(row("ann", occurred_at=moment(9999)) for _ in range(600))
    path.write_text(heading() + old + row("bob"))
    [batch] = batches(path)
    assert (len(batch.rejected), len(batch.numbers)) == (600, 1)
    path.write_text(heading() + row("ann", event_id="7") + "".join(row("") for _ in range(600)) + row("bob"))
    [batch] = batches(path)
    assert (len(batch.rejected), len(batch.numbers)) == (601, 1)
    assert len(batches(path, skip=1)[0].rejected) == 601


@pytest.mark.parametrize("kind", ["text COPY", "OUTFILE"])
def test_backslashes_of_postgres_and_mysql_are_theirs_and_not_those_of_json(path: Path, kind: str) -> None:
    properties = {"said": 'a "b" \\ c\nd\te', "ж": None}
    one, text = event(), json.dumps(properties)
    values = list(one.values())[:4]
    if kind == "text COPY":
        path.write_text("\t".join([*values, text.replace("\\", "\\\\")]) + "\n" + "\t".join([*values, "\\N"]) + "\n")
    else:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        path.write_text(",".join(f'"{value}"' for value in [*values, quoted]) + "\n")
    [batch] = batches(path)
    assert batch.rejected == []
    assert json.loads(batch.events.properties[0][1:]) == properties


@pytest.mark.parametrize("kind", ["text COPY", "OUTFILE", "OUTFILE without escapes", "CSV"])
def test_a_null_is_no_user_and_no_properties_however_it_is_written(path: Path, kind: str) -> None:
    r"""MySQL writes it as an unquoted \N, or as NULL when there are no escapes."""
    nothing = "NULL" if kind == "OUTFILE without escapes" else r"\N"
    properties = {"a": ",\\N,", "b": "NULL"}
    lines = list[list[str]]()
    for user, text in (("ann", json.dumps(properties)), (nothing, "{}"), ("N", nothing)):
        lines.append([*list(event(user_id=user).values())[:4], text])
    if kind == "text COPY":
        raw = ["\t".join(one if one == r"\N" else one.replace("\\", "\\\\") for one in line) for line in lines]
    elif kind == "OUTFILE":
        escaped = [[one.replace("\\", "\\\\").replace('"', '\\"') for one in line] for line in lines]
        raw = [
            ",".join(f'"{new}"' if new == old or old[0] == "{" else old for new, old in zip(*both, strict=True))
            for both in zip(escaped, lines, strict=True)
        ]
    else:
        raw = [
            ",".join('"' + one.replace('"', '""') + '"' if one != nothing else one for one in line) for line in lines
        ]
    path.write_text("\r\n".join(raw) + "\r\n")
    [batch] = batches(path)
    [reject] = batch.rejected
    assert (reject.line, reject.detail) == (2, r"user_id: It is empty, \N or NULL, which is nobody")
    assert batch.events.users == [b"\x03ann", b"\x01N"]
    assert [json.loads(one[1:]) for one in batch.events.properties] == [properties, {}]


@pytest.mark.parametrize("kind", ["text COPY", "OUTFILE"])
def test_backslashes_that_nobody_has_doubled_reject_their_row_and_change_no_letter(path: Path, kind: str) -> None:
    texts = [
        r'{"name": "Mu"}',
        r'{"name": "M\u00fcller"}',
        r'{"name": "M\\u00fcller"}',
        r'{"name": "M\\\u00fcller"}',
        "{}",
    ]
    end = "\t"
    if kind == "OUTFILE":
        end, texts = ",", ['"' + text.replace('"', '\\"') + '"' for text in texts]
    lines = [end.join([*list(event(user_id="ann").values())[:4], text]) for text in texts]
    path.write_text("\n".join(lines) + "\n")
    [batch] = batches(path)
    assert [(one.line, one.code, one.detail.split(";")[1]) for one in batch.rejected] == [
        (line, "malformed", " write the file as CSV") for line in (2, 4)
    ]
    assert batch.numbers == [1, 3, 5]
    assert json.loads(batch.events.properties[1][1:]) == {"name": "Müller"}


@pytest.mark.parametrize(
    ("product", "types", "said"),
    [
        ("Postgres", ["purchase", "view"], "properties_json is properties"),
        ("ClickHouse", ["purchase", "view"], "event_id is id"),
        ("Mixpanel", ["Order_Completed", "Page_View"], "event_id is $insert_id"),
        ("PostHog", ["pageview", "Order_Completed"], "not used: team_id, elements_chain"),
    ],
)
def test_the_examples_of_the_docs_are_imported(path: Path, product: str, types: list[str], said: str) -> None:
    """With the options of the command above each."""
    page = (ROOT / "docs/import-events.md").read_text()
    section = page.split(f"### {product}\n")[1].split("\n#")[0]
    path.write_text(section.split("```csv\n")[1].split("```")[0])
    [command] = re.findall(r"^    tallybook import-events \S+\.csv(.*)$", section, re.MULTILINE)
    words = iter(command.split())
    options = {name: next(words) for name in words}
    reading = Reading(zone=options.pop("--zone", None), foreign_ids=options.pop("--foreign-ids", None))
    assert options == {}
    file = EventFile(Settings(event_past_days=36500), str(path), reading)
    [batch] = file.batches(0)
    file.close()
    assert batch.rejected == []
    assert said in file.said
    assert batch.events.moments == [1772625600250, 1772625601000]
    assert [user[1:] for user in batch.events.users] == [b"17", b"18"]
    assert [kind[1:].decode() for kind in batch.events.types] == types


def test_an_import_of_any_form_goes_on_in_its_midst(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "BATCH_ROWS", 7)
    for before in ("", "\nsep=;\n\n"):
        for head in ("", heading(";")):
            rows = "".join(row(f"u{n}", ";", properties={"a": "x\n" * (n % 3)}) for n in range(40))
            path.write_bytes((before + head + rows.replace("\\n", "\n")).encode("utf-16"))
            whole = batches(path)
            for at, batch in enumerate(whole):
                rest = [number for one in batches(path, skip=batch.lines) for number in one.numbers]
                assert rest == [number for one in whole[at + 1 :] for number in one.numbers]


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", '"', '""', "\0", ",", "sep=", "sep=;", '"a\n', "event_id", "event_id\n1\n", "\ufeff", "\\", "\t\n|"],
)
def test_whatever_a_small_file_has_is_read_or_one_error(path: Path, text: str) -> None:
    path.write_text(text)
    fault = ""
    try:
        found = batches(path)
    except READ_ERRORS as error:
        found, fault = [], str(error)
    assert [one for batch in found for one in batch.numbers] == []
    assert bool(fault) != bool(found)
