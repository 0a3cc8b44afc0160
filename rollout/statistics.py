"""Sequential evidence that stays valid at every look: betting against "the new code does no harm".

An e-process is the wealth of a bettor who starts with 1 and cannot expect to gain while the null hypothesis holds.
Where it reaches 1/alpha, the null is rejected with an error of at most alpha, however often and whenever one looks
(Ville's inequality). Nothing here is tuned to a data set, and nothing is estimated from the interval that is judged.
Where cash is given for nothing (`Mixture.with_cash_of`), that holds from then on.

Exact: the factor, given the mean burst size m, for Poisson arrivals of bursts and for independent requests; daily
cycles and incidents that treated and control share cancel, because the control rate is never estimated. Approximate:
m is estimated from the past (`rollout.dispersion`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log1p, sqrt

from rollout.stored_state import STORED

ERROR_RATIOS = (1.15, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0, 25.0)
"""The risk ratios that an error gate bets on; a mixture need not guess which one is true."""
LATENCY_RATIOS = (1.05, 1.1, 1.2, 1.4, 1.8, 2.5, 4.0, 6.0)
LARGEST_GAIN = 4.0
"""In log wealth: no single interval convicts, so that one bad minute of one instance does not roll back."""
LARGEST_WEALTH = 1e100
"""Of one arm. What is proven needs no more, and a hold that lasts for days must not grow out of what JSON can say."""
LEAST_CASH = 1e-300
"""After years of long intervals halving it would end at 0, which has no logarithm."""
LARGEST_EXPONENT = 700.0
"""What a float can say; more intervals than that are taken together by a forecast only."""
LARGEST_CASH = 1.0
"""Where shares are compared: what bets that ended have won is not staked again. To give money away is always valid;
kept, it would let bursts that lie a day apart add up to a conviction."""
ONSET_EVERY_MINUTES, SOONER_ONSET_MINUTES = 1440.0, 480.0
"""How often a regression is taken to begin, while there is none: once a day. The second of the first key where shares
are compared, as far as its cash is filled up: it would not last for days otherwise."""
REGIME_MINUTES = 240.0


def log_factor(won: float, *, margin: float, stake: float, total: float) -> float:
    """Log of the factor by which one interval multiplies a bet of `stake` on "treated is worse than allowed".

    `won` is what its bad events win the bet, by `log_won`; it pays for the `margin` of all `total` treated requests.
    The factor's mean is at most 1 wherever treated rate <= margin + ratio * control rate.
    """
    return won - margin * stake * total


def log_factors(won: Sequence[float], stakes: Sequence[float], *, margin: float, total: float) -> list[float]:
    """`log_factor` of several bets on the same interval: a call for each would take longer than what it does."""
    return [one - margin * stake * total for one, stake in zip(won, stakes, strict=True)]


def log_won(bad: int, control_bad: int, *, share: float, stake: float, burst: float) -> float:
    """What the bad events of one interval win a bet, before it pays for the margin.

    `share` is what the bet expects among the treated for each bad event in control: ratio * total / control total.
    `burst` is the mean number of bad events that come together (1: independent). The stake must keep
    burst * share * stake < 1, as `stake_for` does.
    """
    return all_won(bad, control_bad, share=share, stakes=(stake,), burst=burst)[0]


def all_won(bad: int, control_bad: int, *, share: float, stakes: Sequence[float], burst: float) -> list[float]:
    """`log_won` of several stakes."""
    more = burst - 1
    lost, more_lost = -burst * share, -more * share
    gains = losses = [0.0] * len(stakes)
    if bad:
        gains = [log1p(burst * stake) - log1p(more * stake) for stake in stakes]
    if control_bad:
        losses = [log1p(lost * stake) - log1p(more_lost * stake) for stake in stakes]
    return [bad * gain + control_bad * loss for gain, loss in zip(gains, losses, strict=True)]


StakeOf = Callable[[float, float, float], float]
"""By risk ratio, share and burst."""


def stake_for(risk_ratio: float, share: float, burst: float) -> float:
    """The stake that grows fastest where the treated rate is `risk_ratio` times what is allowed, each event by itself.

    With larger bursts it is too large; states that began before `fastest_stake` go on by it. Without any bursts the
    two are the same.
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
        """The e-value: 1/wealth bounds the error of rejecting the null now, or whenever it was at its highest.

        Since the start, or since wealth was last given for nothing.
        """
        return self.cash + sum(self.arms)

    def with_bets_of(self, wealth: float) -> "Mixture":
        """With no less than that spread evenly over the bets, given for nothing where they have less."""
        least = wealth / len(self.arms)
        return Mixture(cash=self.cash, arms=tuple(max(arm, least) for arm in self.arms))

    def with_cash_of(self, wealth: float) -> "Mixture":
        """With no less cash than that, given for nothing where there is less."""
        return Mixture(cash=max(self.cash, wealth), arms=self.arms)

    def after(
        self,
        log_factors: Sequence[float],
        minutes: float,
        *,
        largest_gain: float = LARGEST_GAIN,
        largest_cash: float = inf,
        onset_minutes: float = ONSET_EVERY_MINUTES,
    ) -> "Mixture":
        """The wealth after one interval of `minutes`, given each arm's log factor, of which `largest_gain` counts."""
        onset, ending = min(0.5, minutes / onset_minutes), min(0.5, minutes / REGIME_MINUTES)
        before, staying = sum(self.arms), 1 - ending
        fresh = self.cash * onset / len(self.arms)
        # Both limits are hardly ever reached. To ask each of some fifty arms would be a tenth of what judging takes.
        most = min(largest_gain, LARGEST_EXPONENT)
        if max(log_factors) > most:
            log_factors = [min(factor, most) for factor in log_factors]
        arms = [(arm * staying + fresh) * exp(factor) for arm, factor in zip(self.arms, log_factors, strict=True)]
        if max(arms) > LARGEST_WEALTH:
            arms = [min(LARGEST_WEALTH, arm) for arm in arms]
        cash = max(LEAST_CASH, min(largest_cash, self.cash * (1 - onset) + ending * before))
        return Mixture(cash=cash, arms=tuple(arms))
