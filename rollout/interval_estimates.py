"""How far a number from one window can be trusted: score intervals for shares, their difference, and quantiles.

Wilson (1927) for one share, Newcombe (1998), method 10, for the difference of two, and the rank interval for
quantiles. All are closed forms that stay sensible at 0 of n. They hold for one look at independent events; a gate
that is asked every minute needs more than this, and says so in its documentation.
"""

from math import sqrt

from rollout.measurement import Histogram

# Two-sided 99.9 %: one look in two thousand on healthy traffic passes a bound by chance.
Z = 3.2905


def wilson(bad: int, total: int, z: float = Z) -> tuple[float, float]:
    """Lower and upper bound of a share, from `bad` of `total` > 0 independent events."""
    share, z2 = bad / total, z * z
    centre = share + z2 / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    scale = 1 + z2 / total
    low = 0.0 if bad == 0 else (centre - spread) / scale
    high = 1.0 if bad == total else (centre + spread) / scale
    return low, high


def newcombe(bad: int, total: int, reference_bad: int, reference_total: int, z: float = Z) -> tuple[float, float]:
    """Lower and upper bound of the difference of two shares, first minus reference."""
    share, reference = bad / total, reference_bad / reference_total
    low, high = wilson(bad, total, z)
    reference_low, reference_high = wilson(reference_bad, reference_total, z)
    difference = share - reference
    return (
        difference - sqrt((share - low) ** 2 + (reference_high - reference) ** 2),
        difference + sqrt((high - share) ** 2 + (reference - reference_low) ** 2),
    )


def quantile_bounds(histogram: Histogram, share: float) -> tuple[float, float]:
    """Lower and upper bound of a quantile: the values at the ranks that bound `share`. Bucket width comes on top."""
    spread = Z * sqrt(share * (1 - share) / histogram.total)
    return histogram.quantile(max(0.0, share - spread)), histogram.quantile(min(1.0, share + spread))
