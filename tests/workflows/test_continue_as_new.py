"""A history that grows long is continued as new, and nothing of the rollout is lost on the way."""

import asyncio
from datetime import timedelta
from pathlib import Path

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Answer, Extend
from rollout.progress import RolloutStatus
from tests.workflows.commanding import ask
from tests.workflows.emergencies_met import emergency_while_the_last_notice_is_not_delivered
from tests.workflows.long_histories import grown_long, look_at_once
from tests.workflows.many_rollouts import SHORTLY, SOON, Land, one_rollout
from tests.workflows.shipped_plans import shipped
from tests.workflows.small_plans import IN_CANARY, TO_THE_END, WATCHED, plan_of
from tests.workflows.world import REAL_SECONDS, Handle, World, laid_out_in_real_time

SHORT = timedelta(seconds=3)


async def test_a_rollout_continued_as_new_keeps_credit_anchors_and_story(tmp_path: Path) -> None:
    whole = shipped("rehearsal.yaml")
    first, *others = whole.stages
    short = [stage.model_copy(update={"soak": SHORT}) for stage in others]
    plan = whole.model_copy(update={"stages": (first, *short)})
    async with laid_out_in_real_time(plan, tmp_path, *SHORTLY) as world:
        handle = await world.start()

        result = await handle.result()

        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.run_id != handle.first_execution_run_id
        assert [stage.credit for stage in result.stages] == [first.soak, *[SHORT] * len(others)]
        assert [event.text for event in result.timeline].count("entered stage 3 of 5, canary") == 1
        assert await world.candidate_shares(result) == {"backend": 100, "auth": 100}
        assert (await world.store.read_safety()).owner is None


async def test_a_request_that_comes_again_to_the_next_run_is_still_one_command(tmp_path: Path) -> None:
    name = "asked-twice"
    extend = Extend(by="kim", reason="a holiday", more=timedelta(hours=1))
    async with one_rollout(plan_of(name, IN_CANARY), tmp_path, *SHORTLY) as (_, world):
        handle = await world.start()
        before = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        first: Answer = await handle.execute_update(CommandName.EXTEND, extend, id="ticket-7", result_type=Answer)
        while (await world.progress(handle)).run_id == before.run_id:
            await look_at_once(world, handle)

        again: Answer = await handle.execute_update(CommandName.EXTEND, extend, id="ticket-7", result_type=Answer)

        assert again == first
        assert (await world.progress(handle)).current.extended == timedelta(hours=1)


async def test_until_what_was_told_last_is_delivered_gates_go_on_being_judged_and_then_nothing_is_lost(
    tmp_path: Path,
) -> None:
    name = "handed-over"
    async with one_rollout(plan_of(name, WATCHED), tmp_path, *SHORTLY) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.WATCHING, step=SOON)
        # A notice that is not delivered yet keeps the run from being continued, long as its history has grown.
        land.channel.answering.clear()
        await handle.signal("hello")
        await world.until_under_way(handle, "notify", 1)
        watched_in = (await world.progress(handle)).run_id
        await grown_long(world, handle)
        assert "watch_gates" in await world.under_way(handle)

        await handle.signal("hello again")
        land.channel.answering.set()
        async with asyncio.timeout(REAL_SECONDS):
            while (await world.progress(handle)).run_id == watched_in:
                await world.sleep(SOON)

        answer = await ask(handle, CommandName.FINISH)
        # Far less than the hour for which it was to be watched.
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert answer.happened == "the watch ended"
        assert result.status is RolloutStatus.COMPLETED, result.why
        heard = [notice.text for notice in world.channel.notices if notice.title == "Unknown signal"]
        assert [text.split("'")[1] for text in heard] == ["hello", "hello again"]


async def assert_taken_back_before_anything_is_delivered(land: Land, world: World, handle: Handle) -> None:
    await world.until_under_way(handle, "guard_rollback", 1)
    back = await world.progress(handle)
    assert await world.is_safe(back)
    land.channel.answering.set()
    await ask(handle, CommandName.FINISH)
    result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
    assert (result.status, result.run_id) == (RolloutStatus.ROLLED_BACK, back.run_id)


async def test_an_emergency_does_not_wait_for_a_notice_that_keeps_the_history_from_being_continued(
    tmp_path: Path,
) -> None:
    name = "told-nobody"
    async with one_rollout(plan_of(name, IN_CANARY), tmp_path, *SHORTLY) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.channel.answering.clear()
        await handle.signal("hello")
        await world.until_under_way(handle, "notify", 1)
        await grown_long(world, handle)

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})

        await assert_taken_back_before_anything_is_delivered(land, world, handle)


async def test_an_emergency_does_not_wait_for_a_notice_that_keeps_a_rollout_from_ending(tmp_path: Path) -> None:
    name = "told-nobody-of-its-end"
    async with one_rollout(plan_of(name, TO_THE_END), tmp_path) as (land, world):
        handle = await emergency_while_the_last_notice_is_not_delivered(land, world)

        await assert_taken_back_before_anything_is_delivered(land, world, handle)
