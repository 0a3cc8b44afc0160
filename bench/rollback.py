"""From an emergency signal to flags off in Redis, and to traffic at its anchor, alone and while other rollouts soak.

    python -m bench.rollback           beside 1,000 rollouts that are checked every minute
    python -m bench.rollback --quick   beside 20, and fewer rollbacks
    python -m bench.rollback --beside 200

Each rollback is of a rollout of its own; those beside others are of the ones that have soaked longest, which the worker
no longer has in memory. Both ends are read here, from Redis and from the observed traffic, not taken from the rollout.
Also what the others cost: how old their judgements are, processor time, memory. Ends with 1 where a budget is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import getloadavg, getpid
from pathlib import Path
from statistics import quantiles

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from activities.cloud_run import CloudRunActivities
from bench.machine import machine
from bench.processes import cpu_seconds, resident_mib
from bench.rollback_fleet import Looks, all_soaking, looks, until_latched_off, write_plans, write_world
from config.settings import Settings
from config.temporal import connect
from flagstore.connection import connect as connect_store
from flagstore.store import FlagStore
from local.sandbox_server import SandboxTiming
from local.stack import LocalStack
from rollout.messages import SIGNAL_EMERGENCY
from rollout.plan import RolloutPlan
from rollout.traffic import ServiceAnchor
from starter.cloud_run_access import cloud_run
from starter.rollouts import Rollouts

IDLE_FLAGS_P99_SECONDS = 0.5
BUSY_FLAGS_P99_SECONDS = 1.0
TRAFFIC_P99_SECONDS = 30.0
WORKER_MIB = 300.0
CHECK_SECONDS = 60
OLDEST_JUDGEMENT_SECONDS = 2.0 * CHECK_SECONDS
"""A judgement is one interval old just before the next one is due: older than two, a check was missed."""

SANDBOX = SandboxTiming(reconcile_seconds=0.3, requests_per_second=1.0, sample_seconds=10.0)
"""What it takes to change the traffic comes on top of the budget."""
SETTLED_AFTER_SECONDS = 2.0 * CHECK_SECONDS
COST_MEASURED_FOR_SECONDS = 2.0 * CHECK_SECONDS
BETWEEN_ROLLBACKS_SECONDS = 4.0
"""Thirty rollbacks are spread over two intervals: all rollouts are checked as one ends, and some fall into that."""
BETWEEN_READS_SECONDS = 0.02


@dataclass(frozen=True)
class Taken:
    """Seconds after the signal was sent."""

    flags_off: float
    traffic_back: float


@dataclass(frozen=True)
class Cost:
    """What the others cost, by process: seconds of a processor for a start and for a minute of soaking, and memory."""

    start: dict[str, float]
    minute: dict[str, float]
    mib: dict[str, float]
    looks: Looks


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rollback", description="How fast an emergency rollback is.")
    parser.add_argument("--quick", action="store_true", help="fewer rollouts and fewer rollbacks")
    parser.add_argument("--beside", type=int, help="how many rollouts soak beside (1000, quick 20)")
    given = parser.parse_args()
    if given.beside is not None and given.beside < 1:
        parser.error(f"--beside: at least 1, got {given.beside}")
    beside, times = (20, 5) if given.quick else (1000, 30)
    beside = given.beside or beside
    console = Console(width=110)
    console.print(f"Machine: {machine()}")
    return asyncio.run(_measure(console, beside, times))


async def _measure(console: Console, beside: int, times: int) -> int:
    with tempfile.TemporaryDirectory(prefix="rollback-bench-") as name:
        directory = Path(name)
        names = [[f"idle-{n}" for n in range(times)], [f"beside-{n}" for n in range(beside + times)]]
        idle, others = (write_plans(directory, some, check_interval=f"{CHECK_SECONDS}s") for some in names)
        world = write_world(directory, [name for some in names for name in some])
        stack = LocalStack(directory / "stack", fresh=True, plans=[world], timing=SANDBOX)
        await asyncio.to_thread(stack.__enter__)
        try:
            pids = {name: part.pid for name, part in stack.parts().items()} | {"this bench": getpid()}
            rollouts = Rollouts(await connect(stack.environment))
            settings = Settings.from_environment(stack.environment)
            async with connect_store(settings.needed_redis_url) as redis:
                alone = [
                    taken
                    for path in idle
                    for taken in await _taken_back(
                        rollouts, settings, redis, await all_soaking(rollouts, redis, [path]), pause=0.0
                    )
                ]
                before, began = cpu_seconds(pids), time.monotonic()
                plans = await all_soaking(
                    rollouts, redis, others, lambda many: console.print(_so_many(many, len(others), began))
                )
                started = _each(before, cpu_seconds(pids), len(plans))
                cost = await _cost(rollouts, plans, pids, started)
                among = await _taken_back(rollouts, settings, redis, plans[:times], pause=BETWEEN_ROLLBACKS_SECONDS)
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
    console.print(f"Load of the machine at the end: {getloadavg()[0]:.1f}")
    table = Table("beside", "rollbacks", "what", "p50", "p99", "budget (p99)", "", title="seconds from the signal")
    kept = [
        *_rows(table, "no other rollout", alone, IDLE_FLAGS_P99_SECONDS),
        *_rows(table, f"{beside} that soak", among, BUSY_FLAGS_P99_SECONDS),
    ]
    console.print(table)
    console.print(_cost_table(cost))
    kept += _told(console, cost, len(others))
    return 0 if all(kept) else 1


async def _cost(
    rollouts: Rollouts, plans: Sequence[RolloutPlan], pids: Mapping[str, int], started: dict[str, float]
) -> Cost:
    await asyncio.sleep(SETTLED_AFTER_SECONDS)
    before = cpu_seconds(pids)
    await asyncio.sleep(COST_MEASURED_FOR_SECONDS)
    minutes = len(plans) * COST_MEASURED_FOR_SECONDS / 60
    minute = _each(before, cpu_seconds(pids), minutes)
    return Cost(started, minute, {name: resident_mib(pid) for name, pid in pids.items()}, await looks(rollouts, plans))


def _each(before: Mapping[str, float], after: Mapping[str, float], many: float) -> dict[str, float]:
    return {name: (after[name] - used) / many for name, used in before.items()}


def _so_many(many: int, of: int, began: float) -> str:
    return f"{many} of {of} soak after {time.monotonic() - began:.0f} s; load {getloadavg()[0]:.1f}"


async def _taken_back(
    rollouts: Rollouts, settings: Settings, redis: Redis, plans: Sequence[RolloutPlan], *, pause: float
) -> list[Taken]:
    """One after the other."""
    taken = []
    async with cloud_run(settings) as services:
        for plan in plans:
            taken.append(await _take_back(rollouts, FlagStore(redis, plan.environment, plan.name), services, plan))
            await asyncio.sleep(pause)
    return taken


async def _take_back(rollouts: Rollouts, store: FlagStore, services: CloudRunActivities, plan: RolloutPlan) -> Taken:
    # The rollout itself is not asked: its worker would have it in memory then.
    anchor = ServiceAnchor.model_validate_json((await store.read_safety()).anchors["backend"])
    began = time.monotonic()

    async def flags_off() -> float:
        await until_latched_off(store)
        return time.monotonic() - began

    async def traffic_back() -> float:
        while (await services.read_traffic(anchor.service)).shares != anchor.split.shares:  # noqa: ASYNC110  (it is asked)
            await asyncio.sleep(BETWEEN_READS_SECONDS)
        return time.monotonic() - began

    handle = rollouts.client.get_workflow_handle(plan.workflow_id)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "bench", "reason": "measuring"})
    flags, traffic = await asyncio.gather(flags_off(), traffic_back())
    return Taken(flags, traffic)


def _rows(table: Table, beside: str, taken: Sequence[Taken], flags_budget: float) -> list[bool]:
    kept = []
    for what, seconds, budget in (
        ("flags off in Redis", [one.flags_off for one in taken], flags_budget),
        ("traffic at its anchor", [one.traffic_back for one in taken], TRAFFIC_P99_SECONDS + SANDBOX.reconcile_seconds),
    ):
        cut = quantiles(seconds, n=100, method="inclusive")
        held = cut[98] <= budget
        word = "met" if held else "MISSED"
        table.add_row(beside, str(len(taken)), what, f"{cut[49]:.2f}", f"{cut[98]:.2f}", f"{budget:g}", word)
        kept.append(held)
    return kept


def _cost_table(cost: Cost) -> Table:
    table = Table(
        "process", "a start", "a minute of soaking", "memory", title="seconds of a processor for each rollout"
    )
    for name, mib in cost.mib.items():
        table.add_row(name, f"{cost.start[name]:.4f}", f"{cost.minute[name]:.4f}", f"{mib:.0f} MiB")
    table.add_row("all", f"{sum(cost.start.values()):.4f}", f"{sum(cost.minute.values()):.4f}", "")
    return table


def _told(console: Console, cost: Cost, many: int) -> list[bool]:
    oldest, mib = max(cost.looks.ages), cost.mib["worker"]
    kept = [oldest <= OLDEST_JUDGEMENT_SECONDS, mib <= WORKER_MIB]
    words = ["met" if each else "MISSED" for each in kept]
    console.print(
        f"Newest judgements of {many} rollouts: at most {oldest:.0f} s old (budget {OLDEST_JUDGEMENT_SECONDS:g}, "
        f"{words[0]}); {cost.looks.held} of them hold"
    )
    console.print(f"The worker's memory with {many} rollouts: {mib:.0f} MiB (budget {WORKER_MIB:g}, {words[1]})")
    return kept


if __name__ == "__main__":
    sys.exit(main())
