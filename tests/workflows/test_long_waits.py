"""Whatever a rollout waits for, and however long, its history is continued as new, and nothing of the wait is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.workflow import ActivityConfig

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Promote, ResolveHold
from rollout.progress import RolloutStatus
from sandbox.faults import Fault
from tests.workflows.answers_kept_back import (
    CHECKED,
    answered_again,
    asked_without_an_answer,
    checked_without_an_answer,
)
from tests.workflows.changed_plans import rising_in_two_steps
from tests.workflows.commanding import ask, extend
from tests.workflows.foreign_changes import CHECKED_BEFORE_STAGED
from tests.workflows.long_histories import continued, left_behind
from tests.workflows.many_rollouts import SHORTLY, SOON, Land, one_rollout
from tests.workflows.small_plans import A_MOMENT, TO_AN_APPROVAL, Shape, plan_of
from tests.workflows.standing import shown, told, until_held
from tests.workflows.world import REAL_SECONDS, Handle, World
from workflows import activity_options

FROZEN = Shape(staged_soak=A_MOMENT, frozen=True)


@asynccontextmanager
async def waiting(
    name: str, directory: Path, shape: Shape, *statuses: RolloutStatus
) -> AsyncIterator[tuple[Land, World, Handle]]:
    async with one_rollout(plan_of(name, shape), directory, *SHORTLY) as (land, world):
        handle = await world.start()
        await world.until(handle, *statuses, step=SOON)
        yield land, world, handle


async def ends_well(world: World, handle: Handle) -> None:
    result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
    assert result.status is RolloutStatus.COMPLETED, result.why
    timeline = [event.text for event in result.timeline]
    entered = [f"entered stage {number} of 3, {name}" for number, name in enumerate(("dark", "canary", "staged"), 1)]
    assert [timeline.count(text) for text in entered] == [1, 1, 1]
    assert await world.candidate_shares(result) == {"backend": 100}


async def test_a_wait_for_an_approval_goes_on_in_a_new_run_which_neither_asks_nor_checks_again(tmp_path: Path) -> None:
    async with waiting("approved", tmp_path, TO_AN_APPROVAL, RolloutStatus.AWAITING_APPROVAL) as (_, world, handle):
        for _ in range(2):
            after = await continued(world, handle)
            assert (after.status, after.current.name) == (RolloutStatus.AWAITING_APPROVAL, "staged")

        answer = await ask(handle, CommandName.APPROVE)

        assert answer.next == "entering staged"
        await ends_well(world, handle)
        assert len(told(world, "Approval needed")) == 1


async def test_before_anything_is_entered_the_new_run_goes_on_looking_at_the_kill_switch(tmp_path: Path) -> None:
    async with waiting("first", tmp_path, FROZEN, RolloutStatus.AWAITING_WINDOW) as (_, world, handle):
        await continued(world, handle, watched_by="watch_store")
        assert (await world.store.emergency(by="robin", reason="not today")).accepted

        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)

        assert back.rollback is not None
        assert back.rollback.by == "flag store"


async def test_credit_that_is_asked_for_while_a_checked_stage_is_paused_is_soaked_for_in_the_new_run(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of("extended", CHECKED), tmp_path, *SHORTLY) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await ask(handle, CommandName.PAUSE)
        answered_again(land)
        await world.until_under_way(handle, "watch_gates", 1)
        await extend(handle)
        await continued(world, handle)

        await ask(handle, CommandName.RESUME)

        soaking = await world.until(handle, RolloutStatus.SOAKING, step=SOON)
        assert (soaking.current.name, soaking.current.state) == ("canary", "soaking")
        assert soaking.next.startswith("1 h of credit, then staged"), soaking.next


async def test_paused_beside_its_wait_it_is_still_paused_and_resumed_to_what_it_waited_for(tmp_path: Path) -> None:
    async with waiting("paused", tmp_path, TO_AN_APPROVAL, RolloutStatus.AWAITING_APPROVAL) as (_, world, handle):
        await ask(handle, CommandName.PAUSE)
        assert (await continued(world, handle)).status is RolloutStatus.PAUSED

        resumed = await ask(handle, CommandName.RESUME)

        assert (resumed.status, resumed.next) == (
            "awaiting_approval",
            "staged needs a person's approval; `rollout approve paused`",
        )
        await ask(handle, CommandName.APPROVE)
        await ends_well(world, handle)


async def test_what_was_approved_while_it_was_held_does_not_begin_in_a_new_run_before_the_hold_ends(
    tmp_path: Path,
) -> None:
    async with waiting("held", tmp_path, TO_AN_APPROVAL, RolloutStatus.AWAITING_APPROVAL) as (land, world, handle):
        land.source.busy_plans.add("held")
        await until_held(world, handle)
        await ask(handle, CommandName.APPROVE)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        for _ in range(2):
            held = await continued(world, handle)
            assert (held.status, held.current.name) == (RolloutStatus.HOLDING, "staged")
            assert set((await shown(world)).values()) == {"10%"}

        await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", reason="a known test", how="continue"))

        await ends_well(world, handle)


async def test_a_wait_for_a_window_goes_on_in_a_new_run_and_is_told_once(tmp_path: Path) -> None:
    async with waiting("frozen", tmp_path, FROZEN, RolloutStatus.AWAITING_WINDOW) as (_, world, handle):
        forced = Promote(by="kim", reason="I know why", force=True)
        for _ in ("dark", "canary"):
            await ask(handle, CommandName.PROMOTE, forced)
            await world.until(handle, RolloutStatus.SOAKING, step=SOON)
            await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=SOON)
        after = await continued(world, handle)
        assert (after.status, after.current.name) == (RolloutStatus.AWAITING_WINDOW, "staged")

        await ask(handle, CommandName.PROMOTE, forced)

        await ends_well(world, handle)
        assert [len(told(world, f"{stage} waits for its window")) for stage in ("dark", "canary", "staged")] == [
            1,
            1,
            1,
        ]


@asynccontextmanager
async def refused_by_cloud_run(land: Land) -> AsyncIterator[None]:
    """Every change, for as long as this lasts."""
    land.sandbox.faults.put(Fault(method="UpdateService", code="UNAVAILABLE"))
    yield
    land.sandbox.faults.clear()


async def in_a_new_run(world: World, handle: Handle, calls: str) -> str:
    """The pages about what takes long made its history grow, and a new run has made the call anew; the run before."""
    before = (await world.progress(handle)).run_id
    async with asyncio.timeout(2 * REAL_SECONDS):
        while (await world.progress(handle)).run_id == before:
            await world.sleep(SOON)
    await world.until_under_way(handle, calls, 1)
    return before


async def given_up(handle: Handle) -> list[str]:
    """Names of the activities that were cancelled, and have not heard of it yet."""
    pending = (await handle.describe()).raw_description.pending_activities
    asked = PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    return [activity.activity_type.name for activity in pending if activity.state == asked]


@pytest.fixture
def growing_by_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is soon long, of calls that soon hear that they are given up."""
    monkeypatch.setattr(activity_options, "PAGE_AFTER", timedelta(seconds=1))
    monkeypatch.setattr(activity_options, "UNJUDGED_AT_MOST", timedelta(seconds=1))
    heard_within(monkeypatch, timedelta(seconds=3))


def heard_within(monkeypatch: pytest.MonkeyPatch, heartbeat: timedelta) -> None:
    """A change at Cloud Run hears of its cancellation after four fifths of that time, or after a minute."""
    changed = ActivityConfig({**activity_options.CHANGE_CLOUD_RUN, "heartbeat_timeout": heartbeat})
    monkeypatch.setattr(activity_options, "CHANGE_CLOUD_RUN", changed)


@pytest.mark.usefixtures("growing_by_pages")
async def test_a_deployment_that_does_not_get_through_goes_on_in_new_runs(tmp_path: Path) -> None:
    async with one_rollout(plan_of("deploying", TO_AN_APPROVAL), tmp_path, *SHORTLY) as (land, world):
        async with refused_by_cloud_run(land):
            handle = await world.start()
            await world.until_under_way(handle, "deploy_candidate", 1)
            for _ in range(2):
                before = await in_a_new_run(world, handle, "deploy_candidate")
                assert await left_behind(world, handle, before) == []

        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        await ask(handle, CommandName.APPROVE)
        await ends_well(world, handle)
        assert told(world, "Waiting long: deploying at 0 %")


@pytest.mark.usefixtures("growing_by_pages")
async def test_a_traffic_step_that_does_not_get_through_goes_on_in_new_runs_and_is_judged_there(tmp_path: Path) -> None:
    plan = rising_in_two_steps(plan_of("moving", CHECKED_BEFORE_STAGED))
    async with one_rollout(plan, tmp_path, *SHORTLY) as (land, world):
        handle = await asked_without_an_answer(land, world)
        async with refused_by_cloud_run(land):
            answered_again(land)
            await world.until_under_way(handle, "shift_traffic", 1)
            for _ in range(2):
                before = await in_a_new_run(world, handle, "shift_traffic")
                assert "shift_traffic" not in await left_behind(world, handle, before)
                await world.until_under_way(handle, "watch_gates", 1)

        await ends_well(world, handle)


@pytest.mark.usefixtures("growing_by_pages")
async def test_an_emergency_does_not_wait_for_the_call_that_a_new_run_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_within(monkeypatch, timedelta(minutes=10))
    async with one_rollout(plan_of("given-up", TO_AN_APPROVAL), tmp_path, *SHORTLY) as (land, world):
        land.sandbox.faults.reconcile_seconds = 10 * REAL_SECONDS
        handle = await world.start()
        async with asyncio.timeout(REAL_SECONDS):
            while "deploy_candidate" not in await given_up(handle):
                await world.sleep(SOON)
        land.sandbox.faults.clear()

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})

        back = await asyncio.wait_for(world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON), REAL_SECONDS)
        assert await world.is_safe(back)
        assert back.run_id == handle.first_execution_run_id


@pytest.mark.usefixtures("growing_by_pages")
@pytest.mark.parametrize("ended", [False, True], ids=["it has not ended", "it has, and is made again"])
async def test_gates_go_on_being_judged_though_a_call_was_given_up_and_what_was_told_is_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    heard_within(monkeypatch, timedelta(seconds=3) if ended else timedelta(minutes=10))
    plan = rising_in_two_steps(plan_of("judged", CHECKED_BEFORE_STAGED))
    async with one_rollout(plan, tmp_path, *SHORTLY) as (land, world):
        handle = await asked_without_an_answer(land, world)
        land.sandbox.faults.reconcile_seconds = 10 * REAL_SECONDS
        answered_again(land)
        async with asyncio.timeout(2 * REAL_SECONDS):
            while "shift_traffic" not in await given_up(handle):
                await world.sleep(SOON)
            land.channel.refusing = True
            await handle.signal("hello")
            while ended and "shift_traffic" in await given_up(handle):
                await world.sleep(SOON)
        await world.until_under_way(handle, "shift_traffic", 1)
        assert (await world.store.emergency(by="robin", reason="not like this")).accepted

        back = await asyncio.wait_for(world.until(handle, RolloutStatus.ROLLING_BACK, step=SOON), REAL_SECONDS)

        assert back.rollback is not None
        assert back.rollback.by == "flag store"


async def test_an_emergency_reaches_the_run_that_goes_on_waiting(tmp_path: Path) -> None:
    async with waiting("urgent", tmp_path, TO_AN_APPROVAL, RolloutStatus.AWAITING_APPROVAL) as (_, world, handle):
        await continued(world, handle)

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})

        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)
        assert back.rollback is not None
        assert back.rollback.reason == "stop"
