"""A gate turns one flag off alone: it is the rollout's own write, and a person decides what follows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.gates import SwitchOff
from rollout.messages import (
    SIGNAL_EMERGENCY,
    UPDATE_APPROVE,
    UPDATE_FINISH,
    UPDATE_RESOLVE_HOLD,
    UPDATE_STEP_BACK,
    Answer,
    Command,
    ResolveHold,
)
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.switch_off import SWITCHED_OFF
from rollout.wording import current_details_markdown
from starter.plan_file import load_plan
from tests.workflows.commanding import set_stage
from tests.workflows.foreign_changes import raise_a_flag
from tests.workflows.many_rollouts import SHORTLY, SOON, one_rollout
from tests.workflows.measured_faults import no_events_at_all, no_events_for_treated, one_cascade
from tests.workflows.small_plans import IN_CANARY, WATCHED, Shape, plan_of
from tests.workflows.standing import shown, taken_back
from tests.workflows.traffic_source import Fault, no_fault
from tests.workflows.world import PLANS, Handle, World, laid_out

CHECK = timedelta(seconds=1)
A_WHILE = timedelta(minutes=1)
"""Longer than any soak of the plan, and than the time after which its gate turns the flag off."""
FLAG = "websocket_isolation"
ON = "it stays off until `rollout update-stage --flag websocket_isolation --stage {} --updated-by … --reason …`"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out(asking_for_events_to_the_end(), tmp_path) as laid:
        yield laid


def asking_for_events_to_the_end() -> RolloutPlan:
    plan = load_plan(PLANS / "rehearsal.yaml")
    *before, full = plan.stages
    asking = full.model_copy(update={"gates": (*full.gates, "websocket_events")})
    return plan.model_copy(update={"stages": (*before, asking)})


async def in_stage(world: World, stage: str) -> Handle:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=CHECK)
    return handle


async def switched_off(
    world: World, stage: str, fault: Fault = no_events_for_treated
) -> tuple[Handle, RolloutProgress]:
    """In that stage, after the events fell silent and the flag was turned off."""
    handle = await in_stage(world, stage)
    world.source.fault = fault
    await world.until(handle, RolloutStatus.HOLDING, step=CHECK)
    return handle, await off(world, handle)


async def off(world: World, handle: Handle) -> RolloutProgress:
    while (progress := await world.progress(handle)).flags[FLAG].exposure != "off":
        assert not progress.status.is_final, progress.why
        await world.environment.sleep(CHECK)
    await world.environment.sleep(2 * CHECK)
    return await world.progress(handle)


async def go_on(handle: Handle) -> Answer:
    command = ResolveHold(by="kim", reason="later", how="continue")
    answer: Answer = await handle.execute_update(UPDATE_RESOLVE_HOLD, command, result_type=Answer)
    return answer


def told(world: World, title: str) -> list[str]:
    return [notice.text for notice in world.channel.notices if title in notice.title]


async def test_where_the_events_of_treated_users_stop_their_flag_alone_is_turned_off_and_the_rollout_holds(
    world: World,
) -> None:
    _, held = await switched_off(world, "canary")

    assert await shown(world) == {"request_isolation": "10%", "factory_pattern": "10%", FLAG: "off"}
    assert held.status is RolloutStatus.HOLDING
    assert "websocket_isolation was turned off alone by gate websocket_events at " in held.why
    assert "`rollout resolve-hold continue rehearsal --reason …` goes on without websocket_isolation" in held.next
    assert [e.text for e in held.timeline if e.kind == "flags"][-1] == (
        "websocket_isolation is off, read back; the other flags stay as they are"
    )
    (page,) = told(world, "websocket_isolation was turned off alone by gate websocket_events")
    assert "treated none since" in page
    assert ON.format("canary") in page
    assert "**Off:** websocket_isolation was turned off alone" in current_details_markdown(held)


async def test_it_is_the_rollouts_own_write_and_no_drift(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    await world.environment.sleep(A_WHILE)

    held = await world.progress(handle)

    assert not [event.text for event in held.timeline if "the rollout set" in event.text]
    verdicts = {judgement.gate: judgement.verdict.value for judgement in held.current.judgements}
    assert (verdicts["drift"], verdicts[SWITCHED_OFF]) == ("PASS", "FAIL")
    assert len(told(world, "turned off alone")) == 1, "told once, however long it lasts"


async def test_what_somebody_else_made_of_another_flag_stays_drift_when_it_is_written(world: World) -> None:
    handle = await in_stage(world, "canary")
    await raise_a_flag(world)
    await world.until(handle, RolloutStatus.HOLDING, step=CHECK)

    world.source.fault = no_events_for_treated
    await off(world, handle)
    await world.environment.sleep(A_WHILE)

    held = await world.progress(handle)
    assert held.flags["request_isolation"].in_words() == "10%", "it is not taken for the rollout's own"
    assert {judgement.gate: judgement.verdict.value for judgement in held.current.judgements}["drift"] == "FAIL"


async def test_where_events_stop_for_everybody_at_full_exposure_while_other_metrics_go_on_it_is_turned_off_too(
    world: World,
) -> None:
    _, held = await switched_off(world, "full", no_events_at_all)

    assert held.status is RolloutStatus.HOLDING
    assert await shown(world) == {"request_isolation": "full", "factory_pattern": "full", FLAG: "off"}


async def test_where_nothing_at_all_arrives_nobody_knows_whose_silence_it_is_and_no_flag_is_touched(
    world: World,
) -> None:
    handle = await in_stage(world, "canary")
    world.source.fault = lambda metric, _group, _end, healthy: (
        None if "rollout/" in metric or "run." in metric else healthy
    )
    await world.until(handle, RolloutStatus.HOLDING, step=CHECK)
    await world.environment.sleep(A_WHILE)

    assert set((await shown(world)).values()) == {"10%"}


async def test_the_rollout_does_not_go_on_by_itself_where_events_come_again_without_the_flag(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    world.source.fault = no_fault
    await world.environment.sleep(A_WHILE)

    held = await world.progress(handle)
    assert (held.status, held.current.name) == (RolloutStatus.HOLDING, "canary")

    answer = await go_on(handle)

    assert f"it goes on without websocket_isolation: {ON.format('canary')}" in answer.next
    staged = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="staged", step=CHECK)
    assert staged.status is RolloutStatus.SOAKING, staged.why
    assert await shown(world) == {"request_isolation": "50%", "factory_pattern": "50%", FLAG: "off"}
    assert (await set_stage(handle, "staged", FLAG)).next == "it rises with the stages again; the other flags go on"
    assert set((await shown(world)).values()) == {"50%"}
    assert (await world.progress(handle)).switched_off == {}


async def test_turned_on_again_the_stage_begins_anew_and_another_silence_turns_it_off_again(world: World) -> None:
    handle, held = await switched_off(world, "canary")

    await set_stage(handle, "canary", FLAG)

    again = await world.progress(handle)
    assert set((await shown(world)).values()) == {"10%"}
    assert again.current.soak_state is not None
    assert again.current.soak_state.credit == timedelta()
    await world.environment.sleep(A_WHILE)
    second = await off(world, handle)
    assert second.switched_off[FLAG].at - held.switched_off[FLAG].at >= timedelta(seconds=15)
    assert len(told(world, "turned off alone")) == 2


async def test_turned_on_again_while_an_approval_is_waited_for_it_has_its_whole_time_too(tmp_path: Path) -> None:
    plan = load_plan(PLANS / "rehearsal.yaml")
    stages = [stage.model_copy(update={"approval": stage.name == "staged"}) for stage in plan.stages]
    async with laid_out(plan.model_copy(update={"stages": tuple(stages)}), tmp_path) as world:
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=CHECK)
        world.source.fault = no_events_for_treated
        await off(world, handle)

        await set_stage(handle, "canary", FLAG)

        turned_on = await world.now()
        assert set((await shown(world)).values()) == {"10%"}
        await world.environment.sleep(A_WHILE)
        again = await off(world, handle)
        assert again.switched_off[FLAG].at - turned_on >= timedelta(seconds=15)


async def test_a_gate_that_a_person_passed_over_turns_nothing_off_in_that_stage_any_more(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    await go_on(handle)
    await set_stage(handle, "canary", FLAG)

    await world.environment.sleep(A_WHILE)

    assert set((await shown(world)).values()) == {"10%"}


async def test_an_emergency_takes_back_a_rollout_that_is_held_by_it(world: World) -> None:
    handle, _ = await switched_off(world, "canary")

    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "enough"})

    await taken_back(world, handle, "emergency")


def switching_off_when_busy(name: str, shape: Shape = IN_CANARY, *, last_stage: bool = False) -> RolloutPlan:
    """Its only flag goes off where its processors are busy, at the canary, or in the `last_stage` too."""
    plan = plan_of(name, shape)
    cpu = plan.gates["cpu"].model_copy(update={"switch_off": SwitchOff(failing=plan.flags)})
    *before, staged = plan.stages
    stages = (*before, staged.model_copy(update={"gates": (*staged.gates, "cpu")}) if last_stage else staged)
    return plan.model_copy(update={"gates": {**plan.gates, "cpu": cpu}, "stages": stages})


async def test_a_failing_gate_turns_off_what_its_plan_names_for_that(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("busy"), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.busy_plans.add("busy")

        held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        while (await shown(world)) != {"busy": "off"}:
            await world.environment.sleep(SOON)

        assert "CPU: " in held.switched_off["busy"].why
        assert (await world.progress(handle)).rollback is None, "off is what the rollout set, and no rollback by hand"


async def test_a_step_back_leaves_it_off_and_a_stage_that_shows_nothing_is_not_held_for_it(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("stepped"), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.busy_plans.add("stepped")
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        land.source.busy_plans.clear()

        await handle.execute_update(UPDATE_STEP_BACK, Command(by="kim", reason="let us see"), result_type=Answer)
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="seen"), result_type=Answer)

        held = await world.until(handle, RolloutStatus.HOLDING, stage="canary", step=SOON)
        assert await shown(world) == {"stepped": "off"}
        assert "stepped was turned off alone by gate cpu" in held.why


async def test_after_the_last_stage_too_and_the_watch_can_be_finished_with_the_flag_off(tmp_path: Path) -> None:
    plan = switching_off_when_busy("watched", WATCHED, last_stage=True)
    async with one_rollout(plan, tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.WATCHING, step=SOON)
        land.source.busy_plans.add("watched")
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)

        await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="the next one waits"), result_type=Answer)

        result = await handle.result()
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert await shown(world) == {"watched": "off"}


async def test_a_step_back_that_is_asked_for_while_the_flag_is_still_being_written_at_the_end_is_taken(
    tmp_path: Path,
) -> None:
    plan = switching_off_when_busy("late", WATCHED, last_stage=True)
    async with one_rollout(plan, tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.WATCHING, step=SOON)
        land.wire.acknowledge_writes(False)
        land.source.busy_plans.add("late")
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        kim = Command(by="kim", reason="let us see")
        await handle.execute_update(UPDATE_FINISH, kim, result_type=Answer)
        await world.until_under_way(handle, "set_exposures", 1)

        await handle.execute_update(UPDATE_STEP_BACK, kim, result_type=Answer)
        land.wire.acknowledge_writes(True)

        while "stepped back from staged to canary" not in [e.text for e in (await world.progress(handle)).timeline]:
            assert (await world.progress(handle)).status is not RolloutStatus.COMPLETED
            await world.environment.sleep(SOON)


async def test_a_write_that_the_store_refuses_is_paged_once_and_tried_until_it_is_taken(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("refused"), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        documents = world.store.keys.key("flags")
        document = await land.reading.hget(documents, "refused")
        assert document is not None
        await land.reading.hdel(documents, "refused")
        land.source.busy_plans.add("refused")

        while not told(world, "refused is not off"):
            await world.environment.sleep(SOON)
        await world.environment.sleep(3 * CHECK)
        await land.reading.hset(documents, "refused", document)

        while not told(world, "refused was turned off alone"):
            await world.environment.sleep(SOON)
        assert await shown(world) == {"refused": "off"}
        (page,) = told(world, "refused is not off")
        assert "refused could not be turned off: " in page


async def test_a_rollout_that_is_continued_as_new_goes_on_turning_it_off_and_holding(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("continued"), tmp_path, *SHORTLY) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.wire.acknowledge_writes(False)
        land.source.busy_plans.add("continued")
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        asked_in = (await world.progress(handle)).run_id
        while (await world.progress(handle)).run_id == asked_in:
            await handle.signal("hello")
            await world.environment.sleep(SOON)

        land.wire.acknowledge_writes(True)
        while not told(world, "continued was turned off alone"):
            await world.environment.sleep(SOON)

        held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        assert await shown(world) == {"continued": "off"}
        assert held.rollback is None
        assert "continued was turned off alone by gate cpu" in held.why


@pytest.mark.parametrize("ended", ["emergency", "gate"])
async def test_while_the_store_does_not_answer_the_write_gates_are_judged_and_an_emergency_is_believed(
    tmp_path: Path, ended: str
) -> None:
    name = f"hangs-{ended}"
    async with one_rollout(switching_off_when_busy(name), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.wire.acknowledge_writes(False)
        land.source.busy_plans.add(name)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        await world.until_under_way(handle, "set_exposures", 1)

        if ended == "emergency":
            await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "enough"})
        else:
            land.source.fault = one_cascade

        await world.until(handle, RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK, step=SOON)
        land.wire.acknowledge_writes(True)
        await world.until_under_way(handle, "guard_rollback", 1)
        assert "set_exposures" not in await world.under_way(handle), "left, and not tried beside the rollback"
        await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
        result = await handle.result()
        assert result.rollback is not None
        assert ("enough" if ended == "emergency" else "Cascades: 1") in result.rollback.reason
        assert result.rollback.cause == ended
        assert result.rollback.by.startswith("kim" if ended == "emergency" else "gate cascades")
        assert await world.is_safe(result)
