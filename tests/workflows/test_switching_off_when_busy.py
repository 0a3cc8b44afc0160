"""A gate that fails, and is not silent, turns a flag off alone: also while the store does not take the write."""

from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.gates import SwitchOff
from rollout.messages import SIGNAL_EMERGENCY, Command
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from tests.workflows.commanding import ask
from tests.workflows.many_rollouts import SHORTLY, SOON, one_rollout
from tests.workflows.measured_faults import one_cascade
from tests.workflows.small_plans import IN_CANARY, WATCHED, Shape, plan_of
from tests.workflows.standing import shown, told, until_told


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
            await world.sleep(SOON)

        assert "CPU: " in held.switched_off["busy"].why
        assert (await world.progress(handle)).rollback is None, "off is what the rollout set, and no rollback by hand"


async def test_a_step_back_leaves_it_off_and_a_stage_that_shows_nothing_is_not_held_for_it(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("stepped"), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.busy_plans.add("stepped")
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        land.source.busy_plans.clear()

        await ask(handle, CommandName.STEP_BACK, Command(by="kim", reason="let us see"))
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        await ask(handle, CommandName.APPROVE, Command(by="kim", reason="seen"))

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

        await ask(handle, CommandName.FINISH, Command(by="kim", reason="the next one waits"))

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
        await ask(handle, CommandName.FINISH, kim)
        await world.until_under_way(handle, "set_exposures", 1)

        await ask(handle, CommandName.STEP_BACK, kim)
        land.wire.acknowledge_writes(True)

        while "stepped back from staged to canary" not in [e.text for e in (await world.progress(handle)).timeline]:
            assert (await world.progress(handle)).status is not RolloutStatus.COMPLETED
            await world.sleep(SOON)


async def test_a_write_that_the_store_refuses_is_paged_once_and_tried_until_it_is_taken(tmp_path: Path) -> None:
    async with one_rollout(switching_off_when_busy("refused"), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        documents = world.store.keys.key("flags")
        document = await land.reading.hget(documents, "refused")
        assert document is not None
        await land.reading.hdel(documents, "refused")
        land.source.busy_plans.add("refused")

        await until_told(world, "refused is not off")
        await world.sleep(timedelta(seconds=3))
        await land.reading.hset(documents, "refused", document)

        await until_told(world, "refused was turned off alone")
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
            await world.sleep(SOON)

        land.wire.acknowledge_writes(True)
        await until_told(world, "continued was turned off alone")

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
        await ask(handle, CommandName.FINISH, Command(by="kim", reason="seen enough"))
        result = await handle.result()
        assert result.rollback is not None
        assert ("enough" if ended == "emergency" else "Cascades: 1") in result.rollback.reason
        assert result.rollback.cause == ended
        assert result.rollback.by.startswith("kim" if ended == "emergency" else "gate cascades")
        assert await world.is_safe(result)
