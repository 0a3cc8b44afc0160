"""Nothing rises outside the plan's windows, unless a person forces it; everything may fall at any time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError

from rollout.messages import SIGNAL_EMERGENCY, UPDATE_PROMOTE, Answer, Promote
from rollout.progress import RolloutStatus
from rollout.windows import Windows
from tests.workflows.changed_plans import frozen_today, hurried
from tests.workflows.standing import taken_back
from tests.workflows.world import Handle, World, laid_out

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def an_hour_around(time: datetime) -> Windows:
    """Every day; by the end of the first stage, today's is over."""
    return Windows(time_zone="UTC", hours=f"{time - HOUR / 2:%H:%M}-{time + HOUR:%H:%M}")


async def begun(world: World, windows: Windows) -> Handle:
    world.plan = world.plan.model_copy(update={"windows": windows})
    return await world.start()


async def test_a_stage_waits_for_the_next_window_and_says_until_when(tmp_path: Path) -> None:
    async with laid_out(hurried(3 * HOUR), tmp_path) as world:
        # Windows open with a minute. The server that skips time strands a run that leaves a watch at the very instant
        # of its next look, so that looks fall between the minutes here.
        world.source.delay = timedelta(minutes=2, seconds=30)
        began = await world.now()
        handle = await begun(world, an_hour_around(began))
        await world.approve(handle)

        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW)
        assert waiting.current.name == "internal"
        assert waiting.why.startswith("internal waits: the window for promotion is")
        assert "internal begins on" in waiting.next
        assert "UTC" in waiting.next
        assert {flag: exposure.exposure for flag, exposure in waiting.flags.items()} == dict.fromkeys(
            world.plan.flags, "off"
        )

        entered = await world.until(handle, RolloutStatus.SOAKING, stage="internal")
        assert entered.current.entered_at is not None
        opened = entered.current.entered_at.astimezone(UTC)
        assert opened > began + 20 * HOUR
        assert world.plan.windows is not None
        assert world.plan.windows.why_closed(opened, UTC) is None


async def test_a_traffic_step_waits_for_the_window_too(tmp_path: Path) -> None:
    async with laid_out(hurried(3 * HOUR), tmp_path) as world:
        began = await world.now()
        closes = Windows(time_zone="UTC", hours=f"{began - HOUR:%H:%M}-{began + timedelta(minutes=12):%H:%M}")
        handle = await begun(world, closes)
        await world.approve(handle)

        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=timedelta(minutes=1))

        assert waiting.current.state == "soaking"
        assert waiting.why.startswith("deploy-off at ")
        step = waiting.current.step
        assert await world.candidate_shares(waiting) == dict.fromkeys(world.plan.services, (10, 50, 100)[step - 1])


async def test_a_freeze_keeps_even_the_first_stage_from_beginning_until_a_person_forces_it(tmp_path: Path) -> None:
    async with laid_out(hurried(3 * HOUR), tmp_path) as world:
        handle = await begun(world, frozen_today(await world.now()))
        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW)
        assert "the big sale" in waiting.why
        assert waiting.candidates == {}

        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(UPDATE_PROMOTE, Promote(by="kim"), result_type=Answer)
        assert "the big sale" in str(refused.value.cause)
        forced = Promote(by="kim", reason="the fix for the sale", force=True)
        answer = await handle.execute_update(UPDATE_PROMOTE, forced, result_type=Answer)

        assert answer.next == "it begins now, outside the plan's windows"
        await world.approve(handle)
        soaking = await world.until(handle, RolloutStatus.SOAKING)
        assert any("deploy-off promoted by force by kim: the fix for the sale" in e.text for e in soaking.timeline)


async def test_an_emergency_never_waits_for_a_window(tmp_path: Path) -> None:
    async with laid_out(hurried(3 * HOUR), tmp_path) as world:
        handle = await begun(world, an_hour_around(await world.now()))
        await world.approve(handle)
        await world.until(handle, RolloutStatus.AWAITING_WINDOW)

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})

        await taken_back(world, handle, "emergency")
