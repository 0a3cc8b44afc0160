"""The error gate of many simulated rollouts at once: the judge's own arithmetic, on arrays.

The judge itself takes some seconds for one rollout of four days, and a false alarm in three hundred is found among
hundreds of rollouts only. `python -m bench.gates` asks both about the same rollouts and compares the minute they name.
"""

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.gate_bets import RATIOS, Bets, Wager, capped_wager, wager
from bench.gate_blocks import Array, Blocks, Flags, largest_phi, of_each_length
from bench.gate_singly import CountedSingly
from rollout.best_run import (
    ENOUGH_OTHERS,
    EVEN_PHI,
    FEW_OTHERS,
    LARGE_PHI,
    LARGER_PHI,
    LARGEST_PHI,
    LARGEST_TERM,
    LESS_WHERE_SETTLED,
    MOST_LEFT_OUT,
    MOST_TIMES,
    MOST_UNEVEN,
    PER_PHI,
    PER_UNEVEN,
    RUN,
    SPARSE,
    SPREAD_NEEDED,
    UNEVEN_OVER,
    UNSEEN,
)
from rollout.cohort_history import LARGEST_ERROR
from rollout.counted_singly import LEAST_AT_LIMIT, WELL_KNOWN_EVENTS
from rollout.dispersion import LARGEST_FALL, LONGEST_OF_CONTROL, PRIOR_PHI
from rollout.fuse import FUSE_BAD, FUSE_INTERVALS, FUSE_POINTS, FUSE_SAMPLE
from rollout.sequential_model import BEYOND_NEEDED, CONVICTION_NEEDED, HOLD_NEEDED
from rollout.sequential_state import HARMLESS, HARMLESS_ELSEWHERE, PART_OF_SECOND
from rollout.share_evidence import (
    BEYOND_SHARE,
    HARM_SHARE,
    NOT_READY_PHI,
    READY,
    READY_PHI,
    SETTLED_PHI,
    UNSETTLED_PHI,
)
from rollout.statistics import LARGEST_CASH, ONSET_EVERY_MINUTES, SOONER_ONSET_MINUTES


@dataclass(frozen=True)
class FleetCounts:
    """Counts of each minute: one row per rollout, one column per minute."""

    treated: Array
    treated_bad: Array
    control: Array
    control_bad: Array

    def between(self, since: int, until: int) -> "FleetCounts":
        """The minutes from `since` to before `until`."""
        each = (self.treated, self.treated_bad, self.control, self.control_bad)
        return FleetCounts(*(counts[:, since:until] for counts in each))

    def at(self, minute: int) -> "OneMinute":
        treated, control = self.treated[:, minute], self.control[:, minute]
        # A minute without control teaches nothing; the judge leaves it out of its blocks altogether, which is rare.
        somebody = (treated > 0) & (control > 0)
        return OneMinute(
            treated, self.treated_bad[:, minute], np.maximum(control, 1), self.control_bad[:, minute], somebody
        )


class OneMinute(NamedTuple):
    """One minute of every rollout; `somebody` where both groups have requests."""

    treated: Array
    bad: Array
    control: Array
    control_bad: Array
    somebody: Flags


@dataclass(frozen=True)
class Outcomes:
    """Per rollout the minute, from 1, at which it is rolled back, or first held; 0 where that never happens."""

    rolled_back: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]


def judge_fleet(counts: FleetCounts, *, max_difference: float, unexposed: int = 0) -> Outcomes:
    """What the error gate decides in every rollout of the fleet, judged each minute.

    In the first `unexposed` minutes nobody has the features: they only tell how the cohort differs.
    """
    rollouts, length = counts.treated.shape
    judges = _Judges(rollouts, max_difference)
    rolled_back, held = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
    for minute in range(length):
        if minute < unexposed:
            judges.learn(counts.at(minute))
            continue
        guilty, suspect = judges.weigh(counts.at(minute))
        rolled_back = first_minute(rolled_back, guilty, minute + 1)
        held = first_minute(held, suspect, minute + 1)
    return Outcomes(rolled_back, held)


def first_minute(so_far: npt.NDArray[np.int64], now: Flags, minute: int) -> npt.NDArray[np.int64]:
    """This minute for those of which it is true now and was not before."""
    return np.where((so_far == 0) & now, minute, so_far)


class _Judges:
    """What the judge of every rollout keeps from one minute to the next."""

    def __init__(self, rollouts: int, max_difference: float) -> None:
        self._max_difference = max_difference
        self._first, self._second = (_Bettor(rollouts, max_difference) for _ in range(2))
        self._dispersion = of_each_length(_Bursts, (rollouts,))
        self._history, self._fuses = _History(rollouts), Fuses(rollouts)
        self._best_runs = BestRuns(rollouts, harmless=HARMLESS)
        self._singly = CountedSingly(rollouts, (HARM_SHARE * max_difference, BEYOND_SHARE * max_difference))
        self._events, self._exposed_bad, self._intervals = np.zeros((3, rollouts))

    def learn(self, minute: OneMinute) -> None:
        """A minute in which nobody is exposed."""
        self._history.take(minute, largest_phi(self._dispersion))
        self._count(minute)

    def weigh(self, minute: OneMinute) -> tuple[Flags, Flags]:
        """Which rollouts fail now, and which expose nobody new: those, and what is worse than control at all."""
        phi = largest_phi(self._dispersion)
        settled = self._settled(minute, phi)
        self._bet(minute, phi, settled)
        self._count(minute)
        self._exposed_bad += minute.bad
        self._intervals += minute.somebody
        harm, beyond = (
            first.wealth * (1 - PART_OF_SECOND) + second.wealth * PART_OF_SECOND
            for first, second in ((self._first.harm, self._second.harm), (self._first.beyond, self._second.beyond))
        )
        ready = READY * np.clip((NOT_READY_PHI - phi) / (NOT_READY_PHI - READY_PHI), 0.0, 1.0)
        nothing_proven = minute.somebody & (harm < HARMLESS)
        for bettor in (self._first, self._second):
            bettor.beyond.keep(np.where(nothing_proven, ready, 0.0))
            bettor.harm.fill_up(np.where(nothing_proven, LARGEST_CASH * settled, 0.0))
        self._best_runs.take(np.log(harm), minute.somebody, minute.bad, minute.treated)
        proven = (harm >= CONVICTION_NEEDED) & (beyond >= BEYOND_NEEDED)
        self._count_singly(minute, phi)
        believed = self._spread(minute, phi, settled) & self._singly.even_enough(self._intervals)
        guilty = proven & believed | self._singly.convicts | self._blown(minute)
        return guilty, guilty | (harm >= HOLD_NEEDED)

    def _bet(self, minute: OneMinute, phi: Array, settled: Array) -> None:
        burst, share = ((phi + 1) / 2)[:, None], (self._history.allowed * minute.treated / minute.control)[:, None]
        onset = ONSET_EVERY_MINUTES - (ONSET_EVERY_MINUTES - SOONER_ONSET_MINUTES) * settled
        for bettor, its_wager in ((self._first, wager), (self._second, capped_wager)):
            bettor.take(its_wager(minute.bad, minute.control_bad, share, burst, self._events), minute, onset)

    def _count(self, minute: OneMinute) -> None:
        for block in self._dispersion:
            block.take(minute.treated, minute.bad, minute.control, minute.control_bad, np.ones_like(minute.somebody))
        self._events += minute.bad + minute.control_bad

    def _settled(self, minute: OneMinute, phi: Array) -> Array:
        """`rollout.share_evidence.settled` of every rollout."""
        small = np.clip((UNSETTLED_PHI - phi) / (UNSETTLED_PHI - SETTLED_PHI), 0.0, 1.0)
        shown = 1 - sparse(self._max_difference * minute.treated)
        settled: Array = np.where(self._events >= WELL_KNOWN_EVENTS, small * shown, 0.0)
        return settled

    def _count_singly(self, minute: OneMinute, phi: Array) -> None:
        treated, control = (minute.bad, minute.treated), (minute.control_bad, minute.control)
        counted = minute.somebody & (self._max_difference * minute.treated >= LEAST_AT_LIMIT)
        self._singly.take(treated, control, counted, ratio=self._history.allowed, phi=phi, events=self._events)

    def _spread(self, minute: OneMinute, phi: Array, settled: Array) -> Flags:
        at_limit = self._max_difference * minute.treated
        of_both = self._max_difference * (minute.treated + minute.control)
        others, less = self._events - self._exposed_bad, LESS_WHERE_SETTLED * settled
        return self._best_runs.is_enough(phi, at_limit, of_both, others, less)

    def _blown(self, minute: OneMinute) -> Flags:
        enough = (minute.treated >= FUSE_SAMPLE) & (minute.control >= FUSE_SAMPLE)
        worse = minute.bad >= minute.treated * (minute.control_bad / minute.control + FUSE_POINTS)
        return self._fuses.blown(enough & worse, minute.bad, minute.treated * minute.control_bad / minute.control)


def sparse(at_limit: Array) -> Array:
    """`rollout.best_run.sparseness` of each."""
    sparseness: Array = np.clip(2 - 4 * at_limit, 0.0, 1.0)
    return sparseness


class BestRuns:
    """`rollout.best_run.BestRun` of every rollout."""

    def __init__(
        self, rollouts: int, most_left_out: float = MOST_LEFT_OUT, *, harmless: float = HARMLESS_ELSEWHERE
    ) -> None:
        self._most_left_out, self._harmless = most_left_out, log(harmless)
        self._recent: Array = np.zeros((RUN + 1, rollouts))
        self._largest: Array = np.zeros(rollouts)
        self._counts: Array = np.zeros((UNEVEN_OVER, 2, rollouts))

    def remaining(self, times: float | Array) -> Array:
        """Log odds without the best run, left out so often."""
        remaining: Array = self._recent[-1] - times * np.minimum(self._largest, self._most_left_out)
        return remaining

    def take(self, log_odds: Array, somebody: Flags, bad: Array, total: Array) -> None:
        counts = np.concatenate([self._counts[1:], np.stack([bad, total])[None]])
        self._counts = np.where(somebody, counts, self._counts)
        recent = np.concatenate([self._recent[1:], log_odds[None]])
        largest, harmless = np.maximum(self._largest, log_odds - recent.min(axis=0)), log_odds <= self._harmless
        self._recent = np.where(somebody, np.where(harmless, log_odds, recent), self._recent)
        self._largest = np.where(somebody, np.where(harmless, 0.0, largest), self._largest)

    def is_enough(self, phi: Array, at_limit: Array, of_both: Array, others: Array, less: Array) -> Flags:
        beyond = np.clip(phi - PRIOR_PHI, 0.0, LARGEST_PHI)
        needed = SPREAD_NEEDED + np.maximum(0.0, PER_PHI * beyond - less) + SPARSE * sparse(at_limit)
        needed += UNSEEN * np.clip((ENOUGH_OTHERS - others) / (ENOUGH_OTHERS - FEW_OTHERS), 0.0, 1.0)
        needed += PER_UNEVEN * np.clip(self._unevenness() - EVEN_PHI, 0.0, MOST_UNEVEN)
        large = np.maximum(0.0, (phi - LARGE_PHI) / (LARGER_PHI - LARGE_PHI))
        few = np.clip(2 - of_both, 0.0, 1.0)
        times = 1 + np.minimum(MOST_TIMES - 1, np.maximum(large, few))
        enough: Flags = self.remaining(times) >= needed
        return enough

    def _unevenness(self) -> Array:
        """Zeros that it began with had nobody treated, and tell nothing."""
        (bad, total), (later, later_total) = self._counts[:-2].swapaxes(0, 1), self._counts[2:].swapaxes(0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            fell = np.minimum(0.0, later * total - bad * later_total) ** 2
            jumps = np.where(total > 0, 2 * fell / (total * later_total), 0.0)
        unevenness: Array = jumps.sum(axis=0) / np.maximum(1, np.where(total > 0, bad + later, 0).sum(axis=0))
        return unevenness


class _Bettor:
    """Of every rollout the bets that there is harm at all, and that it is beyond what is tolerated."""

    def __init__(self, rollouts: int, max_difference: float) -> None:
        self._max_difference = max_difference
        self.harm, self.beyond = (Bets((rollouts,), len(RATIOS), largest_cash=LARGEST_CASH) for _ in range(2))

    def take(self, wager: Wager, minute: OneMinute, onset_minutes: Array) -> None:
        harm, beyond = (
            wager.beyond(part * self._max_difference, minute.treated) for part in (HARM_SHARE, BEYOND_SHARE)
        )
        self.harm.take(harm, minute.somebody, onset_minutes)
        self.beyond.take(beyond, minute.somebody)


class Fuses:
    """`rollout.fuse` of every rollout."""

    def __init__(self, rollouts: int) -> None:
        self._in_a_row, self._bad = np.zeros(rollouts), np.zeros(rollouts)

    def blown(self, gross: Flags, bad: Array, expected: Array) -> Flags:
        """After a minute that was `gross` or not, with so many bad events where so many were to be expected."""
        self._in_a_row = np.where(gross, self._in_a_row + 1, 0)
        self._bad = np.where(gross, self._bad + bad - expected, 0.0)
        blown: Flags = (self._in_a_row >= FUSE_INTERVALS) & (self._bad >= FUSE_BAD)
        return blown


class _History:
    """`rollout.cohort_history.CohortHistory` of every rollout."""

    def __init__(self, rollouts: int) -> None:
        self.allowed: Array = np.ones(rollouts)
        self._sums: Array = np.zeros((4, rollouts))

    def take(self, minute: OneMinute, phi: Array) -> None:
        treated, bad, control, control_bad, somebody = minute
        whole = treated + control
        seen = np.stack([bad, control_bad, bad * control / whole, control_bad * treated / whole])
        self._sums = self._sums + np.where(somebody, seen, 0.0)
        ours, theirs, weighted, control_weighted = self._sums
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(phi * (1 / ours + 1 / theirs))
            ratio = weighted / control_weighted * np.exp(error)
            known = (ours > 0) & (theirs > 0) & (error <= LARGEST_ERROR)
            self.allowed = np.where(known, np.maximum(1.0, ratio), 1.0)


class _Bursts(Blocks):
    """`rollout.dispersion.Dispersion`."""

    prior_phi, longest_of_control = PRIOR_PHI, LONGEST_OF_CONTROL
    largest_term, largest_fall = LARGEST_TERM, LARGEST_FALL
    by_own_rates = True
