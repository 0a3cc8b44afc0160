"""`rollout.counted_singly` of many simulated rollouts at once, on arrays."""

import numpy as np

from bench.gate_bets import RATIOS, Bets, wager
from bench.gate_blocks import Array, Flags
from rollout.counted_singly import (
    BEYOND,
    BORNE_OUT,
    EVEN_PHI,
    FEWEST_INTERVALS,
    FIRST_INTERVALS,
    HARM,
    LITTLE_SEEN,
    LONGEST,
    NEIGHBOURS_OF_CONTROL,
    NEIGHBOURS_OF_TREATED,
    OF_CONTROL,
    OF_TREATED,
    PER_PHI,
    WELL_KNOWN_EVENTS,
)
from rollout.residuals import LEAST_VARIANCE
from rollout.statistics import LARGEST_CASH


class Residuals:
    """`rollout.residuals.Residuals` of one group of every rollout."""

    def __init__(self, rollouts: int) -> None:
        self.total, self.bad, self.told, self.squares, self.neighbours, self.next_but_one, self.last, self.before = (
            np.zeros((8, rollouts))
        )

    @property
    def shape(self) -> tuple[Array, Array]:
        told = np.maximum(1, self.told)
        return self.squares / told, (2 * self.neighbours + self.next_but_one) / told

    def take(self, bad: Array, total: Array, somebody: Flags) -> None:
        known = somebody & (self.total > 0)
        beside = np.maximum(self.total, 1)
        expected = (self.bad + 0.5) / beside * total
        spread = np.sqrt(np.maximum(expected * (1 + total / beside), LEAST_VARIANCE))
        residual = np.where(known, (bad - expected) / spread, 0.0)
        self.squares = self.squares + residual**2
        self.neighbours = self.neighbours + residual * self.last
        self.next_but_one = self.next_but_one + residual * self.before
        self.told = self.told + known
        self.before = np.where(somebody, self.last, self.before)
        self.last = np.where(somebody, residual, self.last)
        self.total = self.total + np.where(somebody, total, 0)
        self.bad = self.bad + np.where(somebody, bad, 0)

    def forget(self, these: Flags) -> None:
        for name in vars(self):
            setattr(self, name, np.where(these, 0.0, getattr(self, name)))


class CountedSingly:
    """Whether a bettor who takes every bad event for one by itself convicts, of every rollout."""

    def __init__(self, rollouts: int, margins: tuple[float, float]) -> None:
        self._margins = margins
        self._bets = tuple(Bets((rollouts,), len(RATIOS), largest_cash=LARGEST_CASH) for _ in margins)
        self._treated, self._control = Residuals(rollouts), Residuals(rollouts)
        self._intervals, self._uneven = np.zeros(rollouts), np.ones(rollouts)
        self._well_known = np.zeros(rollouts, bool)

    def take(
        self,
        treated: tuple[Array, Array],
        control: tuple[Array, Array],
        somebody: Flags,
        *,
        ratio: Array,
        phi: Array,
        events: Array,
    ) -> None:
        """One more minute; each group is its bad events and its requests."""
        (bad, total), (control_bad, control_total) = treated, control
        share, single = (ratio * total / control_total)[:, None], np.ones((len(bad), 1))
        # As the first bettor would, were he sure that there are no bursts.
        his = wager(bad, control_bad, share, single, np.full(len(bad), np.inf))
        for bets, margin in zip(self._bets, self._margins, strict=True):
            bets.take(his.beyond(margin, total), somebody)
        self._treated.take(bad, total, somebody)
        self._control.take(control_bad, control_total, somebody)
        well_known = events >= WELL_KNOWN_EVENTS
        forgotten = somebody & (self._bets[0].wealth <= 1) & well_known
        for residuals in (self._treated, self._control):
            residuals.forget(forgotten)
        self._intervals = np.where(forgotten, 0, self._intervals + somebody)
        uneven = np.where(forgotten, 1.0, self._unevenness(np.where(well_known, phi, EVEN_PHI)))
        self._uneven = np.where(somebody, uneven, self._uneven)
        self._well_known = np.where(somebody, well_known, self._well_known)

    @property
    def convicts(self) -> Flags:
        harm, beyond = (np.log(bets.wealth) for bets in self._bets)
        enough = (harm >= HARM * self._uneven) & (beyond >= BEYOND * self._uneven)
        asked = (self._intervals >= FEWEST_INTERVALS) & (self._well_known | (self._intervals <= LONGEST))
        convicts: Flags = asked & enough
        return convicts

    def even_enough(self, intervals: Array) -> Flags:
        """`rollout.sequential_state.Keys.even_enough`, after so many intervals of the soak."""
        asked = (intervals <= FIRST_INTERVALS) & ~self._well_known & (2 * self._intervals > intervals)
        enough: Flags = ~asked | (np.log(self._bets[0].wealth) >= BORNE_OUT * HARM * self._uneven)
        return enough

    def _unevenness(self, phi: Array) -> Array:
        (dispersion, common), (of_control, control_common) = self._treated.shape, self._control.shape
        of_both = OF_TREATED * dispersion + OF_CONTROL * of_control
        of_both += NEIGHBOURS_OF_TREATED * common + NEIGHBOURS_OF_CONTROL * control_common
        of_both += LITTLE_SEEN / np.sqrt(self._control.bad + 1)
        unevenness: Array = np.maximum(of_both, 1 + PER_PHI * np.maximum(0.0, phi - EVEN_PHI))
        return unevenness
