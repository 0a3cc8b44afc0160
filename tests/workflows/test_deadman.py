"""When nobody looks at the gates any more, somebody is paged, and the applications end safe by themselves.

In real time: on the server that skips it, nothing is skipped while a look hangs.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.messages import SIGNAL_EMERGENCY
from rollout.plan import RolloutPlan
from rollout.plan_parts import Deadman
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.shipped_plans import shipped
from tests.workflows.standing import taken_back
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, World, laid_out_in_real_time

PATIENCE = timedelta(seconds=3)
LEASE = timedelta(seconds=5)


def with_a_deadman() -> RolloutPlan:
    plan = shipped("rehearsal.yaml")
    long = [stage.model_copy(update={"soak": timedelta(hours=1)}) for stage in plan.stages]
    deadman = Deadman(page_after=PATIENCE, flags_off_after=LEASE)
    return plan.model_copy(update={"deadman": deadman, "stages": long, "guard": timedelta(seconds=1)})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out_in_real_time(with_a_deadman(), tmp_path) as laid:
        yield laid


async def pages(world: World, count: int) -> list[str]:
    """Wait until there are so many pages about silence."""
    async with asyncio.timeout(REAL_SECONDS):
        while True:
            told = [n.text for n in world.channel.notices if n.title == "Nobody looks at the gates"]
            if len(told) >= count:
                return told
            await asyncio.sleep(POLL_SECONDS)


async def lease_is_held(world: World, *, held: bool) -> None:
    """Wait until the lease is there, or is not."""
    async with asyncio.timeout(REAL_SECONDS):
        while bool(await world.outside.redis.exists(world.store.keys.lease)) is not held:  # noqa: ASYNC110  (the store is asked)
            await asyncio.sleep(POLL_SECONDS)


async def test_looks_that_never_end_page_again_and_again_and_let_the_lease_run_out_until_they_end_once_more(
    world: World,
) -> None:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, step=timedelta(seconds=POLL_SECONDS))
    await lease_is_held(world, held=True)
    assert (await world.flags()).deadman_ms == LEASE / timedelta(milliseconds=1)

    world.source.hanging = True
    told = await pages(world, 2)
    await lease_is_held(world, held=False)

    silent = re.match(r"None has ended for (\d+)", told[0])
    assert silent is not None, told[0]
    assert int(silent[1]) >= 3, "a busy machine is later to say so"
    assert "turn the features off by themselves 5 s after" in told[0]
    progress: RolloutProgress = await world.progress(handle)
    assert any("no look at the gates has ended for" in event.text for event in progress.timeline)
    world.source.hanging = False
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "nobody looks"})
    await taken_back(world, handle, "emergency")


async def test_while_looks_end_nobody_is_paged_and_the_lease_is_renewed(world: World) -> None:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, step=timedelta(seconds=POLL_SECONDS))
    began = await world.now()
    while await world.now() < began + 2 * LEASE:
        assert await world.outside.redis.exists(world.store.keys.lease)
        await asyncio.sleep(POLL_SECONDS)

    assert await pages(world, 0) == []
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "enough"})
    await taken_back(world, handle, "emergency")
