"""From an emergency signal to flags off in Redis, and to traffic at its anchor, alone and while other rollouts soak.

    python -m bench.rollback           beside 1,000 rollouts that are checked every minute
    python -m bench.rollback --quick   beside 20, and fewer rollbacks

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
from pathlib import Path
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from activities.cloud_run import CloudRunActivities
from bench.machine import machine
from bench.rollback_fleet import all_soaking, until_latched_off, write_plans
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
    quick = parser.parse_args().quick
    beside, times = (20, 5) if quick else (1000, 30)
    console = Console(width=110)
    console.print(f"Machine: {machine()}")
    return asyncio.run(_measure(console, beside, times))


async def _measure(console: Console, beside: int, times: int) -> int:
    with tempfile.TemporaryDirectory(prefix="rollback-bench-") as name:
        directory = Path(name)
        idle = write_plans(directory, [f"idle-{n}" for n in range(times)], check_interval="60s")
        busy = write_plans(directory, [f"busy-{n}" for n in range(times)], check_interval="60s")
        others = write_plans(directory, [f"beside-{n}" for n in range(beside)], check_interval="60s")
        timing = SandboxTiming(reconcile_seconds=RECONCILE_SECONDS, requests_per_second=1.0)
        stack = LocalStack(directory / "stack", fresh=True, plans=[*idle, *busy, *others], timing=timing)
        await asyncio.to_thread(stack.__enter__)
        try:
            rollouts = Rollouts(await connect(stack.environment))
            settings = Settings.from_environment(stack.environment)
            alone = await _one_by_one(rollouts, settings, idle)
            await all_soaking(rollouts, others)
            among = await _one_by_one(rollouts, settings, busy)
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
    table = Table("beside", "rollbacks", "what", "p50", "p99", "budget (p99)", "", title="seconds from the signal")
    kept = [
        *_rows(table, "no other rollout", alone, IDLE_FLAGS_P99_SECONDS),
        *_rows(table, f"{beside} that soak", among, BUSY_FLAGS_P99_SECONDS),
    ]
    console.print(table)
    return 0 if all(kept) else 1


async def _one_by_one(rollouts: Rollouts, settings: Settings, paths: Sequence[Path]) -> list[Taken]:
    """Each rollout is started, soaks, and is taken back before the next one, so that only `beside` ones are there."""
    client = connect_store(settings.needed_redis_url)
    taken = []
    try:
        async with cloud_run(settings) as services:
            for path in paths:
                (plan,) = await all_soaking(rollouts, [path])
                taken.append(await _take_back(rollouts, FlagStore(client, plan.environment, plan.name), services, plan))
    finally:
        await client.aclose()
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
