"""Whether the treated group makes about the share of the requests that the plan exposes: if not, whom do we compare?

A wrong bucket, a lost label, a cache in between or users who stay away make a comparison of groups worthless, whatever
it says. This is asked with the same bet as everything else, on the counts of requests themselves, in both directions.

A plan's share is one of users, and requests are what can be counted: a tenth of the users makes a tenth of the requests
only where many users make few each. So the bet is not on "exactly the planned share" but on what the draw of the users
may bring, once for the whole rollout: among few users it is far off by chance, however many requests they make, and no
number of requests tells how few they are. The plan says how many, or few are assumed; of many, odds that are off by
half are tolerated still, for the features may change how much people do: 10 % may be 6.9 to 14.3, 50 % may be 40 to 60.

And requests come in clumps, session by session: how large they are is learnt from how the share varies between blocks
of time.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, inf, isinf, lgamma, log, log1p, sqrt

from rollout.counting import counted
from rollout.statistics import Mixture, log_won
from rollout.stored_state import DIGITS, STORED

TOLERATED_ODDS = 1.5
"""By which factor the odds of being treated may be off, either way."""
ASSUMED_USERS = 750
"""Where the plan does not say how many there are."""
ALIKE_OF_USERS = 30
"""Of so many users one counts: a few make most of the requests. Where a tenth of them makes 59 % (lognormal with a
sigma of 1.5), the share of the treated is spread as among a tenth of as many users alike, and with a heavier tail."""
MOST_ALIKE = 100_000
"""Of so many and more, chance leaves less than is tolerated anyway, and counting them takes time."""
LARGEST_CHANCE = 3e-5
"""Of a draw of users whose share lies beyond what is tolerated, on each side."""
ALARM_NEEDED = 10_000.0
"""Odds against "within what is tolerated" at which nothing that the groups say is believed any more."""
RATIOS = (1.2, 1.5, 2.0, 4.0)
"""By how much more the odds may be off than what is tolerated; each has a bet of its own."""
LARGEST_GAIN = 2.0
"""In log wealth: seven intervals at least, so that nothing that lasts a few minutes stops a rollout."""

BLOCKS = (5, 45)
"""Lengths in intervals over which clumps are looked for: within a session, and from session to session."""
PRIOR_PHI, PRIOR_WEIGHT = 20.0, 3.0
"""What is believed before anything is seen, in pairs of blocks: sessions of about ten requests."""
HALF_LIFE_MINUTES = 1_440.0
LARGEST_TIMES = 4.0
"""Of one pair of blocks, in terms of what is known: a share that jumps once must not pass for clumps."""


@dataclass(frozen=True, slots=True)
class _Clumps:
    """One block length: what is being filled, the two blocks before, as (treated, control); and how they disagreed."""

    __pydantic_config__ = STORED

    intervals: int = 0
    filling: tuple[int, int] = (0, 0)
    finished: tuple[tuple[int, int], ...] = ()
    weighted: float = PRIOR_PHI * PRIOR_WEIGHT
    weight: float = PRIOR_WEIGHT

    @property
    def phi(self) -> float:
        return self.weighted / self.weight

    def after(self, treated: int, control: int, planned: float, length: int, minutes: float) -> "_Clumps":
        intervals, filling = self.intervals + 1, (self.filling[0] + treated, self.filling[1] + control)
        if intervals < length:
            return _Clumps(intervals, filling, self.finished, self.weighted, self.weight)
        kept = 0.5 ** (length * minutes / HALF_LIFE_MINUTES)
        prior = PRIOR_WEIGHT * (1 - kept)
        weighted, weight = self.weighted * kept + PRIOR_PHI * prior, self.weight * kept + prior
        if len(self.finished) == 2 and any(filling) and any(self.finished[0]):  # noqa: PLR2004  (the last but one)
            term = _disagreement(self.finished[0], filling, planned)
            weighted, weight = weighted + min(term, LARGEST_TIMES * self.phi), weight + 1
        finished = (*self.finished, filling)[-2:]
        return _Clumps(0, (0, 0), finished, round(weighted, DIGITS), round(weight, DIGITS))


def _disagreement(before: tuple[int, int], now: tuple[int, int], planned: float) -> float:
    """How far two blocks' shares lie apart, squared, over the variance of requests that come one by one."""
    sizes = sum(before), sum(now)
    apart = before[0] / sizes[0] - now[0] / sizes[1]
    return apart**2 / (planned * (1 - planned) * (1 / sizes[0] + 1 / sizes[1]))


def _fresh_bets() -> Mixture:
    return Mixture.fresh(len(RATIOS))


def _fresh_clumps() -> tuple[_Clumps, ...]:
    return tuple(_Clumps() for _ in BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """What is known of the share of treated requests, planned to be `planned`, above 0 and below 1."""

    __pydantic_config__ = STORED

    planned: float
    users: int | None = None
    """About how many make the requests; None in a state that began when they were not asked for."""
    more: Mixture = field(default_factory=_fresh_bets)
    less: Mixture = field(default_factory=_fresh_bets)
    clumps: tuple[_Clumps, ...] = field(default_factory=_fresh_clumps)

    @property
    def wealth(self) -> float:
        """Odds against a share within what is tolerated."""
        return (self.more.wealth + self.less.wealth) / 2

    @property
    def alarmed(self) -> bool:
        """Whether the share is off beyond doubt. Ends when the share is right again for long enough."""
        return self.wealth >= ALARM_NEEDED

    @property
    def tolerated_odds(self) -> tuple[float, float]:
        """The least and the largest odds of being treated that raise no question; 0 and infinity where any do not."""
        odds = self.planned / (1 - self.planned)
        least, largest = odds / TOLERATED_ODDS, odds * TOLERATED_ODDS
        if self.users is None:
            return least, largest
        least_drawn, largest_drawn = odds_by_chance(self.planned, min(max(1, self.users // ALIKE_OF_USERS), MOST_ALIKE))
        return min(least, least_drawn), max(largest, largest_drawn)

    @property
    def tolerated(self) -> tuple[float, float]:
        """The least and the largest share that raises no question."""
        least, largest = self.tolerated_odds
        return least / (1 + least), 1.0 if isinf(largest) else largest / (1 + largest)

    def after(self, treated: int, control: int, minutes: float) -> "SampleRatio":
        """With one interval's requests in it; an interval without any teaches nothing."""
        if not treated + control:
            return self
        burst = (max(1.0, *(block.phi for block in self.clumps)) + 1) / 2
        least, largest = self.tolerated_odds
        more = _won(treated, control, largest, burst)
        less = _won(control, treated, 1 / least if least else inf, burst)
        return SampleRatio(
            planned=self.planned,
            users=self.users,
            more=self.more.after(more, minutes, largest_gain=LARGEST_GAIN),
            less=self.less.after(less, minutes, largest_gain=LARGEST_GAIN),
            clumps=tuple(
                block.after(treated, control, self.planned, length, minutes)
                for block, length in zip(self.clumps, BLOCKS, strict=True)
            ),
        )

    def in_words(self) -> str:
        """For a person: planned, tolerated and observed share, with the counts of about the last hour."""
        longest = self.clumps[-1]
        recent = (longest.filling, *longest.finished[-1:])
        treated, control = sum(counts[0] for counts in recent), sum(counts[1] for counts in recent)
        intervals = longest.intervals + BLOCKS[-1] * len(longest.finished[-1:])
        low, high = self.tolerated
        observed = treated / (treated + control) if treated + control else 0.0
        among = "" if self.users is None else f" among {self.users:,} users"
        return (
            f"{observed * 100:.1f} % of the requests are from treated users, planned are {self.planned * 100:.3g} % "
            f"({low * 100:.1f} to {high * 100:.1f} are tolerated{among}): {treated:,} of {treated + control:,} in "
            f"the last {counted(intervals, 'interval')}; the groups are not those of the plan, so no comparison of "
            "them can be believed"
        )


@lru_cache(maxsize=256)
def odds_by_chance(planned: float, alike: int) -> tuple[float, float]:
    """The least and the largest odds that a draw of so many users, each treated with `planned`, leaves to chance.

    Beyond each lies a draw in 1 of about 30,000, by the exact binomial tail.
    """
    fewest = _in_a_tail(planned, alike)
    most = alike - _in_a_tail(1 - planned, alike)
    least = 0.0 if fewest < 0 else max(fewest, 0.5) / (alike - max(fewest, 0.5))
    largest = inf if most > alike else min(most, alike - 0.5) / (alike - min(most, alike - 0.5))
    return least, largest


def _in_a_tail(chance: float, draws: int) -> int:
    """The largest number of hits of which that many or fewer are rarer than `LARGEST_CHANCE`; -1 where none is."""
    together, hits = 0.0, -1
    whole = lgamma(draws + 1) + draws * log1p(-chance)
    odds = log(chance) - log1p(-chance)
    for count in range(draws + 1):
        together += exp(whole - lgamma(count + 1) - lgamma(draws - count + 1) + count * odds)
        if together > LARGEST_CHANCE:
            break
        hits = count
    return hits


def _won(ours: int, others: int, largest_odds: float, burst: float) -> list[float]:
    """Per ratio, what a bet on "odds beyond `largest_odds`" has won; nothing where no odds are beyond."""
    if isinf(largest_odds):
        return [0.0] * len(RATIOS)
    stakes = (_stake(ratio, largest_odds, burst) for ratio in RATIOS)
    return [log_won(ours, others, share=largest_odds, stake=stake, burst=burst) for stake in stakes]


def _stake(ratio: float, share: float, burst: float) -> float:
    """The stake whose wealth grows fastest where the odds are `ratio` times the largest that are tolerated.

    The root of a quadratic: where the derivative of the expected log wealth is 0.
    """
    square = burst * (burst - 1) * (1 - ratio * share**2)
    linear, constant = (2 * burst - 1) * (1 + ratio * share), ratio - 1
    return 2 * constant / (linear + sqrt(linear**2 + 4 * square * constant))
