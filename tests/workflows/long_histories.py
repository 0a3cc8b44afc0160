"""Rollouts, on a server that is told `SHORTLY`, whose histories grow long."""

import asyncio
from collections.abc import Awaitable, Callable

from rollout.commands import CommandName
from rollout.progress import RolloutProgress
from starter import controlling
from starter.rollouts import Rollouts
from tests.workflows.commanding import KIM
from tests.workflows.many_rollouts import EVENTS_BEFORE_CONTINUING
from tests.workflows.world import REAL_SECONDS, Handle, World

STILL_AT_WORK = {"activity_task_started_event_attributes", "activity_task_cancel_requested_event_attributes"}


async def look_at_once(world: World, handle: Handle) -> None:
    """So that the history grows. A command that the server gives up, as the run is being continued, is asked again."""
    await controlling.ask(Rollouts(world.client), handle.id, CommandName.RETRY, KIM, None)


async def told_something(_world: World, handle: Handle) -> None:
    """As above, where there is nothing to look at again."""
    await handle.signal("hello")


Growing = Callable[[World, Handle], Awaitable[None]]


async def grown_long(world: World, handle: Handle, growing_by: Growing = look_at_once) -> None:
    """Long enough to be continued, if nothing else kept it from that."""
    async with asyncio.timeout(REAL_SECONDS):
        while (await handle.describe()).history_length < 2 * EVENTS_BEFORE_CONTINUING:
            await growing_by(world, handle)


async def continued(
    world: World,
    handle: Handle,
    watched_by: str = "watch_gates",
    growing_by: Growing = look_at_once,
) -> RolloutProgress:
    """Asked for something so often that its history grew long, and a new run has taken it up."""
    before = await world.progress(handle)
    async with asyncio.timeout(REAL_SECONDS):
        while (after := await world.progress(handle)).run_id == before.run_id:
            await growing_by(world, handle)
    await world.until_under_way(handle, watched_by, 1)
    return after


async def left_behind(world: World, handle: Handle, run_id: str) -> list[str]:
    """Names of the calls that were still at work, as far as its history says, when that run ended."""
    run = world.client.get_workflow_handle(handle.id, run_id=run_id)
    at_work: dict[int, str] = {}
    for event in (await run.fetch_history()).events:
        kind = event.WhichOneof("attributes") or ""
        if kind == "activity_task_scheduled_event_attributes":
            at_work[event.event_id] = event.activity_task_scheduled_event_attributes.activity_type.name
        elif kind.startswith("activity_task_") and kind not in STILL_AT_WORK:
            del at_work[getattr(event, kind).scheduled_event_id]
    return list(at_work.values())
