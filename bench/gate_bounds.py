"""How soon a regression could be found at all: the judge beside a detector that is told everything but when it begins.

    python -m bench.gate_bounds    a minute or two

For errors the detector knows control's true rate, the size of the regression and how large bursts are, in traffic
that no day, no incident and no cohort disturbs; for latencies, where to look and how much more than control is worth
counting. Its threshold is drawn from the very noise that it is asked in, such that three of 300 healthy ones are
rolled back: whole rollouts (48 h at 10 %, 48 h at 50 %), of latencies soaks of 48 h at 10 %. It adds up what each
minute says for the regression, and begins anew whenever that speaks against it (Page's CUSUM). Of independent errors
no rule that keeps to as many false rollbacks is sooner by much (Lorden, 1971). The judge knows none of it. Seeded.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench import gate_latencies, latency_traffic
from bench.gate_blocks import Array
from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_latency_fleet import judge_latency_fleet
from bench.gate_traffic import BASE_ERRORS, DAY, FAMILIES, Family
from bench.gates import FIRST_SEED, MAX_DIFFERENCE, Trial, draw, in_words, minutes_after, regression, together
from bench.latency_traffic import USUAL
from bench.machine import machine

SEEDS = range(FIRST_SEED, FIRST_SEED + 300)
FALSE_ROLLBACKS = 3
UNDISTURBED = (FAMILIES[0], Family("bursts of 3, undisturbed", burst=3.0))
ONSETS, EXCESSES = (0, 720), (0.01, 0.02)
STAKES = np.geomspace(0.01, 25.0, 500)
P95_MS = 224
P95_BUCKET = next(index for index, bound in enumerate(USUAL.bounds_ms) if bound > P95_MS)
"""Counted are the requests in it and above: more than at its upper edge, and a p95 that rises alone shows there too."""
WORTH_COUNTING = 1.2
"""Times as many as control's share. With 1.15 it takes two minutes longer; with 1.25 six less, and forty more for the
slowest twentieth."""

FoundAt: TypeAlias = npt.NDArray[np.int64]
"""Of each rollout the minute, as `Outcomes` tells it."""
LatencyCounts: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
Counts = TypeVar("Counts")


def main() -> int:
    console = Console(width=120)
    console.print(f"Machine: {machine()}")
    onsets = [f"{who} at {onset // 60} h" for onset in ONSETS for who in ("told all", "this judge")]
    table = Table("regression", *onsets, title="minutes to a rollback, 20/s, 10 %, 300 each: median / 95 %")
    for family in UNDISTURBED:
        healthy = _all_of(Trial(family, 20.0, 4 * DAY, second_half=0.5))
        for excess in EXCESSES:
            table.add_row(f"{family.name}, +{excess * 100:g} points", *_of_errors(family, excess, healthy))
    table.add_row(f"p95 +{gate_latencies.GOAL_INCREASE:.0%}, {USUAL.name}", *_of_latencies())
    console.print(table)
    return 0


def _all_of(trial: Trial) -> FleetCounts:
    return together([draw(trial, seed) for seed in SEEDS])


def _of_errors(family: Family, excess: float, healthy: FleetCounts) -> list[str]:
    stake, gain = fastest(excess, family.burst)

    def spoken_for(counts: FleetCounts) -> Array:
        return cumulated(counts.treated_bad * gain - counts.treated * BASE_ERRORS * stake)

    def judged(counts: FleetCounts) -> FoundAt:
        return judge_fleet(counts, max_difference=MAX_DIFFERENCE).rolled_back

    regressions = {onset: _all_of(regression(family, excess, onset)) for onset in ONSETS}
    return _beside_each_other(spoken_for, judged, healthy, regressions)


def _of_latencies() -> list[str]:
    def spoken_for(counts: LatencyCounts) -> Array:
        (slow, total), (control_slow, control_total) = (
            (each[:, :, P95_BUCKET:].sum(axis=2), each.sum(axis=2)) for each in counts
        )
        return cumulated(slow - WORTH_COUNTING * control_slow * total / control_total)

    def judged(counts: LatencyCounts) -> FoundAt:
        return judge_latency_fleet(
            USUAL.bounds_ms, *counts, increase=gate_latencies.GATE.max_increase or 0.0
        ).rolled_back

    def all_of(trial: latency_traffic.Trial) -> LatencyCounts:
        return gate_latencies.together(latency_traffic.drawn(trial, seed) for seed in SEEDS)

    healthy = all_of(latency_traffic.Trial(USUAL, 20.0, gate_latencies.HEALTHY_MINUTES))
    regressions = {
        onset: all_of(gate_latencies.regression(USUAL, 20.0, gate_latencies.GOAL_INCREASE, onset)) for onset in ONSETS
    }
    return _beside_each_other(spoken_for, judged, healthy, regressions)


def _beside_each_other(
    spoken_for: Callable[[Counts], Array],
    judged: Callable[[Counts], FoundAt],
    healthy: Counts,
    regressions: dict[int, Counts],
) -> list[str]:
    """The delays of the detector that is told all, and of the judge, for each onset."""
    threshold = np.sort(spoken_for(healthy).max(axis=1))[-FALSE_ROLLBACKS - 1]
    said = []
    for onset, counts in regressions.items():
        beyond = spoken_for(counts) > threshold
        told: FoundAt = np.where(beyond.any(axis=1), beyond.argmax(axis=1) + 1, 0)
        said += [in_words(minutes_after(onset, found)) for found in (told, judged(counts))]
    return said


def cumulated(said: Array) -> Array:
    """After each minute what was said since it last spoke against the regression."""
    odds, after = np.zeros(len(said)), np.empty_like(said)
    for minute in range(said.shape[1]):
        odds = np.maximum(0.0, odds + said[:, minute])
        after[:, minute] = odds
    return after


def fastest(excess: float, burst: float) -> tuple[float, float]:
    """The stake that grows fastest, and what it wins by one bad event: for bursts of geometric size."""
    gains = np.log1p(burst * STAKES) - np.log1p((burst - 1) * STAKES)
    best = int(np.argmax((BASE_ERRORS + excess) * gains - BASE_ERRORS * STAKES))
    return float(STAKES[best]), float(gains[best])


if __name__ == "__main__":
    raise SystemExit(main())
