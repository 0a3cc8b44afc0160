"""What a day of measurements of the cohort without the features is worth, where the cohort was worse from the start.

    python -m bench.gate_cohorts    some minutes

Healthy whole rollouts (48 h at 10 %, 48 h at 50 %) of cohorts that differ, with nothing known beforehand and after the
day, or the week, without exposure that came before; and how soon +2 points are found after such a day. Seeded.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_traffic import DAY, FAMILIES, Family, minutes
from bench.gates import MAX_DIFFERENCE, together
from bench.machine import machine

EXCESS = 0.02
COHORTS = next(family for family in FAMILIES if family.name == "cohort offset")
RATES = (1.0, 20.0, 500.0)
LOOKED_FOR = 600
"""Minutes after a regression began."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gate_cohorts", description="Cohorts that differ.")
    parser.add_argument("--trials", type=int, default=300, help="rollouts of each kind (300)")
    trials: int = parser.parse_args().trials
    console = Console(width=120)
    console.print(f"Machine: {machine()}")
    healthy = Table("healthy", "without exposure", "rolled back", "held at some time", title=f"of {trials} rollouts")
    for rate in RATES:
        for days in (0, 1, 7):
            before = days * DAY
            outcomes = judge_fleet(
                fleet(COHORTS, rate, before, 4 * DAY, 0.0, trials), max_difference=MAX_DIFFERENCE, unexposed=before
            )
            counts = ((outcomes.rolled_back > 0).sum(), (outcomes.held > 0).sum())
            healthy.add_row(f"{COHORTS.name}, {rate:g}/s", f"{days} days", *map(str, counts))
    console.print(healthy)
    delays = Table("+2 points at 20/s", "without exposure", "median", "95 %", title="minutes to a rollback")
    for days in (0, 1):
        before = days * DAY
        data = fleet(COHORTS, 20.0, before, LOOKED_FOR, EXCESS, trials)
        at = judge_fleet(data, max_difference=MAX_DIFFERENCE, unexposed=before).rolled_back
        found = np.where(at == 0, np.inf, at - before)
        middle, late = np.quantile(found, [0.5, 0.95], method="higher")
        delays.add_row(COHORTS.name, f"{days} days", f"{middle:.0f}", f"{late:.0f}")
    console.print(delays)
    return 0


def fleet(family: Family, rate: float, before: int, length: int, excess: float, trials: int) -> FleetCounts:
    """`before` minutes without exposure, then `length` with it; a healthy rollout rises to a half of the users."""
    at = np.arange(before + length)
    shares = np.where((at < before + length / 2) | (excess > 0), 0.1, 0.5)
    added = np.where(at >= before, excess, 0.0)
    seeds = ([seed, 311, int(rate * 10), before, int(excess * 1e4)] for seed in range(trials))
    return together(
        [minutes(np.random.default_rng(seed), family, per_second=rate, shares=shares, excess=added) for seed in seeds]
    )


if __name__ == "__main__":
    raise SystemExit(main())
