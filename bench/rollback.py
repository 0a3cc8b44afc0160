"""From an emergency signal to flags off in Redis, and to traffic at its anchor, alone and while other rollouts soak.

    python -m bench.rollback           beside 1,000 rollouts that are checked every minute
    python -m bench.rollback --quick   beside 20, and fewer rollbacks
    python -m bench.rollback --beside 200

Each rollback is of a rollout of its own. Both ends are read here, from Redis and from the observed traffic, not taken
from the rollout. Ends with 1 where a budget is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path
from statistics import quantiles

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from activities.cloud_run import CloudRunActivities
from bench.machine import machine
from bench.rollback_fleet import all_soaking, until_latched_off, write_plans, write_world
from config.settings import Settings
from config.temporal import connect
from flagstore.connection import connect as connect_store
from flagstore.store import FlagStore
from local.sandbox_server import SandboxTiming
from local.stack import LocalStack
from rollout.messages import SIGNAL_EMERGENCY
from rollout.plan import RolloutPlan
from rollout.traffic import ServiceRef
from starter.cloud_run_access import cloud_run
from starter.rollouts import Rollouts

IDLE_FLAGS_P99_SECONDS = 0.5
BUSY_FLAGS_P99_SECONDS = 1.0
TRAFFIC_P99_SECONDS = 30.0
RECONCILE_SECONDS = 0.3
"""What the sandbox takes to change the traffic; comes on top of the budget."""


@dataclass(frozen=True)
class Taken:
    """Seconds after the signal was sent."""

    flags_off: float
    traffic_back: float


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
        names = [[f"idle-{n}" for n in range(times)], [f"busy-{n}" for n in range(times)]]
        names.append([f"beside-{n}" for n in range(beside)])
        idle, busy, others = (write_plans(directory, some, check_interval="60s") for some in names)
        world = write_world(directory, [name for some in names for name in some])
        timing = SandboxTiming(reconcile_seconds=RECONCILE_SECONDS, requests_per_second=1.0)
        stack = LocalStack(directory / "stack", fresh=True, plans=[world], timing=timing)
        await asyncio.to_thread(stack.__enter__)
        try:
            rollouts = Rollouts(await connect(stack.environment))
            settings = Settings.from_environment(stack.environment)
            async with connect_store(settings.needed_redis_url) as redis:
                alone = await _one_by_one(rollouts, settings, redis, idle)
                began = time.monotonic()
                await all_soaking(rollouts, redis, others, lambda many: console.print(_so_many(many, beside, began)))
                among = await _one_by_one(rollouts, settings, redis, busy)
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
    table = Table("beside", "rollbacks", "what", "p50", "p99", "budget (p99)", "", title="seconds from the signal")
    console.print(f"Load of the machine at the end: {getloadavg()[0]:.1f}")
    kept = [
        *_rows(table, "no other rollout", alone, IDLE_FLAGS_P99_SECONDS),
        *_rows(table, f"{beside} that soak", among, BUSY_FLAGS_P99_SECONDS),
    ]
    console.print(table)
    return 0 if all(kept) else 1


def _so_many(many: int, of: int, began: float) -> str:
    return f"{many} of {of} soak after {time.monotonic() - began:.0f} s; load {getloadavg()[0]:.1f}"


async def _one_by_one(rollouts: Rollouts, settings: Settings, redis: Redis, paths: Sequence[Path]) -> list[Taken]:
    """Each rollout is started, soaks, and is taken back before the next one, so that only `beside` ones are there."""
    taken = []
    async with cloud_run(settings) as services:
        for path in paths:
            (plan,) = await all_soaking(rollouts, redis, [path])
            taken.append(await _take_back(rollouts, FlagStore(redis, plan.environment, plan.name), services, plan))
    return taken


async def _take_back(rollouts: Rollouts, store: FlagStore, services: CloudRunActivities, plan: RolloutPlan) -> Taken:
    progress = (await rollouts.observe(plan.workflow_id)).progress
    if progress is None:
        raise RuntimeError(f"{plan.name} does not say where its anchor is")
    anchor = progress.anchors["backend"]
    began = time.monotonic()

    async def flags_off() -> float:
        await until_latched_off(store)
        return time.monotonic() - began

    async def traffic_back(service: ServiceRef) -> float:
        while (await services.read_traffic(service)).shares != anchor.split.shares:
            pass
        return time.monotonic() - began

    handle = rollouts.client.get_workflow_handle(plan.workflow_id)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "bench", "reason": "measuring"})
    flags, traffic = await asyncio.gather(flags_off(), traffic_back(anchor.service))
    return Taken(flags, traffic)


def _rows(table: Table, beside: str, taken: Sequence[Taken], flags_budget: float) -> list[bool]:
    kept = []
    for what, seconds, budget in (
        ("flags off in Redis", [one.flags_off for one in taken], flags_budget),
        ("traffic at its anchor", [one.traffic_back for one in taken], TRAFFIC_P99_SECONDS + RECONCILE_SECONDS),
    ):
        cut = quantiles(seconds, n=100, method="inclusive")
        held = cut[98] <= budget
        word = "met" if held else "MISSED"
        table.add_row(beside, str(len(taken)), what, f"{cut[49]:.2f}", f"{cut[98]:.2f}", f"{budget:g}", word)
        kept.append(held)
    return kept


if __name__ == "__main__":
    sys.exit(main())
