"""The error gate of many simulated rollouts at once: the judge's own arithmetic, on arrays.

The judge itself takes some seconds for one rollout of four days, and a false alarm in three hundred is found among
hundreds of rollouts only. `python -m bench.gates` asks both about the same rollouts and compares the minute they name.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rollout.best_run import (
    LARGE_PHI,
    LARGER_PHI,
    LARGEST_PHI,
    LARGEST_TERM,
    MOST_LEFT_OUT,
    MOST_TIMES,
    PER_PHI,
    RUN,
    SPARSE,
    SPREAD_NEEDED,
)
from rollout.capped_bets import CAPPED_BURSTS, CAPPED_GAIN, DISCOUNT, NO_DISCOUNT_FROM, WELL_KNOWN_EVENTS
from rollout.cohort_history import LARGEST_ERROR
from rollout.dispersion import (
    BLOCKS,
    CAUTIOUS_GAIN,
    HALF_LIFE_MINUTES,
    HEAVIEST_BLOCK,
    INFORMATIVE_EVENTS,
    KNOWN_EVENTS,
    LONGEST_OF_CONTROL,
    PRIOR_PHI,
    PRIOR_WEIGHTS,
)
from rollout.e_process import ERROR_RATIOS, LARGEST_GAIN, LARGEST_WEALTH, ONSET_EVERY_MINUTES, REGIME_MINUTES
from rollout.sequential_gate import FUSE_BAD, FUSE_INTERVALS, FUSE_POINTS, FUSE_SAMPLE
from rollout.sequential_model import BEYOND_NEEDED, CONVICTION_NEEDED, HARM_NEEDED
from rollout.share_evidence import BEYOND_SHARE, HARM_SHARE

Array = npt.NDArray[np.float64]
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
    harm, beyond, capped_harm, capped_beyond = (Bets((rollouts,), len(RATIOS)) for _ in range(4))
    dispersion = [_Block(rollouts, length, weight) for length, weight in zip(BLOCKS, PRIOR_WEIGHTS, strict=True)]
    best_run = _BestRun(rollouts)
    events, history = np.zeros(rollouts), _History(rollouts)
    gross, gross_bad = np.zeros(rollouts), np.zeros(rollouts)
    rolled_back, held = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
    for minute in range(length):
        treated, bad = counts.treated[:, minute], counts.treated_bad[:, minute]
        # A minute without control teaches nothing; the judge leaves it out of its blocks altogether, which is rare.
        somebody = (treated > 0) & (counts.control[:, minute] > 0)
        control, control_bad = np.maximum(counts.control[:, minute], 1), counts.control_bad[:, minute]
        phi = np.maximum(1.0, np.max([block.phi for block in dispersion], axis=0))
        if minute < unexposed:
            history.take(treated, bad, control, control_bad, phi, somebody)
            for block in dispersion:
                block.take(treated, bad, control, control_bad)
            events += bad + control_bad
            continue
        burst, share = ((phi + 1) / 2)[:, None], (history.allowed * treated / control)[:, None]
        stake = fastest_stakes(RATIOS, share, burst)
        gain, loss = gain_and_loss(share, stake, burst)
        won = bad[:, None] * gain + control_bad[:, None] * loss
        largest = np.where(events >= KNOWN_EVENTS, LARGEST_GAIN, CAUTIOUS_GAIN)[:, None]
        for bets, part in ((harm, HARM_SHARE), (beyond, BEYOND_SHARE)):
            bets.take(np.minimum(won - part * max_difference * stake * treated[:, None], largest), somebody)
        stake, won, largest = _capped(bad, control_bad, share, burst, events)
        for bets, part in ((capped_harm, HARM_SHARE), (capped_beyond, BEYOND_SHARE)):
            bets.take(np.minimum(won - part * max_difference * stake * treated[:, None], largest), somebody)
        for block in dispersion:
            block.take(treated, bad, control, control_bad)
        events += bad + control_bad
        enough = (treated >= FUSE_SAMPLE) & (control >= FUSE_SAMPLE)
        worse = bad >= treated * (control_bad / control + FUSE_POINTS)
        gross = np.where(enough & worse, gross + 1, 0)
        gross_bad = np.where(enough & worse, gross_bad + bad - treated * control_bad / control, 0.0)
        fuse = (gross >= FUSE_INTERVALS) & (gross_bad >= FUSE_BAD)
        harmful, too_much = (harm.wealth + capped_harm.wealth) / 2, (beyond.wealth + capped_beyond.wealth) / 2
        best_run.take(np.log(harmful), somebody)
        proven = (harmful >= CONVICTION_NEEDED) & (too_much >= BEYOND_NEEDED)
        guilty = proven & best_run.is_enough(phi, max_difference * treated, max_difference * (treated + control)) | fuse
        rolled_back = np.where((rolled_back == 0) & guilty, minute + 1, rolled_back)
        held = np.where((held == 0) & (harmful >= HARM_NEEDED), minute + 1, held)
    return Outcomes(rolled_back, held)


def fastest_stakes(ratios: Array, share: Array, burst: Array) -> Array:
    """`rollout.e_process.fastest_stake` of each."""
    squared, linear = burst * (burst - 1) * (ratios * share**2 - 1), (2 * burst - 1) * (ratios * share + 1)
    stakes: Array = 2 * (ratios - 1) / (linear + np.sqrt(linear**2 - 4 * squared * (ratios - 1)))
    return stakes


def gain_and_loss(share: Array, stake: Array, burst: Array) -> tuple[Array, Array]:
    """What one bad event of treated wins by `rollout.e_process.log_won`, and what one of control loses."""
    gain: Array = np.log1p(burst * stake) - np.log1p((burst - 1) * stake)
    loss: Array = np.log1p(-burst * share * stake) - np.log1p(-(burst - 1) * share * stake)
    return gain, loss


def _capped(bad: Array, control_bad: Array, share: Array, burst: Array, events: Array) -> tuple[Array, Array, Array]:
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
    """`rollout.e_process.Mixture` of everything in an array of this shape: of every rollout, or each of its edges."""

    def __init__(self, shape: tuple[int, ...], ratios: int) -> None:
        self._onset, self._ending, self._ratios = 1 / ONSET_EVERY_MINUTES, 1 / REGIME_MINUTES, ratios
        self._cash: Array = np.full(shape, 0.5)
        self._arms: Array = np.full((*shape, ratios), 0.5 / ratios)

    @property
    def wealth(self) -> Array:
        wealth: Array = self._cash + self._arms.sum(axis=-1)
        return wealth

    def take(self, log_factors: Array, somebody: npt.NDArray[np.bool_]) -> None:
        """A minute without anybody treated changes nothing."""
        before = self._arms.sum(axis=-1)
        fresh = (self._cash * self._onset / self._ratios)[..., None]
        arms = np.minimum(LARGEST_WEALTH, (self._arms * (1 - self._ending) + fresh) * np.exp(log_factors))
        self._arms = np.where(somebody[..., None], arms, self._arms)
        self._cash = np.where(somebody, self._cash * (1 - self._onset) + self._ending * before, self._cash)


class _BestRun:
    """`rollout.best_run.BestRun` of every rollout."""

    def __init__(self, rollouts: int) -> None:
        self._recent: Array = np.zeros((RUN + 1, rollouts))
        self._largest: Array = np.zeros(rollouts)

    def take(self, log_odds: Array, somebody: npt.NDArray[np.bool_]) -> None:
        recent = np.concatenate([self._recent[1:], log_odds[None]])
        largest, harmless = np.maximum(self._largest, log_odds - recent.min(axis=0)), log_odds <= 0
        self._recent = np.where(somebody, np.where(harmless, log_odds, recent), self._recent)
        self._largest = np.where(somebody, np.where(harmless, 0.0, largest), self._largest)

    def is_enough(self, phi: Array, at_limit: Array, of_both: Array) -> npt.NDArray[np.bool_]:
        beyond = np.clip(phi - PRIOR_PHI, 0.0, LARGEST_PHI)
        needed = SPREAD_NEEDED + PER_PHI * beyond + SPARSE * np.clip(2 - 4 * at_limit, 0.0, 1.0)
        large = np.maximum(0.0, (phi - LARGE_PHI) / (LARGER_PHI - LARGE_PHI))
        few = np.clip(2 - of_both, 0.0, 1.0)
        times = 1 + np.minimum(MOST_TIMES - 1, np.maximum(large, few))
        enough: npt.NDArray[np.bool_] = self._recent[-1] - times * np.minimum(self._largest, MOST_LEFT_OUT) >= needed
        return enough


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
        somebody: npt.NDArray[np.bool_],
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


class _Block:
    """One block length of `rollout.dispersion.Dispersion`, of every rollout."""

    def __init__(self, rollouts: int, length: int, prior_weight: float) -> None:
        self._length, self._prior = length, prior_weight
        self._weighted: Array = np.full(rollouts, PRIOR_PHI * prior_weight)
        self._weight: Array = np.full(rollouts, prior_weight)
        self._filling: Array = np.zeros((4, rollouts))
        self._minutes = 0
        self._finished: list[Array] = []

    @property
    def phi(self) -> Array:
        return self._weighted / self._weight

    def take(self, treated: Array, bad: Array, control: Array, control_bad: Array) -> None:
        events, share = bad + control_bad, treated / (treated + control)
        self._filling = self._filling + np.stack(
            [bad - events * share, events * share * (1 - share), control_bad, control]
        )
        self._minutes += 1
        if self._minutes < self._length:
            return
        kept = 0.5 ** (self._length / HALF_LIFE_MINUTES)
        prior = self._prior * (1 - kept)
        self._weighted, self._weight = self._weighted * kept + PRIOR_PHI * prior, self._weight * kept + prior
        if len(self._finished) == 2:  # noqa: PLR2004  (the block before the last is there)
            terms = _terms(self._finished[0], self._filling)
            for term, counted in terms if self._length <= LONGEST_OF_CONTROL else terms[:1]:
                self._weighted = self._weighted + counted * np.minimum(term, LARGEST_TERM)
                self._weight = self._weight + counted
        self._finished = [*self._finished, self._filling][-2:]
        self._filling, self._minutes = np.zeros_like(self._filling), 0


def _terms(before: Array, now: Array) -> list[tuple[Array, Array]]:
    """How far the treated residual fell, and how far control's rate moved; each with its weight."""
    (residual, variance, bad, total), (old_residual, old_variance, old_bad, old_total) = now, before
    with np.errstate(divide="ignore", invalid="ignore"):
        change = residual / variance - old_residual / old_variance
        harmonic = variance * old_variance / (variance + old_variance)
        fell = (variance > 0) & (old_variance > 0) & (change < 0)
        treated = np.where(fell, harmonic * change**2, 0.0), np.where(fell, np.minimum(harmonic, HEAVIEST_BLOCK), 0.0)
        pooled = (bad + old_bad) / (total + old_total)
        moved = (bad / total - old_bad / old_total) ** 2 / (pooled * (1 / total + 1 / old_total))
        some = bad + old_bad > 0
        weight = np.where(some, np.minimum((bad + old_bad) / INFORMATIVE_EVENTS, 1.0), 0.0)
        return [treated, (np.where(some, moved, 0.0), weight)]
