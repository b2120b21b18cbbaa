"""A click-through rate and its interval.

The interval is Wilson's score interval at 95 % (E. B. Wilson, Journal of the American Statistical Association 22, 1927,
p. 209-212). It stays within 0 and 1 and holds for few clicks, where the usual p +- z * s does not.
"""

import math

#: The quantile of the normal distribution that leaves 2.5 % above it.
Z = 1.959963984540054


def interval(clicks: int, viewable: int) -> tuple[float, float]:
    """Return the lower and the upper end of the interval. `viewable` is above 0, and `clicks` from 0 to it.

    Ends that are 0 or 1 are exactly so: banners without clicks are equals.
    """
    share, square = clicks / viewable, Z * Z / viewable
    middle = share + square / 2
    reach = Z * math.sqrt(share * (1 - share) / viewable + square / viewable / 4)
    low = (middle - reach) / (1 + square) if clicks else 0.0
    high = (middle + reach) / (1 + square) if clicks < viewable else 1.0
    return low, high
