"""A record passes once, whatever order repeats come in."""

from hypothesis import given
from hypothesis import strategies as st

from shared.record_log.dead_letters import Place, producer
from shared.record_log.deduplication import Mark, Sieve
from shared.record_log.record_log import Position


def passes(sieve: Sieve, producer: str, mark: Mark) -> bool:
    """Whether one record does."""
    return not sieve.repeats(producer, mark)


def test_what_lies_above_the_mark_passes_and_moves_it() -> None:
    sieve = Sieve({"a": Mark(2, 1)}, "table")
    assert [passes(sieve, "a", Mark(2, place)) for place in range(4)] == [False, False, True, True]
    assert passes(sieve, "a", Mark(7, 0))
    assert not passes(sieve, "a", Mark(3, 0))
    assert sieve.moved == {"a": Mark(7, 0)}
    assert sieve.skipped == 3


def test_producers_do_not_touch_each_other() -> None:
    sieve = Sieve({"a": Mark(9, 9)}, "table")
    assert passes(sieve, "b", Mark(1, 0))
    assert sieve.moved == {"b": Mark(1, 0)}


def test_a_record_without_a_producer_always_passes() -> None:
    sieve = Sieve({}, "table")
    assert all(passes(sieve, "", Mark(0, 0)) for _ in range(2))
    assert sieve.moved == {}


def test_a_letter_that_is_replayed_passes_to_its_own_sink_alone() -> None:
    name = producer(Place("streams", "hits", 0, Position(7, 1), "table"))
    mine, others = Sieve({}, "table"), Sieve({}, "another_table")
    assert passes(mine, name, Mark(1, 0))
    assert not passes(mine, name, Mark(1, 0))
    assert not passes(others, name, Mark(1, 0))
    assert (mine.skipped, others.skipped, others.moved) == (1, 1, {})


def test_of_records_that_lie_together_only_the_first_are_repeats() -> None:
    sieve = Sieve({"a": Mark(2, 1)}, "table")
    assert sieve.repeats("a", Mark(1, 0), 9) == 9
    assert sieve.repeats("a", Mark(2, 0), 2) == 2
    assert sieve.moved == {}
    assert sieve.repeats("a", Mark(2, 0), 5) == 2
    assert sieve.moved == {"a": Mark(2, 4)}
    assert sieve.repeats("a", Mark(3, 0), 5) == 0
    assert sieve.repeats("", Mark(0, 0), 5) == 0
    assert (sieve.moved, sieve.skipped) == ({"a": Mark(3, 4)}, 13)
    others = Sieve({}, "another_table")
    assert others.repeats(producer(Place("streams", "hits", 0, Position(7, 1), "table")), Mark(1, 0), 3) == 3
    assert (others.moved, others.skipped) == ({}, 3)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8), data=st.data())
def test_repeats_of_any_age_cut_anywhere_are_dropped(sizes: list[int], data: st.DataObject) -> None:
    """Appends arrive in order; between them repeats of older ones do, whole or in part, and the reader is cut at any
    place and goes on from what it has stored."""
    sent = [[Mark(seq, place) for place in range(size)] for seq, size in enumerate(sizes, 1)]
    stream: list[Mark] = []
    for number, append in enumerate(sent):
        # It may have been cut short once or more before it arrived as a whole.
        for part in data.draw(st.lists(st.integers(0, len(append)), max_size=2)):
            stream += append[:part]
        stream += append
        for late in data.draw(st.lists(st.integers(0, number), max_size=3)):
            stream += sent[late]
    marks: dict[str, Mark] = {}
    passed: list[Mark] = []
    for mark in stream:
        sieve = Sieve(marks, "table")  # a batch of one record: the worst cut
        if passes(sieve, "a", mark):
            passed.append(mark)
        marks |= sieve.moved
    whole = Sieve({}, "table")
    assert passed == [mark for mark in stream if passes(whole, "a", mark)] == [mark for one in sent for mark in one]
