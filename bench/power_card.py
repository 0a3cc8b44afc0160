"""The power card beside the judge itself: forecast minutes to a rollback against those of simulated regressions.

    python -m bench.power_card            a minute
    python -m bench.power_card --trials 8   seconds

Each trial is an hour of healthy traffic, from which the card learns what `rollout plan check` learns from Cloud
Monitoring, and then a candidate that adds errors from its first minute on. The forecast shown is the median over the
trials. Ends with 1 where a forecast is further than a factor of 1.5 from the median of the judge.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.gate_traffic import FAMILIES, Family, Minutes, minutes
from bench.gates import GATE, START
from bench.machine import machine
from rollout.detection import Flow, minutes_to_detect
from rollout.power_card import error_regression, learnt_phis
from rollout.quantity import format_share
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval

HISTORY = 60
"""Minutes, as many as the trial of gates looks at."""
SHARE = 0.1
MARGIN = 0.01
WITHIN = 1.5
STEADY, BURSTS = FAMILIES[0], FAMILIES[4]


@dataclass(frozen=True)
class Case:
    family: Family
    per_second: float
    excess: float
    longest: int
    """Minutes after which a trial is given up."""


CASES = tuple(
    Case(family, per_second, excess, longest)
    for family in (STEADY, BURSTS)
    for per_second, excess, longest in ((20.0, 0.02, 400), (20.0, 0.05, 200), (1.0, 0.02, 3000))
)


@dataclass(frozen=True)
class Compared:
    """Medians over the trials, in minutes."""

    forecast: float
    judged: float

    @property
    def factor(self) -> float:
        return max(self.forecast / self.judged, self.judged / self.forecast)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.power_card", description="Forecasts against the judge.")
    parser.add_argument("--trials", type=int, default=60, help="simulated rollouts per row (60)")
    trials: int = parser.parse_args().trials
    console = Console(width=120)
    console.print(f"Machine: {machine()}")
    table = Table("traffic", "regression", "forecast", "judged", "factor", title=f"median minutes, {trials} trials")
    kept = True
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        for case in CASES:
            runs = list(pool.map(compare, [case] * trials, range(trials), chunksize=2))
            found = median_of(runs)
            kept &= found.factor <= WITHIN
            table.add_row(
                f"{case.family.name}, {case.per_second:g}/s, {format_share(SHARE)} treated",
                f"+{case.excess * 100:g} points",
                f"{found.forecast:.0f}",
                f"{found.judged:.0f}",
                f"{found.factor:.2f}",
            )
    console.print(table)
    console.print(f"goal: each within a factor of {WITHIN:g}: {'met' if kept else 'missed'}")
    return 0 if kept else 1


def compare(case: Case, seed: int) -> Compared:
    """One trial; infinite where the forecast or the judge does not get there in the time of the case."""
    data = drawn(case, seed)
    judged = _judged(data, since=HISTORY)
    return Compared(forecast(case, data), np.inf if judged is None else judged)


def drawn(case: Case, seed: int) -> Minutes:
    """An hour of healthy traffic, and a candidate as long as the case lasts."""
    random = np.random.default_rng([seed, int(case.per_second * 10), int(case.excess * 1e4)])
    length = HISTORY + case.longest
    shares = np.where(np.arange(length) < HISTORY, 0.0, SHARE)
    excess = np.where(np.arange(length) < HISTORY, 0.0, case.excess)
    return minutes(random, case.family, per_second=case.per_second, shares=shares, excess=excess)


def forecast(case: Case, data: Minutes) -> float:
    """What the card says after the healthy hour."""
    past = [(int(data.control_bad[at]), int(data.control[at])) for at in range(HISTORY)]
    requests = sum(total for _, total in past) / HISTORY
    usual = sum(bad for bad, _ in past) / max(1, sum(total for _, total in past))
    flow = Flow(requests * SHARE, requests * (1 - SHARE), 1.0, learnt_phis(past, 1.0))
    regression = error_regression(usual, MARGIN, case.excess)
    found = minutes_to_detect(flow, regression, within=10.0 * case.longest)
    return np.inf if found is None else found


def _judged(data: Minutes, since: int) -> int | None:
    """Minutes after `since` at which the judge, which knows nothing of the time before, rolls back."""
    state = begin(GATE)
    for minute in range(since, len(data.treated)):
        interval = Interval(
            end=START + timedelta(minutes=minute),
            treated=GroupCounts(total=int(data.treated[minute]), bad=int(data.treated_bad[minute])),
            control=GroupCounts(total=int(data.control[minute]), bad=int(data.control_bad[minute])),
        )
        state, judgement = step(GATE, state, interval)
        if judgement.decision == "rollback":
            return minute + 1 - since
    return None


def median_of(runs: list[Compared]) -> Compared:
    return Compared(
        float(np.median([run.forecast for run in runs])),
        float(np.median([run.judged for run in runs])),
    )


if __name__ == "__main__":
    raise SystemExit(main())
