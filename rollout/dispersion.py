"""How much more bad events vary than independent requests would, because they come in bursts: learnt from the past.

An estimate, and the one approximate part of the evidence: it is what the bets of the next interval take for the mean
size of a burst.
"""

from dataclasses import dataclass, field

from rollout.e_process import LARGEST_GAIN
from rollout.stored_state import DIGITS, STORED

CAUTIOUS_GAIN, KNOWN_EVENTS = 2.0, 300
"""Until so many bad events have shown how they come together: a large burst spreads over five or six minutes, and must
not convict before bursts are known."""

BLOCKS = (1, 5, 15, 45)
"""Lengths in intervals over which bursts are looked for; the longest sees groups that wander apart for an hour."""
LONGEST_OF_CONTROL = 15
"""Control's own rate is compared over blocks up to this length; over longer ones it rises and falls with the day."""
PRIOR_PHI = 1.5
PRIOR_WEIGHTS = (3.0, 3.0, 3.0, 12.0)
"""Of what is believed before anything is seen, in pairs of blocks. The longest blocks are few, and so vary most."""
HEAVIEST_BLOCK, LARGEST_TERM = 4.0, 25.0
INFORMATIVE_EVENTS = 4
"""Bad events in two blocks of control from which on their disagreement counts as one whole observation."""
HALF_LIFE_MINUTES = 1440.0


@dataclass(frozen=True, slots=True)
class _Sums:
    """What one block of intervals held: the treated group's residual with its variance, and control's own counts."""

    __pydantic_config__ = STORED

    residual: float = 0.0
    variance: float = 0.0
    control_bad: int = 0
    control_total: int = 0

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            residual=round(self.residual + other.residual, DIGITS),
            variance=round(self.variance + other.variance, DIGITS),
            control_bad=self.control_bad + other.control_bad,
            control_total=self.control_total + other.control_total,
        )


@dataclass(frozen=True, slots=True)
class _Block:
    """One block length: what is being filled, the two finished before, and the weighted mean of their disagreement."""

    __pydantic_config__ = STORED

    intervals: int = 0
    filling: _Sums = field(default_factory=_Sums)
    finished: tuple[_Sums, ...] = ()
    weighted: float = field(kw_only=True)
    weight: float = field(kw_only=True)

    @classmethod
    def fresh(cls, prior_weight: float) -> "_Block":
        return cls(weighted=PRIOR_PHI * prior_weight, weight=prior_weight)

    @property
    def phi(self) -> float:
        return self.weighted / self.weight

    def after(self, sums: _Sums, length: int, minutes: float, prior_weight: float, largest_term: float) -> "_Block":
        intervals, filling = self.intervals + 1, self.filling.plus(sums)
        if intervals >= length:
            return self._closed(filling, length, minutes, prior_weight, largest_term)
        return _Block(intervals, filling, self.finished, weighted=self.weighted, weight=self.weight)

    def _closed(self, full: _Sums, length: int, minutes: float, prior_weight: float, largest_term: float) -> "_Block":
        """A full block is compared with the one before the last: neighbours may share the edge of an incident."""
        kept = 0.5 ** (length * minutes / HALF_LIFE_MINUTES)
        prior = prior_weight * (1 - kept)
        weighted, weight = self.weighted * kept + PRIOR_PHI * prior, self.weight * kept + prior
        if len(self.finished) == 2:  # noqa: PLR2004  (the block before the last is there)
            for measure in (_treated_term, _control_term)[: 2 if length <= LONGEST_OF_CONTROL else 1]:
                term, counted = measure(self.finished[0], full)
                weighted, weight = weighted + counted * min(term, largest_term), weight + counted
        return _Block(
            finished=(*self.finished, full)[-2:],
            weighted=round(weighted, DIGITS),
            weight=round(weight, DIGITS),
        )


def _treated_term(before: _Sums, now: _Sums) -> tuple[float, float]:
    """How far the treated residual fell, squared, over the variance of independent requests; and its weight.

    Only where it fell: noise falls as often as it rises, and a regression that begins rises. Counted as noise, it would
    hide itself for hours.
    """
    if before.variance <= 0 or now.variance <= 0:
        return 0.0, 0.0
    change = now.residual / now.variance - before.residual / before.variance
    harmonic = now.variance * before.variance / (now.variance + before.variance)
    return (harmonic * change**2, min(harmonic, HEAVIEST_BLOCK)) if change < 0 else (0.0, 0.0)


def _control_term(before: _Sums, now: _Sums) -> tuple[float, float]:
    """The same of control's own rate, which has more to tell where few are treated, and before anybody is.

    Incidents are in it too, so that it is never too small.
    """
    bad = before.control_bad + now.control_bad
    if bad == 0 or before.control_total == 0 or now.control_total == 0:
        return 0.0, 0.0
    pooled = bad / (before.control_total + now.control_total)
    variance = pooled * (1 / before.control_total + 1 / now.control_total)
    change = now.control_bad / now.control_total - before.control_bad / before.control_total
    return change**2 / variance, min(bad / INFORMATIVE_EVENTS, 1.0)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How much more bad events vary between treated and control than independent requests would.

    Incidents that both groups share cancel in each interval's residual, and steady differences cancel between blocks.
    """

    __pydantic_config__ = STORED

    blocks: tuple[_Block, ...] = field(default_factory=lambda: tuple(_Block.fresh(weight) for weight in PRIOR_WEIGHTS))
    events: int = 0
    """Bad events seen so far, in both groups."""

    @property
    def phi(self) -> float:
        """Variance over that of independent requests; at least 1, the largest over all block lengths."""
        return max(1.0, *(block.phi for block in self.blocks))

    @property
    def burst(self) -> float:
        """The mean burst size that goes with `phi`, for bursts of geometric size."""
        return (self.phi + 1) / 2

    @property
    def largest_gain(self) -> float:
        """What one interval may add to a bet, given how much is known about bursts."""
        return LARGEST_GAIN if self.events >= KNOWN_EVENTS else CAUTIOUS_GAIN

    def after(
        self,
        bad: int,
        total: int,
        control_bad: int,
        control_total: int,
        minutes: float,
        *,
        largest_term: float = LARGEST_TERM,
    ) -> "Dispersion":
        """Nobody has to be treated: control alone tells of bursts too. Block lengths stay those it began with."""
        events, share = bad + control_bad, total / (total + control_total)
        sums = _Sums(
            residual=bad - events * share,
            variance=events * share * (1 - share),
            control_bad=control_bad,
            control_total=control_total,
        )
        # Where control's own rate is not compared, its counts need no place in the state.
        long = _Sums(residual=sums.residual, variance=sums.variance)
        blocks = zip(self.blocks, BLOCKS, PRIOR_WEIGHTS, strict=False)
        return Dispersion(
            blocks=tuple(
                block.after(sums if length <= LONGEST_OF_CONTROL else long, length, minutes, prior, largest_term)
                for block, length, prior in blocks
            ),
            events=self.events + events,
        )
