"""What people ask of a rollout in these tests, and what they are answered."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, TASK_QUEUE, WORKFLOW, Answer, Command, Extend, FlagStage, ResolveHold
from tests.workflows.world import Handle, World, answered

KIM = Command(by="kim", reason="I know why")


async def ask(handle: Handle, update: str, command: Command = KIM) -> Answer:
    return await answered(handle, update, command)


async def refusal(handle: Handle, update: str, command: Command = KIM) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await ask(handle, update, command)
    return str(refused.value.cause)


async def set_stage(handle: Handle, stage: str, flag: str = "factory_pattern") -> Answer:
    command = FlagStage(by="kim", reason="the factory is slow", flag=flag, stage=stage)
    return await ask(handle, CommandName.SET_STAGE, command)


async def adopt(handle: Handle) -> Answer:
    """Have what somebody else changed become what the rollout set."""
    command = ResolveHold(by="kim", reason="robin is right", how="adopt")
    return await ask(handle, CommandName.RESOLVE_HOLD, command)


async def step_back(handle: Handle) -> None:
    await ask(handle, CommandName.STEP_BACK, Command(by="kim", reason="slow"))


async def extend(handle: Handle) -> None:
    await ask(handle, CommandName.EXTEND, Extend(by="kim", reason="one more look", more=timedelta(hours=1)))


async def emergency(handle: Handle) -> None:
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})


async def started_with(world: World, inputs: Sequence[object]) -> WorkflowHandle[Any, Any]:
    """A workflow with just these inputs, and an emergency signal that comes with its start."""
    return await world.client.start_workflow(
        WORKFLOW,
        args=inputs,
        id=world.plan.workflow_id,
        task_queue=TASK_QUEUE,
        start_signal=SIGNAL_EMERGENCY,
        start_signal_args=["stop"],
    )
