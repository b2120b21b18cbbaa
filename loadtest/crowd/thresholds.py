"""When a load test has failed."""

from collections.abc import Sequence

#: Milliseconds that 95 % of the answers must keep below, and the share of requests that may fail.
P95_MS, ERRORS = 200.0, 0.01


def failures(p95_ms: float | None, requests: int, failed: int) -> list[str]:
    """What was not kept, in words; nothing if all was."""
    if not requests:
        return ["no request was made"]
    broken = []
    if p95_ms is None or p95_ms >= P95_MS:
        broken.append(f"p95 is {p95_ms or 0:.0f} ms, allowed is less than {P95_MS:.0f} ms")
    if failed / requests >= ERRORS:
        broken.append(f"{failed / requests:.2%} of the requests failed, allowed is less than {ERRORS:.0%}")
    return broken


def percentile_ms(buckets: Sequence[tuple[float, int]], share: float) -> float | None:
    """The latency below which this share of the requests lies, from (milliseconds, requests) pairs."""
    wanted, seen = share * sum(count for _, count in buckets), 0
    for latency, count in sorted(buckets):
        seen += count
        if seen >= wanted:
            return latency
    return None
