"""Two plans that name the same service or the same flag: the second one is refused, and says whose it is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle

from flagstore.ownership import owned
from flagstore.store import connect
from rollout.messages import SIGNAL_EMERGENCY, TASK_QUEUE, RolloutRequest
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.world import CANDIDATE_IMAGE, World, laid_out
from workflows.canary_rollout import CanaryRolloutWorkflow


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out("request-isolation.yaml", tmp_path) as world:
        yield world


def renamed(plan: RolloutPlan, name: str) -> RolloutPlan:
    return plan.model_copy(update={"name": name})


async def begun(world: World, plan: RolloutPlan) -> WorkflowHandle[CanaryRolloutWorkflow, RolloutProgress]:
    return await world.client.start_workflow(
        CanaryRolloutWorkflow.run,
        RolloutRequest(plan=plan, images={key: CANDIDATE_IMAGE.format(key) for key in plan.services}, by="kim"),
        id=plan.workflow_id,
        task_queue=TASK_QUEUE,
    )


async def test_a_second_plan_over_a_service_that_is_being_rolled_out_is_refused_with_its_owners_name(
    world: World,
) -> None:
    first = await world.start()
    await world.until(first, RolloutStatus.AWAITING_APPROVAL)

    second = await (await begun(world, renamed(world.plan, "a-hurry"))).result()

    assert second.status is RolloutStatus.REFUSED
    assert "belongs to rollout/request-isolation" in second.why
    assert second.traffic == {}
    assert (await world.progress(first)).status is RolloutStatus.AWAITING_APPROVAL


async def test_a_rollout_that_has_ended_leaves_its_services_and_flags_to_the_next(world: World) -> None:
    first = await world.start()
    await world.until(first, RolloutStatus.AWAITING_APPROVAL)
    await first.signal(SIGNAL_EMERGENCY, "not today")
    assert (await first.result()).status is RolloutStatus.ROLLED_BACK
    redis = connect(world.redis.url)
    assert await owned(redis) == {}
    await redis.aclose()

    second = await begun(world, renamed(world.plan, "the-next"))

    assert (await world.until(second, RolloutStatus.AWAITING_APPROVAL)).status is RolloutStatus.AWAITING_APPROVAL
