"""A rollback that somebody overtakes by `emergency-rollback --direct`, while the worker that carried it out is dead."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from activities.cloud_run import RestoreTraffic
from rollout.messages import EMERGENCY_TASK_QUEUE, SIGNAL_EMERGENCY, TASK_QUEUE
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import AN_HOUR, Land, Shape, land_for, plan_of
from tests.workflows.outside_faults import FAILING
from tests.workflows.world import Handle, World
from worker.wiring import OutsideWorld, activities_of
from workflows.canary_rollout import CanaryRolloutWorkflow

SOON = timedelta(milliseconds=200)
NAME = "overtaken"


def without_the_way_back(client: Client, outside: OutsideWorld) -> Sequence[Worker]:
    """The workflow, and the activities of its way forward alone."""
    normal, _ = activities_of(client, outside)
    return (Worker(client, task_queue=TASK_QUEUE, workflows=[CanaryRolloutWorkflow], activities=normal),)


def the_way_back(land: Land) -> Worker:
    client = land.environment.client
    _, emergency = activities_of(client, land.outside)
    return Worker(client, task_queue=EMERGENCY_TASK_QUEUE, activities=emergency)


async def rollback_overtaken_while_its_worker_was_dead(land: Land, world: World) -> Handle:
    """Leaves a rollback whose flags are off and whose traffic somebody else gave back, with a higher fence."""
    refusing = FAILING["Cloud Run refuses changes"]
    handle = await world.start()
    progress = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    refusing.strike(land)
    async with the_way_back(land):
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
        await world.until_under_way(handle, "restore_traffic", 1)
    # As `rollout emergency-rollback --direct` does it.
    assert (await world.store.emergency(by="robin", reason="it does not go back")).accepted
    refusing.lift(land)
    fence = (await world.flags()).epoch
    for anchor in progress.anchors.values():
        await world.cloud_run.restore_traffic(RestoreTraffic(anchor=anchor, candidate=None, fence=fence))
    return handle


async def test_the_worker_that_comes_back_finds_everything_done_and_pages_no_refusal(tmp_path: Path) -> None:
    async with land_for([NAME], tmp_path, worked_by=without_the_way_back) as land:
        world = land.world(plan_of(NAME, Shape(canary_soak=AN_HOUR), tmp_path))
        handle = await rollback_overtaken_while_its_worker_was_dead(land, world)
        fence = (await world.flags()).epoch

        async with the_way_back(land):
            await world.until_under_way(handle, "guard_rollback", 1)

            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert progress.fence == fence
            assert await world.is_safe(progress)
            assert [notice.title for notice in land.channel.notices if "refused" in notice.title] == []
            assert [event.text for event in progress.timeline if event.kind == "failure"] == []
