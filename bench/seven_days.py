"""What the whole seven-day plan costs: as a workflow on a server that skips its days, and as a rehearsal of its data.

    python -m bench.seven_days                  the shipped plan, without its load tests
    python -m bench.seven_days --soak 3h        every stage soaks this long instead
    python -m bench.seven_days --only what-if

The workflow has Temporal's server that skips time, a real Redis and Google's APIs on loopback; measurements are made up
in the process. The rehearsal reads the same measurements from a file, as `rollout what-if` does. Where others use the
machine too, seconds of processor time are what to compare. Ends with 1 where a budget is missed or a stage not passed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from rich.console import Console
from rich.table import Table

from bench.machine import machine
from bench.recorded_week import STARTS, write_week
from config.garbage_collection import keep_for_good
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from rollout.quantity import parse_duration
from starter.plan_file import load_plan
from starter.what_if import Rehearsal
from starter.what_if_queries import queries_of
from starter.what_if_recording import of_file
from tests.checkout import PLANS
from tests.workflows.changed_plans import hurried
from tests.workflows.world import laid_out

WORKFLOW, REHEARSAL = "workflow", "what-if"
WALL_SECONDS_AT_MOST = 90.0


@dataclass
class Spent:
    """`own` and `beside` are seconds of processor time: of this process, and of the servers it started."""

    wall: float = 0.0
    own: float = 0.0
    beside: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """What was spent within, once it is over; servers count when they have ended."""
    spent, before = Spent(), _so_far()
    yield spent
    spent.wall, spent.own, spent.beside = (late - early for late, early in zip(_so_far(), before, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.seven_days", description="What the seven-day plan costs.")
    parser.add_argument("--soak", type=parse_duration, help="how long every stage soaks instead, such as 3h")
    parser.add_argument("--only", choices=(WORKFLOW, REHEARSAL), help="one of both")
    given = parser.parse_args()
    plan = hurried(given.soak) if given.soak else load_plan(PLANS / "request-isolation.yaml")
    console = Console(width=110)
    console.print(f"Machine: {machine()}")
    table = Table("what", "wall s", "processor s", "of servers beside, s", "budget (wall)", "")
    kept = []
    with tempfile.TemporaryDirectory(prefix="seven-days-bench-") as name:
        if given.only != REHEARSAL:
            spent = asyncio.run(_as_a_workflow(plan, Path(name)))
            if given.soak is None:
                kept.append(spent.wall <= WALL_SECONDS_AT_MOST)
                table.add_row(WORKFLOW, *_figures(spent), f"{WALL_SECONDS_AT_MOST:g}", "met" if kept[0] else "MISSED")
            else:
                table.add_row(WORKFLOW, *_figures(spent), "", "")
        if given.only != WORKFLOW:
            table.add_row(REHEARSAL, *_figures(asyncio.run(_as_a_rehearsal(plan, Path(name)))), "", "")
    console.print(f"Load of the machine at the end: {getloadavg()[0]:.1f}")
    console.print(table)
    return 0 if all(kept) else 1


async def _as_a_workflow(plan: RolloutPlan, directory: Path) -> Spent:
    with spending() as spent:
        async with laid_out(plan, directory) as world:
            keep_for_good()  # as a worker's process does
            handle = await world.start()
            await world.approve(handle)
            result = await handle.result()
    if result.status is not RolloutStatus.COMPLETED:
        raise RuntimeError(f"the workflow ended as {result.status}: {result.why}")
    return spent


async def _as_a_rehearsal(plan: RolloutPlan, directory: Path) -> Spent:
    path = directory / "metrics.jsonl"
    await write_week(plan, path)
    with spending() as spent:
        found = await Rehearsal(plan, of_file(path, plan, queries_of(plan)), STARTS).play()
    if found.outcome != "completed":
        raise RuntimeError(f"the rehearsal came out as {found.outcome}: {found.why}")
    return spent


def _figures(spent: Spent) -> tuple[str, str, str]:
    return f"{spent.wall:.1f}", f"{spent.own:.1f}", f"{spent.beside:.1f}"


def _so_far() -> tuple[float, float, float]:
    own, beside = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return time.monotonic(), own.ru_utime + own.ru_stime, beside.ru_utime + beside.ru_stime


if __name__ == "__main__":
    sys.exit(main())
