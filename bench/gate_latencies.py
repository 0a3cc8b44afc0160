"""The p95 gate on simulated latencies: delays, and healthy rollouts that are rolled back; alone, or beside its peers.

    python -m bench.gate_latencies --alone --kinds usual    this judge, 300 trials per row: a few minutes
    python -m bench.gate_latencies --alone                  the same of every kind of latencies: some ten minutes
    python -m bench.gate_latencies                          with every peer, 100 trials per row: some ten minutes

Latencies are lognormal (sigma 0.8) in buckets that are 41 % wide. All of them wander together by 5 %, and each group
apart by 2 %, with a memory of about an hour; that makes a p95 hard to compare. `--alone` has other kinds as well
(`bench.latency_traffic`). Judged by the gate of the shipped plan (+10 % against control), by an array form that is
compared with the judge itself in every row. Every number is seeded. Ends with 1 where a goal is missed.
"""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.gate_fleet import Outcomes
from bench.gate_latency_fleet import judge_latency_fleet
from bench.gate_latency_peers import LATENCY_METHODS, LatencyMinutes
from bench.gates import (
    FALSE_ROLLBACKS_AT_MOST,
    OURS,
    START,
    WIDTH,
    delays_of,
    in_words,
    kept_or_missed,
    minutes_after,
    upper_limit,
    with_limits,
)
from bench.latency_traffic import KINDS, USUAL, Latencies, Trial, drawn
from bench.machine import machine
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupLatencies, Interval, SequentialGate

GATE = SequentialGate.model_validate({"kind": "versus_control", "statistic": "p95", "max_increase": "10%"})
RATES = (1.0, 20.0, 500.0)
ONSETS = (0, 120, 720, 2_400)
AFTER_AN_ONSET = 600
"""Minutes for which a regression is looked for; what takes longer is missed."""
HEALTHY_MINUTES, WHOLE_ROLLOUT = 2_880, 5_760
GOAL_INCREASE = 0.15
GOAL, GOAL_LATER = (30.0, 120.0), (60.0, 240.0)
"""Median and 95th percentile of minutes for p95 +15 % at 20 requests/s and 10 %: at once, and at any later hour."""


KINDS_OF = {"usual": (USUAL,), "others": KINDS[1:], "all": KINDS}
COMPARED_MINUTES = 1_440
"""Of one rollout of each row, for which the judge itself is asked too."""


@dataclass(frozen=True)
class Asking:
    """A row's trials, and from which seed on."""

    trial: Trial
    trials: int
    first_seed: int

    @property
    def seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.trials)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gate_latencies", description="The p95 gate and its peers.")
    parser.add_argument("--alone", action="store_true", help="this judge without its peers, on every kind of latencies")
    parser.add_argument("--kinds", choices=KINDS_OF, default="all", help="alone: which latencies (all)")
    parser.add_argument("--rate", type=float, action="append", help="healthy requests per second (1, 20 and 500)")
    parser.add_argument("--trials", type=int, help="simulated rollouts per row (100; alone 300)")
    parser.add_argument("--first-seed", type=int, default=0, help="number of the first of them (0)")
    arguments = parser.parse_args()
    console = Console(width=WIDTH)
    console.print(f"Machine: {machine()}")
    trials: int = arguments.trials or (300 if arguments.alone else 100)
    first_seed: int = arguments.first_seed
    rates: tuple[float, ...] = tuple(arguments.rate or RATES)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        if arguments.alone:
            kinds = KINDS_OF[arguments.kinds]
            kept = [
                _delays_of_ours(console, pool, kinds, trials, first_seed),
                _false_rollbacks_of_ours(console, pool, kinds, rates, trials, first_seed),
            ]
        else:
            kept = [_beside_peers(console, pool, trials, first_seed)]
    return 0 if all(kept) else 1


def _delays_of_ours(
    console: Console, pool: ProcessPoolExecutor, kinds: Sequence[Latencies], trials: int, first_seed: int
) -> bool:
    rows = [(USUAL, 20.0, 0.1), (USUAL, 20.0, 0.3), (USUAL, 1.0, GOAL_INCREASE), (USUAL, 500.0, GOAL_INCREASE)]
    rows = [*(rows if USUAL in kinds else ()), *((kind, 20.0, GOAL_INCREASE) for kind in kinds)]
    cells = [(row, onset) for row in rows for onset in (ONSETS if row[0] == USUAL else (0, 720))]
    asked = [Asking(regression(*row, onset), trials, first_seed) for row, onset in cells]
    found = dict(zip(cells, pool.map(_ours, asked), strict=True))
    title = f"minutes to a rollback, 10 % treated, {trials} each: median / 95 % (missed)"
    table = Table("p95", *(f"at {onset / 60:g} h" for onset in ONSETS), title=title)
    kept = True
    for row in rows:
        kind, rate, increase = row
        said = []
        for onset in ONSETS:
            if (row, onset) not in found:
                continue
            delays = minutes_after(onset, found[row, onset].rolled_back)
            said.append((onset, in_words(delays)))
            if row == (USUAL, 20.0, GOAL_INCREASE):
                kept &= _says_whether_kept(console, onset, delays)
        by_onset = dict(said)
        table.add_row(f"{kind.name}, {rate:g}/s, +{increase:.0%}", *(by_onset.get(onset, "") for onset in ONSETS))
    console.print(table)
    return kept


def regression(kind: Latencies, per_second: float, increase: float, onset: int) -> Trial:
    return Trial(kind, per_second, onset + AFTER_AN_ONSET, increase=increase, onset=onset)


def _says_whether_kept(console: Console, onset: int, delays: Sequence[float]) -> bool:
    """A rollback before the onset is none of a regression: it counts as found at once, and the healthy rows show it."""
    middle, late = np.quantile(delays, [0.5, 0.95], method="higher")
    goal = GOAL_LATER if onset else GOAL
    met = bool(middle <= goal[0] and late <= goal[1])
    said = f"+{GOAL_INCREASE:.0%} at 20/s at {onset / 60:g} h: median ≤ {goal[0]:g}, 95 % ≤ {goal[1]:g}"
    console.print(f"goal: {said}: {kept_or_missed(met)}")
    return met


def _false_rollbacks_of_ours(
    console: Console,
    pool: ProcessPoolExecutor,
    kinds: Sequence[Latencies],
    rates: Sequence[float],
    trials: int,
    first_seed: int,
) -> bool:
    what = f"of {trials} whole rollouts (48 h at 10 %, 48 h at 50 %)"
    table = Table("healthy latencies", "rolled back", "upper 95 % limit", "held at some time", title=what)
    cells = [(kind, rate) for kind in kinds for rate in rates]
    asked = [Asking(Trial(kind, rate, WHOLE_ROLLOUT, second_half=0.5), trials, first_seed) for kind, rate in cells]
    kept = True
    for (kind, rate), found in zip(cells, pool.map(_ours, asked), strict=True):
        count = int((found.rolled_back > 0).sum())
        upper = upper_limit(count, trials)
        kept &= upper <= FALSE_ROLLBACKS_AT_MOST or kind != USUAL
        table.add_row(f"{kind.name}, {rate:g}/s", str(count), f"{upper:.2%}", str(int((found.held > 0).sum())))
    console.print(table)
    console.print(f"goal: upper 95 % limit at most {FALSE_ROLLBACKS_AT_MOST:.0%}, {USUAL.name}: {kept_or_missed(kept)}")
    return kept


def _beside_peers(console: Console, pool: ProcessPoolExecutor, trials: int, first_seed: int) -> bool:
    title = f"minutes to a rollback, 20/s, 10 % treated, {trials} each: median / 95 % (missed)"
    delays = Table("p95", OURS, *LATENCY_METHODS, title=title)
    title = f"rolled back, of {trials} healthy soaks of 48 h at 10 %, in %, and the upper 95 % limit"
    healthy = Table("healthy", OURS, *LATENCY_METHODS, title=title)
    met = True
    for increase in (GOAL_INCREASE, 0.3):
        for onset in (0, 720):
            found = _decided(pool, Asking(regression(USUAL, 20.0, increase, onset), trials, first_seed))
            delayed = delays_of(found, onset)
            if increase == GOAL_INCREASE:
                met &= _says_whether_kept(console, onset, delayed[OURS])
            delays.add_row(f"+{increase:.0%} at {onset // 60} h", *(in_words(delayed[name]) for name in delayed))
    for per_second in RATES:
        found = _decided(pool, Asking(Trial(USUAL, per_second, HEALTHY_MINUTES), trials, first_seed))
        rolled_back = {name: sum(at is not None for at in each) for name, each in found.items()}
        healthy.add_row(f"{per_second:g}/s", *with_limits(rolled_back, trials))
    console.print(delays)
    console.print(healthy)
    return met


def _decided(pool: ProcessPoolExecutor, asking: Asking) -> Mapping[str, Sequence[int | None]]:
    """By method, per seed: the minute at which it rolls back."""
    ours = pool.submit(_ours, asking)
    each = list(pool.map(_peers, [asking.trial] * asking.trials, asking.seeds))
    peers = {name: [one[name] for one in each] for name in LATENCY_METHODS}
    return {OURS: [int(at) or None for at in ours.result().rolled_back], **peers}


def _peers(trial: Trial, seed: int) -> Mapping[str, int | None]:
    data = drawn(trial, seed)
    return {method: decide(data) for method, decide in LATENCY_METHODS.items()}


def _ours(asking: Asking) -> Outcomes:
    """By the fleet's arithmetic; the first that it rolls back by the judge itself as well."""
    bounds = asking.trial.kind.bounds_ms
    treated, control = together(drawn(asking.trial, seed) for seed in asking.seeds)
    found = judge_latency_fleet(bounds, treated, control, increase=GATE.max_increase or 0.0)
    index = int(np.flatnonzero(found.rolled_back)[0]) if found.rolled_back.any() else 0
    own = by_the_judge(bounds, treated[index, :COMPARED_MINUTES], control[index, :COMPARED_MINUTES]) or 0
    fleets = int(found.rolled_back[index])
    if own != (fleets if fleets <= COMPARED_MINUTES else 0):
        which = f"{asking.trial}, seed {asking.seeds[index]}"
        raise AssertionError(f"{which}: rolled back at {own}, the fleet at {fleets}")
    return found


def together(each: Iterable[LatencyMinutes]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    rows = [(one.treated.astype(np.int32), one.control.astype(np.int32)) for one in each]
    return np.array([treated for treated, _ in rows]), np.array([control for _, control in rows])


def by_the_judge(
    bounds_ms: tuple[float, ...], treated: npt.NDArray[np.int32], control: npt.NDArray[np.int32]
) -> int | None:
    """The minute at which the judge itself rolls this one back."""
    state = begin(GATE)
    for minute, (ours, theirs) in enumerate(zip(treated.tolist(), control.tolist(), strict=True)):
        interval = Interval(
            end=START + timedelta(minutes=minute + 1),
            treated=GroupLatencies(bounds_ms=bounds_ms, counts=ours),
            control=GroupLatencies(bounds_ms=bounds_ms, counts=theirs),
        )
        state, judgement = step(GATE, state, interval)
        if judgement.decision == "rollback":
            return minute + 1
    return None


if __name__ == "__main__":
    raise SystemExit(main())
