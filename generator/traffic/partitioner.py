"""Choose the partition of a message: by key as Kafka's Java client does, in turn, or at random."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Literal

#: How messages are spread.
Spread = Literal["key", "round_robin", "random"]
#: Answers the partition of a message, of its key and number.
Partitioner = Callable[[bytes, int], int]

_SEED, _M, _R, _MASK = 0x9747B28C, 0x5BD1E995, 24, 0xFFFFFFFF
#: Keys whose partitions are remembered. A site has fewer pages.
_REMEMBERED = 1 << 20


def murmur2(key: bytes) -> int:
    """Return `org.apache.kafka.common.utils.Utils.murmur2` as 32 unsigned bits."""
    length = len(key)
    digest = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> _R) * _M & _MASK
        digest = digest * _M & _MASK ^ k
    if length & 3:
        digest = (digest ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    digest = (digest ^ digest >> 13) * _M & _MASK
    return digest ^ digest >> 15


def kafka_partition(key: bytes, partitions: int) -> int:
    """Return `BuiltInPartitioner.partitionForKey`: the sign is masked, not negated."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitioner(
    spread: Spread, partitions: int, seed: int, by_key: Callable[[bytes], int] | None = None
) -> Partitioner:
    """Return a function that spreads messages over the partitions from 0. `by_key` replaces Kafka's hash."""
    if spread == "round_robin":
        return lambda key, number: number % partitions
    if spread == "random":
        return lambda key, number: _chance(seed, number) % partitions
    hashed = by_key or (lambda key: kafka_partition(key, partitions))
    known: dict[bytes, int] = {}

    def remembered(key: bytes, number: int) -> int:
        partition = known.get(key)
        if partition is None:
            partition = hashed(key)
            if len(known) < _REMEMBERED:
                known[key] = partition
        return partition

    return remembered


def _chance(seed: int, number: int) -> int:
    """Return 64 random bits, the same for a number each time: a resumed run has to find its messages."""
    return int.from_bytes(blake2b(b"%d %d" % (seed, number), digest_size=8).digest(), "little")
