"""Redis came back without what was written to it last; what it holds now may be anybody's."""

from datetime import timedelta

from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.flagstore.ground import LADDER, begin
from tests.workflows.standing import in_stage, taken_back
from tests.workflows.world import World


async def test_a_store_that_lost_everything_is_latched_off_and_the_rollout_goes_back(world: World) -> None:
    handle = await in_stage(world, "internal")
    await world.outside.redis.flushall()

    result = await taken_back(world, handle, "emergency")

    assert result.rollback is not None
    assert "lost its data" in result.rollback.reason


async def test_the_flags_of_an_earlier_rollout_that_came_back_with_an_old_copy_are_latched_off(world: World) -> None:
    redis = world.outside.redis
    begun = await begin(world.store, "rollout/earlier", flags=tuple(world.plan.flags))
    for exposure in LADDER[1:]:
        to = dict.fromkeys(world.plan.flags, exposure)
        assert (await world.store.set_exposures(to, fence=begun.epoch, by="kim", reason="earlier")).accepted
    await world.store.release(owner="rollout/earlier", outcome="completed")
    for key in await redis.keys():
        await redis.copy(str(key), str(key), destination_db="1")
    handle = await in_stage(world, "internal")
    await redis.swapdb(0, 1)

    result = await taken_back(world, handle, "emergency")

    assert result.rollback is not None
    assert "lost writes: it is at epoch 1, the rollout at 2" in result.rollback.reason


async def test_a_kill_switch_that_is_lost_after_the_rollback_is_set_again_while_it_is_guarded(world: World) -> None:
    handle = await in_stage(world, "internal")
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
    await world.until(handle, RolloutStatus.ROLLED_BACK, step=timedelta(seconds=2))
    latched_at = (await world.flags()).epoch
    await world.outside.redis.flushall()

    result = await handle.result()

    assert await world.is_safe(result)
    assert (await world.flags()).epoch > latched_at
    assert any("the flag store had lost the kill switch; it is set again" in event.text for event in result.timeline)
