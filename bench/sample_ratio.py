"""How often the sizes of healthy groups hold a rollout, by how many users make the requests.

    python -m bench.sample_ratio    some ten minutes

Each rollout draws its users once: everybody is treated with the planned chance. They are alike, or their activity is
lognormal (a tenth of the users makes 40 % of the requests with a sigma of 1, 59 % with 1.5). Then sessions of twenty
requests come, of users drawn by their activity, for 24 hours. The judge's own arithmetic, in arrays, which `--check`
holds against the judge.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.machine import machine
from rollout.sample_ratio import (
    ALARM_NEEDED,
    ASSUMED_USERS,
    BLOCKS,
    HALF_LIFE_MINUTES,
    LARGEST_GAIN,
    LARGEST_TIMES,
    PRIOR_PHI,
    PRIOR_WEIGHT,
    RATIOS,
    SampleRatio,
)
from rollout.statistics import ONSET_EVERY_MINUTES, REGIME_MINUTES

Numbers = NDArray[np.floating[Any]]
MINUTES, SESSION, SESSIONS_A_MINUTE = 24 * 60, 20, 60
DRAWN_AT_ONCE = 4_000_000


@dataclass
class Wealth:
    """Two-sided bets of many rollouts at once, as `Mixture` and `SampleRatio` keep them for one."""

    cash: Numbers
    arms: Numbers

    @classmethod
    def fresh(cls, runs: int) -> "Wealth":
        return cls(np.full(runs, 0.5), np.full((runs, len(RATIOS)), 0.5 / len(RATIOS)))

    def after(self, gains: Numbers) -> None:
        onset, ending = 1 / ONSET_EVERY_MINUTES, 1 / REGIME_MINUTES
        before = self.arms.sum(1)
        fresh = self.cash * onset / len(RATIOS)
        grown = (self.arms * (1 - ending) + fresh[:, None]) * np.exp(np.minimum(gains, LARGEST_GAIN))
        self.arms = np.minimum(grown, 1e100)
        self.cash = self.cash * (1 - onset) + ending * before

    @property
    def whole(self) -> Numbers:
        return np.asarray(self.cash + self.arms.sum(1))


def won(ours: Numbers, others: Numbers, odds: float, burst: Numbers) -> Numbers:
    if np.isinf(odds):
        return np.zeros((len(ours), len(RATIOS)))
    ratios, b = np.array(RATIOS)[None, :], burst[:, None]
    square, linear = b * (b - 1) * (1 - ratios * odds**2), (2 * b - 1) * (1 + ratios * odds)
    stake = 2 * (ratios - 1) / (linear + np.sqrt(linear**2 + 4 * square * (ratios - 1)))
    gain = np.log1p(b * stake) - np.log1p((b - 1) * stake)
    loss = np.log1p(-b * odds * stake) - np.log1p(-(b - 1) * odds * stake)
    return np.asarray(ours[:, None] * gain + others[:, None] * loss)


class Clumps:
    def __init__(self, runs: int, length: int) -> None:
        self.length, self.filled = length, 0
        self.filling = np.zeros((runs, 2))
        self.finished: list[Numbers] = []
        self.weighted, self.weight = np.full(runs, PRIOR_PHI * PRIOR_WEIGHT), PRIOR_WEIGHT

    @property
    def phi(self) -> Numbers:
        return np.asarray(self.weighted / self.weight)

    def after(self, treated: Numbers, control: Numbers, planned: float) -> None:
        self.filling = self.filling + np.stack([treated, control], 1)
        self.filled += 1
        if self.filled < self.length:
            return
        kept = 0.5 ** (self.length / HALF_LIFE_MINUTES)
        prior = PRIOR_WEIGHT * (1 - kept)
        self.weighted, self.weight = self.weighted * kept + PRIOR_PHI * prior, self.weight * kept + prior
        if len(self.finished) == 2:  # noqa: PLR2004  (the last but one)
            before, now = self.finished[0], self.filling
            sizes = before.sum(1), now.sum(1)
            apart = before[:, 0] / sizes[0] - now[:, 0] / sizes[1]
            term = apart**2 / (planned * (1 - planned) * (1 / sizes[0] + 1 / sizes[1]))
            self.weighted, self.weight = self.weighted + np.minimum(term, LARGEST_TIMES * self.phi), self.weight + 1
        self.finished = [*self.finished, self.filling][-2:]
        self.filling, self.filled = np.zeros_like(self.filling), 0


def alarmed(shares: Numbers, question: SampleRatio, rng: np.random.Generator, minutes: int = MINUTES) -> Any:
    """Whether each rollout, whose users make that share of the requests, was held at any time."""
    runs, more, less = len(shares), Wealth.fresh(len(shares)), Wealth.fresh(len(shares))
    clumps = [Clumps(runs, length) for length in BLOCKS]
    least, largest = question.tolerated_odds
    held = np.zeros(runs, dtype=bool)
    for _ in range(minutes):
        treated = rng.binomial(SESSIONS_A_MINUTE, shares) * float(SESSION)
        control = SESSIONS_A_MINUTE * SESSION - treated
        burst = (np.maximum(1.0, np.maximum(*(block.phi for block in clumps))) + 1) / 2
        more.after(won(treated, control, largest, burst))
        less.after(won(control, treated, 1 / least if least else np.inf, burst))
        for block in clumps:
            block.after(treated, control, question.planned)
        held |= (more.whole + less.whole) / 2 >= ALARM_NEEDED
    return held


def drawn(users: int, sigma: float, planned: float, runs: int, rng: np.random.Generator) -> Numbers:
    """The treated part of each rollout's requests."""
    shares: list[Numbers] = []
    while runs > 0:
        now = min(runs, max(1, DRAWN_AT_ONCE // users))
        activity = rng.lognormal(0, sigma, (now, users))
        treated = rng.random((now, users)) < planned
        shares.append((activity * treated).sum(1) / activity.sum(1))
        runs -= now
    return np.concatenate(shares)


def check(rng: np.random.Generator) -> None:
    """The arrays alarm in the very rollouts in which the judge does."""
    question, runs, minutes = SampleRatio(planned=0.1, users=4_000), 40, 240
    shares = np.linspace(0.0, 0.5, runs)
    seed = int(rng.integers(1 << 30))
    in_arrays = alarmed(shares, question, np.random.default_rng(seed), minutes)
    states, again, held = [question] * runs, np.random.default_rng(seed), np.zeros(runs, dtype=bool)
    for _ in range(minutes):
        treated = again.binomial(SESSIONS_A_MINUTE, shares) * SESSION
        states = [
            state.after(int(one), SESSIONS_A_MINUTE * SESSION - int(one), 1.0)
            for state, one in zip(states, treated, strict=True)
        ]
        held |= np.array([state.alarmed for state in states])
    if not (in_arrays == held).all() or held.all() or not held.any():
        raise SystemExit("the arrays and the judge differ")
    print(f"arrays and judge agree in {runs} rollouts, {int(held.sum())} of them held")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    print(f"Machine: {machine()}")
    if given.check:
        check(rng)
        return
    print(
        f"healthy rollouts of {given.runs:,} that were held by the sizes of their groups, in 24 hours at 20 requests/s"
    )
    for planned in (0.1, 0.5):
        for users in (100, 200, 1_000, 5_000):
            for sigma in (0.0, 1.0, 1.5):
                shares = drawn(users, sigma, planned, given.runs, rng)
                before, now = SampleRatio(planned=planned), SampleRatio(planned=planned, users=users)
                assumed = SampleRatio(planned=planned, users=ASSUMED_USERS)
                told = [int(alarmed(shares, asked, rng).sum()) for asked in (before, now, assumed)]
                kind = f"{planned:.0%}, {users:,} users, sigma {sigma:g}"
                print(f"{kind}: before {told[0]:,}, with `users` {told[1]:,}, without {told[2]:,}", flush=True)


if __name__ == "__main__":
    main()
