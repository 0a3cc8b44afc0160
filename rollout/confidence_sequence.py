"""A bound on the average difference over a soak that holds at all looks together: what an early pass rests on.

Asymptotic, unlike the evidence of harm: it asks for many intervals before it is used.
"""

from dataclasses import dataclass
from math import inf, log, sqrt

from rollout.stored_state import STORED

PASS_BETA = 0.05
PASS_INTERVALS = 30
"""Before so many intervals nothing passes early."""
PASS_TUNED_AT = 360
"""Intervals after which the bound of an early pass is about tightest."""


@dataclass(frozen=True, slots=True)
class Average:
    """Sums for a bound on the average difference over the soak, each interval weighted by what it can tell."""

    __pydantic_config__ = STORED

    intervals: int = 0
    total: int = 0
    difference: float = 0.0
    weight: float = 0.0
    variance: float = 0.0
    tuned: float | None = None
    """The variance at which the bound is tightest; fixed once, early, so that it does not follow the data."""

    def after(self, difference: float, weight: float, variance: float, total: int) -> "Average":
        """`variance` is that of `weight * difference`."""
        intervals, summed = self.intervals + 1, self.variance + variance
        tuned = summed * PASS_TUNED_AT / intervals if intervals == PASS_INTERVALS else self.tuned
        return Average(
            intervals=intervals,
            total=self.total + total,
            difference=self.difference + weight * difference,
            weight=self.weight + weight,
            variance=summed,
            tuned=tuned,
        )

    def bound(self, beta: float = PASS_BETA) -> float:
        """Above this the average difference lies with probability at most `beta`, at all looks together.

        A normal mixture bound (Robbins), asymptotic: it asks for a thousand requests before it is used.
        """
        if self.tuned is None or self.weight <= 0:
            return inf
        if self.tuned <= 0:
            return self.difference / self.weight
        inner = -2 * log(2 * beta)
        scale = (inner + log(1 + inner)) / self.tuned
        grown = self.variance * scale + 1
        margin = sqrt(2 * grown / scale * log(1 + sqrt(grown) / (2 * beta)))
        return (self.difference + margin) / self.weight
