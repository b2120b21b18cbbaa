"""Draw lines over two logarithmic scales as SVG, for pages that show how something grows."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

#: Pixels of the picture, and of the margins left, right, above and below the plot.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 380, 70, 190, 44, 52
#: Colours that differ in lightness as well (Okabe and Ito, "Color Universal Design", 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


class Line(NamedTuple):
    """Points (x, y) above zero, and what they are of."""

    name: str
    points: Sequence[tuple[float, float]]


def drawn(title: str, x: str, y: str, lines: Sequence[Line], limit: tuple[float, str] | None = None) -> str:
    """Return the picture. `limit` is a height that a broken line shows, and its name."""
    xs = [at for line in lines for at, _ in line.points]
    ys = [at for line in lines for _, at in line.points] + ([limit[0]] if limit else [])
    across, up = _Scale(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT), _Scale(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y)}</text>",
    ]
    for tick in across.ticks():
        at = across.at(tick)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{short(tick)}</text>')
    for tick in up.ticks():
        at = up.at(tick)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    if limit is not None:
        at = up.at(limit[0])
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#222" stroke-dasharray="6 4"/>')
        parts.append(f'<text x="{_LEFT + 6}" y="{at - 6:.1f}">{escape(limit[1])}</text>')
    labels = _apart([up.at(line.points[-1][1]) for line in lines])
    for line, colour, label in zip(lines, _COLOURS, labels, strict=False):
        path = "L".join(f"{across.at(at):.1f} {up.at(height):.1f}" for at, height in line.points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{label + 4:.1f}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def short(number: float) -> str:
    """Return a number as people write it on a scale: 1k, 30M, 0.1."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


class _Scale:
    """Where a number lies between two pixels."""

    def __init__(self, least: float, most: float, begin: float, end: float) -> None:
        self._low, self._high = math.floor(math.log10(least)), math.ceil(math.log10(most))
        self._begin, self._end = begin, end

    def at(self, number: float) -> float:
        share = (math.log10(number) - self._low) / max(1, self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _apart(heights: Sequence[float], least: float = 15) -> list[float]:
    """Return the heights of labels, moved down until none covers another."""
    placed = dict[int, float]()
    last = -math.inf
    for at in sorted(range(len(heights)), key=lambda one: heights[one]):
        last = placed[at] = max(heights[at], last + least)
    return [placed[at] for at in range(len(heights))]
