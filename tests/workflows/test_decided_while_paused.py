"""Paused, or waiting, and held at once: what a person decides about the hold is taken, and lets nothing rise."""

import asyncio
from datetime import timedelta
from pathlib import Path

from rollout.commands import CommandName
from rollout.messages import ResolveHold
from rollout.progress import RolloutStatus
from starter.rollouts import Rollouts, newest
from tests.workflows.changed_plans import approved_first
from tests.workflows.commanding import adopt, ask, refusal
from tests.workflows.foreign_changes import deploy_by_hand
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.small_plans import A_MOMENT, IN_CANARY, TO_THE_END, Shape, plan_of
from tests.workflows.standing import until_held
from tests.workflows.world import REAL_SECONDS, World

CONTINUE = ResolveHold(by="alex", reason="a known test", how="continue")


async def credit_of_now(world: World) -> timedelta:
    """As `rollout status` shows it."""
    progress = newest(await Rollouts(world.client).observe(world.plan.workflow_id))
    assert progress is not None
    return progress.current.credit


async def test_a_gate_is_passed_over_while_it_is_paused_and_holds_nothing_once_it_is_resumed(tmp_path: Path) -> None:
    async with one_rollout(plan_of("decided", IN_CANARY), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.busy_plans.add(world.plan.name)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        await ask(handle, CommandName.PAUSE)
        paused = await world.progress(handle)
        assert "it is held too (CPU" in paused.next
        assert "`rollout resolve-hold continue decided --reason …`" in paused.next

        decided = await ask(handle, CommandName.RESOLVE_HOLD, CONTINUE)

        assert decided.next.endswith("; it stays paused until `rollout resume decided`")
        kept = await world.progress(handle)
        assert (kept.status, kept.current.waived) == (RolloutStatus.PAUSED, ("cpu",))
        assert "held" not in kept.next
        again = await refusal(handle, CommandName.RESOLVE_HOLD, CONTINUE)
        assert again == "cannot resolve hold: nothing holds it"
        credit = kept.current.credit

        resumed = await ask(handle, CommandName.RESUME)

        assert (resumed.next, resumed.status) == ("the credit clock runs again", "soaking")
        async with asyncio.timeout(REAL_SECONDS):
            while await credit_of_now(world) <= credit:
                await world.sleep(SOON)
        assert (await world.progress(handle)).status is RolloutStatus.SOAKING


async def test_what_holds_the_stage_before_an_approval_is_passed_over_and_keeps_what_is_approved_from_nothing(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of("waits", Shape(canary_soak=A_MOMENT, approval=True)), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        land.source.busy_plans.add(world.plan.name)
        await until_held(world, handle)

        decided = await ask(handle, CommandName.RESOLVE_HOLD, CONTINUE)

        assert decided.status == "awaiting_approval"
        assert decided.next.startswith("cpu holds this stage no longer")
        assert (await ask(handle, CommandName.APPROVE)).next == "entering staged"
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)


async def test_what_others_deployed_is_adopted_while_it_is_paused_and_nothing_is_deployed_before_it_is_resumed(
    tmp_path: Path,
) -> None:
    async with one_rollout(approved_first(plan_of("adopted", TO_THE_END)), tmp_path) as (_, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        theirs = await deploy_by_hand(world, "registry.example/backend:robins-hotfix")
        await ask(handle, CommandName.APPROVE)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        await ask(handle, CommandName.PAUSE)
        assert "a person decides about that; `adopt`" in await refusal(handle, CommandName.RETRY)

        await adopt(handle)

        paused = await world.progress(handle)
        assert (paused.status, paused.deployed_by_others, paused.candidates) == (RolloutStatus.PAUSED, {}, {})
        assert (await ask(handle, CommandName.RESUME)).status == "entering"
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.anchors["backend"].stable == theirs
