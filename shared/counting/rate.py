"""A click-through rate and its interval.

The interval is Wilson's score interval at 95 % (E. B. Wilson, Journal of the American Statistical Association 22, 1927,
p. 209-212). It stays within 0 and 1 and holds for few clicks, where the usual p +- z * s does not.
"""

import math

#: The quantile of the normal distribution that leaves 2.5 % above it.
Z = 1.959963984540054


def interval(clicks: int, viewable: int) -> tuple[float, float]:
    """Return the lower and the upper end of the interval. `viewable` is above 0, and `clicks` from 0 to it."""
    share, square = clicks / viewable, Z * Z / viewable
    middle = share + square / 2
    reach = Z * math.sqrt(share * (1 - share) / viewable + square / viewable / 4)
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))
