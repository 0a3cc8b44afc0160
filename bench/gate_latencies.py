"""The p95 gate on simulated latencies: minutes to a rollback, and healthy rollouts that are rolled back.

    python -m bench.gate_latencies               some ten minutes on two cores
    python -m bench.gate_latencies --trials 8    a minute

Latencies are lognormal (sigma 0.8) in buckets that are 41 % wide. All of them wander together by 5 %, and each group
apart by 2 %, with a memory of about an hour; that makes a p95 hard to compare. Judged by the gate of the shipped plan
(+10 % against control). Every number is seeded. Ends with 1 where a goal is missed.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import norm  # type: ignore[import-untyped]

from bench.gates import START
from bench.machine import machine
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupLatencies, Interval, SequentialGate

Rates = npt.NDArray[np.float64]
GATE = SequentialGate.model_validate({"kind": "versus_control", "statistic": "p95", "max_increase": "10%"})
BOUNDS_MS = tuple(round(10 * 2 ** (half_step / 2), 3) for half_step in range(16))
MEDIAN_MS, SIGMA = 60.0, 0.8
TOGETHER, APART, KEPT = 0.05, 0.02, 0.98
AFTER_AN_ONSET = 600
HEALTHY_MINUTES = 2_880
GOAL = (30.0, 120.0)
"""Median and 95th percentile of minutes for p95 +15 % at 20 requests/s and 10 %."""


@dataclass(frozen=True)
class Trial:
    per_second: float
    length: int
    increase: float = 0.0
    onset: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gate_latencies", description="The p95 gate.")
    parser.add_argument("--trials", type=int, default=100, help="simulated soaks per row (100)")
    trials: int = parser.parse_args().trials
    console = Console(width=120)
    console.print(f"Machine: {machine()}")
    delays = Table("p95", "median", "95 %", "missed", title=f"minutes to a rollback, 20/s, 10 % treated, {trials} each")
    healthy = Table("healthy", "rolled back", title=f"of {trials} soaks of 48 h at 10 %")
    met = True
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        for increase, onset in ((0.15, 0), (0.15, 720), (0.3, 0), (0.3, 720)):
            trial = Trial(20.0, onset + AFTER_AN_ONSET, increase, onset)
            found = [np.inf if at is None else at - onset for at in pool.map(_judged, [trial] * trials, range(trials))]
            middle, late = np.quantile(found, [0.5, 0.95], method="higher")
            if (increase, onset) == (0.15, 0):
                met = bool(middle <= GOAL[0] and late <= GOAL[1])
            missed = sum(map(np.isinf, found))
            delays.add_row(f"+{increase:.0%} at {onset // 60} h", f"{middle:.0f}", f"{late:.0f}", str(missed))
        for per_second in (1.0, 20.0, 500.0):
            judged: Sequence[int | None] = list(
                pool.map(_judged, [Trial(per_second, HEALTHY_MINUTES)] * trials, range(trials))
            )
            healthy.add_row(f"{per_second:g}/s", str(sum(at is not None for at in judged)))
    console.print(delays)
    console.print(healthy)
    console.print(f"goal: +15 % at 0 h: median ≤ {GOAL[0]:g}, 95 % ≤ {GOAL[1]:g}: {'met' if met else 'missed'}")
    return 0 if met else 1


def _judged(trial: Trial, seed: int) -> int | None:
    """The minute at which the judge rolls back."""
    random = np.random.default_rng([seed, int(trial.per_second), int(trial.increase * 100), trial.onset])
    together, of_treated, of_control = (_wandering(random, trial.length, sd) for sd in (TOGETHER, APART, APART))
    slower = np.where(np.arange(trial.length) >= trial.onset, np.log1p(trial.increase), 0.0)
    state = begin(GATE)
    for minute in range(trial.length):
        treated, control = random.poisson([6 * trial.per_second, 54 * trial.per_second])
        interval = Interval(
            end=START + timedelta(minutes=minute + 1),
            treated=_latencies(random, treated, together[minute] + of_treated[minute] + slower[minute]),
            control=_latencies(random, control, together[minute] + of_control[minute]),
        )
        state, judgement = step(GATE, state, interval)
        if judgement.decision == "rollback":
            return minute + 1
    return None


def _wandering(random: np.random.Generator, length: int, deviation: float) -> Rates:
    steps = random.standard_normal(length) * deviation * np.sqrt(1 - KEPT**2)
    wandering, value = np.empty(length), 0.0
    for minute, one in enumerate(steps):
        value = KEPT * value + one
        wandering[minute] = value
    return wandering


def _latencies(random: np.random.Generator, total: int, shift: float) -> GroupLatencies:
    below = norm.cdf((np.log(BOUNDS_MS) - np.log(MEDIAN_MS) - shift) / SIGMA)
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return GroupLatencies(bounds_ms=BOUNDS_MS, counts=tuple(random.multinomial(total, shares).tolist()))


if __name__ == "__main__":
    raise SystemExit(main())
