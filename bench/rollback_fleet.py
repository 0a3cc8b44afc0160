"""Rollouts to measure: plans of their own, each with its own service and flag, all soaking at a tenth of the users."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from flagstore.store import FlagStore
from rollout.messages import RolloutRequest
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from starter.plan_file import load_plan
from starter.rollouts import Rollouts
from starter.starting import start

IMAGE = "example/bench:2"
STARTED_AT_ONCE = 20
BETWEEN_LOOKS = timedelta(milliseconds=500)

_PLAN = """\
name: {name}
description: One stage that soaks for a day
environment: bench
services:
  backend: {{project: example-shop, region: europe-west1, service: {name}}}
flags: ["{flag}"]
check_interval: {check_interval}
baseline: {{window: 60s}}
guard: 1s
notifications: {{channels: [log]}}
metrics:
  cascades:
    type: custom.googleapis.com/rollout/cascade_failures
    filter: >-
      resource.type = "generic_task" AND resource.labels.namespace = "bench" AND resource.labels.job = "{name}"
    value: count
    groups: {{by: label, label: metric.labels.group, treated: treated, control: control}}
gates:
  cascades: {{kind: zero_tolerance, title: Cascades, metric: cascades, group: all, action: rollback, page_after: 1h}}
stages:
  - {{name: canary, deploy: true, traffic: [0%, 100%], traffic_hold: 1s, exposure: 10%, soak: 24h, gates: [cascades]}}
"""


def write_plans(directory: Path, names: Sequence[str], *, check_interval: str) -> list[Path]:
    """One plan file for each name."""
    paths = []
    for name in names:
        path = directory / f"{name}.yaml"
        text = _PLAN.format(name=name, flag=name.replace("-", "_"), check_interval=check_interval)
        path.write_text(text)
        paths.append(path)
    return paths


async def all_soaking(rollouts: Rollouts, paths: Sequence[Path]) -> list[RolloutPlan]:
    """Start a rollout of each plan and wait until its users have the flag and its candidate the traffic.

    Raises:
        RuntimeError: a rollout ended, or the server did not take it.
    """
    plans = [load_plan(path) for path in paths]
    at_once = asyncio.Semaphore(STARTED_AT_ONCE)

    async def soaking(plan: RolloutPlan) -> None:
        async with at_once:
            await start(rollouts, RolloutRequest(plan=plan, images={"backend": IMAGE}, by="bench"))
            while True:
                progress = (await rollouts.observe(plan.workflow_id)).progress
                if progress is not None and progress.status is RolloutStatus.SOAKING:
                    return
                if progress is not None and progress.status.is_final:
                    raise RuntimeError(f"{plan.name} ended as {progress.status}: {progress.why}")
                await asyncio.sleep(BETWEEN_LOOKS.total_seconds())

    async with asyncio.TaskGroup() as starting:
        for plan in plans:
            starting.create_task(soaking(plan))
    return plans


async def until_latched_off(store: FlagStore) -> None:
    """Read the store until it holds the latch and every flag off."""
    while True:
        snapshot = await store.read()
        if snapshot is not None and snapshot.is_latched_off:
            return
