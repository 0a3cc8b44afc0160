"""A rollout whose call of an endpoint, or whose write of a flag, is carried out and not answered yet."""

import asyncio

from temporalio.client import WorkflowUpdateHandle, WorkflowUpdateStage

from rollout.commands import CommandName
from rollout.messages import Answer, FlagStage
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import SOON, Land
from tests.workflows.matrix_checks import AN_ENDPOINT
from tests.workflows.small_plans import Shape
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, Handle, World

CHECKED = Shape(check_after=AN_ENDPOINT)


async def checked_without_an_answer(land: Land, world: World) -> Handle:
    """Of a plan that is `CHECKED`: `canary` has its credit, and the endpoint asked before it passes is silent."""
    land.endpoint_wire.silence()
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    await world.until_under_way(handle, "check_endpoint", 1)
    return handle


async def asked_without_an_answer(land: Land, world: World) -> Handle:
    """The first endpoint that a stage asks is silent."""
    land.endpoint_wire.silence()
    handle = await world.start()
    await world.until_under_way(handle, "check_endpoint", 1)
    return handle


def answered_again(land: Land) -> None:
    land.endpoint_wire.speak()
    land.endpoint_wire.cut()


async def written_and_seen(land: Land, handle: Handle, stage: str, flag: str) -> WorkflowUpdateHandle[Answer]:
    """Ask for the flag to be set. No answer of the store comes, but a look has reported what it saw written."""
    reported = await watches_begun(handle)
    land.wire.acknowledge_writes(False)
    command = FlagStage(by="kim", reason="it is slow", flag=flag, stage=stage)
    asked = await handle.start_update(
        CommandName.SET_STAGE, command, wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=Answer
    )
    async with asyncio.timeout(REAL_SECONDS):
        while await watches_begun(handle) == reported:  # noqa: ASYNC110  (the server is asked)
            await asyncio.sleep(POLL_SECONDS)
    return asked


async def written_and_seen_before_it_is_acknowledged(land: Land, handle: Handle, stage: str, flag: str) -> Answer:
    asked = await written_and_seen(land, handle, stage, flag)
    land.wire.acknowledge_writes(True)
    return await asked.result()


async def watches_begun(handle: Handle) -> int:
    """Looks that report nothing are attempts of one watch; after a report another one is begun."""
    events = [event async for event in handle.fetch_history_events()]
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in events]
    return scheduled.count("watch_gates")
