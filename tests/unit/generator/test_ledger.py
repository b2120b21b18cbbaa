"""The ledger's files: lines, what is written ahead, and what is left after an end in the middle of a line."""

import json
from pathlib import Path

import pytest

from generator.ledger import Change, Ledger, LedgerUnusable, Plan, past
from generator.traffic.kinds import BROKEN_JSON, DUPLICATE, KINDS, NORMAL
from generator.traffic.profile import Profile
from generator.traffic.traffic import Audience, Message

PLAN = Plan(
    run="r",
    seed=1,
    target="redis://x",
    topic="t",
    partitions=3,
    start_ms=5,
    events=10,
    audience=Audience(),
    profile=Profile(),
    spread="key",
    ways=dict.fromkeys(KINDS, "async"),
    ends={0: 17},
)
GOOD = Message(0, NORMAL, b"page-1", b'{"page_id":"page-1"}', None)
BAD = Message(1, BROKEN_JSON, b"page-2", b'{"page_id":"pa', None)
AGAIN = Message(2, DUPLICATE, b"page-1", GOOD.value, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sent.jsonl"


def begun(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.begin(PLAN)
    return ledger


def test_a_line_has_kind_key_position_and_content(path: Path) -> None:
    ledger = begun(path)
    for place, message in enumerate((GOOD, BAD, AGAIN)):
        ledger.note(message, b'{"offset":%d}' % place)
    ledger.close(is_complete=True)
    event = {"page_id": "page-1"}
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [
        {"n": 0, "kind": "normal", "key": "page-1", "position": {"offset": 0}, "event": event},
        {"n": 1, "kind": "broken_json", "key": "page-2", "position": {"offset": 1}, "text": '{"page_id":"pa'},
        {
            "n": 2,
            "kind": "duplicate",
            "key": "page-1",
            "of": 0,
            "position": {"offset": 2},
            "event": {"page_id": "page-1"},
        },
    ]


def test_what_was_written_ahead_is_read_back(path: Path) -> None:
    ledger = begun(path)
    ledger.reach(3)
    ledger.change(Change(3, 1.5, Profile(mode="night")))
    ledger.reach(5)
    ledger.note(GOOD, b"{}")
    ledger.note(AGAIN, b"{}", "aborted")
    ledger.note(BAD, b"null", "unknown")
    ledger.close(is_complete=False)
    found = past(path)
    assert found.plan == PLAN
    assert found.changes == [Change(3, 1.5, Profile(mode="night"))]
    assert found.reach == 5
    assert found.settled == {0, 1}, "an aborted message is not settled"


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_that_was_cut_is_cut_off(path: Path, cut: int) -> None:
    ledger = begun(path)
    ledger.reach(2)
    ledger.note(GOOD, b"{}")
    ledger.note(BAD, b"{}")
    ledger.close(is_complete=False)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    ahead = path.with_name("sent.jsonl.ahead")
    ahead.write_bytes(ahead.read_bytes() + b'{"type":"rea')
    found = past(path)
    assert (found.settled, found.reach) == ({0}, 2)
    assert path.read_bytes() == content.splitlines(keepends=True)[0]
    assert ahead.read_bytes().endswith(b"\n")


def test_a_complete_run_leaves_the_ledger_alone(path: Path) -> None:
    begun(path).close(is_complete=True)
    assert [one.name for one in path.parent.iterdir()] == ["sent.jsonl"]
    with pytest.raises(LedgerUnusable, match="nothing to resume"):
        past(path)


def test_a_file_that_is_no_ledger_is_refused(path: Path) -> None:
    path.write_text("hello\n")
    path.with_name("sent.jsonl.ahead").write_text("{}\n")
    with pytest.raises(LedgerUnusable, match="cannot be read"):
        past(path)
    with pytest.raises(LedgerUnusable, match="is there already"):
        begun(path)


def test_lines_are_counted_by_kind(path: Path) -> None:
    ledger = Ledger(None)
    ledger.note(GOOD, b"{}")
    ledger.note(AGAIN, b"{}")
    ledger.note(BAD, b"null", "refused")
    ledger.write()
    assert ledger.sent == {"normal": 1, "duplicate": 1}
    assert ledger.not_sent == 1
