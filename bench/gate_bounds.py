"""How soon a regression could be found at all: the judge beside one that is told everything but when it begins.

    python -m bench.gate_bounds    two minutes

The other one knows control's true rate, the size of the regression and how large bursts are, in traffic that no day, no
incident and no cohort disturbs; and its threshold is drawn from the very noise that it is asked in, such that three of
300 healthy whole rollouts (48 h at 10 %, 48 h at 50 %) are rolled back. It adds up what each minute's bad events speak
for the regression, and begins anew whenever they speak against it (Page's CUSUM): no rule that keeps to as many false
rollbacks is sooner by much (Lorden, 1971). This judge knows none of it. Seeded.
"""

import math

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.gate_blocks import Array
from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_traffic import BASE_ERRORS, DAY, FAMILIES, Family
from bench.gates import FIRST_SEED, GATE, Trial, draw, in_words, regression, together
from bench.machine import machine

SEEDS = range(FIRST_SEED, FIRST_SEED + 300)
FALSE_ROLLBACKS = 3
UNDISTURBED = (FAMILIES[0], Family("bursts of 3, undisturbed", burst=3.0))
ONSETS, EXCESSES = (0, 720), (0.01, 0.02)
STAKES = np.geomspace(0.01, 25.0, 500)


def main() -> int:
    console = Console(width=120)
    console.print(f"Machine: {machine()}")
    onsets = [f"{who} at {onset // 60} h" for onset in ONSETS for who in ("told all", "this judge")]
    table = Table("errors", "regression", *onsets, title="minutes to a rollback, 20/s, 10 %, 300 each: median / 95 %")
    for family in UNDISTURBED:
        healthy = together([draw(Trial(family, 20.0, 4 * DAY, second_half=0.5), seed) for seed in SEEDS])
        for excess in EXCESSES:
            highest = np.sort(spoken_for(healthy, excess, family.burst).max(axis=1))
            threshold = highest[-FALSE_ROLLBACKS - 1]
            said = []
            for onset in ONSETS:
                counts = together([draw(regression(family, excess, onset), seed) for seed in SEEDS])
                beyond = spoken_for(counts, excess, family.burst) > threshold
                told = np.where(beyond.any(axis=1), beyond.argmax(axis=1) + 1, 0).astype(np.int64)
                ours = judge_fleet(counts, max_difference=GATE.max_difference or 0.0).rolled_back
                said += [in_words(delays(at, onset)) for at in (told, ours)]
            table.add_row(family.name, f"+{excess * 100:g} points", *said)
    console.print(table)
    return 0


def spoken_for(counts: FleetCounts, excess: float, burst: float) -> Array:
    """Log odds of the regression since whenever it is likeliest to have begun, after each minute."""
    stake, gain = fastest(excess, burst)
    odds, after = np.zeros(len(counts.treated)), []
    for minute in range(counts.treated.shape[1]):
        won = counts.treated_bad[:, minute] * gain - counts.treated[:, minute] * BASE_ERRORS * stake
        odds = np.maximum(0.0, odds + won)
        after.append(odds)
    return np.stack(after, axis=1)


def fastest(excess: float, burst: float) -> tuple[float, float]:
    """The stake that grows fastest, and what it wins by one bad event: for bursts of geometric size."""
    gains = np.log1p(burst * STAKES) - np.log1p((burst - 1) * STAKES)
    best = int(np.argmax((BASE_ERRORS + excess) * gains - BASE_ERRORS * STAKES))
    return float(STAKES[best]), float(gains[best])


def delays(at: npt.NDArray[np.int64], onset: int) -> list[float]:
    return [math.inf if minute == 0 else float(minute - onset) for minute in at]


if __name__ == "__main__":
    raise SystemExit(main())
