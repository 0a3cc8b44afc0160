"""How long the judge takes to find a regression of a known size: its own bets, on what is to be expected of the data.

Every interval brings its expected events, the bets of `rollout.statistics` grow by what these win, and the regression
is found where both keys turn. An expected path is no promise: about half of all regressions are found sooner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import inf, log, sqrt
from statistics import NormalDist

from rollout.best_run import (
    LARGEST_TERM,
    MOST_LEFT_OUT,
    MOST_LEFT_OUT_ELSEWHERE,
    RUN,
    SPREAD_NEEDED,
    BestRun,
    sparseness,
    spread_needed,
    times_left_out,
)
from rollout.capped_bets import FEE_WITHOUT_CONTROL, capped_bets
from rollout.count_bets import Allowed
from rollout.counted_singly import LEAST_AT_LIMIT, WELL_KNOWN_EVENTS, CountedSingly, unevenness_of
from rollout.dispersion import LARGEST_FALL, LONGEST_OF_CONTROL, PRIOR_PHI
from rollout.latency_evidence import latency_spread_needed
from rollout.overdispersion import (
    BLOCKS,
    CAUTIOUS_GAIN,
    HALF_LIFE_MINUTES,
    HEAVIEST_BLOCK,
    INFORMATIVE_EVENTS,
    KNOWN_EVENTS,
    PRIOR_WEIGHTS,
)
from rollout.sequential_model import BEYOND_NEEDED, HARM_NEEDED
from rollout.statistics import (
    LARGEST_CASH,
    LARGEST_GAIN,
    Mixture,
    all_won,
    fastest_stake,
    log_factor,
    log_factors,
    log_won,
)

STEPS_OF_ONE_INTERVAL = 100
"""So many are followed one by one; later ones are taken together, ever more of them, since less and less changes."""
INDEPENDENT = (1.0,) * len(BLOCKS)
_NORMAL = NormalDist()


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
    """Bad shares of treated and of control, and what each key allows. `learnt` control requests come before any bet.

    `needed` are the odds of the first key for a failure. With a `margin` shares are compared: what bets that ended have
    won is not staked again.
    """

    treated: float
    control: float
    harm: Allowed
    beyond: Allowed
    risk_ratios: tuple[float, ...]
    learnt: int = 0
    needed: float = HARM_NEEDED
    margin: float | None = None
    prior_phi: float = PRIOR_PHI
    beyond_needed: float = BEYOND_NEEDED

    @property
    def largest_cash(self) -> float:
        """What a gate that begins now keeps of bets that ended."""
        return inf if self.margin is None else LARGEST_CASH


@lru_cache(maxsize=512)
def minutes_to_detect(flow: Flow, regression: Regression, within: float) -> float | None:
    """Minutes until the gate is expected to fail; None where that is later than `within` minutes.

    A gate about all requests meets the same in every stage: that is followed once.
    """
    if flow.treated <= 0:
        return None
    if not flow.control:
        return _minutes_beyond_limit(flow, regression, within)
    harm, beyond = (Mixture.fresh(len(regression.risk_ratios)) for _ in range(2))
    learning = regression.learnt / flow.control if regression.learnt and flow.control else 0.0
    elapsed, best_run = 0, BestRun(times=1.0, most_left_out=_most_left_out(regression))
    singly = CountedSingly(harm=harm, beyond=beyond)
    while (elapsed + learning) * flow.minutes < within:
        together = max(1, elapsed // STEPS_OF_ONE_INTERVAL)
        burst = _burst(flow, regression, elapsed)
        elapsed += together
        largest = _largest_gain(flow, regression, elapsed)
        won = [_won(flow, regression, key, burst, largest) for key in (regression.harm, regression.beyond)]
        grow = partial(_wealth_after, flow, together, largest, regression.largest_cash)
        harm, beyond = map(grow, (harm, beyond), won)
        singly = _counted_singly(singly, flow, regression, burst, elapsed, together)
        if singly.convicts:
            return elapsed * flow.minutes
        needed, times = _spread_needed(flow, regression, burst, elapsed)
        best_run = _grown(best_run, harm.wealth, together, needed, times)
        proven = harm.wealth >= regression.needed and beyond.wealth >= regression.beyond_needed
        if proven and _scattered(best_run, flow, regression, burst, elapsed).is_enough:
            return (elapsed + learning) * flow.minutes
    return None


def _counted_singly(
    singly: CountedSingly, flow: Flow, regression: Regression, burst: float, elapsed: int, together: int
) -> CountedSingly:
    """The bettor who takes bad events for single ones, after so many intervals `together`, as even as the data are."""
    if regression.margin is None or regression.margin * flow.treated < LEAST_AT_LIMIT:
        return singly
    harm, beyond = (
        _wealth_after(flow, together, LARGEST_GAIN, LARGEST_CASH, bets, _won(flow, regression, key, 1.0, LARGEST_GAIN))
        for bets, key in ((singly.harm, regression.harm), (singly.beyond, regression.beyond))
    )
    common = flow.phis[1] - flow.phis[0]
    of_control = flow.control * regression.control * elapsed
    of_both = of_control + flow.treated * regression.treated * elapsed
    uneven = unevenness_of((flow.phis[0], common), (flow.phis[0], common), int(of_control), 2 * burst - 1, int(of_both))
    well_known = of_both >= WELL_KNOWN_EVENTS
    return CountedSingly(harm=harm, beyond=beyond, intervals=elapsed, well_known=well_known, unevenness=uneven)


def _minutes_beyond_limit(flow: Flow, regression: Regression, within: float) -> float | None:
    """The same without control: two bettors share the wealth, and both keys ask for the same."""
    if max(_won(flow, regression, regression.harm, 1.0, LARGEST_GAIN)) <= 0:
        # At the limit or below it no bet grows, however long it is held.
        return None
    first = second = Mixture.fresh(len(regression.risk_ratios))
    times = 1 + sparseness(regression.harm.margin * flow.treated)
    elapsed, best_run = 0, BestRun(times=times, most_left_out=MOST_LEFT_OUT_ELSEWHERE)
    while elapsed * flow.minutes < within:
        together = max(1, elapsed // STEPS_OF_ONE_INTERVAL)
        burst = _burst(flow, regression, elapsed)
        elapsed += together
        largest = _largest_gain(flow, regression, elapsed)
        won = _won(flow, regression, regression.harm, burst, largest), _won_capped(flow, regression, burst)
        first, second = map(partial(_wealth_after, flow, together, largest, LARGEST_CASH), (first, second), won)
        odds = (first.wealth + second.wealth) / 2
        best_run = _grown(best_run, odds, together, SPREAD_NEEDED, times)
        if odds >= regression.needed and _scattered(best_run, flow, regression, burst, elapsed).is_enough:
            return elapsed * flow.minutes
    return None


def _wealth_after(
    flow: Flow, together: int, largest_gain: float, largest_cash: float, bets: Mixture, won: Sequence[float]
) -> Mixture:
    """What a bettor has after so many intervals `together`, each of which wins the same by each bet."""
    return bets.after(
        [together * one for one in won],
        together * flow.minutes,
        largest_gain=together * largest_gain,
        largest_cash=largest_cash,
    )


def _won_capped(flow: Flow, regression: Regression, burst: float) -> list[float]:
    """What the second bettor is expected to win in one interval, without control."""
    bad, won = flow.treated * regression.treated, []
    scatter = sqrt(max(flow.phis[0], 1.0) * bad)
    ratios = regression.risk_ratios
    for bet in capped_bets(1, 0, share=0.0, burst=burst, known=1.0, risk_ratios=ratios, stake_of=fastest_stake):
        expected = log_factor(bad * bet.won, margin=regression.harm.margin, stake=bet.stake, total=flow.treated)
        won.append(expected - _above(bet.largest, expected, bet.won * scatter) - FEE_WITHOUT_CONTROL)
    return won


def _most_left_out(regression: Regression) -> float:
    return MOST_LEFT_OUT_ELSEWHERE if regression.margin is None else MOST_LEFT_OUT


def _spread_needed(flow: Flow, regression: Regression, burst: float, elapsed: int) -> tuple[float, float]:
    """What has to remain without the best run, and how often that is left out."""
    phi, margin = 2 * burst - 1, regression.margin
    if margin is None:
        return latency_spread_needed(phi), 1.0
    others = int(elapsed * flow.control * regression.control)
    times = times_left_out(phi, margin * (flow.treated + flow.control))
    return spread_needed(phi, margin * flow.treated, others), times


def _grown(best_run: BestRun, wealth: float, together: int, needed: float, times: float) -> BestRun:
    """After so many intervals in which the log odds grew evenly; a run knows no more than its last ones."""
    before, now = best_run.recent[-1], log(wealth)
    kept = min(together, RUN + 1)
    for left in reversed(range(kept)):
        best_run = best_run.after(now - (now - before) * left / together, needed, times)
    return best_run


def _scattered(best_run: BestRun, flow: Flow, regression: Regression, burst: float, elapsed: int) -> BestRun:
    """With the best run that such data have by then, which is better than the even growth that is expected.

    Where bad events are many, the best of so many runs lies above the mean by what runs scatter. Where they are few,
    it holds the largest of the bursts that have come, whose sizes are taken for exponential ones.
    """
    bad, phi = flow.treated * regression.treated, max(*flow.phis, 1.0)
    size = (phi + 1) / 2
    runs, bursts = max(1.0, elapsed / RUN), max(1.0, elapsed * bad / size)
    scatter = _NORMAL.inv_cdf(0.5 ** (1 / runs)) * sqrt(phi * bad * RUN)
    largest_burst = size * log(bursts / log(2)) - bad * RUN
    more = _gain_of_the_best_bet(flow, regression, burst) * max(0.0, scatter, largest_burst)
    return replace(best_run, largest=best_run.largest + more)


def _gain_of_the_best_bet(flow: Flow, regression: Regression, burst: float) -> float:
    """What one bad event of treated wins by the bet against harm that is expected to win most."""
    won = _won(flow, regression, regression.harm, burst, LARGEST_GAIN)
    _, risk_ratio = max(zip(won, regression.risk_ratios, strict=True))
    share = _share(flow, regression.harm.ratio)
    return log_won(1, 0, share=share, stake=fastest_stake(risk_ratio, share, burst), burst=burst)


def _share(flow: Flow, ratio: float) -> float:
    """What a bet expects among the treated for each bad event in control."""
    return ratio * flow.treated / flow.control if flow.control else 0.0


def slower_tail(tail: float, increase: float, sigma: float) -> float:
    """The share beyond what `tail` of all requests exceed, once each takes `increase` longer; lognormal latencies."""
    return 1 - _NORMAL.cdf(_NORMAL.inv_cdf(1 - tail) - log(1 + increase) / sigma)


def _won(flow: Flow, regression: Regression, allowed: Allowed, burst: float, largest: float) -> Sequence[float]:
    """What each bet is expected to win in one interval, of which no more than `largest` counts.

    An interval scatters around what is expected, the more the more bad events come together; what lies above the
    largest gain is lost, what lies below is not made up for.
    """
    margin, ratio = allowed
    bad, control_bad = flow.treated * regression.treated, flow.control * regression.control
    scattered = sqrt(max(flow.phis[0], 1.0) * bad)
    share = _share(flow, ratio)
    stakes = [fastest_stake(risk_ratio, share, burst) for risk_ratio in regression.risk_ratios]
    gains = all_won(1, 0, share=share, stakes=stakes, burst=burst)
    losses = all_won(0, 1, share=share, stakes=stakes, burst=burst)
    won = [bad * gain + control_bad * loss for gain, loss in zip(gains, losses, strict=True)]
    expected = log_factors(won, stakes, margin=margin, total=flow.treated)
    return [one - _above(largest, one, gain * scattered) for one, gain in zip(expected, gains, strict=True)]


def _above(largest: float, expected: float, scatter: float) -> float:
    """The mean of what a normal variable has above `largest`."""
    if scatter <= 0:
        return max(0.0, expected - largest)
    distance = (expected - largest) / scatter
    return (expected - largest) * _NORMAL.cdf(distance) + scatter * _NORMAL.pdf(distance)


def _largest_gain(flow: Flow, regression: Regression, elapsed: int) -> float:
    """What one interval may add by then."""
    events = elapsed * (flow.treated * regression.treated + flow.control * regression.control)
    return LARGEST_GAIN if events >= KNOWN_EVENTS else CAUTIOUS_GAIN


def _burst(flow: Flow, regression: Regression, elapsed: int) -> float:
    """The burst size that the judge has learnt by then: from what it assumes at first towards what is."""
    bad, other_bad = flow.treated * regression.treated, flow.control * regression.control
    part = flow.treated / (flow.treated + flow.control)
    scattered = part * (1 - part) if flow.control else 1.0
    learnt = [1.0]
    for length, prior, phi in zip(BLOCKS, PRIOR_WEIGHTS, flow.phis, strict=True):
        blocks = min(max(0, elapsed // length - 2), HALF_LIFE_MINUTES / log(2) / (length * flow.minutes))
        harmonic = length * (bad + other_bad) * scattered / 2
        of_control = min(2 * length * other_bad / INFORMATIVE_EVENTS, 1.0) if length <= LONGEST_OF_CONTROL else 0.0
        # The treated residual falls in half of all pairs, and may tell more at once than control's own rate.
        of_residual = min(harmonic, HEAVIEST_BLOCK) / 2
        told = blocks * (min(phi, LARGEST_TERM) * of_control + min(phi, LARGEST_FALL) * of_residual)
        weight = prior + blocks * (of_control + of_residual)
        learnt.append((regression.prior_phi * prior + told) / weight)
    return (max(learnt) + 1) / 2
