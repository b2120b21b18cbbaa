"""Medians of paired ratios.

Two sides are compared within a round only, minutes apart at most, because a shared machine drifts more between rounds
than sides differ. The median over the rounds is what is published.
"""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any


def paired(rows: Iterable[Mapping[str, Any]], top: str, bottom: str, value: str) -> float | None:
    """Median over the rounds of `value` of side `top` divided by that of side `bottom`; None without a full pair."""
    by_round: dict[int, dict[str, float]] = {}
    for row in rows:
        by_round.setdefault(row["round"], {})[row["side"]] = float(row[value])
    ratios = [sides[top] / sides[bottom] for sides in by_round.values() if top in sides and sides.get(bottom)]
    return round(median(ratios), 3) if ratios else None


def middle(rows: Iterable[Mapping[str, Any]], side: str, value: str) -> float | None:
    """Median over the rounds of `value` of one side; None if it has no row."""
    values = [float(row[value]) for row in rows if row["side"] == side]
    return median(values) if values else None
