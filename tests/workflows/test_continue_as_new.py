"""A history that grows long is continued as new, and nothing of the rollout is lost on the way."""

import asyncio
from datetime import timedelta
from pathlib import Path

from rollout.messages import (
    SIGNAL_EMERGENCY,
    UPDATE_EXTEND,
    UPDATE_FINISH,
    UPDATE_RETRY,
    Answer,
    Command,
    Extend,
)
from rollout.progress import RolloutStatus
from starter.controlling import ask
from starter.plan_file import load_plan
from starter.rollouts import Rollouts
from tests.workflows.many_rollouts import A_MOMENT, AN_HOUR, Land, Shape, land_for, plan_of
from tests.workflows.world import PLANS, REAL_SECONDS, Handle, World, laid_out_in_real_time

EVENTS_BEFORE_CONTINUING = 40
SHORTLY = ("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}")
SHORT, SOON = timedelta(seconds=3), timedelta(milliseconds=200)
KIM = Command(by="kim", reason="I know why")


async def look_at_once(world: World, handle: Handle) -> None:
    """So that the history grows. A command that the server gives up, as the run is being continued, is asked again."""
    await ask(Rollouts(world.client), handle.id, UPDATE_RETRY, KIM, None)


async def test_a_rollout_continued_as_new_keeps_credit_anchors_and_story(tmp_path: Path) -> None:
    whole = load_plan(PLANS / "rehearsal.yaml")
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
    async with land_for([name], tmp_path, *SHORTLY) as land:
        world = land.world(plan_of(name, Shape(canary_soak=AN_HOUR), tmp_path))
        handle = await world.start()
        before = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(milliseconds=200))
        first: Answer = await handle.execute_update(UPDATE_EXTEND, extend, id="ticket-7", result_type=Answer)
        while (await world.progress(handle)).run_id == before.run_id:
            await look_at_once(world, handle)

        again: Answer = await handle.execute_update(UPDATE_EXTEND, extend, id="ticket-7", result_type=Answer)

        assert again == first
        assert (await world.progress(handle)).current.extended == timedelta(hours=1)


async def test_what_is_asked_for_and_told_while_a_rollout_is_being_continued_as_new_is_not_lost(tmp_path: Path) -> None:
    name = "handed-over"
    async with land_for([name], tmp_path, *SHORTLY) as land:
        world = land.world(plan_of(name, Shape(canary_soak=A_MOMENT, staged_soak=A_MOMENT, watched=True), tmp_path))
        handle = await world.start()
        await world.until(handle, RolloutStatus.WATCHING, step=timedelta(milliseconds=200))
        # A notice that is not delivered yet keeps the run from being continued, long as its history has grown.
        land.channel.answering.clear()
        await handle.signal("hello")
        await world.until_under_way(handle, "notify", 1)
        while "watch_gates" in await world.under_way(handle):
            await look_at_once(world, handle)
        watched_in = (await world.progress(handle)).run_id

        await handle.signal("hello again")
        answer: Answer = await handle.execute_update(UPDATE_FINISH, KIM, result_type=Answer)
        land.channel.answering.set()

        # Far less than the hour for which it was to be watched.
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert answer.happened == "the watch ended"
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.run_id != watched_in
        heard = [notice.text for notice in world.channel.notices if notice.title == "Unknown signal"]
        assert [text.split("'")[1] for text in heard] == ["hello", "hello again"]


async def emergency_while_the_last_notice_is_not_delivered(land: Land, world: World) -> Handle:
    """The history has grown long, and what was told last keeps it from being continued; then comes the emergency."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    land.channel.answering.clear()
    await handle.signal("hello")
    await world.until_under_way(handle, "notify", 1)
    while "watch_gates" in await world.under_way(handle):
        await look_at_once(world, handle)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    return handle


async def test_an_emergency_does_not_wait_for_a_notice_that_keeps_the_history_from_being_continued(
    tmp_path: Path,
) -> None:
    name = "told-nobody"
    async with land_for([name], tmp_path, *SHORTLY) as land:
        world = land.world(plan_of(name, Shape(canary_soak=AN_HOUR), tmp_path))

        handle = await emergency_while_the_last_notice_is_not_delivered(land, world)

        async with asyncio.timeout(REAL_SECONDS):
            back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)
        land.channel.answering.set()
        await handle.execute_update(UPDATE_FINISH, KIM, result_type=Answer)
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert (result.status, result.run_id) == (RolloutStatus.ROLLED_BACK, back.run_id)
