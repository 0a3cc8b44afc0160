"""The evidence that remains when its best few minutes are left out, so that one or two bursts do not roll back.

A regression that stays spreads its evidence evenly, a burst of errors brings all of it within minutes. The size of a
burst is learnt from the past, and the one that is larger than all before it looks like a regression to every bet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rollout.dispersion import PRIOR_PHI
from rollout.stored_state import DIGITS, STORED

RUN = 8
"""Intervals that are left out together; what a retry storm or a crashing instance takes."""
MOST_LEFT_OUT, MOST_LEFT_OUT_ELSEWHERE = 11.0, 18.0
"""In log odds, 60,000 and 60 million to 1. No burst of errors that was tried brings more than the first beyond what
must remain; what does is gross, and is not waited for. The second of latencies, and against a limit: there some minutes
of a pause, or of one cluster, bring more."""
SPREAD_NEEDED, PER_PHI, SPARSE, UNSEEN = 0.5, 0.8, 3.0, 3.0
"""In log odds, what must remain: at least; more for each unit of phi beyond what is believed before anything is seen,
since bursts vary the more the larger they are; and more where the limit itself would bring less than half a bad event
in an interval, all of it below a quarter: there a single burst is worth hours."""
LARGE_PHI, LARGER_PHI, MOST_TIMES = 8.0, 12.0, 3.0
"""The best run is left out once up to the first phi, twice at the second, as if there had been another like it, and
three times at most. At least twice where the limit would bring both groups together hardly one bad event in an
interval: there little is ever learnt of bursts."""
LESS_WHERE_SETTLED = 1.0
"""In log odds, so much less must remain for their phi where it is settled that bursts are small."""
FEW_OTHERS, ENOUGH_OTHERS = 30, 60
"""Bad events seen so far that are not the candidate's: up to the first as much more must remain as `UNSEEN` says, from
the second on no more for that. Beside a quiet group nothing has told yet whether errors come in bursts."""
LARGEST_PHI = 15.0
"""Beyond what is believed at first, so much of it asks for more."""
LARGEST_TERM, LARGEST_TERM_OF_ONE = 100.0, 50.0
"""Of what two blocks of intervals tell of phi, wherever the best run is left out: rare large bursts are most of it. The
second in states that began when it was always left out once."""
UNEVEN_OVER, EVEN_PHI, PER_UNEVEN, MOST_UNEVEN = 15, 2.0, 2.0, 3.0
"""In so many last intervals the treated group's own bad events are looked at: how deep they fall in between tells of
bursts, before the past has told. A regression that stays is even; up to this phi nothing more must remain,
beyond it so many log odds for each unit, of so many units at most."""


def unevenness(counts: Sequence[tuple[int, int]]) -> float:
    """Phi of (bad, total) of the last intervals, each beside the one before the last; 0 where there are too few.

    A burst goes on in the next interval, so neighbours would hide it. Only what fell, twice: a regression that begins
    rises, and must not pass for a burst.
    """
    jumps, events = 0.0, 0
    for (bad, total), (later, later_total) in zip(counts, counts[2:], strict=False):
        if (fell := later * total - bad * later_total) < 0:
            jumps += 2 * fell**2 / (total * later_total)
        events += bad + later
    return jumps / max(1, events)


def even_needed(counts: Sequence[tuple[int, int]]) -> float:
    """Log odds that must remain besides, since bad events come in bursts just now."""
    return PER_UNEVEN * min(max(unevenness(counts) - EVEN_PHI, 0.0), MOST_UNEVEN)


def spread_needed(phi: float, at_limit: float, others: int = ENOUGH_OTHERS, settled: float = 0.0) -> float:
    """Log odds that must remain. `at_limit`: bad events that the limit would bring in the interval.

    `others`: bad events so far that are control's, or from before anybody was exposed. `settled`: how far, from 0 to 1,
    it is that bursts are as small as `phi` says.
    """
    bursts = max(0.0, PER_PHI * min(max(phi - PRIOR_PHI, 0.0), LARGEST_PHI) - LESS_WHERE_SETTLED * settled)
    unseen = min(1.0, max(0.0, (ENOUGH_OTHERS - others) / (ENOUGH_OTHERS - FEW_OTHERS)))
    return SPREAD_NEEDED + bursts + SPARSE * sparseness(at_limit) + UNSEEN * unseen


def sparseness(at_limit: float) -> float:
    """1 where the limit would bring less than a quarter of a bad event in an interval, 0 from half of one on."""
    return min(1.0, max(0.0, 2 - 4 * at_limit))


def times_left_out(phi: float, at_limit: float) -> float:
    """How often the best run is left out. `at_limit`: bad events that the limit would bring in both groups together."""
    large = max(0.0, (phi - LARGE_PHI) / (LARGER_PHI - LARGE_PHI))
    few = min(1.0, max(0.0, 2 - at_limit))
    return 1 + min(MOST_TIMES - 1, max(large, few))


@dataclass(frozen=True, slots=True)
class BestRun:
    """The largest rise of the log odds within a run, since nothing last spoke against the new code."""

    __pydantic_config__ = STORED

    recent: tuple[float, ...] = (0.0,)
    """Log odds after each of the last intervals, oldest first."""
    largest: float = field(kw_only=True, default=0.0)
    needed: float = field(kw_only=True, default=SPREAD_NEEDED)
    """What had to remain after the last interval."""
    times: float | None = field(kw_only=True, default=None)
    """How often the run is left out. None in states that began when it was left out once, whatever bursts there are."""

    counts: tuple[tuple[int, int], ...] | None = field(kw_only=True, default=None)
    """Bad events and requests of the treated in the last intervals. None in states that began when nobody asked."""
    most_left_out: float = field(kw_only=True, default=MOST_LEFT_OUT)
    """Of the largest rise, in log odds."""

    @property
    def largest_term(self) -> float:
        return LARGEST_TERM_OF_ONE if self.times is None else LARGEST_TERM

    @property
    def is_enough(self) -> bool:
        """Whether the evidence convicts without its best run too."""
        times = 1.0 if self.times is None else self.times
        return self.recent[-1] - times * min(self.largest, self.most_left_out) >= self.needed

    def after(
        self,
        log_odds: float,
        needed: float,
        times: float = 1.0,
        counts: tuple[int, int] | None = None,
        harmless: float = 0.0,
    ) -> "BestRun":
        """`counts` are bad events and requests of the treated; up to log odds of `harmless` nothing is to be proven."""
        seen = self.counts if self.counts is None or counts is None else (*self.counts, counts)[-UNEVEN_OVER:]
        odds, needed = round(log_odds, DIGITS), round(needed + (even_needed(seen) if seen else 0.0), DIGITS)
        left_out = None if self.times is None else round(times, DIGITS)
        recent: tuple[float, ...] = (odds,)
        largest = 0.0
        if odds > harmless:
            recent = (*self.recent, odds)[-(RUN + 1) :]
            largest = round(max(self.largest, odds - min(recent)), DIGITS)
        return BestRun(
            recent=recent,
            largest=largest,
            needed=needed,
            times=left_out,
            counts=seen,
            most_left_out=self.most_left_out,
        )
