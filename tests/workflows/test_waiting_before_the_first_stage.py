"""A rollout that has not entered anything yet sees the kill switch all the same, and ends without exposing anybody."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import Command
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from tests.workflows.changed_plans import approved_first, frozen_today
from tests.workflows.commanding import ask
from tests.workflows.shipped_plans import shipped
from tests.workflows.world import REAL_SECONDS, Handle, World, laid_out_in_real_time


def rehearsal() -> RolloutPlan:
    """Guarded for a second: nothing is under way that could arrive late."""
    return shipped("rehearsal.yaml").model_copy(update={"guard": timedelta(seconds=1)})


def frozen(plan: RolloutPlan) -> RolloutPlan:
    return plan.model_copy(update={"windows": frozen_today(datetime.now(UTC))})


async def waiting(world: World, status: RolloutStatus) -> Handle:
    handle = await world.start()
    await world.until(handle, status, step=world.plan.check_interval / 20)
    await world.until_under_way(handle, "watch_store", 1)
    return handle


async def settled(world: World, handle: Handle, reason: str) -> None:
    result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
    assert result.status is RolloutStatus.ROLLED_BACK, result.why
    assert result.rollback is not None
    assert (result.rollback.cause, result.rollback.by) == ("emergency", "flag store")
    assert reason in result.rollback.reason
    # Nothing was deployed, so nobody can have been shown anything.
    assert result.candidates == {}
    assert await world.is_safe(result)


@pytest.mark.parametrize(
    ("plan_of", "status"),
    [(approved_first, RolloutStatus.AWAITING_APPROVAL), (frozen, RolloutStatus.AWAITING_WINDOW)],
    ids=["for an approval", "for a window"],
)
async def test_a_kill_switch_pulled_while_the_first_stage_is_waited_for_settles_in_rolled_back(
    tmp_path: Path, plan_of: Callable[[RolloutPlan], RolloutPlan], status: RolloutStatus
) -> None:
    async with laid_out_in_real_time(plan_of(rehearsal()), tmp_path) as world:
        handle = await waiting(world, status)

        await world.store.emergency(by="on-call", reason="not today")

        await settled(world, handle, "the kill switch of this group was set in the flag store")


async def test_a_store_that_lost_everything_before_the_first_stage_is_latched_and_it_settles_in_rolled_back(
    tmp_path: Path,
) -> None:
    async with laid_out_in_real_time(approved_first(rehearsal()), tmp_path) as world:
        handle = await waiting(world, RolloutStatus.AWAITING_APPROVAL)
        await ask(handle, CommandName.PAUSE, Command(by="kim", reason="lunch"))

        await world.outside.redis.flushall()

        await settled(world, handle, "lost its data")
