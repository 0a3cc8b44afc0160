"""Where a rollout of these tests has come to stand: what a test begins with, and ends in."""

import asyncio

from rollout.commands import CommandName
from rollout.messages import Notice
from rollout.progress import RollbackCause, RolloutProgress, RolloutStatus
from tests.workflows.commanding import ask
from tests.workflows.many_rollouts import SOON, Land
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, Handle, World


async def in_stage(world: World, name: str) -> Handle:
    handle = await world.start()
    await world.approve(handle)
    await world.until(handle, RolloutStatus.SOAKING, stage=name)
    return handle


async def taken_back(world: World, handle: Handle, cause: RollbackCause) -> RolloutProgress:
    result = await handle.result()
    assert result.status is RolloutStatus.ROLLED_BACK, result.why
    assert result.rollback is not None
    assert result.rollback.cause == cause
    assert await world.is_safe(result)
    return result


async def shown(world: World) -> dict[str, str]:
    return {flag: exposure.in_words() for flag, exposure in (await world.flags()).flags.items()}


async def until_held(world: World, handle: Handle) -> None:
    """Whatever it is said to stand at: the gates of the stage that people are shown do not pass."""
    async with asyncio.timeout(REAL_SECONDS):
        while True:
            progress = await world.progress(handle)
            assert progress.entered_last is not None
            soak = progress.stages[progress.entered_last].soak_state
            if soak is not None and soak.standing == "holding":
                return
            await world.sleep(SOON)


async def resumed_to_its_approval_while_held(land: Land, world: World, handle: Handle) -> None:
    """It was paused before anything held it. Resumed, it waits for its approval, which nothing keeps from coming."""
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    await ask(handle, CommandName.PAUSE)
    land.source.busy_plans.add(world.plan.name)
    await until_held(world, handle)
    await ask(handle, CommandName.RESUME)
    waiting = await world.progress(handle)
    assert (waiting.status, waiting.why) == (RolloutStatus.AWAITING_APPROVAL, "staged needs a person's approval")


async def until_told(world: World, title: str) -> list[Notice]:
    """Wait until there is a notice whose title has this in it: it is on its way when what it tells is seen already."""
    async with asyncio.timeout(REAL_SECONDS):
        while not (notices := _with(world, title)):  # noqa: ASYNC110  (the channel is asked)
            await asyncio.sleep(POLL_SECONDS)
    return notices


def told(world: World, title: str) -> list[str]:
    """What the notices say whose title has this in it, until now."""
    return [notice.text for notice in _with(world, title)]


def _with(world: World, title: str) -> list[Notice]:
    return [notice for notice in world.channel.notices if title in notice.title]
