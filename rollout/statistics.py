"""Sequential evidence that stays valid at every look: betting against "the new code does no harm".

An e-process is the wealth of a bettor who starts with 1 and cannot expect to gain while the null hypothesis holds.
Where it reaches 1/alpha, the null is rejected with an error of at most alpha, however often and whenever one looks
(Ville's inequality). Nothing here is tuned to a data set, and nothing is estimated from the interval that is judged.

Exact: the kernel, given the mean burst size m, for Poisson arrivals of bursts and for independent requests; daily
cycles and incidents that treated and control share cancel, because the control rate is never estimated. Approximate:
m is estimated from the past (`Dispersion`), and the bound behind an early pass (`average_bound`) is asymptotic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, log1p, sqrt

from pydantic import ConfigDict

ERROR_RATIOS = (1.15, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0, 25.0)
"""The risk ratios that an error gate bets on; a mixture need not guess which one is true."""
LATENCY_RATIOS = (1.05, 1.1, 1.2, 1.4, 1.8, 2.5, 4.0, 6.0)
LARGEST_GAIN = 4.0
"""In log wealth: no single interval convicts, so that one bad minute of one instance does not roll back."""
CAUTIOUS_GAIN, KNOWN_EVENTS = 2.0, 300
"""Until so many bad events have shown how they come together: a large burst spreads over five or six minutes, and must
not convict before bursts are known."""
LARGEST_WEALTH = 1e100
"""Of one arm. What is proven needs no more, and a hold that lasts for days must not grow out of what JSON can say."""
ONSET_EVERY_MINUTES = 1440.0
REGIME_MINUTES = 240.0

BLOCKS = (1, 5, 15, 45)
"""Lengths in intervals over which bursts are looked for; the longest sees groups that wander apart for an hour."""
LONGEST_OF_CONTROL = 15
"""Control's own rate is compared over blocks up to this length; over longer ones it rises and falls with the day."""
PRIOR_PHI = 1.5
PRIOR_WEIGHTS = (3.0, 3.0, 3.0, 12.0)
"""Of what is believed before anything is seen, in pairs of blocks. The longest blocks are few, and so vary most."""
HEAVIEST_BLOCK, LARGEST_TERM = 4.0, 25.0
DIGITS = 6
"""Of what is kept about bursts: an estimate needs no more, and the state has to stay small."""
INFORMATIVE_EVENTS = 4
"""Bad events in two blocks of control from which on their disagreement counts as one whole observation."""
HALF_LIFE_MINUTES = 1440.0

PASS_BETA = 0.05
PASS_INTERVALS = 30
"""Before so many intervals nothing passes early."""
PASS_TUNED_AT = 360
"""Intervals after which the bound of an early pass is about tightest."""

STORED = ConfigDict(extra="forbid")
"""States are plain dataclasses, since one is made for each interval; pydantic checks them only where they are read."""


def log_kernel(
    bad: int,
    total: int,
    control_bad: int,
    control_total: int,
    *,
    margin: float,
    ratio: float,
    stake: float,
    burst: float,
) -> float:
    """Log of the factor by which one interval multiplies a bet of `stake` on "treated is worse than allowed".

    Its mean is at most 1 wherever treated rate <= margin + ratio * control rate. Counts of one closed interval; `burst`
    is the mean number of bad events that come together (1: independent). The stake must keep burst * q * stake < 1,
    with q = ratio * total / control_total, as `stake_for` does.
    """
    share = ratio * total / control_total if control_total else 0.0
    return log_won(bad, control_bad, share=share, stake=stake, burst=burst) - margin * stake * total


def log_won(bad: int, control_bad: int, *, share: float, stake: float, burst: float) -> float:
    """What the bad events of one interval win a bet, before it pays for the margin: log of a factor.

    `share` is what the bet expects among the treated for each bad event in control.
    """
    gain = log1p(burst * stake) - log1p((burst - 1) * stake) if bad else 0.0
    loss = log1p(-burst * share * stake) - log1p(-(burst - 1) * share * stake) if control_bad else 0.0
    return bad * gain + control_bad * loss


StakeOf = Callable[[float, float, float], float]
"""By risk ratio, share and burst."""


def stake_for(risk_ratio: float, share: float, burst: float) -> float:
    """The stake that grows fastest where the treated rate is `risk_ratio` times what is allowed, each event by itself.

    With larger bursts it is too large; states that began before `fastest_stake` go on by it.
    """
    return (risk_ratio - 1) / (1 + burst * share * risk_ratio)


def fastest_stake(risk_ratio: float, share: float, burst: float) -> float:
    """The same where bad events come in bursts: with many in an interval, the larger they are the less is staked.

    The smaller root of r (1 - m q u)(1 - (m-1) q u) = (1 + m u)(1 + (m-1) u), where the expected log factor is largest.
    """
    squared = burst * (burst - 1) * (risk_ratio * share**2 - 1)
    linear = (2 * burst - 1) * (risk_ratio * share + 1)
    return 2 * (risk_ratio - 1) / (linear + sqrt(linear**2 - 4 * squared * (risk_ratio - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Wealth spread over risk ratios, and cash that waits for a regression that begins later. Starts at 1 in all."""

    __pydantic_config__ = STORED

    cash: float = 0.5
    arms: tuple[float, ...]

    @classmethod
    def fresh(cls, arms: int) -> "Mixture":
        return cls(arms=(0.5 / arms,) * arms)

    @property
    def wealth(self) -> float:
        """The e-value: 1/wealth bounds the error of rejecting the null now, or whenever it was at its highest."""
        return self.cash + sum(self.arms)

    def after(self, log_factors: Sequence[float], minutes: float, *, largest_gain: float = LARGEST_GAIN) -> "Mixture":
        """The wealth after one interval of `minutes`, given each arm's log factor, of which `largest_gain` counts."""
        onset, ending = min(0.5, minutes / ONSET_EVERY_MINUTES), min(0.5, minutes / REGIME_MINUTES)
        before, staying = sum(self.arms), 1 - ending
        fresh = self.cash * onset / len(self.arms)
        arms = [
            min(LARGEST_WEALTH, (arm * staying + fresh) * exp(min(factor, largest_gain)))
            for arm, factor in zip(self.arms, log_factors, strict=True)
        ]
        return Mixture(cash=self.cash * (1 - onset) + ending * before, arms=tuple(arms))


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
        blocks = zip(self.blocks, BLOCKS, PRIOR_WEIGHTS, strict=False)
        return Dispersion(
            blocks=tuple(block.after(sums, length, minutes, prior, largest_term) for block, length, prior in blocks),
            events=self.events + events,
        )


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
