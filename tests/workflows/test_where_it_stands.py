"""Paused, held and waiting at once: what is shown is what would move it, and what is asked for there is understood."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import Extend, Promote, ResolveHold
from rollout.progress import RolloutStatus
from tests.workflows.commanding import ask, refusal
from tests.workflows.many_rollouts import SOON, Land, land_for
from tests.workflows.small_plans import A_MOMENT, IN_CANARY, SMOKE_TEST, Shape, plan_of
from tests.workflows.standing import resumed_to_its_approval_while_held, until_held

WAITING, ENTERING, STEPPING = "waits-held", "enters-paused", "steps-back-paused"
RESUMED = "resumed-held"


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[Land]:
    async with land_for([WAITING, RESUMED, ENTERING, STEPPING], tmp_path) as laid:
        yield laid


async def test_what_waits_is_paused_and_held_is_shown_as_what_would_move_it(land: Land) -> None:
    await asyncio.gather(
        a_stage_that_waits_while_the_one_before_holds(land),
        a_stage_that_waits_and_is_paused_before_the_one_before_holds(land),
        a_pause_while_a_stage_is_entered(land),
    )
    # It needs a flag store that is silent for everybody.
    await a_pause_of_what_is_paused_already(land)


async def a_stage_that_waits_while_the_one_before_holds(land: Land) -> None:
    world = land.world(plan_of(WAITING, Shape(canary_soak=A_MOMENT, approval=True)))
    handle = await world.start()
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    land.source.busy_plans.add(WAITING)
    await until_held(world, handle)

    # Paused and resumed it waits again for what it waited for, and says so.
    await ask(handle, CommandName.PAUSE)
    resumed = await ask(handle, CommandName.RESUME)
    waiting = await world.progress(handle)
    assert (waiting.status, waiting.why) == (RolloutStatus.AWAITING_APPROVAL, "staged needs a person's approval")
    assert resumed.next.startswith(
        f"staged needs a person's approval; `rollout approve {WAITING}`; canary is held: CPU"
    )
    extended = await ask(handle, CommandName.EXTEND, Extend(by="kim", reason="a holiday", more=timedelta(minutes=1)))
    assert extended.next == "once staged is entered, it soaks until it has that credit too"

    # Approved it no longer waits for a person, but for its gates.
    answer = await ask(handle, CommandName.APPROVE)
    held = await world.progress(handle)
    assert "CPU" in held.why
    assert answer.next == f"entering staged as soon as nothing holds the stage before it: {held.why}"
    assert (answer.status, held.status) == ("holding", RolloutStatus.HOLDING)
    assert held.next.startswith("staged is approved and entered when every gate passes again")
    assert await refusal(handle, CommandName.APPROVE) == "cannot approve: nothing waits for an approval"
    forced = Promote(by="kim", reason="I know why", force=True)
    assert "staged has not been entered; `resolve-hold` lets it be" in await refusal(
        handle, CommandName.PROMOTE, forced
    )

    # The same after a pause.
    await ask(handle, CommandName.PAUSE)
    assert (await ask(handle, CommandName.RESUME)).status == "holding"
    assert (await world.progress(handle)).why == held.why

    await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", reason="a known test", how="continue"))
    await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)


async def a_stage_that_waits_and_is_paused_before_the_one_before_holds(land: Land) -> None:
    world = land.world(plan_of(RESUMED, Shape(canary_soak=A_MOMENT, approval=True)))
    handle = await world.start()
    await resumed_to_its_approval_while_held(land, world, handle)

    assert (await ask(handle, CommandName.APPROVE)).happened == "staged approved"
    await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", reason="a known test", how="continue"))
    await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)


async def a_pause_while_a_stage_is_entered(land: Land) -> None:
    land.source.silent_metrics.add(f"custom.googleapis.com/{ENTERING}/smoke")
    world = land.world(plan_of(ENTERING, Shape(canary_soak=A_MOMENT, check=SMOKE_TEST)))
    handle = await world.start()
    before = await world.until(handle, RolloutStatus.ENTERING, stage="staged", step=SOON)

    await ask(handle, CommandName.PAUSE)
    paused = await world.progress(handle)
    await ask(handle, CommandName.RESUME)

    after = await world.progress(handle)
    assert (paused.status, after.status) == (RolloutStatus.PAUSED, RolloutStatus.ENTERING)
    assert (after.why, after.next) == (before.why, before.next)


async def a_pause_of_what_is_paused_already(land: Land) -> None:
    """While a paused rollout steps back it is shown as entering; it is paused all the same."""
    world = land.world(plan_of(STEPPING, IN_CANARY))
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    await ask(handle, CommandName.PAUSE)
    land.wire.silence()
    await ask(handle, CommandName.STEP_BACK)
    await world.until(handle, RolloutStatus.ENTERING, step=SOON)

    assert await refusal(handle, CommandName.PAUSE) == "cannot pause: it is paused already"
    await ask(handle, CommandName.RESUME)
    assert "it is not paused" in await refusal(handle, CommandName.RESUME)

    land.wire.speak()
    land.wire.cut()
    back = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    assert back.current.name == "canary"
    assert [suspension.until is None for suspension in back.suspensions] == [False]
