"""What a bettor proves who takes every bad event for one by itself, and how far the counts bear that out.

Before the past has told how errors come, the other bettors take them for bursts and wait. But bursts leave a trace in
the very minutes that are judged: they make counts uneven, in the treated group and in control, from one interval to
the next and beyond. A regression that stays, of errors that come one by one, is as even as chance. So this bettor
stakes as if there were no bursts, and has to prove the more the less even both groups are (`rollout.residuals`).

Approximate throughout: what must be proven was chosen on simulated traffic (`python -m bench.gates`).
"""

from dataclasses import dataclass, field
from math import exp, log, sqrt

from rollout.residuals import Residuals
from rollout.sequential_model import GroupCounts
from rollout.statistics import ERROR_RATIOS, LARGEST_CASH, Mixture, all_won, log_factors, stake_for
from rollout.stored_state import STORED

FEWEST_INTERVALS = 8
"""With fewer the counts cannot tell whether they are even."""
LEAST_AT_LIMIT = 0.3
"""Bad events that the limit would bring in an interval. Where they are fewer, single intervals do not show bursts."""
HARM, BEYOND = 7.0, 2.0
"""Log odds of each key that must be proven, for each unit of unevenness."""
OF_TREATED, OF_CONTROL = 0.4, 0.2
"""What the dispersion of each group adds to the unevenness; for independent errors both are about 1."""
NEIGHBOURS_OF_TREATED, NEIGHBOURS_OF_CONTROL = 0.25, 0.15
"""The same of what neighbouring intervals have in common, since a burst spreads over several; it may be below 0."""
LITTLE_SEEN = 4.0
"""Is added, over the root of control's bad events: beside few of them nothing has told how errors come."""
WELL_KNOWN_EVENTS = 400
"""Bad events of both groups, from which on the past is asked too, and what was counted is forgotten whenever the odds
speak for the new code: unevenness is that of the harm, and not of the quiet hours before."""
FIRST_INTERVALS, BORNE_OUT = 30, 0.7
"""In so many first intervals of a soak, while bursts are not well known, nobody convicts unless this bettor has that
part of what he needs on the first key: what the others prove by then may be a burst, and he has looked."""
LONGEST = 60
"""Intervals after which he says no more until bursts are well known: quiet hours would make a burst look even."""
EVEN_PHI, PER_PHI = 1.5, 8.0
"""The past asks for so much more for each unit of phi beyond the first: where errors are known to come in bursts this
bettor has nothing to say, and the others know enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedSingly:
    """His wealth on each key, and how even the counts have been since the odds last spoke for the new code."""

    __pydantic_config__ = STORED

    harm: Mixture = field(default_factory=lambda: Mixture.fresh(len(ERROR_RATIOS)))
    beyond: Mixture = field(default_factory=lambda: Mixture.fresh(len(ERROR_RATIOS)))
    intervals: int = 0
    treated: Residuals = field(default_factory=Residuals)
    control: Residuals = field(default_factory=Residuals)
    well_known: bool = False
    """Whether bursts are."""
    unevenness: float = 1.0
    """1 where both groups are as even as chance, or more so."""

    @property
    def harm_needed(self) -> float:
        """Odds of the first key for a failure."""
        return exp(HARM * self.unevenness)

    @property
    def beyond_needed(self) -> float:
        return exp(BEYOND * self.unevenness)

    @property
    def convicts(self) -> bool:
        """Whether a failure is proven. By logarithms, since no float holds what is needed among large bursts."""
        if self.intervals < FEWEST_INTERVALS or (self.intervals > LONGEST and not self.well_known):
            return False
        return log(self.harm.wealth) >= HARM * self.unevenness and log(self.beyond.wealth) >= BEYOND * self.unevenness

    @property
    def bears_out(self) -> bool:
        """Whether what the other bettors prove in the first intervals is even enough to be no burst."""
        return log(self.harm.wealth) >= BORNE_OUT * HARM * self.unevenness

    def after(
        self,
        treated: GroupCounts,
        control: GroupCounts,
        *,
        ratio: float,
        margins: tuple[float, float],
        phi: float,
        events: int,
        minutes: float,
    ) -> "CountedSingly":
        """One interval later.

        `ratio` times control's rate is allowed, and on each key one of the `margins` more. `phi` is what the past had
        told of bursts, `events` the bad events of both groups by now.
        """
        share = ratio * treated.total / control.total
        # Without bursts this is the fastest stake.
        stakes = [stake_for(risk_ratio, share, 1.0) for risk_ratio in ERROR_RATIOS]
        won = all_won(treated.bad, control.bad, share=share, stakes=stakes, burst=1.0)
        harm, beyond = (
            mixture.after(
                log_factors(won, stakes, margin=margin, total=treated.total), minutes, largest_cash=LARGEST_CASH
            )
            for mixture, margin in zip((self.harm, self.beyond), margins, strict=True)
        )
        well_known = events >= WELL_KNOWN_EVENTS
        if harm.wealth <= 1 and well_known:
            return CountedSingly(harm=harm, beyond=beyond, well_known=True)
        of_treated, of_control = (
            self.treated.after(treated.bad, treated.total),
            self.control.after(control.bad, control.total),
        )
        return CountedSingly(
            harm=harm,
            beyond=beyond,
            intervals=self.intervals + 1,
            treated=of_treated,
            control=of_control,
            well_known=well_known,
            unevenness=unevenness_of(of_treated.shape, of_control.shape, of_control.bad, phi, events),
        )


def unevenness_of(
    treated: tuple[float, float], control: tuple[float, float], control_bad: int, phi: float, events: int
) -> float:
    """By dispersion and what neighbours have in common of each group (`Residuals.shape`), and by what the past told."""
    (dispersion, common), (of_control, control_common) = treated, control
    counted = OF_TREATED * dispersion + OF_CONTROL * of_control
    counted += NEIGHBOURS_OF_TREATED * common + NEIGHBOURS_OF_CONTROL * control_common
    counted += LITTLE_SEEN / sqrt(control_bad + 1)
    known = phi if events >= WELL_KNOWN_EVENTS else EVEN_PHI
    return max(counted, 1 + PER_PHI * max(0.0, known - EVEN_PHI))
