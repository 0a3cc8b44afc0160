"""One flag of several is held at an earlier stage by a person: the rollout does it, knows it, and goes on."""

from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateStage

from rollout.commands import CommandName
from rollout.messages import Answer, FlagStage
from rollout.progress import RolloutStatus
from starter.controlling import NotCarriedOut, ask
from starter.outcome import ExitCode
from starter.rollouts import Rollouts
from tests.workflows.answers_kept_back import written_and_seen, written_and_seen_before_it_is_acknowledged
from tests.workflows.changed_plans import SOAK
from tests.workflows.commanding import refusal, set_stage
from tests.workflows.foreign_changes import raise_a_flag
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.measured_faults import one_cascade
from tests.workflows.outside_faults import FAILING
from tests.workflows.partial_workers import carrying_on, without_the_workflow
from tests.workflows.small_plans import IN_CANARY, Shape, plan_of
from tests.workflows.standing import in_stage, shown
from tests.workflows.world import Handle, World


async def unset(handle: Handle, stage: str, flag: str = "factory_pattern") -> str:
    """Why the flag cannot be set to that stage."""
    return await refusal(handle, CommandName.SET_STAGE, FlagStage(by="kim", flag=flag, stage=stage))


async def test_a_flag_that_was_turned_off_stays_off_in_later_stages_while_the_others_rise(world: World) -> None:
    handle = await in_stage(world, "internal")
    answer = await set_stage(handle, "off")
    assert answer.happened == "factory_pattern set to off"
    assert answer.next == "it stays at off to the end; the other flags go on"
    assert await shown(world) == {
        "request_isolation": "internal",
        "factory_pattern": "off",
        "websocket_isolation": "internal",
    }

    canary = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="canary")

    assert canary.status is RolloutStatus.SOAKING, canary.why
    assert await shown(world) == {"request_isolation": "10%", "factory_pattern": "off", "websocket_isolation": "10%"}
    assert any("factory_pattern set to off by kim: the factory is slow" in event.text for event in canary.timeline)


async def test_what_somebody_else_made_of_another_flag_stays_drift_when_one_is_set_by_hand(world: World) -> None:
    handle = await in_stage(world, "canary")
    await raise_a_flag(world)
    await world.until(handle, RolloutStatus.HOLDING)

    await set_stage(handle, "internal")
    await world.passes(timedelta(minutes=10))

    held = await world.progress(handle)
    assert {judgement.gate: judgement.verdict.value for judgement in held.current.judgements}["drift"] == "FAIL"
    assert {flag: held.flags[flag].in_words() for flag in held.flags} == {
        "request_isolation": "10%",
        "factory_pattern": "internal",
        "websocket_isolation": "10%",
    }


async def test_a_flag_can_be_held_at_an_earlier_stage_and_go_on_with_the_others_again(world: World) -> None:
    handle = await in_stage(world, "canary")
    await set_stage(handle, "internal")
    assert (await shown(world))["factory_pattern"] == "internal"
    lowered = await world.now()

    await world.passes(SOAK / 2)
    assert (await world.progress(handle)).status is RolloutStatus.SOAKING, "the rollout knows what it set"
    await set_stage(handle, "off")
    answer = await set_stage(handle, "canary")

    assert answer.next == "it rises with the stages again; the other flags go on"
    assert set((await shown(world)).values()) == {"10%"}
    back = await world.progress(handle)
    assert back.limits == {}
    assert back.current.soak_state is not None
    assert back.current.soak_state.judged_until > lowered, "the soak begins again with what people see now"
    staged = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="staged")
    assert staged.status is RolloutStatus.SOAKING, staged.why
    assert set((await shown(world)).values()) == {"50%"}


async def test_what_would_expose_more_than_the_rollout_has_reached_is_refused_with_what_is_allowed(
    world: World,
) -> None:
    handle = await in_stage(world, "internal")

    assert await unset(handle, "canary") == (
        "the rollout has reached internal: its gates decide when factory_pattern rises to canary. "
        "By hand it can be set to internal, deploy-off or off"
    )
    assert await unset(handle, "internal") == "factory_pattern is at internal already"
    assert await unset(handle, "half") == (
        "stage 'half': the plan has deploy-off, internal, canary, staged, full, and off"
    )
    assert "flag 'basket' does not belong to the plan; there are request_isolation" in await unset(
        handle, "off", "basket"
    )
    assert set((await shown(world)).values()) == {"internal"}


@pytest.mark.parametrize("held", [False, True], ids=["soaking", "held by a gate"])
async def test_a_write_whose_answer_is_lost_is_not_taken_for_somebody_elses_change(tmp_path: Path, held: bool) -> None:
    """The plan's only flag goes off: by somebody else's hand that would take the rollout back."""
    name = "answer-lost"
    async with one_rollout(plan_of(name, IN_CANARY), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        if held:
            land.source.busy_plans.add(name)
            await world.until(handle, RolloutStatus.HOLDING, step=SOON)

        for stage in ("off", "canary"):
            answer = await written_and_seen_before_it_is_acknowledged(land, handle, stage, "answer_lost")
            assert answer.happened == f"answer_lost set to {stage}"

        progress = await world.progress(handle)
        assert progress.rollback is None, progress.why
        assert not [event.text for event in progress.timeline if "the rollout set" in event.text]
        await world.until(handle, RolloutStatus.HOLDING if held else RolloutStatus.SOAKING, step=SOON)
        assert await shown(world) == {"answer_lost": "10%"}


async def test_a_gate_that_fails_while_a_write_is_not_acknowledged_takes_the_rollout_back(tmp_path: Path) -> None:
    name = "failed-meanwhile"
    async with one_rollout(plan_of(name, IN_CANARY), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.busy_plans.add(name)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        await written_and_seen(land, handle, "off", "failed_meanwhile")

        land.source.fault = one_cascade

        taken_back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert taken_back.rollback is not None
        assert "Cascades: 1" in taken_back.rollback.reason
        assert taken_back.rollback.cause == "gate"
        assert taken_back.rollback.by.startswith("gate cascades")
        assert "somebody else" not in taken_back.rollback.reason
        land.wire.acknowledge_writes(True)


async def test_a_flag_that_meets_the_kill_switch_on_its_way_up_says_how_far_it_had_come(tmp_path: Path) -> None:
    """Nothing was changed would be wrong, and so would be to insist."""
    name, flag, soon = "on-its-way-up", "on_its_way_up", SOON
    away = FAILING["the flag store is away"]
    async with one_rollout(plan_of(name, Shape()), tmp_path, worked_by=without_the_workflow) as (land, world):
        async with carrying_on(world.client):
            handle = await world.start()
            await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=soon)
            await set_stage(handle, "off", flag)
            away.strike(land)
            command = FlagStage(by="kim", reason="it is mended", flag=flag, stage="staged")
            asked = await handle.start_update(
                CommandName.SET_STAGE, command, wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=Answer
            )
            await world.until_under_way(handle, "set_exposures", 1)
        away.lift(land)
        while "set_exposures" in await world.under_way(handle):
            await world.sleep(soon)
        assert await shown(world) == {flag: "10%"}
        assert (await world.store.emergency(by="robin", reason="stop")).accepted

        async with carrying_on(world.client):
            with pytest.raises(WorkflowUpdateFailedError):
                await asked.result()
            with pytest.raises(NotCarriedOut) as told:
                await ask(Rollouts(world.client), world.plan.workflow_id, CommandName.SET_STAGE, command, asked.id)
            await world.until(handle, RolloutStatus.ROLLED_BACK, step=soon)

        assert told.value.code is ExitCode.FAILED
        began, left = told.value.text.split("; ")
        assert began.startswith(f"{name}: cannot set stage: a newer rollout or an emergency has come since")
        assert left in (f"{flag} had reached 10% by then", "everything is taken back")
        assert await shown(world) == {flag: "off"}
