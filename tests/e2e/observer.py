"""Reading a rollout's effects where they are: flags in Redis, splits at Cloud Run's API, the record at Temporal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activities.cloud_run import CloudRunActivities
from activities.google_clients import google_clients
from config.temporal import connect
from flagstore import store
from flagstore.store import FlagStore
from local.stack import LocalStack
from rollout.flags import FlagSnapshot
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress
from rollout.traffic import TrafficSplit
from starter.outcome import CommandEnds
from starter.rollouts import Rollouts

BETWEEN_LOOKS_SECONDS = 0.1
PATIENCE_SECONDS = 120.0


@dataclass
class Observer:
    plan: RolloutPlan
    rollouts: Rollouts
    flag_store: FlagStore
    cloud_run: CloudRunActivities

    async def progress(self) -> RolloutProgress | None:
        try:
            return (await self.rollouts.observe(self.plan.workflow_id)).progress
        except CommandEnds:
            # Not started yet.
            return None

    async def once(self, holds: Callable[[RolloutProgress], bool]) -> RolloutProgress:
        """The record as soon as a condition holds for it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                progress = await self.progress()
                if progress is not None and holds(progress):
                    return progress
                await asyncio.sleep(BETWEEN_LOOKS_SECONDS)

    async def once_closed(self) -> RolloutProgress:
        return await self.once(lambda progress: progress.finished_at is not None)

    async def flags(self) -> FlagSnapshot:
        snapshot = await self.flag_store.read()
        assert snapshot is not None
        return snapshot

    async def shown(self) -> set[str]:
        """What the flags of the plan are at, in words."""
        return {exposure.in_words() for exposure in (await self.flags()).flags.values()}

    async def splits(self) -> dict[str, TrafficSplit]:
        return {key: await self.cloud_run.read_traffic(self.plan.service_ref(key)) for key in self.plan.services}

    async def is_safe(self, progress: RolloutProgress) -> bool:
        """Flags latched off and traffic at the anchor, both read now."""
        snapshot, splits = await self.flags(), await self.splits()
        return (
            snapshot.latch
            and await self.shown() == {"off"}
            and all(splits[key].shares == anchor.split.shares for key, anchor in progress.anchors.items())
        )


@asynccontextmanager
async def observing(stack: LocalStack, plan: RolloutPlan) -> AsyncIterator[Observer]:
    """An observer with connections of its own."""
    environment = stack.environment
    redis = store.connect(environment["ROLLOUT_REDIS_URL"])
    google = google_clients(environment["ROLLOUT_GOOGLE_ENDPOINT"])
    try:
        yield Observer(
            plan=plan,
            rollouts=Rollouts(await connect(environment)),
            flag_store=FlagStore(redis, plan.environment, plan.name),
            cloud_run=CloudRunActivities(google.services, google.revisions),
        )
    finally:
        await google.close()
        await redis.aclose()
