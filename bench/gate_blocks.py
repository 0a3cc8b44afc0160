"""What the judge learns from blocks of intervals, of many simulated rollouts at once: one block length, on arrays.

`rollout.dispersion` for shares and `rollout.wander` for latencies; both compare a full block with the one before the
last.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rollout.overdispersion import BLOCKS, HALF_LIFE_MINUTES, HEAVIEST_BLOCK, INFORMATIVE_EVENTS, PRIOR_WEIGHTS

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Blocks:
    """One block length of every rollout, or of each of its edges: `shape` ends with the rollouts."""

    prior_phi: float
    longest_of_control: int
    """In intervals; over longer blocks control's own rate is not compared."""
    largest_term: float
    """Of what control's own rate tells, `largest_fall` of what the treated residual does."""
    largest_fall: float
    by_own_rates: bool
    """Whether chance is what it is at each group's own rate."""

    def __init__(self, shape: tuple[int, ...], length: int, prior_weight: float) -> None:
        self._length, self._prior = length, prior_weight
        self._weighted: Array = np.full(shape, self.prior_phi * prior_weight)
        self._weight: Array = np.full(shape, prior_weight)
        self._filling, self._last, self._before = (np.zeros((5, *shape)) for _ in range(3))
        self._minutes, self._finished = np.zeros(shape[-1], np.int64), np.zeros(shape[-1], np.int64)

    @property
    def phi(self) -> Array:
        phi: Array = self._weighted / self._weight
        return phi

    def take(self, treated: Array, bad: Array, control: Array, control_bad: Array, judged: Flags) -> None:
        """One minute of the rollouts that are `judged`."""
        events, share = bad + control_bad, treated / (treated + control)
        variance = events * share * (1 - share)
        own = (1 - share) ** 2 * bad + share**2 * control_bad if self.by_own_rates else variance
        of_control = [control_bad, np.broadcast_to(control, events.shape)]
        self._take([bad - events * share, variance, *of_control, own - variance], judged)

    def take_alone(self, treated: Array, bad: Array, judged: Flags) -> None:
        """The same without control."""
        nothing = np.zeros_like(bad)
        self._take([bad, treated, nothing, nothing, bad - treated], judged)

    def _take(self, seen: list[Array], judged: Flags) -> None:
        self._filling = self._filling + np.where(judged, np.stack(seen), 0.0)
        self._minutes = self._minutes + judged
        full = self._minutes >= self._length
        if full.any():
            self._close(full)

    def _close(self, full: Flags) -> None:
        kept = 0.5 ** (self._length / HALF_LIFE_MINUTES)
        prior = self._prior * (1 - kept)
        known = self._finished >= 2  # noqa: PLR2004  (the block before the last is there)
        harmonic, term = _what_fell(self._before, self._filling)
        counted = np.where(known, np.minimum(harmonic, HEAVIEST_BLOCK), 0.0)
        disagreed, weight = counted * np.minimum(term, self.largest_fall), counted
        if self._length <= self.longest_of_control:
            moved, of_control = _what_moved(self._before, self._filling)
            of_control = np.where(known, of_control, 0.0)
            disagreed = disagreed + of_control * np.minimum(moved, self.largest_term)
            weight = weight + of_control
        self._weighted = np.where(full, self._weighted * kept + self.prior_phi * prior + disagreed, self._weighted)
        self._weight = np.where(full, self._weight * kept + prior + weight, self._weight)
        self._learn(full, kept, counted, harmonic)
        self._before = np.where(full, self._last, self._before)
        self._last = np.where(full, self._filling, self._last)
        self._filling = np.where(full, 0.0, self._filling)
        self._finished, self._minutes = self._finished + full, np.where(full, 0, self._minutes)

    def _learn(self, full: Flags, kept: float, counted: Array, harmonic: Array) -> None:
        """What else full blocks tell."""


B = TypeVar("B", bound=Blocks)


def of_each_length(kind: type[B], shape: tuple[int, ...]) -> list[B]:
    return [kind(shape, length, weight) for length, weight in zip(BLOCKS, PRIOR_WEIGHTS, strict=True)]


def largest_phi(blocks: Sequence[Blocks]) -> Array:
    """What the length tells that has learnt of the largest bursts; at least 1, which is chance alone."""
    phi: Array = np.maximum(1.0, np.max([each.phi for each in blocks], axis=0))
    return phi


def _what_fell(before: Array, now: Array) -> tuple[Array, Array]:
    """`rollout.overdispersion.what_fell` of every rollout."""
    some = (before[1] > 0) & (now[1] > 0)
    old, new = np.where(some, before[1], 1.0), np.where(some, now[1], 1.0)
    change = now[0] / new - before[0] / old
    harmonic = new * old / (new + old)
    fell = some & (change < 0)
    own = np.where(fell, 1 + (before[4] + now[4]) / (old + new), 1.0)
    tells = fell & (own > 0)
    own = np.where(tells, own, 1.0)
    return np.where(tells, harmonic * own, 0.0), np.where(tells, harmonic * change**2 / own, 0.0)


def _what_moved(before: Array, now: Array) -> tuple[Array, Array]:
    """`rollout.overdispersion.what_moved` of every rollout."""
    (_, _, bad, total, _), (_, _, new_bad, new_total, _) = before, now
    both = bad + new_bad
    some = (both > 0) & (total > 0) & (new_total > 0)
    events, old, new = (np.where(some, each, 1.0) for each in (both, total, new_total))
    variance = events / (old + new) * (1 / old + 1 / new)
    moved = np.where(some, (new_bad / new - bad / old) ** 2 / variance, 0.0)
    return moved, np.where(some, np.minimum(both / INFORMATIVE_EVENTS, 1.0), 0.0)
