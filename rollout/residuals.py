"""How unevenly the bad events of one group come: each interval beside what those before it let expect."""

from dataclasses import dataclass
from math import sqrt

from rollout.stored_state import STORED

LEAST_VARIANCE = 0.25
"""Where next to nothing was expected, a single bad event is no sign of bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """Residuals of each interval before it is counted, in standard deviations of independent errors.

    Independent errors at a steady rate give residuals with a variance of 1 that have nothing in common.
    """

    __pydantic_config__ = STORED

    total: int = 0
    bad: int = 0
    told: int = 0
    """Intervals that had others before them."""
    squares: float = 0.0
    neighbours: float = 0.0
    """Products of each residual with the one before it, and with the one before that."""
    next_but_one: float = 0.0
    last: float = 0.0
    last_but_one: float = 0.0

    @property
    def shape(self) -> tuple[float, float]:
        """Dispersion within intervals, and what neighbours have in common: half as much of those next but one.

        About 1 and 0 where bad events are independent; the first is the larger the larger the bursts, the second the
        longer they last.
        """
        told = max(1, self.told)
        return self.squares / told, (2 * self.neighbours + self.next_but_one) / told

    def after(self, bad: int, total: int) -> "Residuals":
        """With one more interval of so many bad events among so many requests."""
        residual = 0.0
        if self.total:
            expected = (self.bad + 0.5) / self.total * total
            variance = expected * (1 + total / self.total)
            residual = (bad - expected) / sqrt(max(variance, LEAST_VARIANCE))
        return Residuals(
            total=self.total + total,
            bad=self.bad + bad,
            told=self.told + (1 if self.total else 0),
            squares=self.squares + residual**2,
            neighbours=self.neighbours + residual * self.last,
            next_but_one=self.next_but_one + residual * self.last_but_one,
            last=residual,
            last_but_one=self.last,
        )
