"""What tests wait for in the one rollout of the quick plan."""

import asyncio
from collections.abc import Awaitable, Callable

from rollout.progress import RolloutProgress, RolloutStatus
from starter.rollouts import Rollouts

PATIENCE_SECONDS = 60.0
BETWEEN_LOOKS_SECONDS = 0.05
QUICK = "rollout/quick"


async def is_open(rollouts: Rollouts) -> bool:
    return bool(await rollouts.listed(only_open=True))


async def closed(rollouts: Rollouts) -> None:
    """Wait until no rollout is open."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await is_open(rollouts):  # noqa: ASYNC110  (the condition holds in another process)
            await asyncio.sleep(BETWEEN_LOOKS_SECONDS)


def once(holds: Callable[[RolloutProgress], bool]) -> Callable[[Rollouts], Awaitable[RolloutProgress]]:
    """The rollout's record as soon as a condition holds for it."""

    async def wait(rollouts: Rollouts) -> RolloutProgress:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await rollouts.observe(QUICK)).progress
                if found is not None and holds(found):
                    return found
                await asyncio.sleep(BETWEEN_LOOKS_SECONDS)

    return wait


it_waits_for_approval = once(lambda found: found.status is RolloutStatus.AWAITING_APPROVAL)
it_is_watched = once(lambda found: found.status is RolloutStatus.WATCHING)
it_holds = once(lambda found: found.status is RolloutStatus.HOLDING)
