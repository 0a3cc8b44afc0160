"""After the last stage the gates go on being judged for as long as the plan, or a person, wants."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.workflows.changed_plans import hurried
from tests.workflows.commanding import ask, refusal
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.measured_faults import one_cascade
from tests.workflows.small_plans import WATCHED, plan_of
from tests.workflows.standing import taken_back
from tests.workflows.world import Handle, World, laid_out

WATCH = timedelta(hours=6, seconds=20)
"""It ends between two looks: the server that skips time strands a run that leaves a watch at the instant of a look."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out(hurried().model_copy(update={"watch": WATCH}), tmp_path) as laid:
        yield laid


async def watched(world: World) -> Handle:
    handle = await world.start()
    await world.approve(handle)
    await world.until(handle, RolloutStatus.WATCHING)
    return handle


async def test_a_rollout_whose_stages_have_passed_is_watched_for_its_time_and_then_complete(world: World) -> None:
    handle = await watched(world)
    progress = await world.progress(handle)
    assert progress.why == "all stages passed, exposed to everybody"
    assert "`rollout finish request-isolation` ends it" in progress.next
    passed = progress.current.passed_at
    assert passed is not None

    result = await handle.result()

    assert result.status is RolloutStatus.COMPLETED
    assert result.finished_at is not None
    assert WATCH <= result.finished_at - passed < WATCH + timedelta(minutes=5)
    titles = [notice.title for notice in world.channel.notices]
    assert titles.index("All stages passed") < titles.index("Rollout complete")


async def test_a_cascade_failure_hours_after_the_last_stage_takes_everything_back(world: World) -> None:
    handle = await watched(world)
    await world.passes(WATCH / 2)

    world.source.fault = one_cascade

    await taken_back(world, handle, "gate")


async def test_an_emergency_reaches_a_rollout_whose_stages_have_passed(world: World) -> None:
    handle = await watched(world)

    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})

    await taken_back(world, handle, "emergency")


async def test_a_person_ends_the_watch_and_everybody_stays_exposed(world: World) -> None:
    handle = await watched(world)
    answer = await ask(handle, CommandName.FINISH)

    result = await handle.result()

    assert answer.happened == "the watch ended"
    assert result.status is RolloutStatus.COMPLETED
    assert {flag.stage for flag in (await world.flags()).flags.values()} == {"full"}


async def test_from_the_watch_one_may_step_back_but_there_is_nothing_to_pause(world: World) -> None:
    handle = await watched(world)
    assert await refusal(handle, CommandName.PAUSE) == "cannot pause: all stages have passed"

    await ask(handle, CommandName.STEP_BACK)
    back = await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=timedelta(minutes=1))

    assert back.watched_until is None
    assert {flag.stage for flag in (await world.flags()).flags.values()} == {"staged"}
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL)
    await ask(handle, CommandName.APPROVE)
    again = await world.until(handle, RolloutStatus.WATCHING)
    assert again.stages[-1].state == "passed"


async def test_whoever_ends_the_watch_twice_before_an_emergency_has_not_ended_the_guard_after_it(
    tmp_path: Path,
) -> None:
    name = "ended-twice"
    async with one_rollout(plan_of(name, WATCHED), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.WATCHING, step=SOON)
        # The first one ends the watch, and what it owns cannot be given back: so the second one is taken as well.
        land.wire.silence()
        for _ in range(2):
            await ask(handle, CommandName.FINISH)
            await world.until_under_way(handle, "settle", 1)

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
        land.wire.speak()
        land.wire.cut()

        await world.until_under_way(handle, "guard_rollback", 1)
        answer = await ask(handle, CommandName.FINISH)
        assert answer.happened == "the guard ended"
        await taken_back(world, handle, "emergency")
