"""How far two groups' latencies wander apart by themselves, and how slow requests come together: learnt as bursts are.

Latencies always wander a little, and control's own with the day, which says nothing about a comparison: so mostly what
does not cancel between the groups is looked at, where it falls (a regression that begins makes it rise). Control's own
rate is compared over a few minutes only: that is known long before the groups have shown how far they wander.

Groups that wander apart do so by a part of what is slow: the more requests there are, the further beyond chance that
is. What was learnt at a tenth of the users is not enough at a half, and grows with what the last block could tell.
"""

from dataclasses import dataclass, field

from rollout.overdispersion import (
    BLOCKS,
    HEAVIEST_BLOCK,
    PRIOR_WEIGHTS,
    Overdispersion,
    Residual,
    fade_of,
    residual_of,
    what_fell,
    what_moved,
)
from rollout.stored_state import DIGITS, STORED

PRIOR_WANDER = 1.1
"""Variance over that of independent requests, before anything is seen."""
LARGEST_WANDER, LARGEST_OF_CONTROL = 1_000.0, 100.0
"""Of what two blocks tell; with much traffic groups that wander apart are dozens of times further apart than chance.
The second of what control's own rate tells: incidents are in it, which cancel between the groups."""

LITTLE_WANDER, MUCH_WANDER = 4.0, 12.0
"""Up to the first phi the keys tolerate their usual parts of the limit, from the second on the most: what groups that
wander so far do by chance for an hour must not be beyond it."""

LONGEST_OF_CONTROL = 5
"""Intervals; over more than these, latencies follow the day."""

_Seen = tuple[float, float, int, int]
"""How many slow requests more the treated had than their share of all slow ones, the variance of that by chance, and
the slow and all requests of control."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One block length: what is being filled, the two finished before, and what their disagreement was in the mean."""

    __pydantic_config__ = STORED

    intervals: int = 0
    filling: _Seen = (0.0, 0.0, 0, 0)
    finished: tuple[_Seen, ...] = ()
    weighted: float = field(kw_only=True)
    weight: float = field(kw_only=True)
    told: float = field(kw_only=True, default=0.0)
    """What the blocks that fell could tell, weighted as their disagreement; divided by `falls` it is their mean."""
    falls: float = field(kw_only=True, default=0.0)

    def phi(self, length: int) -> float:
        """Variance over that of independent requests, for blocks as large as the last."""
        learnt = self.weighted / self.weight
        if learnt <= 1 or length == 1 or not self.told:
            return learnt
        return 1 + (learnt - 1) * max(1.0, self.finished[-1][1] / 2 * self.falls / self.told)

    def after(
        self, seen: _Seen, length: int, minutes: float, prior_weight: float, largest_of_control: float
    ) -> "_Stretch":
        residual, variance, slow, total = self.filling
        filling = (
            round(residual + seen[0], DIGITS),
            round(variance + seen[1], DIGITS),
            slow + seen[2],
            total + seen[3],
        )
        if self.intervals + 1 < length:
            return _Stretch(
                self.intervals + 1,
                filling,
                self.finished,
                weighted=self.weighted,
                weight=self.weight,
                told=self.told,
                falls=self.falls,
            )
        kept, prior = fade_of(length, minutes, prior_weight)
        harmonic = term = moved = of_control = 0.0
        if len(self.finished) == 2:  # noqa: PLR2004  (the block before the last is there, as in `Dispersion`)
            before = self.finished[0]
            harmonic, term = what_fell(Residual(*before[:2]), Residual(*filling[:2]))
            if length <= LONGEST_OF_CONTROL:
                moved, of_control = what_moved(*before[2:], *filling[2:])
        counted = min(harmonic, HEAVIEST_BLOCK)
        disagreed = counted * min(term, LARGEST_WANDER) + of_control * min(moved, largest_of_control)
        return _Stretch(
            finished=(*self.finished, filling)[-2:],
            weighted=round(self.weighted * kept + PRIOR_WANDER * prior + disagreed, DIGITS),
            weight=round(self.weight * kept + prior + counted + of_control, DIGITS),
            told=round(self.told * kept + counted * harmonic, DIGITS),
            falls=round(self.falls * kept + counted, DIGITS),
        )


@dataclass(frozen=True, slots=True)
class Wander(Overdispersion):
    """What `Dispersion` is for shares, for latencies."""

    __pydantic_config__ = STORED

    stretches: tuple[_Stretch, ...] = field(
        default_factory=lambda: tuple(
            _Stretch(weighted=PRIOR_WANDER * weight, weight=weight) for weight in PRIOR_WEIGHTS
        )
    )
    events: int = 0

    @property
    def phi(self) -> float:
        lengths = zip(self.stretches, BLOCKS, strict=True)
        return max(1.0, *(stretch.phi(length) for stretch, length in lengths))

    def tolerated(self, usual: float, most: float) -> float:
        """Which part of the limit a key tolerates: `usual` where groups hardly wander beyond chance."""
        far = (self.phi - LITTLE_WANDER) / (MUCH_WANDER - LITTLE_WANDER)
        return usual + (most - usual) * min(1.0, max(0.0, far))

    def after(
        self,
        bad: int,
        total: int,
        control_bad: int,
        control_total: int,
        minutes: float,
        *,
        largest_of_control: float = LARGEST_OF_CONTROL,
    ) -> "Wander":
        residual, variance, _ = residual_of(bad, total, control_bad, control_total, by_own_rates=False)
        # Where control's own rate is not compared, its counts need no place in the state.
        short, long = (residual, variance, control_bad, control_total), (residual, variance, 0, 0)
        each = zip(self.stretches, BLOCKS, PRIOR_WEIGHTS, strict=True)
        return Wander(
            tuple(
                stretch.after(
                    short if length <= LONGEST_OF_CONTROL else long, length, minutes, prior, largest_of_control
                )
                for stretch, length, prior in each
            ),
            self.events + bad + control_bad,
        )
