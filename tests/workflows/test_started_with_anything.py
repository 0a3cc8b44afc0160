"""A workflow that somebody started from Temporal's UI, with whatever was typed, fails at once and says why."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RawValue

from rollout.messages import SIGNAL_EMERGENCY, TASK_QUEUE, WORKFLOW
from starter.rollouts import Rollouts
from tests.workflows.many_rollouts import Shape, land_for, plan_of
from tests.workflows.world import REAL_SECONDS, World

NAME = "typed"
A_COMMAND = "`rollout start PLAN` sends it"


async def failure(world: World, inputs: Sequence[object]) -> str:
    """Why it failed, though an emergency signal came with its start."""
    handle = await world.client.start_workflow(
        WORKFLOW,
        args=inputs,
        id=world.plan.workflow_id,
        task_queue=TASK_QUEUE,
        start_signal=SIGNAL_EMERGENCY,
        start_signal_args=["stop"],
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    said = str(failed.value.cause)
    assert said in (await Rollouts(world.client).observe(handle.id)).silence, "whoever asks how it is reads why"
    return said


@pytest.mark.timeout(4 * REAL_SECONDS)
async def test_garbage_is_told_in_words_and_an_emergency_beside_it_touches_nothing(tmp_path: Path) -> None:
    async with land_for([NAME], tmp_path) as land:
        world = land.world(plan_of(NAME, Shape(), tmp_path))
        service = world.plan.service_ref("backend")
        before = await world.cloud_run.read_traffic(service)
        plan = world.plan.model_dump(mode="json", exclude_none=True)

        said = {
            "nothing": await failure(world, []),
            "a text": await failure(world, ["go"]),
            "two": await failure(world, [{}, {}]),
            "bytes": await failure(world, [RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"\xff{"))]),
            "an empty object": await failure(world, [{}]),
            "no image": await failure(world, [{"plan": plan, "images": {}, "by": "kim"}]),
            "a wrong plan": await failure(world, [{"plan": {**plan, "stages": []}, "images": {}, "by": "kim"}]),
            "a wrong guard": await failure(world, [{"plan": {**plan, "guard": 5}, "images": {}, "by": "kim"}]),
        }

        assert said["nothing"].startswith("cannot start: it came without an input; one object is expected")
        assert said["a text"].startswith("cannot start: its input is JSON of another kind (str); ")
        assert said["two"].startswith("cannot start: it came with 2 inputs; ")
        assert said["bytes"].startswith("cannot start: its input is bytes that are not JSON; ")
        assert said["an empty object"].startswith("cannot start: plan: Field required; images: Field required; by: ")
        assert said["no image"] == (
            "cannot start: images: one for each service of the plan is expected, which has backend"
        )
        assert "plan.stages" in said["a wrong plan"]
        assert said["a wrong guard"].startswith("cannot start: plan.guard: a duration is a number with a unit: 500ms")
        assert all(A_COMMAND in text for name, text in said.items() if name != "no image")
        assert await world.store.read() is None
        assert (await world.cloud_run.read_traffic(service)).shares == before.shares
