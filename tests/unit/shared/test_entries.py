"""Records share entries, and each of them comes back as it was, wherever a range begins or ends."""

from hypothesis import given
from hypothesis import strategies as st

from shared.record_log.deduplication import Mark
from shared.record_log.entries import Entry, Gathered, packed, unpacked
from shared.record_log.record_log import BEGIN, Batch, Limit, Position

PAIR = st.tuples(st.binary(max_size=20), st.binary(max_size=200))


def behind(position: Position) -> Position:
    return Position(position.offset, position.seq + 1)


def laid(records: list[tuple[bytes, bytes]]) -> list[Entry]:
    """The entries of one append of `a`, as they would lie in a stream."""
    entries, place = list[Entry](), 0
    for key, value, held in packed(records):
        entries.append(Entry(Position(7, place), key, value, 9, "a", Mark(1, place)))
        place += held
    assert place == len(records)
    return entries


@given(st.lists(PAIR, min_size=1, max_size=30))
def test_any_records_come_back(records: list[tuple[bytes, bytes]]) -> None:
    assert [one for entry in laid(records) for one in unpacked(entry.key, entry.value)] == records


def test_an_entry_is_bounded_in_records_and_bytes() -> None:
    many = [(b"", b"x")] * 1201
    assert [held for _, _, held in packed(many)] == [500, 500, 201]
    large = [(b"", bytes(30 << 10))] * 5
    assert [held for _, _, held in packed(large)] == [2, 2, 1]
    assert all(len(value) < 65 << 10 for _, value, _ in packed([(b"k" * 16, bytes(200))] * 1000))
    whole = [(b"", bytes(800_000))]
    assert list(packed(whole)) == [(b"", bytes(800_000), 1)]
    assert list(packed([])) == []


@given(st.lists(PAIR, min_size=2, max_size=30), st.data())
def test_pieces_of_a_range_are_the_range(records: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """However it is cut: none is there twice, none is missing, and marks and positions are those of single records."""
    entries = laid(records)
    at, marks, found = BEGIN, dict[str, Mark](), list[tuple[Position, bytes, bytes]]()
    while len(found) < len(records):
        size = data.draw(st.integers(1, len(records)))
        limit = Limit(size, data.draw(st.integers(0, 400)), 0)
        piece = gathered(entries, at, marks, limit)
        assert 0 < len(piece.records) <= size
        assert piece.marks == {"a": Mark(1, len(found) + len(piece.records) - 1)}
        assert gathered(entries, at, marks, None, piece.end) == piece
        found += [(record.position, record.key, record.value) for record in piece.records]
        at, marks = piece.end, marks | piece.marks
    assert found == [(Position(7, place), *record) for place, record in enumerate(records)]
    again = gathered(entries, BEGIN, marks, Limit())
    assert (again.records, again.skipped) == ([], len(records))


def gathered(
    entries: list[Entry], start: Position, marks: dict[str, Mark], limit: Limit | None, end: Position | None = None
) -> Batch:
    """A range of these entries, as a reader gathers it."""
    found = Gathered(start, marks, "table", behind, limit=limit, end=end)
    for entry in entries:
        ends = Position(entry.position.offset, entry.position.seq + len(unpacked(entry.key, entry.value)))
        if ends > start and (end is None or entry.position < end) and not found.take(entry):
            break
    return found.batch(end)
