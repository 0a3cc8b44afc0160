"""How bad events come in bursts: how much more they vary between treated and control than independent requests would.

An estimate, and the one approximate part of the evidence: it is what the bets of the next interval take for the mean
size of a burst.
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

LONGEST_OF_CONTROL = 15
"""Control's own rate is compared over blocks up to this length; over longer ones it rises and falls with the day."""
PRIOR_PHI = 1.5
LARGEST_TERM_BEFORE, LARGEST_FALL = 25.0, 1_000.0
"""The first in states that began before the best run was left out; `rollout.best_run` has those of later ones. The
second of what the treated residual tells where it fell: with much traffic one instance is hundreds beyond chance.
Control's own rate is limited further: incidents are in it, which cancel in the residual."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """What one block of intervals held: the treated group's residual with its variance, and control's own counts."""

    __pydantic_config__ = STORED

    residual: float = 0.0
    variance: float = 0.0
    control_bad: int = 0
    control_total: int = 0
    surplus: float = 0.0

    @property
    def of_treated(self) -> Residual:
        return Residual(self.residual, self.variance, self.surplus)

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            residual=round(self.residual + other.residual, DIGITS),
            variance=round(self.variance + other.variance, DIGITS),
            control_bad=self.control_bad + other.control_bad,
            control_total=self.control_total + other.control_total,
            surplus=round(self.surplus + other.surplus, DIGITS),
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

    def after(
        self, sums: _Sums, length: int, minutes: float, prior_weight: float, largest: tuple[float, float]
    ) -> "_Block":
        intervals, filling = self.intervals + 1, self.filling.plus(sums)
        if intervals >= length:
            return self._closed(filling, length, minutes, prior_weight, largest)
        return _Block(intervals, filling, self.finished, weighted=self.weighted, weight=self.weight)

    def _closed(
        self, full: _Sums, length: int, minutes: float, prior_weight: float, largest: tuple[float, float]
    ) -> "_Block":
        """A full block is compared with the one before the last: neighbours may share the edge of an incident.

        `largest` is what the treated residual, and what control's own rate may tell at most.
        """
        largest_fall, largest_term = largest
        kept, prior = fade_of(length, minutes, prior_weight)
        weighted, weight = self.weighted * kept + PRIOR_PHI * prior, self.weight * kept + prior
        if len(self.finished) == 2:  # noqa: PLR2004  (the block before the last is there)
            before = self.finished[0]
            harmonic, term = what_fell(before.of_treated, full.of_treated)
            counted = min(harmonic, HEAVIEST_BLOCK)
            weighted, weight = weighted + counted * min(term, largest_fall), weight + counted
            if length <= LONGEST_OF_CONTROL:
                term, counted = what_moved(
                    before.control_bad, before.control_total, full.control_bad, full.control_total
                )
                weighted, weight = weighted + counted * min(term, largest_term), weight + counted
        return _Block(
            finished=(*self.finished, full)[-2:],
            weighted=round(weighted, DIGITS),
            weight=round(weight, DIGITS),
        )


@dataclass(frozen=True, slots=True)
class Dispersion(Overdispersion):
    """What is known of bursts of bad events, over each block length."""

    __pydantic_config__ = STORED

    blocks: tuple[_Block, ...] = field(default_factory=lambda: tuple(_Block.fresh(weight) for weight in PRIOR_WEIGHTS))
    events: int = 0

    @property
    def phi(self) -> float:
        return max(1.0, *[block.phi for block in self.blocks])

    def after(
        self,
        bad: int,
        total: int,
        control_bad: int,
        control_total: int,
        minutes: float,
        *,
        largest_term: float = LARGEST_TERM_BEFORE,
        largest_fall: float | None = None,
        by_own_rates: bool = True,
    ) -> "Dispersion":
        """Nobody has to be treated: control alone tells of bursts too. Block lengths stay those it began with.

        `largest_fall` is of the treated residual; without it `largest_term` is of both.
        """
        largest = (largest_term if largest_fall is None else largest_fall, largest_term)
        seen = residual_of(bad, total, control_bad, control_total, by_own_rates=by_own_rates)
        # Where control's own rate is not compared, its counts need no place in the state.
        long = _Sums(seen.bad, seen.variance, surplus=seen.surplus)
        short = _Sums(seen.bad, seen.variance, control_bad, control_total, seen.surplus)
        blocks = zip(self.blocks, BLOCKS, PRIOR_WEIGHTS, strict=False)
        return Dispersion(
            blocks=tuple(
                block.after(short if length <= LONGEST_OF_CONTROL else long, length, minutes, prior, largest)
                for block, length, prior in blocks
            ),
            events=self.events + bad + control_bad,
        )
