"""Bets of many simulated rollouts at once: `rollout.statistics` and `rollout.capped_bets`, on arrays."""

import math
from typing import NamedTuple

import numpy as np

from bench.gate_blocks import Array, Flags
from rollout.capped_bets import CAPPED_BURSTS, CAPPED_GAIN, DISCOUNT, NO_DISCOUNT_FROM, WELL_KNOWN_EVENTS
from rollout.overdispersion import CAUTIOUS_GAIN, KNOWN_EVENTS
from rollout.statistics import ERROR_RATIOS, LARGEST_GAIN, LARGEST_WEALTH, ONSET_EVERY_MINUTES, REGIME_MINUTES

RATIOS: Array = np.array(ERROR_RATIOS)


class Wager(NamedTuple):
    """For each rollout and risk ratio: the stake, the log of what it wins in a minute, and the most that it may win."""

    stake: Array
    won: Array
    largest: Array

    def beyond(self, allowed: float, treated: Array) -> Array:
        """What is won where such a share more than control's is allowed."""
        won: Array = np.minimum(self.won - allowed * self.stake * treated[:, None], self.largest)
        return won


def wager(bad: Array, control_bad: Array, share: Array, burst: Array, events: Array) -> Wager:
    """The first bettor's; `rollout.statistics.log_won` for each rollout and risk ratio."""
    stake, _, won = _staked(bad, control_bad, share, burst)
    return Wager(stake, won, np.where(events >= KNOWN_EVENTS, LARGEST_GAIN, CAUTIOUS_GAIN)[:, None])


def capped_wager(bad: Array, control_bad: Array, share: Array, burst: Array, events: Array) -> Wager:
    """The second bettor's; `rollout.capped_bets.capped_bets` of every rollout."""
    known = np.minimum(1.0, events / WELL_KNOWN_EVENTS)[:, None]
    discount = DISCOUNT * np.clip(2 * (NO_DISCOUNT_FROM - share), 0.0, 1.0) * known
    believed = 1 + (burst - 1) * (1 - discount)
    stake, gain, won = _staked(bad, control_bad, share, believed)
    return Wager(stake, won, np.minimum(CAPPED_GAIN, CAPPED_BURSTS * believed * gain))


def _staked(bad: Array, control_bad: Array, share: Array, burst: Array) -> tuple[Array, Array, Array]:
    """The stakes, what one bad event of treated wins by them, and what the minute wins."""
    stake = fastest_stakes(RATIOS, share, burst)
    gain, loss = gain_and_loss(share, stake, burst)
    return stake, gain, bad[:, None] * gain + control_bad[:, None] * loss


def fastest_stakes(ratios: Array, share: Array, burst: Array) -> Array:
    """`rollout.statistics.fastest_stake` of each."""
    squared, linear = burst * (burst - 1) * (ratios * share**2 - 1), (2 * burst - 1) * (ratios * share + 1)
    stakes: Array = 2 * (ratios - 1) / (linear + np.sqrt(linear**2 - 4 * squared * (ratios - 1)))
    return stakes


def gain_and_loss(share: Array, stake: Array, burst: Array) -> tuple[Array, Array]:
    """What one bad event of treated wins by `rollout.statistics.log_won`, and what one of control loses."""
    gain: Array = np.log1p(burst * stake) - np.log1p((burst - 1) * stake)
    loss: Array = np.log1p(-burst * share * stake) - np.log1p(-(burst - 1) * share * stake)
    return gain, loss


class Bets:
    """`rollout.statistics.Mixture` of everything in an array of this shape: of every rollout, or each of its edges."""

    def __init__(self, shape: tuple[int, ...], ratios: int, *, largest_cash: float = math.inf) -> None:
        self._largest_cash = largest_cash
        self._ending, self._ratios = 1 / REGIME_MINUTES, ratios
        self._cash: Array = np.full(shape, 0.5)
        self._arms: Array = np.full((*shape, ratios), 0.5 / ratios)

    @property
    def wealth(self) -> Array:
        wealth: Array = self._cash + self._arms.sum(axis=-1)
        return wealth

    def keep(self, wealth: Array) -> None:
        """`rollout.statistics.Mixture.with_bets_of`."""
        self._arms = np.maximum(self._arms, wealth[..., None] / self._ratios)

    def fill_up(self, cash: Array) -> None:
        """`rollout.statistics.Mixture.with_cash_of`."""
        self._cash = np.maximum(self._cash, cash)

    def take(self, log_factors: Array, somebody: Flags, onset_minutes: float | Array = ONSET_EVERY_MINUTES) -> None:
        """A minute without anybody treated changes nothing."""
        before, onset = self._arms.sum(axis=-1), 1 / onset_minutes
        fresh = (self._cash * onset / self._ratios)[..., None]
        arms = np.minimum(LARGEST_WEALTH, (self._arms * (1 - self._ending) + fresh) * np.exp(log_factors))
        self._arms = np.where(somebody[..., None], arms, self._arms)
        cash = np.minimum(self._largest_cash, self._cash * (1 - onset) + self._ending * before)
        self._cash = np.where(somebody, cash, self._cash)
