"""Workers that do a part of a worker's work, so that a test decides when the rest of it is done."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from temporalio.client import Client
from temporalio.worker import Worker

from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE
from tests.workflows.many_rollouts import Land
from worker.wiring import OutsideWorld, activities_of, workers
from workflows.canary_rollout import CanaryRolloutWorkflow


def nobody(_client: Client, _outside: OutsideWorld) -> Sequence[Worker]:
    """For a land whose workers are started, and die, later."""
    return ()


def without_the_workflow(client: Client, outside: OutsideWorld) -> Sequence[Worker]:
    """The activities of both queues, so that calls are answered while nobody carries the workflow on."""
    normal, emergency = activities_of(client, outside)
    return (
        Worker(client, task_queue=TASK_QUEUE, activities=normal),
        Worker(client, task_queue=EMERGENCY_TASK_QUEUE, activities=emergency),
    )


def carrying_on(client: Client) -> Worker:
    return Worker(client, task_queue=TASK_QUEUE, workflows=[CanaryRolloutWorkflow])


def without_the_way_back(client: Client, outside: OutsideWorld) -> Sequence[Worker]:
    """The workflow, and the activities of its way forward alone."""
    normal, _ = activities_of(client, outside)
    return (Worker(client, task_queue=TASK_QUEUE, workflows=[CanaryRolloutWorkflow], activities=normal),)


def the_way_back(land: Land) -> Worker:
    client = land.environment.client
    _, emergency = activities_of(client, land.outside)
    return Worker(client, task_queue=EMERGENCY_TASK_QUEUE, activities=emergency)


@asynccontextmanager
async def working(land: Land) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for worker in workers(land.environment.client, land.outside):
            await stack.enter_async_context(worker)
        yield
