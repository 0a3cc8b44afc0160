"""The error gate of many simulated rollouts at once: the judge's own arithmetic, on arrays.

The judge itself takes some seconds for one rollout of four days, and a false alarm in three hundred is found among
hundreds of rollouts only. `python -m bench.gates` asks both about the same rollouts and compares the minute they name.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.gate_blocks import Array, Blocks, Flags
from rollout.best_run import (
    ENOUGH_OTHERS,
    EVEN_PHI,
    FEW_OTHERS,
    LARGE_PHI,
    LARGER_PHI,
    LARGEST_PHI,
    LARGEST_TERM,
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
from rollout.capped_bets import CAPPED_BURSTS, CAPPED_GAIN, DISCOUNT, NO_DISCOUNT_FROM, WELL_KNOWN_EVENTS
from rollout.cohort_history import LARGEST_ERROR
from rollout.dispersion import LARGEST_FALL, LONGEST_OF_CONTROL, PRIOR_PHI
from rollout.fuse import FUSE_BAD, FUSE_INTERVALS, FUSE_POINTS, FUSE_SAMPLE
from rollout.overdispersion import (
    BLOCKS,
    CAUTIOUS_GAIN,
    KNOWN_EVENTS,
    PRIOR_WEIGHTS,
)
from rollout.sequential_model import BEYOND_NEEDED, CONVICTION_NEEDED, HARM_NEEDED
from rollout.share_evidence import BEYOND_SHARE, HARM_SHARE, NOT_READY_PHI, READY, READY_PHI
from rollout.statistics import (
    ERROR_RATIOS,
    LARGEST_CASH,
    LARGEST_GAIN,
    LARGEST_WEALTH,
    ONSET_EVERY_MINUTES,
    REGIME_MINUTES,
)

RATIOS: Array = np.array(ERROR_RATIOS)


@dataclass(frozen=True)
class FleetCounts:
    """Counts of each minute: one row per rollout, one column per minute."""

    treated: Array
    treated_bad: Array
    control: Array
    control_bad: Array


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
    harm, beyond, capped_harm, capped_beyond = (
        Bets((rollouts,), len(RATIOS), largest_cash=LARGEST_CASH) for _ in range(4)
    )
    dispersion = [_Bursts((rollouts,), length, weight) for length, weight in zip(BLOCKS, PRIOR_WEIGHTS, strict=True)]
    best_run = BestRuns(rollouts)
    events, history = np.zeros(rollouts), _History(rollouts)
    exposed_bad, gross, gross_bad = (np.zeros(rollouts) for _ in range(3))
    rolled_back, held = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
    everybody = np.ones(rollouts, np.bool_)
    for minute in range(length):
        treated, bad = counts.treated[:, minute], counts.treated_bad[:, minute]
        # A minute without control teaches nothing; the judge leaves it out of its blocks altogether, which is rare.
        somebody = (treated > 0) & (counts.control[:, minute] > 0)
        control, control_bad = np.maximum(counts.control[:, minute], 1), counts.control_bad[:, minute]
        phi = np.maximum(1.0, np.max([block.phi for block in dispersion], axis=0))
        if minute < unexposed:
            history.take(treated, bad, control, control_bad, phi, somebody)
            for block in dispersion:
                block.take(treated, bad, control, control_bad, everybody)
            events += bad + control_bad
            continue
        burst, share = ((phi + 1) / 2)[:, None], (history.allowed * treated / control)[:, None]
        stake = fastest_stakes(RATIOS, share, burst)
        gain, loss = gain_and_loss(share, stake, burst)
        won = bad[:, None] * gain + control_bad[:, None] * loss
        largest = np.where(events >= KNOWN_EVENTS, LARGEST_GAIN, CAUTIOUS_GAIN)[:, None]
        for bets, part in ((harm, HARM_SHARE), (beyond, BEYOND_SHARE)):
            bets.take(np.minimum(won - part * max_difference * stake * treated[:, None], largest), somebody)
        stake, won, largest = capped(bad, control_bad, share, burst, events)
        for bets, part in ((capped_harm, HARM_SHARE), (capped_beyond, BEYOND_SHARE)):
            bets.take(np.minimum(won - part * max_difference * stake * treated[:, None], largest), somebody)
        for block in dispersion:
            block.take(treated, bad, control, control_bad, everybody)
        events += bad + control_bad
        exposed_bad += bad
        enough = (treated >= FUSE_SAMPLE) & (control >= FUSE_SAMPLE)
        worse = bad >= treated * (control_bad / control + FUSE_POINTS)
        gross = np.where(enough & worse, gross + 1, 0)
        gross_bad = np.where(enough & worse, gross_bad + bad - treated * control_bad / control, 0.0)
        fuse = (gross >= FUSE_INTERVALS) & (gross_bad >= FUSE_BAD)
        harmful, too_much = (harm.wealth + capped_harm.wealth) / 2, (beyond.wealth + capped_beyond.wealth) / 2
        ready = READY * np.clip((NOT_READY_PHI - phi) / (NOT_READY_PHI - READY_PHI), 0.0, 1.0)
        for bets in (beyond, capped_beyond):
            bets.keep(np.where(somebody & (harmful < 1), ready, 0.0))
        best_run.take(np.log(harmful), somebody, bad, treated)
        proven = (harmful >= CONVICTION_NEEDED) & (too_much >= BEYOND_NEEDED)
        spread = best_run.is_enough(
            phi, max_difference * treated, max_difference * (treated + control), events - exposed_bad
        )
        guilty = proven & spread | fuse
        rolled_back = np.where((rolled_back == 0) & guilty, minute + 1, rolled_back)
        held = np.where((held == 0) & (harmful >= HARM_NEEDED), minute + 1, held)
    return Outcomes(rolled_back, held)


def fastest_stakes(ratios: Array, share: Array, burst: Array) -> Array:
    """`rollout.statistics.fastest_stake` of each."""
    squared, linear = burst * (burst - 1) * (ratios * share**2 - 1), (2 * burst - 1) * (ratios * share + 1)
    stakes: Array = 2 * (ratios - 1) / (linear + np.sqrt(linear**2 - 4 * squared * (ratios - 1)))
    return stakes


def sparse(at_limit: Array) -> Array:
    """`rollout.best_run.sparseness` of each."""
    sparseness: Array = np.clip(2 - 4 * at_limit, 0.0, 1.0)
    return sparseness


def gain_and_loss(share: Array, stake: Array, burst: Array) -> tuple[Array, Array]:
    """What one bad event of treated wins by `rollout.statistics.log_won`, and what one of control loses."""
    gain: Array = np.log1p(burst * stake) - np.log1p((burst - 1) * stake)
    loss: Array = np.log1p(-burst * share * stake) - np.log1p(-(burst - 1) * share * stake)
    return gain, loss


def capped(bad: Array, control_bad: Array, share: Array, burst: Array, events: Array) -> tuple[Array, Array, Array]:
    """`rollout.capped_bets.capped_bets` of every rollout: stakes, what they win, and the most that they may."""
    known = np.minimum(1.0, events / WELL_KNOWN_EVENTS)[:, None]
    discount = DISCOUNT * np.clip(2 * (NO_DISCOUNT_FROM - share), 0.0, 1.0) * known
    believed = 1 + (burst - 1) * (1 - discount)
    stake = fastest_stakes(RATIOS, share, believed)
    gain, loss = gain_and_loss(share, stake, believed)
    won: Array = bad[:, None] * gain + control_bad[:, None] * loss
    largest: Array = np.minimum(CAPPED_GAIN, CAPPED_BURSTS * believed * gain)
    return stake, won, largest


class Bets:
    """`rollout.statistics.Mixture` of everything in an array of this shape: of every rollout, or each of its edges."""

    def __init__(self, shape: tuple[int, ...], ratios: int, *, largest_cash: float = math.inf) -> None:
        self._largest_cash = largest_cash
        self._onset, self._ending, self._ratios = 1 / ONSET_EVERY_MINUTES, 1 / REGIME_MINUTES, ratios
        self._cash: Array = np.full(shape, 0.5)
        self._arms: Array = np.full((*shape, ratios), 0.5 / ratios)

    @property
    def wealth(self) -> Array:
        wealth: Array = self._cash + self._arms.sum(axis=-1)
        return wealth

    def keep(self, wealth: Array) -> None:
        """`rollout.statistics.Mixture.with_bets_of`."""
        self._arms = np.maximum(self._arms, wealth[..., None] / self._ratios)

    def take(self, log_factors: Array, somebody: Flags) -> None:
        """A minute without anybody treated changes nothing."""
        before = self._arms.sum(axis=-1)
        fresh = (self._cash * self._onset / self._ratios)[..., None]
        arms = np.minimum(LARGEST_WEALTH, (self._arms * (1 - self._ending) + fresh) * np.exp(log_factors))
        self._arms = np.where(somebody[..., None], arms, self._arms)
        cash = np.minimum(self._largest_cash, self._cash * (1 - self._onset) + self._ending * before)
        self._cash = np.where(somebody, cash, self._cash)


class BestRuns:
    """`rollout.best_run.BestRun` of every rollout."""

    def __init__(self, rollouts: int, most_left_out: float = MOST_LEFT_OUT) -> None:
        self._most_left_out = most_left_out
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
        largest, harmless = np.maximum(self._largest, log_odds - recent.min(axis=0)), log_odds <= 0
        self._recent = np.where(somebody, np.where(harmless, log_odds, recent), self._recent)
        self._largest = np.where(somebody, np.where(harmless, 0.0, largest), self._largest)

    def is_enough(self, phi: Array, at_limit: Array, of_both: Array, others: Array) -> Flags:
        beyond = np.clip(phi - PRIOR_PHI, 0.0, LARGEST_PHI)
        needed = SPREAD_NEEDED + PER_PHI * beyond + SPARSE * sparse(at_limit)
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


class _History:
    """`rollout.cohort_history.CohortHistory` of every rollout."""

    def __init__(self, rollouts: int) -> None:
        self.allowed: Array = np.ones(rollouts)
        self._sums: Array = np.zeros((4, rollouts))

    def take(
        self,
        treated: Array,
        bad: Array,
        control: Array,
        control_bad: Array,
        phi: Array,
        somebody: Flags,
    ) -> None:
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
