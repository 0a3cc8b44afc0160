"""The p95 gate of many simulated rollouts at once: the judge's own arithmetic, on arrays.

What `bench.gate_fleet` is for errors. `python -m bench.gate_latencies` asks both about some of the same rollouts, in
every kind of traffic, and compares the minute they name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.gate_bets import Bets, fastest_stakes, gain_and_loss
from bench.gate_blocks import Array, Blocks, Flags, largest_phi, of_each_length
from bench.gate_fleet import BestRuns, Outcomes, first_minute
from rollout.best_run import MOST_LEFT_OUT_ELSEWHERE, PER_PHI, SPREAD_NEEDED
from rollout.control_curve import LEARNT_FROM, LEARNT_HALF_LIFE_MINUTES, NEAR_P95_TAIL, P95_TAIL, STEEP
from rollout.dispersion import PRIOR_PHI
from rollout.latency_evidence import (
    LARGEST_SPREAD_PHI,
    LATENCY_BEYOND_SHARE,
    LATENCY_BEYOND_SHARE_AT_MOST,
    LATENCY_HARM_SHARE,
    LATENCY_HARM_SHARE_AT_MOST,
)
from rollout.overdispersion import CAUTIOUS_GAIN, KNOWN_EVENTS
from rollout.sequential_model import HARM_NEEDED, LATENCY_BEYOND_NEEDED
from rollout.statistics import LARGEST_GAIN, LATENCY_RATIOS
from rollout.wander import (
    LARGEST_OF_CONTROL,
    LARGEST_WANDER,
    LITTLE_WANDER,
    LONGEST_OF_CONTROL,
    MUCH_WANDER,
    PRIOR_WANDER,
)

RATIOS: Array = np.array(LATENCY_RATIOS)


@dataclass(frozen=True)
class Asked:
    """One minute of every rollout, at each of two edges (rows): requests above it, and control's curve around it.

    A rollout is `judged` where somebody is treated and control's p95 was known before.
    """

    judged: Flags
    above: Array
    total: Array
    control_above: Array
    control_total: Array
    slope: Array
    bend: Array

    def ratio(self, increase: Array) -> Array:
        """`rollout.control_curve.exceedance_ratio` of every rollout and edge."""
        slower = np.log1p(increase)
        ratio: Array = np.maximum(1.0, np.exp(slower * self.slope + slower**2 * self.bend))
        return ratio


def judge_latency_fleet(
    bounds_ms: tuple[float, ...], treated: npt.NDArray[np.int32], control: npt.NDArray[np.int32], *, increase: float
) -> Outcomes:
    """What the p95 gate decides in every rollout: histograms by rollout, minute and bucket."""
    return decided(asked_each_minute(bounds_ms, treated, control), len(treated), increase)


def decided(minutes: Iterator[Asked], rollouts: int, increase: float) -> Outcomes:
    judges = _Judges(rollouts, increase)
    rolled_back, held = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
    for minute, asked in enumerate(minutes, start=1):
        guilty, suspect = judges.weigh(asked)
        rolled_back = first_minute(rolled_back, guilty, minute)
        held = first_minute(held, suspect, minute)
    return Outcomes(rolled_back, held)


class _Judges:
    """What the judge of every rollout keeps from one minute to the next, at each of two edges."""

    def __init__(self, rollouts: int, increase: float) -> None:
        self._increase = increase
        self._harm, self._beyond = (Bets((2, rollouts), len(RATIOS)) for _ in range(2))
        self._wander = of_each_length(_Wandering, (2, rollouts))
        self._best_runs = BestRuns(rollouts, MOST_LEFT_OUT_ELSEWHERE)
        self._events, self._nothing = np.zeros((2, rollouts)), np.zeros(rollouts)

    def weigh(self, asked: Asked) -> tuple[Flags, Flags]:
        """Which rollouts fail now, and which are slower than control at all."""
        phi = largest_phi(self._wander)
        self._bet(asked, phi)
        for stretch in self._wander:
            stretch.take(asked.total, asked.above, asked.control_total, asked.control_above, asked.judged)
        self._events += np.where(asked.judged, asked.above + asked.control_above, 0.0)
        harm, beyond = self._harm.wealth.mean(axis=0), self._beyond.wealth.mean(axis=0)
        self._best_runs.take(np.log(harm), asked.judged, self._nothing, self._nothing)
        bursts = np.clip(phi.max(axis=0), PRIOR_PHI, LARGEST_SPREAD_PHI) - PRIOR_PHI
        spread = self._best_runs.remaining(1.0) >= SPREAD_NEEDED + PER_PHI * bursts
        return (harm >= HARM_NEEDED) & (beyond >= LATENCY_BEYOND_NEEDED) & spread, harm >= HARM_NEEDED

    def _bet(self, asked: Asked, phi: Array) -> None:
        largest = np.where(self._events >= KNOWN_EVENTS, LARGEST_GAIN, CAUTIOUS_GAIN)[:, :, None]
        far = np.clip((phi - LITTLE_WANDER) / (MUCH_WANDER - LITTLE_WANDER), 0.0, 1.0)
        for bets, usual, most in (
            (self._harm, LATENCY_HARM_SHARE, LATENCY_HARM_SHARE_AT_MOST),
            (self._beyond, LATENCY_BEYOND_SHARE, LATENCY_BEYOND_SHARE_AT_MOST),
        ):
            part = usual + (most - usual) * far
            won = _won(asked, asked.ratio(part * self._increase), (phi + 1) / 2)
            bets.take(np.minimum(won, largest), asked.judged)


def asked_each_minute(
    bounds_ms: tuple[float, ...], treated: npt.NDArray[np.int32], control: npt.NDArray[np.int32]
) -> Iterator[Asked]:
    """The edges around control's p95 and its curve there, as they were known before each minute."""
    rollouts, length, buckets = treated.shape
    known, edges = np.zeros((rollouts, buckets)), np.zeros((2, rollouts), np.int64)
    kept, at = 0.5 ** (1 / LEARNT_HALF_LIFE_MINUTES), np.log(np.maximum(bounds_ms, 1e-9))
    rows = np.arange(rollouts)
    for minute in range(length):
        ours, theirs = treated[:, minute], control[:, minute]
        somebody = (ours.sum(axis=1) > 0) & (theirs.sum(axis=1) > 0)
        unknown = somebody & (edges[0] == 0) & (known.sum(axis=1) >= LEARNT_FROM)
        if unknown.any():
            edges[:, unknown] = _edges(known[unknown])
        slope, bend = _curve(known, edges, at)
        above, control_above = (_tail(group)[rows, edges + 1] for group in (ours, theirs))
        yield Asked(
            somebody & (edges[0] > 0),
            above.astype(np.float64),
            np.maximum(ours.sum(axis=1), 1).astype(np.float64),
            control_above.astype(np.float64),
            np.maximum(theirs.sum(axis=1), 1).astype(np.float64),
            slope,
            bend,
        )
        known = np.where(somebody[:, None], np.round(known * kept + theirs, 1), known)


def _tail(counts: npt.NDArray[np.generic]) -> Array:
    """How many lie in each bucket or a higher one."""
    tail: Array = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    return tail


def _edges(known: Array) -> npt.NDArray[np.int64]:
    """`rollout.control_curve.edges_of_p95` of every rollout, which has seen enough."""
    last = known.shape[1] - 2
    above = _tail(known)[:, 1:]  # entry e: above edge e
    beyond = above > P95_TAIL * known.sum(axis=1)[:, None]
    beyond[:, last + 1 :] = False
    beyond[:, 0] = False
    edge = np.where(beyond.any(axis=1), beyond.shape[1] - 1 - np.argmax(beyond[:, ::-1], axis=1), 1)
    upper = np.minimum(edge + 1, last)
    below, here, next_above = (above[np.arange(len(known)), at] for at in (edge - 1, edge, upper))
    steep = (below >= STEEP * here) & (here >= STEEP * next_above)
    upper = np.where((here <= NEAR_P95_TAIL * known.sum(axis=1)) & steep & (edge > 1), edge, upper)
    return np.stack([upper - 1, upper])


def _curve(known: Array, edges: npt.NDArray[np.int64], at: Array) -> tuple[Array, Array]:
    """The parabola through three edges: how the log of the tail rises per log of time, and how that bends."""
    total = known.sum(axis=1) + 1
    logs = np.log((_tail(known)[:, 1:] + 0.5) / total[:, None])
    rows, last = np.arange(len(known)), len(at) - 1
    below, here, above = np.maximum(edges - 1, 0), edges, np.minimum(edges + 1, last)
    left, right = at[here] - at[below], at[above] - at[here]
    rise = np.where(left > 0, (logs[rows, below] - logs[rows, here]) / np.where(left > 0, left, 1.0), 0.0)
    fall = np.where(right > 0, (logs[rows, here] - logs[rows, above]) / np.where(right > 0, right, 1.0), rise)
    whole = left + right
    bend = np.where((left > 0) & (right > 0), (rise - fall) / np.where(whole > 0, whole, 1.0), 0.0)
    return fall + bend * right, bend


def _won(asked: Asked, ratio: Array, burst: Array) -> Array:
    """`rollout.statistics.log_won` for each edge, rollout and risk ratio."""
    share, burst = (ratio * asked.total / asked.control_total)[:, :, None], burst[:, :, None]
    stake = fastest_stakes(RATIOS, share, burst)
    gain, loss = gain_and_loss(share, stake, burst)
    won: Array = asked.above[:, :, None] * gain + asked.control_above[:, :, None] * loss
    return won


class _Wandering(Blocks):
    """`rollout.wander.Wander`, at each of two edges."""

    prior_phi, longest_of_control = PRIOR_WANDER, LONGEST_OF_CONTROL
    largest_term, largest_fall = LARGEST_OF_CONTROL, LARGEST_WANDER
    by_own_rates = False

    def __init__(self, shape: tuple[int, ...], length: int, prior_weight: float) -> None:
        super().__init__(shape, length, prior_weight)
        self._told, self._falls = np.zeros(shape), np.zeros(shape)

    @property
    def phi(self) -> Array:
        learnt: Array = self._weighted / self._weight
        if self._length == 1:
            return learnt
        scaled = (learnt > 1) & (self._told > 0)
        grown = self._last[1] / 2 * self._falls / np.where(scaled, self._told, 1.0)
        return np.where(scaled, 1 + (learnt - 1) * np.maximum(1.0, grown), learnt)

    def _learn(self, full: Flags, kept: float, counted: Array, harmonic: Array) -> None:
        self._told = np.where(full, self._told * kept + counted * harmonic, self._told)
        self._falls = np.where(full, self._falls * kept + counted, self._falls)
