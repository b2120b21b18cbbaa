"""Partitions: murmur2 is that of the Java client, and the other ways of spreading are what they are called."""

import math
from collections import Counter

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from generator.traffic.partitioner import kafka_partition, murmur2, partitioner


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # The vectors of Apache Kafka's own UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_the_java_client(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_murmur2_is_that_of_aiokafka(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_aiokafka(key) & 0xFFFFFFFF


def test_a_negative_hash_is_masked_and_not_negated() -> None:
    """-973932308 & 0x7fffffff = 1173551340; its absolute value would be another partition."""
    assert kafka_partition(b"21", 7) == 1173551340 % 7
    assert 1173551340 % 7 != 973932308 % 7


def test_by_key_a_key_stays_where_it_is() -> None:
    spread = partitioner("key", 3, seed=1)
    assert {spread(b"foobar", number) for number in range(100)} == {kafka_partition(b"foobar", 3)}


def test_by_key_the_hash_of_the_target_counts() -> None:
    assert partitioner("key", 3, 1, lambda key: len(key))(b"ab", 0) == 2


def test_round_robin_takes_each_in_turn() -> None:
    spread = partitioner("round_robin", 3, seed=1)
    assert [spread(b"same", number) for number in range(6)] == [0, 1, 2, 0, 1, 2]


def test_random_spreads_evenly_and_again_the_same() -> None:
    spread, count = partitioner("random", 3, seed=1), 30_000
    places = [spread(b"same", number) for number in range(count)]
    for times in Counter(places).values():
        assert abs(times - count / 3) <= 5 * math.sqrt(count * 2 / 9)
    assert places[:100] == [partitioner("random", 3, seed=1)(b"same", number) for number in range(100)]
    assert places[:100] != [partitioner("random", 3, seed=2)(b"same", number) for number in range(100)]
