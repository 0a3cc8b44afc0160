"""A gate turns one flag off alone: it is the rollout's own write, and a person decides what follows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Answer, ResolveHold
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.switch_off import SWITCHED_OFF
from rollout.wording import current_details_markdown
from tests.workflows.commanding import ask, set_stage
from tests.workflows.foreign_changes import raise_a_flag
from tests.workflows.measured_faults import no_events_at_all, no_events_for_treated
from tests.workflows.shipped_plans import shipped
from tests.workflows.standing import shown, taken_back, told, until_told
from tests.workflows.traffic_source import Fault, no_fault
from tests.workflows.world import Handle, World, laid_out

CHECK = timedelta(seconds=1)
A_WHILE = timedelta(seconds=20)
"""Longer than the time after which its gate turns the flag off."""
IN_CANARY = timedelta(seconds=30)
"""Longer than that: what is not turned off in canary is not so because canary has passed."""
ON_THE_WAY = timedelta(seconds=5)
"""The soak of stages in which nothing is looked at: each second of it is a look."""
FLAG = "websocket_isolation"
ON = "it stays off until `rollout update-stage --flag websocket_isolation --stage {} --updated-by … --reason …`"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out_at_once(asking_for_events_to_the_end(), tmp_path) as laid:
        yield laid


@asynccontextmanager
async def laid_out_at_once(plan: RolloutPlan, directory: Path) -> AsyncIterator[World]:
    """Data are there as soon as their interval has closed: each second that they were late would be another look."""
    async with laid_out(plan, directory) as laid:
        laid.source.delay = timedelta()
        yield laid


def asking_for_events_to_the_end() -> RolloutPlan:
    plan = shipped("rehearsal.yaml")
    dark, internal, canary, staged, full = plan.stages
    asking = full.model_copy(update={"gates": (*full.gates, "websocket_events")})
    before = (soaking_for(ON_THE_WAY, stage) for stage in (dark, internal))
    return plan.model_copy(update={"stages": (*before, soaking_for(IN_CANARY, canary), staged, asking)})


def soaking_for(soak: timedelta, stage: Stage) -> Stage:
    return stage.model_copy(update={"soak": soak})


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
        await world.sleep(CHECK)
    await world.sleep(2 * CHECK)
    return await world.progress(handle)


async def go_on(handle: Handle) -> Answer:
    command = ResolveHold(by="kim", reason="later", how="continue")
    return await ask(handle, CommandName.RESOLVE_HOLD, command)


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
    (page,) = await until_told(world, "websocket_isolation was turned off alone by gate websocket_events")
    assert "treated none since" in page.text
    assert ON.format("canary") in page.text
    assert "**Off:** websocket_isolation was turned off alone" in current_details_markdown(held)


async def test_it_is_the_rollouts_own_write_and_no_drift(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    await world.sleep(A_WHILE)

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
    await world.sleep(A_WHILE)

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
    await world.sleep(A_WHILE)

    assert set((await shown(world)).values()) == {"10%"}


async def test_the_rollout_does_not_go_on_by_itself_where_events_come_again_without_the_flag(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    world.source.fault = no_fault
    await world.sleep(A_WHILE)

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
    await world.sleep(A_WHILE)
    second = await off(world, handle)
    assert second.switched_off[FLAG].at - held.switched_off[FLAG].at >= timedelta(seconds=15)
    assert len(told(world, "turned off alone")) == 2


async def test_turned_on_again_while_an_approval_is_waited_for_it_has_its_whole_time_too(tmp_path: Path) -> None:
    plan = asking_for_events_to_the_end()
    stages = [stage.model_copy(update={"approval": stage.name == "staged"}) for stage in plan.stages]
    async with laid_out_at_once(plan.model_copy(update={"stages": tuple(stages)}), tmp_path) as world:
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=CHECK)
        world.source.fault = no_events_for_treated
        await off(world, handle)

        await set_stage(handle, "canary", FLAG)

        turned_on = await world.now()
        assert set((await shown(world)).values()) == {"10%"}
        await world.sleep(A_WHILE)
        again = await off(world, handle)
        assert again.switched_off[FLAG].at - turned_on >= timedelta(seconds=15)


async def test_a_gate_that_a_person_passed_over_turns_nothing_off_in_that_stage_any_more(world: World) -> None:
    handle, _ = await switched_off(world, "canary")
    await go_on(handle)
    await set_stage(handle, "canary", FLAG)

    await world.sleep(A_WHILE)

    assert set((await shown(world)).values()) == {"10%"}


async def test_an_emergency_takes_back_a_rollout_that_is_held_by_it(world: World) -> None:
    handle, _ = await switched_off(world, "canary")

    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "enough"})

    await taken_back(world, handle, "emergency")
