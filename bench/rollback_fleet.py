"""Rollouts to measure: plans of their own, each with its own service and flag, all soaking at a tenth of the users."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ConnectionError, TimeoutError  # noqa: A004  (redis-py's own, not the interpreter's)

from flagstore.store import FlagStore
from rollout.messages import RolloutRequest
from rollout.plan import RolloutPlan
from starter.outcome import CommandEnds
from starter.plan_file import load_plan
from starter.rollouts import Rollouts, latest_beat
from starter.starting import start

IMAGE = "example/bench:2"
STARTED_AT_ONCE = 50
TOLD_EVERY = 100
ASKED_AT_ONCE = 20
BETWEEN_LOOKS = timedelta(milliseconds=500)
LOOKS_PER_QUESTION = 60
BETWEEN_READS = timedelta(milliseconds=5)
"""So fine are the figures. Reading without a pause would measure what the reading takes from everybody else."""

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
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
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


_WORLD = """\
name: world
description: Every service of the fleet. Nobody follows their flags, which nobody reads here
environment: bench
services:
{services}
flags: []
check_interval: 60s
baseline: {{window: 60s}}
guard: 1s
notifications: {{channels: [log]}}
metrics: {{}}
gates:
  health: {{kind: probe, title: Health, service: "{first}", path: /, action: hold, page_after: 1h}}
stages:
  - {{name: dark, deploy: true, traffic: [0%, 100%], traffic_hold: 1s, exposure: off, soak: 24h, gates: [health]}}
"""


def write_world(directory: Path, names: Sequence[str]) -> Path:
    """One plan file with all services, for the sandbox: following a thousand groups of flags would keep it busy."""
    path = directory / "world.yaml"
    services = (f"  {name}: {{project: example-shop, region: europe-west1, service: {name}}}" for name in names)
    path.write_text(_WORLD.format(services="\n".join(services), first=names[0]))
    return path


def keep_quiet(_many: int) -> None:
    """For a few that start at once."""


async def all_soaking(
    rollouts: Rollouts, redis: Redis, paths: Sequence[Path], tell: Callable[[int], None] = keep_quiet
) -> list[RolloutPlan]:
    """Start a rollout of each plan and wait until its candidate has the traffic and its users the flag.

    `tell` hears how many soak, every hundred. The store is asked and not the rollouts: each of those would answer by
    work for its worker, and that many questions keep it from the work that is waited for.

    Raises:
        RuntimeError: a rollout ended, or the server did not take it.
    """
    plans = [load_plan(path) for path in paths]
    at_once = asyncio.Semaphore(STARTED_AT_ONCE)
    there = 0

    async def soaking(plan: RolloutPlan) -> None:
        nonlocal there
        async with at_once:
            await start(rollouts, RolloutRequest(plan=plan, images={"backend": IMAGE}, by="bench"))
            store, looks = FlagStore(redis, plan.environment, plan.name), 0
            while not await _shown(store):
                looks += 1
                if looks % LOOKS_PER_QUESTION == 0:
                    await _must_go_on(rollouts, plan)
                await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
        there += 1
        if there % TOLD_EVERY == 0:
            tell(there)

    async with asyncio.TaskGroup() as starting:
        for plan in plans:
            starting.create_task(soaking(plan))
    return plans


async def _shown(store: FlagStore) -> bool:
    """Flags go on last in a stage: then it soaks. A machine that is busy with all of them is asked again."""
    try:
        snapshot = await store.read()
    except (ConnectionError, TimeoutError):
        return False
    return snapshot is not None and any(flag.exposure != "off" for flag in snapshot.flags.values())


async def _must_go_on(rollouts: Rollouts, plan: RolloutPlan) -> None:
    try:
        progress = (await rollouts.observe(plan.workflow_id)).progress
    except CommandEnds:
        return
    if progress is not None and progress.status.is_final:
        raise RuntimeError(f"{plan.name} ended as {progress.status}: {progress.why}")


async def until_latched_off(store: FlagStore) -> None:
    """Read the store until it holds the latch and every flag off."""
    while True:
        snapshot = await store.read()
        if snapshot is not None and snapshot.is_latched_off:
            return
        await asyncio.sleep(BETWEEN_READS.total_seconds())


@dataclass(frozen=True)
class Looks:
    """How the fleet is looked after: how old its judgements are, and how many of it are held."""

    ages: list[float]
    held: int


async def looks(rollouts: Rollouts, plans: Sequence[RolloutPlan]) -> Looks:
    """Ask the server for each one's newest judgement; an age is in seconds from the end of the interval it is about.

    Raises:
        RuntimeError: one of them does not soak, or was not looked at since it does.
    """
    at_once = asyncio.Semaphore(ASKED_AT_ONCE)
    found: list[float] = []
    held = 0

    async def look(plan: RolloutPlan) -> None:
        nonlocal held
        async with at_once:
            beat = await latest_beat(await rollouts.describe(plan.workflow_id))
        if beat is None:
            raise RuntimeError(f"{plan.name} was not looked at since it soaks")
        found.append((datetime.now(UTC) - beat.soak.judged_until).total_seconds())
        held += bool(beat.soak.causes)

    async with asyncio.TaskGroup() as looking:
        for plan in plans:
            looking.create_task(look(plan))
    return Looks(found, held)
