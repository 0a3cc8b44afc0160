"""The judge beside its peers on the same simulated minutes: false rollbacks of healthy rollouts, and delays.

    python -m bench.gates --quick     less than a minute
    python -m bench.gates --alone     everything, of this judge alone: some minutes
    python -m bench.gates             with every peer: some ten minutes on two cores

A rollout is 48 hours at 10 % and 48 hours at 50 %, judged every minute by the error gate of the shipped plan (+1 point
against control). Every number is seeded, with other seeds than the judge was chosen on. After the kinds of traffic that
it was built for come others. Ends with 1 where a goal is missed.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import beta  # type: ignore[import-untyped]

from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_peers import METHODS
from bench.gate_traffic import DAY, FAMILIES, FURTHER, Family, Minutes, minutes
from bench.machine import machine
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate

OURS = "this judge"
HELD = "this judge, held at some time"
WIDTH = 160
"""Of the tables; a column for each peer."""
START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_DIFFERENCE = 0.01
GATE = SequentialGate.model_validate(
    {"kind": "versus_control", "max_difference": f"{MAX_DIFFERENCE:.0%}", "title": "Errors"}
)
RATES = (1.0, 20.0, 500.0)
FIRST_SEED = 10_000
"""Below, seeds were looked at while the judge was chosen."""
COMPARED = 2
"""Rollouts of each kind that the judge itself is asked about too: those that it would roll back first."""
AFTER_AN_ONSET = 600
"""Minutes for which a regression is looked for; what takes longer is missed."""
FALSE_ROLLBACKS_AT_MOST = 0.01
DELAYED = (FAMILIES[0], FAMILIES[2], FAMILIES[4])
ONSETS, EXCESSES = (0, 120, 720, 2400), (0.01, 0.02, 0.05)
FURTHER_ONSETS, FURTHER_EXCESSES = (0, 720), (0.02, 0.05)
GOAL_EXCESS = 0.02
GOALS = {"steady": (8.0, 20.0), "bursts": (20.0, 60.0)}
"""Median and 95th percentile of minutes to a rollback, +2 points at 20 requests/s and 10 %."""


@dataclass(frozen=True)
class Trial:
    """One simulated stretch. Without an `onset` (in minutes) it is healthy."""

    family: Family
    per_second: float
    length: int
    second_half: float
    excess: float = 0.0
    onset: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gates", description="The judge beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a few half-days instead of hundreds of whole rollouts")
    parser.add_argument("--alone", action="store_true", help="this judge without its peers")
    parser.add_argument("--trials", type=int, default=300, help="rollouts per kind of traffic in a full run (300)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"of each kind ({FIRST_SEED:,})")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    first: int = arguments.first_seed
    seeds = range(first, first + arguments.trials)
    console = Console(width=WIDTH)
    console.print(f"Machine: {machine()}")
    if arguments.alone:
        kept = [_delays_of_ours(console, seeds)]
        kept += [_false_rollbacks_of_ours(console, families, seeds) for families in (FAMILIES, FURTHER)]
        return 0 if all(kept) else 1
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        kept = [_delays(console, pool, seeds[:12] if quick else seeds, quick=quick)]
        if quick:
            kept.append(_false_rollbacks(console, pool, FAMILIES, seeds[:8], quick=True))
        else:
            _table_of_delays(console, FURTHER, FURTHER_EXCESSES, FURTHER_ONSETS, seeds)
            kept += [_false_rollbacks(console, pool, families, seeds) for families in (FAMILIES, FURTHER)]
    return 0 if all(kept) else 1


def _false_rollbacks(
    console: Console, pool: ProcessPoolExecutor, families: Sequence[Family], seeds: range, *, quick: bool = False
) -> bool:
    count, length = len(seeds), DAY // 2 if quick else 4 * DAY
    what = "half-days at 10 %" if quick else "whole rollouts (48 h at 10 %, 48 h at 50 %)"
    cells = [Trial(family, rate, length, 0.1 if quick else 0.5) for family in families for rate in RATES]
    worst = dict.fromkeys([OURS, HELD, *METHODS], 0)
    title = f"rolled back, of {count} healthy {what}, in %, and the upper 95 % limit"
    table = Table("healthy traffic", *worst, title=title)
    for trial, decided in zip(cells, pool.map(_decisions, cells, [seeds] * len(cells)), strict=True):
        rolled_back = {name: sum(at is not None for at in decided[name]) for name in worst}
        worst = {name: max(worst[name], rolled_back[name]) for name in worst}
        table.add_row(f"{trial.family.name}, {trial.per_second:g}/s", *with_limits(rolled_back, count))
    table.add_row("worst", *with_limits(worst, count))
    console.print(table)
    upper = upper_limit(worst[OURS], count)
    kept = upper <= FALSE_ROLLBACKS_AT_MOST
    enough = "" if kept or not quick else " (too few trials to tell; the full run has enough)"
    console.print(
        f"goal: upper 95 % limit at most {FALSE_ROLLBACKS_AT_MOST:.0%} in each of {len(cells)} cells; "
        f"largest {upper:.2%}: {kept_or_missed(kept)}{enough}\n"
    )
    return kept or quick


def _false_rollbacks_of_ours(console: Console, families: Sequence[Family], seeds: range) -> bool:
    """Whole rollouts by the fleet's arithmetic, some of them by the judge itself as well."""
    trials = len(seeds)
    table = Table(
        "healthy traffic", "rolled back", "upper 95 % limit", "held at some time", title=f"of {trials} whole rollouts"
    )
    kept = True
    for family in families:
        for rate in RATES:
            trial = Trial(family, rate, 4 * DAY, second_half=0.5)
            drawn = [draw(trial, seed) for seed in seeds]
            outcomes = judge_fleet(together(drawn), max_difference=MAX_DIFFERENCE)
            _compare_with_the_judge(trial, drawn, outcomes.rolled_back)
            count = int((outcomes.rolled_back > 0).sum())
            upper = upper_limit(count, trials)
            kept &= upper <= FALSE_ROLLBACKS_AT_MOST
            held = int((outcomes.held > 0).sum())
            table.add_row(f"{family.name}, {rate:g}/s", str(count), f"{upper:.2%}", str(held))
    console.print(table)
    console.print(f"goal: upper 95 % limit at most {FALSE_ROLLBACKS_AT_MOST:.0%} in each: {kept_or_missed(kept)}")
    return kept


def _delays_of_ours(console: Console, seeds: range) -> bool:
    kept = _table_of_delays(console, DELAYED, EXCESSES, ONSETS, seeds)
    _table_of_delays(console, FURTHER, FURTHER_EXCESSES, FURTHER_ONSETS, seeds)
    return kept


def _table_of_delays(
    console: Console, families: Sequence[Family], excesses: Sequence[float], onsets: Sequence[int], seeds: range
) -> bool:
    """Of this judge alone; whether the goals are kept that there are for such traffic."""
    title = f"minutes to a rollback, 20/s, 10 %, {len(seeds)} each: median / 95 % (missed); median to a hold"
    table = Table("regression", *(f"at {onset / 60:g} h" for onset in onsets), title=title)
    kept = True
    for family in families:
        for excess in excesses:
            said, at_first = [], None
            for onset in onsets:
                drawn = [draw(regression(family, excess, onset), seed) for seed in seeds]
                found = judge_fleet(together(drawn), max_difference=MAX_DIFFERENCE)
                delays, to_a_hold = (minutes_after(onset, at) for at in (found.rolled_back, found.held))
                said.append(f"{in_words(delays)}; {np.median(to_a_hold):.0f}")
                if excess == GOAL_EXCESS:
                    kept &= _says_whether_kept(console, family, onset, delays, at_first)
                    at_first = float(np.median(delays)) if at_first is None else at_first
            table.add_row(f"{family.name}, +{excess * 100:g} points", *said)
    console.print(table)
    return kept


def regression(family: Family, excess: float, onset: int) -> Trial:
    return Trial(family, 20.0, onset + AFTER_AN_ONSET, 0.1, excess, onset)


def _says_whether_kept(
    console: Console, family: Family, onset: int, delays: Sequence[float], at_first: float | None
) -> bool:
    """The goals for +2 points: a median and a 95th percentile at once, and at most twice that median later."""
    if family.name not in GOALS:
        return True
    middle, late, goal = float(np.median(delays)), float(np.quantile(delays, 0.95, method="higher")), GOALS[family.name]
    met = (middle <= goal[0] and late <= goal[1]) if at_first is None else middle <= 2 * at_first
    said = f"median ≤ {goal[0]:g}, 95 % ≤ {goal[1]:g}" if at_first is None else "median within twice that at 0 h"
    console.print(f"goal: {family.name}, +2 points at {onset / 60:g} h: {said}: {kept_or_missed(met)}")
    return met


def together(drawn: Sequence[Minutes]) -> FleetCounts:
    rows = ((one.treated, one.treated_bad, one.control, one.control_bad) for one in drawn)
    return FleetCounts(*(np.array(each, dtype=np.float64) for each in zip(*rows, strict=True)))


def _delays(console: Console, pool: ProcessPoolExecutor, seeds: range, *, quick: bool) -> bool:
    count = len(seeds)
    kept = True
    for family in DELAYED:
        title = f"minutes to a rollback, {family.name}, 20/s, 10 %, {count} each: median / 95 % (missed)"
        table = Table("regression", OURS, *METHODS, title=title)
        at_first: float | None = None
        rows = [(x, onset) for x in ((GOAL_EXCESS,) if quick else EXCESSES) for onset in ONSETS[: 2 if quick else None]]
        cells = [regression(family, excess, onset) for excess, onset in rows]
        for (excess, onset), decided in zip(rows, pool.map(_decisions, cells, [seeds] * len(cells)), strict=True):
            delays = delays_of(decided, onset)
            said = (in_words(delays[name]) for name in (OURS, *METHODS))
            table.add_row(f"+{excess * 100:g} points at {onset / 60:g} h", *said)
            if excess == GOAL_EXCESS:
                kept &= _says_whether_kept(console, family, onset, delays[OURS], at_first)
                at_first = float(np.median(delays[OURS])) if at_first is None else at_first
        console.print(table)
    return kept


def _decisions(trial: Trial, seeds: range) -> Mapping[str, Sequence[int | None]]:
    """By method, per seed: the minute at which it rolls back, or we hold. Ours by the fleet's arithmetic."""
    drawn = [draw(trial, seed) for seed in seeds]
    outcomes = judge_fleet(together(drawn), max_difference=MAX_DIFFERENCE)
    _compare_with_the_judge(trial, drawn, outcomes.rolled_back)
    ours = {OURS: outcomes.rolled_back, HELD: outcomes.held}
    peers = {method: [decide(data) for data in drawn] for method, decide in METHODS.items()}
    return {name: [int(at) or None for at in each] for name, each in ours.items()} | peers


def _compare_with_the_judge(trial: Trial, drawn: Sequence[Minutes], rolled_back: npt.NDArray[np.int64]) -> None:
    """Ask the judge itself about some of the rollouts, those that the fleet rolls back first."""
    for index in [*np.flatnonzero(rolled_back)[:COMPARED], 0][:COMPARED]:
        own = by_the_judge(drawn[index]) or 0
        if own != rolled_back[index]:
            which = f"{trial.family.name} {trial.per_second:g}/s, number {index}"
            raise AssertionError(f"{which}: rolled back at {own}, the fleet at {rolled_back[index]}")


def draw(trial: Trial, seed: int) -> Minutes:
    """The minutes of one rollout; each seed draws others."""
    at = np.arange(trial.length)
    shares = np.where(at < trial.length / 2, 0.1, trial.second_half)
    excess = np.where((at >= trial.onset) & (trial.excess > 0), trial.excess, 0.0)
    name = [ord(letter) for letter in trial.family.name]
    random = np.random.default_rng([seed, *name, int(trial.per_second * 10), int(trial.excess * 1e4), trial.onset])
    return minutes(random, trial.family, per_second=trial.per_second, shares=shares, excess=excess)


def by_the_judge(data: Minutes) -> int | None:
    """The minute, from 1, at which the judge itself rolls this one back."""
    state = begin(GATE)
    for minute in range(len(data.treated)):
        interval = Interval(
            end=START + timedelta(minutes=minute + 1),
            treated=GroupCounts(total=int(data.treated[minute]), bad=int(data.treated_bad[minute])),
            control=GroupCounts(total=int(data.control[minute]), bad=int(data.control_bad[minute])),
        )
        state, judgement = step(GATE, state, interval)
        if judgement.decision == "rollback":
            return minute + 1
    return None


def with_limits(rolled_back: Mapping[str, int], trials: int) -> list[str]:
    return [f"{count / trials * 100:.1f} ≤{upper_limit(count, trials) * 100:.1f}" for count in rolled_back.values()]


def minutes_after(onset: int, rolled_back: npt.NDArray[np.int64]) -> list[float]:
    """Of each rollout's minute as `Outcomes` tells it; infinite where it was missed."""
    return [math.inf if at == 0 else float(at - onset) for at in rolled_back.tolist()]


def delays_of(decided: Mapping[str, Sequence[int | None]], onset: int) -> dict[str, list[float]]:
    """Minutes from the onset; infinite where it was missed. A rollback before the onset is no detection: negative."""
    return {name: [math.inf if at is None else at - onset for at in each] for name, each in decided.items()}


def in_words(delays: Sequence[float]) -> str:
    early = sum(delay <= 0 for delay in delays)
    true = sorted(delay for delay in delays if delay > 0)
    if not true:
        return f"all {early} early"
    missed = sum(math.isinf(delay) for delay in true)
    middle, late = np.quantile(true, [0.5, 0.95], method="higher")
    notes = [f"{missed / len(delays):.0%} missed"] * bool(missed) + [f"{early / len(delays):.0%} early"] * bool(early)
    return f"{middle:.0f} / {late:.0f}".replace("inf", "–") + (f" ({', '.join(notes)})" if notes else "")


def upper_limit(events: int, trials: int) -> float:
    """The largest probability with which so few events are no surprise at 95 % (Clopper and Pearson)."""
    return 1.0 if events == trials else float(beta.ppf(0.95, events + 1, trials - events))


def kept_or_missed(kept: bool) -> str:
    return "[green]met[/green]" if kept else "[red]missed[/red]"


if __name__ == "__main__":
    raise SystemExit(main())
