"""The journal: what was written is there after a kill at any byte, what was refused never is, and nobody shares one."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import JournalFull
from shared.record_log import journal as module
from shared.record_log.journal import Append, BadJournal, Journal, paths, records_in

MANY = 1 << 20


def append(seq: int, *values: bytes, partition: int = 0) -> Append:
    return Append("hits", partition, "p", seq, [(b"k", value) for value in values])


APPENDS = [append(1, b"one"), append(2, b"two", b"zwei"), append(3, b"", partition=3), append(4, b"\0" * 300)]


def written(folder: Path, *groups: list[Append]) -> tuple[Path, list[int]]:
    """A journal with these groups, let go of as a kill would, and the sizes after each."""
    journal = Journal.create(folder, "p", MANY)
    ends = [journal.size]
    for group in groups:
        journal.write(group)
        ends.append(journal.size)
    os.close(journal._descriptor)
    return journal.path, ends


def adopted(path: Path) -> Journal:
    journal = Journal.adopt(path)
    assert journal is not None
    return journal


def test_what_was_written_is_there_in_order(tmp_path: Path) -> None:
    path, _ = written(tmp_path, APPENDS[:2], APPENDS[2:])
    assert list(adopted(path).appends()) == APPENDS


def test_a_place_leads_to_its_append(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    places = journal.write(APPENDS[:2]) + journal.write(APPENDS[2:])
    assert [journal.read(at) for at in places] == APPENDS


def test_records_are_counted_by_topic_whoever_holds_the_journal(tmp_path: Path) -> None:
    assert records_in(tmp_path / "nowhere") == {}
    held = Journal.create(tmp_path, "held", MANY)
    held.write(APPENDS)
    orphan, _ = written(tmp_path, [*APPENDS, Append("events", 0, "q", 1, [(b"", b"")] * 7)])
    with orphan.open("ab") as file:
        file.write(b"torn by a crash")
    (tmp_path / "foreign.journal").write_bytes(b"something else")
    assert records_in(tmp_path) == {"hits": 10, "events": 7}
    held.clear()
    assert records_in(tmp_path) == {"hits": 5, "events": 7}


def test_a_kill_at_every_byte_keeps_what_was_synced_and_cuts_the_rest(tmp_path: Path) -> None:
    path, ends = written(tmp_path, *([one] for one in APPENDS))
    content = path.read_bytes()
    for size in range(ends[0], len(content) + 1):
        torn = tmp_path / f"{size}.journal"
        torn.write_bytes(content[:size])
        journal = adopted(torn)
        whole = sum(end <= size for end in ends[1:])
        assert list(journal.appends()) == APPENDS[:whole]
        assert torn.stat().st_size == journal.size == ends[whole]
        journal.clear()
        journal.close()


def test_a_hole_of_zeros_behind_the_end_is_cut(tmp_path: Path) -> None:
    path, _ = written(tmp_path, APPENDS)
    with path.open("ab") as file:
        file.write(bytes(100))
    assert list(adopted(path).appends()) == APPENDS


@settings(deadline=None)
@given(at=st.integers(8), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_append_which_is_kept_apart(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    path, ends = written(tmp_path_factory.mktemp("j"), *([one] for one in APPENDS))
    content = bytearray(path.read_bytes())
    at = 8 + at % (len(content) - 8)
    content[at] ^= 1 << bit
    path.write_bytes(content)
    hit = sum(end <= at for end in ends[1:])
    assert list(adopted(path).appends()) == APPENDS[:hit] + APPENDS[hit + 1 :]
    kept = [one.read_bytes() for one in path.parent.glob("*.bad-*")]
    assert kept == ([bytes(content[ends[hit] : ends[hit + 1]])] if hit < len(APPENDS) - 1 else [])


def test_a_hole_in_the_midst_costs_nothing_behind_it(tmp_path: Path) -> None:
    path, ends = written(tmp_path, *([one] for one in APPENDS))
    content = bytearray(path.read_bytes())
    content[ends[0] : ends[2]] = bytes(ends[2] - ends[0])
    path.write_bytes(content)
    assert list(adopted(path).appends()) == APPENDS[2:]


def test_what_follows_a_clear_is_all_there_is(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    journal.write(APPENDS)
    journal.clear()
    assert journal.is_empty()
    journal.write([append(9, b"x")])
    os.close(journal._descriptor)
    assert list(adopted(journal.path).appends()) == [append(9, b"x")]


def test_a_full_one_refuses_all_of_a_group_and_keeps_what_it_has(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", 400)
    journal.write(APPENDS[:2])
    before = journal.path.read_bytes()
    with pytest.raises(JournalFull):
        journal.write([APPENDS[0], APPENDS[3]])
    assert journal.path.read_bytes() == before
    journal.write([APPENDS[0]])
    assert list(journal.appends()) == [*APPENDS[:2], APPENDS[0]]


@pytest.mark.parametrize("broken", ["pwrite", "fdatasync"])
def test_what_a_disk_refused_is_never_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    journal.write(APPENDS[:1])
    real = getattr(os, broken)

    def fails(*arguments: object) -> int:
        if broken == "pwrite":  # a part gets there
            descriptor, content, at = arguments
            if len(content) > 10:  # type: ignore[arg-type]
                return int(real(descriptor, content[:10], at))  # type: ignore[index]
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(module.os, broken, fails)
        with pytest.raises(JournalFull):
            journal.write(APPENDS[1:])
    copy = tmp_path / "copy.journal"  # as a kill at this moment would leave it
    copy.write_bytes(journal.path.read_bytes())
    assert list(adopted(copy).appends()) == APPENDS[:1]
    journal.write([append(7, b"later")])
    os.close(journal._descriptor)
    assert list(adopted(journal.path).appends()) == [APPENDS[0], append(7, b"later")]


def test_a_removed_file_takes_nothing_more(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    journal.path.unlink()
    with pytest.raises(JournalFull):
        journal.write(APPENDS)


def test_one_that_somebody_holds_is_not_adopted(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    assert Journal.adopt(journal.path) is None
    journal.write(APPENDS)
    journal.close()
    first = adopted(journal.path)
    assert Journal.adopt(journal.path) is None
    first.clear()
    first.close()
    assert Journal.adopt(journal.path) is None


def test_an_empty_one_is_gone_after_its_owner(tmp_path: Path) -> None:
    Journal.create(tmp_path, "p", MANY).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"tallyjn", b"tallyjn2", b"\0" * 100])
def test_what_is_no_journal_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    assert Journal.adopt(path) is None
    assert paths(tmp_path) == []
    [aside] = tmp_path.iterdir()
    assert aside.read_bytes() == content


def test_a_length_of_gigabytes_is_not_believed(tmp_path: Path) -> None:
    path, _ = written(tmp_path, APPENDS)
    with path.open("ab") as file:
        file.write(b"\xff" * 20)
    assert list(adopted(path).appends()) == APPENDS


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "p", MANY)
    journal.write(APPENDS)
    with pytest.raises(BadJournal):
        journal.read(9)
