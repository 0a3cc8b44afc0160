"""Whatever keeps a rollout between two soaks for long, the gates of what people see are judged, and act."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.answers_kept_back import (
    CHECKED,
    answered_again,
    asked_without_an_answer,
    checked_without_an_answer,
)
from tests.workflows.changed_plans import rising_in_two_steps
from tests.workflows.foreign_changes import CHECKED_BEFORE_STAGED
from tests.workflows.many_rollouts import SOON, Land, one_rollout
from tests.workflows.matrix_checks import AN_ENDPOINT
from tests.workflows.measured_faults import one_cascade
from tests.workflows.outside_faults import FOR_EVER
from tests.workflows.small_plans import A_MOMENT, IN_CANARY, Shape, plan_of
from tests.workflows.standing import shown, until_held, until_told
from tests.workflows.world import REAL_SECONDS, Handle, World
from workflows import activity_options


@pytest.fixture(autouse=True)
def long_is_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_options, "UNJUDGED_AT_MOST", timedelta(seconds=1))


async def taken_back(world: World, handle: Handle) -> RolloutProgress:
    async with asyncio.timeout(2 * REAL_SECONDS):
        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
    assert await world.is_safe(back)
    assert back.rollback is not None
    return back


async def test_a_gate_that_fails_while_a_stage_is_checked_does_not_wait_for_the_check(tmp_path: Path) -> None:
    async with one_rollout(plan_of("after", CHECKED), tmp_path) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await world.until_under_way(handle, "watch_gates", 1)
        assert "check_endpoint" in await world.under_way(handle)

        land.source.fault = one_cascade

        back = await taken_back(world, handle)
        assert back.rollback is not None
        assert (back.rollback.cause, back.rollback.by) == ("gate", "gate cascades")


async def test_a_check_that_takes_long_is_paged_also_while_gates_are_judged_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity_options, "PAGE_AFTER", timedelta(seconds=5))
    async with one_rollout(plan_of("paged", CHECKED), tmp_path) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await world.until_under_way(handle, "watch_gates", 1)

        await until_told(world, "Waiting long: canary: ")

        assert "check_endpoint" in await world.under_way(handle)


async def test_nothing_rises_while_a_hold_lasts_that_began_beside_a_check(tmp_path: Path) -> None:
    async with one_rollout(plan_of("before", CHECKED_BEFORE_STAGED), tmp_path) as (land, world):
        handle = await asked_without_an_answer(land, world)
        land.source.busy_plans.add(world.plan.name)
        await until_held(world, handle)

        answered_again(land)

        held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        assert held.current.name == "staged"
        assert "CPU" in held.why
        assert set((await shown(world)).values()) == {"10%"}
        land.source.busy_plans.clear()
        result = await asyncio.wait_for(handle.result(), 2 * REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why


async def shown_and_not_acknowledged(land: Land, world: World) -> Handle:
    """The flags of `canary` are on for its tenth, and the flag store does not say so."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="dark", step=SOON)
    land.wire.acknowledge_writes(False)
    await world.until_under_way(handle, "set_exposures", 1)
    await world.until_under_way(handle, "watch_gates", 1)
    assert set((await shown(world)).values()) == {"10%"}
    return handle


async def test_a_gate_that_fails_while_people_see_what_is_not_known_to_be_shown_takes_it_back(tmp_path: Path) -> None:
    async with one_rollout(plan_of("unknown", IN_CANARY), tmp_path) as (land, world):
        handle = await shown_and_not_acknowledged(land, world)

        land.source.fault = one_cascade

        back = await taken_back(world, handle)
        assert back.rollback is not None
        assert (back.rollback.cause, back.rollback.by) == ("gate", "gate cascades")
        assert any(event.text.startswith("canary failed while it was entered: Cascades") for event in back.timeline)


async def test_a_change_that_hangs_after_a_check_that_took_long_is_judged_beside_as_soon(
    tmp_path: Path,
) -> None:
    shape = Shape(check_after=AN_ENDPOINT, check=AN_ENDPOINT, staged_soak=A_MOMENT)
    async with one_rollout(plan_of("twice", shape), tmp_path) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await world.until_under_way(handle, "watch_gates", 1)
        land.wire.acknowledge_writes(False)
        answered_again(land)
        await world.until_under_way(handle, "set_exposures", 1)

        await world.until_under_way(handle, "watch_gates", 1)


async def test_the_kill_switch_is_seen_while_a_change_hangs(tmp_path: Path) -> None:
    async with one_rollout(plan_of("pulled", IN_CANARY), tmp_path) as (land, world):
        handle = await shown_and_not_acknowledged(land, world)

        assert (await world.store.emergency(by="robin", reason="stop")).accepted

        back = await taken_back(world, handle)
        assert back.rollback is not None
        assert back.rollback.by == "flag store"


async def test_a_gate_that_fails_while_cloud_run_moves_the_traffic_takes_it_back(tmp_path: Path) -> None:
    plan = rising_in_two_steps(plan_of("moving", CHECKED_BEFORE_STAGED))
    async with one_rollout(plan, tmp_path) as (land, world):
        handle = await asked_without_an_answer(land, world)
        land.sandbox.faults.reconcile_seconds = FOR_EVER
        answered_again(land)
        await world.until_under_way(handle, "shift_traffic", 1)
        await world.until_under_way(handle, "watch_gates", 1)

        # Only what is asked for from now on comes about.
        land.sandbox.faults.reconcile_seconds = None
        land.source.fault = one_cascade

        back = await taken_back(world, handle)
        assert back.rollback is not None
        assert back.rollback.by == "gate cascades"
