"""Nothing rises outside the plan's windows, unless a person forces it; everything may fall at any time."""

import struct
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Promote
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.windows import Windows
from tests.workflows.answers_kept_back import answered_again, asked_without_an_answer
from tests.workflows.changed_plans import (
    SPLIT_BEFORE_STAGED,
    approved_first,
    hurried,
    rising_in_two_steps,
    seldom_looked_at,
)
from tests.workflows.commanding import ask, refusal
from tests.workflows.foreign_changes import CHECKED_BEFORE_STAGED, split_by_hand, split_by_hand_just_before_a_step
from tests.workflows.long_histories import continued
from tests.workflows.many_rollouts import SHORTLY, SOON, Land, one_rollout
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.standing import shown, taken_back
from tests.workflows.world import Handle, World, laid_out

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONGER_THAN_THE_WINDOW = 1.5 * HOUR


def an_hour_around(time: datetime) -> Windows:
    """Every day; by the end of the first stage, today's is over."""
    return Windows(time_zone="UTC", hours=f"{time - HOUR / 2:%H:%M}-{time + HOUR:%H:%M}")


A_ZONE = "Example/Harbour"
MoveClocks = Callable[[timedelta], None]


@pytest.fixture
def move_clocks(tmp_path: Path) -> Iterator[MoveClocks]:
    """A time zone whose law changes when a test says so: from then on its clocks are so far ahead of UTC."""
    file = tmp_path / "zones" / A_ZONE
    file.parent.mkdir(parents=True)

    def move(ahead: timedelta) -> None:
        # One offset for all times, as RFC 8536 writes it.
        file.write_bytes(
            struct.pack(">5s15x6llBB4s", b"TZif", 0, 0, 0, 0, 1, 4, int(ahead.total_seconds()), 0, 0, b"EXA")
        )
        zoneinfo.ZoneInfo.clear_cache()

    move(timedelta())
    zoneinfo.reset_tzpath([tmp_path / "zones"])
    yield move
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def until_clocks_move(plan: RolloutPlan) -> RolloutPlan:
    """With a window that is open for hours in `A_ZONE`, unless its clocks are moved by half a day."""
    now = datetime.now(UTC)
    window = Windows(time_zone=A_ZONE, hours=f"{now - 3 * HOUR:%H:%M}-{now + 3 * HOUR:%H:%M}")
    return plan.model_copy(update={"windows": window})


async def begun(world: World, windows: Windows) -> Handle:
    world.plan = world.plan.model_copy(update={"windows": windows})
    return await world.start()


async def test_a_stage_waits_for_the_next_window_and_says_until_when(tmp_path: Path) -> None:
    async with laid_out(seldom_looked_at(hurried(LONGER_THAN_THE_WINDOW)), tmp_path) as world:
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
    async with laid_out(hurried(LONGER_THAN_THE_WINDOW), tmp_path) as world:
        began = await world.now()
        closes = Windows(time_zone="UTC", hours=f"{began - HOUR:%H:%M}-{began + timedelta(minutes=12):%H:%M}")
        handle = await begun(world, closes)
        await world.approve(handle)

        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=timedelta(minutes=1))

        assert waiting.current.state == "soaking"
        assert waiting.why.startswith("deploy-off at ")
        step = waiting.current.step
        assert await world.candidate_shares(waiting) == dict.fromkeys(world.plan.services, (10, 50, 100)[step - 1])


async def test_a_step_that_was_held_for_what_others_changed_asks_again_whether_its_window_is_open(
    tmp_path: Path, move_clocks: MoveClocks
) -> None:
    plan = until_clocks_move(rising_in_two_steps(plan_of("held", CHECKED_BEFORE_STAGED)))
    async with one_rollout(plan, tmp_path) as (land, world):
        handle = await split_by_hand_just_before_a_step(land, world)
        held = await world.until(handle, RolloutStatus.HOLDING, stage="staged", step=SOON)
        move_clocks(DAY / 2)

        await split_by_hand(world, held, SPLIT_BEFORE_STAGED)

        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=SOON)
        assert waiting.why.startswith("staged at 100 % waits: the window for promotion is")
        assert await world.candidate_shares(waiting) == {"backend": SPLIT_BEFORE_STAGED}
        await ask(handle, CommandName.PROMOTE, Promote(by="kim", reason="seen", force=True))
        result = await handle.result()
        assert result.status is RolloutStatus.COMPLETED, result.why


async def checked_while_the_window_closes(
    land: Land, world: World, move_clocks: MoveClocks
) -> tuple[Handle, RolloutProgress]:
    """The stage that waits for the next one."""
    handle = await asked_without_an_answer(land, world)
    move_clocks(DAY / 2)
    answered_again(land)
    return handle, await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=SOON)


async def test_a_stage_whose_checks_outlast_the_window_changes_nothing_before_the_next_one(
    tmp_path: Path, move_clocks: MoveClocks
) -> None:
    async with one_rollout(until_clocks_move(plan_of("checked", CHECKED_BEFORE_STAGED)), tmp_path) as (land, world):
        _, waiting = await checked_while_the_window_closes(land, world, move_clocks)

        assert waiting.why.startswith("staged waits: the window for promotion is")
        assert await shown(world) == {"checked": "10%"}


@pytest.mark.parametrize("in_a_later_run", [False, True], ids=["in the same run", "in a later run"])
async def test_what_has_begun_after_its_window_is_being_entered_and_waits_no_longer(
    tmp_path: Path, move_clocks: MoveClocks, *, in_a_later_run: bool
) -> None:
    plan = until_clocks_move(plan_of("begun", CHECKED_BEFORE_STAGED))
    async with one_rollout(plan, tmp_path, *(SHORTLY if in_a_later_run else ())) as (land, world):
        handle, _ = await checked_while_the_window_closes(land, world, move_clocks)
        if in_a_later_run:
            assert (await continued(world, handle)).status is RolloutStatus.AWAITING_WINDOW
        land.wire.silence()

        await ask(handle, CommandName.PROMOTE, Promote(by="kim", reason="seen", force=True))

        await world.until_under_way(handle, "set_exposures", 1)
        begun = await world.progress(handle)
        assert (begun.status, begun.why) == (RolloutStatus.ENTERING, "entering stage 3 of 3, staged")
        assert "a stage is being entered" in await refusal(handle, CommandName.STEP_BACK)
        land.wire.speak()
        land.wire.cut()
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)


async def test_a_freeze_keeps_even_the_first_stage_from_beginning_until_a_person_forces_it(tmp_path: Path) -> None:
    frozen = approved_first(plan_of("frozen", Shape(frozen=True)))
    async with one_rollout(frozen, tmp_path) as (_, world):
        handle = await world.start()
        waiting = await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=SOON)
        assert "nobody is here" in waiting.why
        assert waiting.candidates == {}

        assert "nobody is here" in await refusal(handle, CommandName.PROMOTE, Promote(by="kim"))
        forced = Promote(by="kim", reason="the fix for the sale", force=True)
        answer = await ask(handle, CommandName.PROMOTE, forced)

        assert answer.next == "it begins now, outside the plan's windows"
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        await ask(handle, CommandName.APPROVE)
        next_one = await world.until(handle, RolloutStatus.AWAITING_WINDOW, stage="canary", step=SOON)
        assert any("dark promoted by force by kim: the fix for the sale" in e.text for e in next_one.timeline)
        assert await world.candidate_shares(next_one) == {"backend": 100}, "one stage was forced, and that one alone"


async def test_an_emergency_never_waits_for_a_window(tmp_path: Path) -> None:
    async with laid_out(hurried(LONGER_THAN_THE_WINDOW), tmp_path) as world:
        handle = await begun(world, an_hour_around(await world.now()))
        await world.approve(handle)
        await world.until(handle, RolloutStatus.AWAITING_WINDOW)

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})

        await taken_back(world, handle, "emergency")
