"""An emergency and the answer to a call of the way forward, both in one task of the workflow: nothing goes on."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from rollout.messages import EMERGENCY_TASK_QUEUE, SIGNAL_EMERGENCY, TASK_QUEUE, UPDATE_STEP_BACK
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import AN_HOUR, Land, Shape, land_for, plan_of
from tests.workflows.outside_faults import FAILING
from tests.workflows.test_commands import ask
from tests.workflows.world import Handle, World
from worker.wiring import OutsideWorld, activities_of
from workflows.canary_rollout import CanaryRolloutWorkflow

SOON = timedelta(milliseconds=200)
NAME = "answered-late"


def without_the_workflow(client: Client, outside: OutsideWorld) -> Sequence[Worker]:
    """The activities of both queues, so that calls are answered while nobody carries the workflow on."""
    normal, emergency = activities_of(client, outside)
    return (
        Worker(client, task_queue=TASK_QUEUE, activities=normal),
        Worker(client, task_queue=EMERGENCY_TASK_QUEUE, activities=emergency),
    )


def carrying_on(client: Client) -> Worker:
    return Worker(client, task_queue=TASK_QUEUE, workflows=[CanaryRolloutWorkflow])


async def emergency_as_a_step_back_is_answered(land: Land, world: World) -> Handle:
    """Leaves the rollout rolled back, guarded, and with nobody who carries it on."""
    away = FAILING["the flag store is away"]
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        away.strike(land)
        await ask(handle, UPDATE_STEP_BACK)
        await world.until_under_way(handle, "set_exposures", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    away.lift(land)
    while await world.under_way(handle):
        await world.environment.sleep(SOON)
    async with carrying_on(world.client):
        await world.until_under_way(handle, "guard_rollback", 1)
    return handle


async def test_the_way_forward_does_not_go_on_beside_the_rollback_of_an_emergency_that_met_an_answer(
    tmp_path: Path,
) -> None:
    async with land_for([NAME], tmp_path, worked_by=without_the_workflow) as land:
        world = land.world(plan_of(NAME, Shape(canary_soak=AN_HOUR), tmp_path))

        handle = await emergency_as_a_step_back_is_answered(land, world)

        async with carrying_on(world.client):
            await world.until_under_way(handle, "guard_rollback", 1)
            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert [event.text for event in progress.timeline if event.text.startswith("stepped back")] == []
            assert await world.under_way(handle) == ["guard_rollback"]
            assert await world.is_safe(progress)
