"""How far two groups vary beyond chance, learnt from how blocks of intervals disagree: of one block length and of all.

What both groups share cancels in each interval's residual, and what is steady cancels between blocks. `Dispersion` is
what is learnt so of shares, `Wander` of latencies; they differ in what they believe before anything is seen, in how
much a pair of blocks may tell, and in what grows with traffic.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from rollout.statistics import LARGEST_GAIN

CAUTIOUS_GAIN, KNOWN_EVENTS = 2.0, 300
"""Until so many bad events have shown how they come together: a large burst spreads over five or six minutes, and must
not convict before bursts are known."""

BLOCKS = (1, 5, 15, 45)
"""Lengths in intervals over which bursts are looked for; the longest sees groups that wander apart for an hour."""
PRIOR_WEIGHTS = (3.0, 3.0, 3.0, 12.0)
"""Of what is believed before anything is seen, in pairs of blocks. The longest blocks are few, and so vary most."""
HEAVIEST_BLOCK = 4.0
INFORMATIVE_EVENTS = 4
"""Bad events in two blocks of control from which on their disagreement counts as one whole observation."""
HALF_LIFE_MINUTES = 1440.0


class Overdispersion(ABC):
    """What bets take from it."""

    __slots__ = ()
    events: int
    """Bad events seen so far, in both groups."""

    @property
    @abstractmethod
    def phi(self) -> float:
        """Variance over that of independent requests; at least 1, the largest over all block lengths."""

    @property
    def burst(self) -> float:
        """The mean burst size that goes with `phi`, for bursts of geometric size."""
        return (self.phi + 1) / 2

    @property
    def largest_gain(self) -> float:
        """What one interval may add to a bet, given how much is known about bursts."""
        return LARGEST_GAIN if self.events >= KNOWN_EVENTS else CAUTIOUS_GAIN


class Residual(NamedTuple):
    """How many bad events more the treated had than their share of all, and the variance of that by chance.

    Without control: all of their bad events, and the variance if each request were bad.
    """

    bad: float
    variance: float
    """Where both groups have the same rate."""
    surplus: float = 0.0
    """How much larger it is by the rates that the two groups have themselves. Its mean is 0 where they are the same."""


def residual_of(bad: int, total: int, control_bad: int, control_total: int, *, by_own_rates: bool) -> Residual:
    """Of one interval. Unless `by_own_rates` nothing is made of what the groups' own rates are."""
    if control_total == 0 and by_own_rates:
        return Residual(bad, total, bad - total)
    events, share = bad + control_bad, total / (total + control_total)
    variance = events * share * (1 - share)
    own = (1 - share) ** 2 * bad + share**2 * control_bad if by_own_rates else variance
    return Residual(bad - events * share, variance, own - variance)


def fade_of(length: int, minutes: float, prior_weight: float) -> tuple[float, float]:
    """Which part of what is known stays once a block is full, and the weight that the prior belief gets back."""
    kept = 0.5 ** (length * minutes / HALF_LIFE_MINUTES)
    return kept, prior_weight * (1 - kept)


def what_fell(before: Residual, now: Residual) -> tuple[float, float]:
    """What two blocks can tell together of the treated, and how far their residual fell, squared, over chance.

    Only where it fell: noise falls as often as it rises, and a regression that begins rises. Counted as noise, it would
    hide itself for hours. Chance is what it is at the rates that the two groups have: treated that fail five times as
    often as control also vary more, and with control's rate for theirs a regression would pass for bursts.
    """
    if before.variance <= 0 or now.variance <= 0:
        return 0.0, 0.0
    change = now.bad / now.variance - before.bad / before.variance
    if change >= 0:
        return 0.0, 0.0
    both = before.variance + now.variance
    harmonic = now.variance * before.variance / both
    own = 1 + (before.surplus + now.surplus) / both
    if own <= 0:
        # Where one group is all but everybody, by as much as the sums are rounded: too little to tell anything.
        return 0.0, 0.0
    return harmonic * own, harmonic * change**2 / own


def what_moved(bad: int, total: int, new_bad: int, new_total: int) -> tuple[float, float]:
    """How far control's own rate moved between two blocks, squared, over chance; and the weight of that.

    It has more to tell where few are treated, and before anybody is. Incidents are in it too, so that it is never too
    small.
    """
    both = bad + new_bad
    if both == 0 or total == 0 or new_total == 0:
        return 0.0, 0.0
    variance = both / (total + new_total) * (1 / total + 1 / new_total)
    return (new_bad / new_total - bad / total) ** 2 / variance, min(both / INFORMATIVE_EVENTS, 1.0)
