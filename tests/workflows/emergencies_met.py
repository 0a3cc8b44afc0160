"""Emergencies that meet what is under way. Tests look at where each leaves the rollout; its history is recorded."""

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.workflows.commanding import ask
from tests.workflows.foreign_changes import take_back_directly
from tests.workflows.many_rollouts import SOON, Land
from tests.workflows.outside_faults import FAILING
from tests.workflows.partial_workers import carrying_on, the_way_back
from tests.workflows.world import Handle, World


async def answered_and_carried_on(world: World, handle: Handle) -> None:
    """Once every call is answered: the workflow hears of it, and of the emergency, in one task."""
    while await world.under_way(handle):
        await world.sleep(SOON)
    async with carrying_on(world.client):
        await world.until_under_way(handle, "guard_rollback", 1)


async def emergency_as_a_step_back_is_answered(land: Land, world: World) -> Handle:
    """Leaves the rollout rolled back, guarded, and with nobody who carries it on."""
    away = FAILING["the flag store is away"]
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        away.strike(land)
        await ask(handle, CommandName.STEP_BACK)
        await world.until_under_way(handle, "set_exposures", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    away.lift(land)
    await answered_and_carried_on(world, handle)
    return handle


async def emergency_as_the_start_is_refused(land: Land, world: World) -> Handle:
    """Leaves a rollout that could take nothing, rolled back, guarded, and with nobody who carries it on."""
    away = FAILING["the flag store is away"]
    away.strike(land)
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until_under_way(handle, "begin_rollout", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    latched = await world.store.emergency(by="robin", reason="not today")
    assert latched.accepted, latched.sentence
    away.lift(land)
    await answered_and_carried_on(world, handle)
    return handle


async def emergency_as_the_dead_man_pages(land: Land, world: World) -> Handle:
    """Leaves the rollout rolled back, guarded, and with nobody who carries it on."""
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.hanging = True
    while "look_after_the_watch" in await world.under_way(handle):
        await world.sleep(SOON)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    async with carrying_on(world.client):
        await world.until_under_way(handle, "guard_rollback", 1)
    return handle


async def emergency_while_the_last_notice_is_not_delivered(land: Land, world: World) -> Handle:
    """All stages have passed, and what was told of it keeps the rollout from ending; then comes the emergency."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
    land.channel.answering.clear()
    await world.until(handle, RolloutStatus.COMPLETED, step=SOON)
    await world.until_under_way(handle, "notify", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    return handle


async def rollback_overtaken_while_its_worker_was_dead(land: Land, world: World) -> Handle:
    """Leaves a rollback whose flags are off and whose traffic somebody else gave back, with a higher fence."""
    refusing = FAILING["Cloud Run refuses changes"]
    handle = await world.start()
    progress = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    refusing.strike(land)
    async with the_way_back(land):
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
        await world.until_under_way(handle, "restore_traffic", 1)
    refusing.lift(land)
    await take_back_directly(world, progress)
    return handle
