"""How long the judge takes to find a regression of a known size: its own bets, on what is to be expected of the data.

Every interval brings its expected events, the bets of `rollout.statistics` grow by what these win, and the regression
is found where both keys turn. An expected path is no promise: about half of all regressions are found sooner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import NormalDist

from rollout.sequential_evidence import UNKNOWN_BURST
from rollout.sequential_model import BEYOND_NEEDED, HARM_NEEDED
from rollout.statistics import (
    BLOCKS,
    HALF_LIFE_MINUTES,
    HEAVIEST_BLOCK,
    INFORMATIVE_EVENTS,
    LARGEST_TERM,
    PRIOR_PHI,
    PRIOR_WEIGHT,
    Mixture,
    log_won,
    stake_for,
)

STEPS_OF_ONE_INTERVAL = 100
"""So many are followed one by one; later ones are taken together, ever more of them, since less and less changes."""
INDEPENDENT = (1.0,) * len(BLOCKS)
_NORMAL = NormalDist()

Allowed = tuple[float, float]
"""(margin, ratio): what a key lets pass is margin + ratio * control's share."""


@dataclass(frozen=True)
class Flow:
    """What one interval of `minutes` brings: requests of treated and control.

    `phis` are, per block length of the judge, the variance of bad events over that of independent ones: 1 where each
    request fails by itself.
    """

    treated: float
    control: float
    minutes: float
    phis: tuple[float, ...] = INDEPENDENT

    def times(self, factor: float) -> "Flow":
        return Flow(self.treated * factor, self.control * factor, self.minutes, self.phis)


@dataclass(frozen=True)
class Regression:
    """Bad shares of treated and of control, and what each key allows. `learnt` control requests come before any bet."""

    treated: float
    control: float
    harm: Allowed
    beyond: Allowed
    risk_ratios: tuple[float, ...]
    learnt: int = 0


def minutes_to_detect(flow: Flow, regression: Regression, within: float) -> float | None:
    """Minutes until the gate is expected to fail; None where that is later than `within` minutes."""
    if flow.treated <= 0:
        return None
    if not flow.control and max(_won(flow, regression, regression.beyond, UNKNOWN_BURST, 1)) <= 0:
        # At the limit or below it no bet grows, however long it is held.
        return None
    harm, beyond = (Mixture.fresh(len(regression.risk_ratios)) for _ in range(2))
    learning = regression.learnt / flow.control if regression.learnt and flow.control else 0.0
    elapsed = 0
    while (elapsed + learning) * flow.minutes < within:
        together = max(1, elapsed // STEPS_OF_ONE_INTERVAL)
        burst = _burst(flow, regression, elapsed)
        elapsed += together
        minutes = together * flow.minutes
        harm = harm.after(_won(flow, regression, regression.harm, burst, together), minutes)
        beyond = beyond.after(_won(flow, regression, regression.beyond, burst, together), minutes)
        if harm.wealth >= HARM_NEEDED and beyond.wealth >= BEYOND_NEEDED:
            return (elapsed + learning) * flow.minutes
    return None


def slower_tail(tail: float, increase: float, sigma: float) -> float:
    """The share beyond what `tail` of all requests exceed, once each takes `increase` longer; lognormal latencies."""
    return 1 - _NORMAL.cdf(_NORMAL.inv_cdf(1 - tail) - log(1 + increase) / sigma)


def _won(flow: Flow, regression: Regression, allowed: Allowed, burst: float, intervals: int) -> Sequence[float]:
    """What each bet is expected to win in so many intervals."""
    margin, ratio = allowed
    share = ratio * flow.treated / flow.control if flow.control else 0.0
    won = []
    for risk_ratio in regression.risk_ratios:
        stake = stake_for(risk_ratio, share, burst) if flow.control else (risk_ratio - 1) / burst
        gain = log_won(1, 0, share=share, stake=stake, burst=burst) - margin * stake / max(regression.treated, 1e-12)
        loss = log_won(0, 1, share=share, stake=stake, burst=burst)
        per_interval = flow.treated * regression.treated * gain + flow.control * regression.control * loss
        won.append(intervals * per_interval)
    return won


def _burst(flow: Flow, regression: Regression, elapsed: int) -> float:
    """The burst size that the judge has learnt by then: from what it assumes at first towards what is."""
    if not flow.control:
        return UNKNOWN_BURST
    bad, other_bad = flow.treated * regression.treated, flow.control * regression.control
    part = flow.treated / (flow.treated + flow.control)
    learnt = [1.0]
    for length, phi in zip(BLOCKS, flow.phis, strict=True):
        blocks = min(max(0, elapsed // length - 2), HALF_LIFE_MINUTES / log(2) / (length * flow.minutes))
        harmonic = length * (bad + other_bad) * part * (1 - part) / 2
        told = min(2 * length * other_bad / INFORMATIVE_EVENTS, 1.0) + min(harmonic, HEAVIEST_BLOCK) / 2
        weight = blocks * told
        learnt.append((PRIOR_PHI * PRIOR_WEIGHT + min(phi, LARGEST_TERM) * weight) / (PRIOR_WEIGHT + weight))
    return (max(learnt) + 1) / 2
