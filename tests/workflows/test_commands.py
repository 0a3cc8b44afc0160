"""What people may ask of a running rollout besides an emergency, and what follows from it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout import exposure as exposures
from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Extend, Promote, ResolveHold
from rollout.progress import RolloutStatus, StageProgress
from tests.workflows.changed_plans import SOAK
from tests.workflows.commanding import adopt, ask, refusal
from tests.workflows.measured_faults import errors_of_treated_users, slow_websockets
from tests.workflows.shipped_plans import shipped
from tests.workflows.standing import in_stage, shown
from tests.workflows.world import REAL_SECONDS, World, laid_out_in_real_time


@pytest.fixture
async def guarded_for_long(tmp_path: Path) -> AsyncIterator[World]:
    """On the real server: the one that skips time loses an Update that comes while an activity runs."""
    plan = shipped("rehearsal.yaml").model_copy(update={"guard": timedelta(hours=1)})
    async with laid_out_in_real_time(plan, tmp_path) as laid:
        yield laid


class TestPromote:
    async def test_a_promoted_stage_ends_with_its_next_passing_interval_and_not_before(self, world: World) -> None:
        handle = await in_stage(world, "canary")

        answer = await ask(handle, CommandName.PROMOTE, Promote(by="kim", reason="enough seen"))
        promoted_at = await world.now()
        staged = await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=timedelta(seconds=30))

        canary = staged.stages[2]
        assert answer.next == "the soak ends with the next interval in which every gate passes"
        assert canary.passed_at is not None
        assert promoted_at < canary.passed_at < promoted_at + timedelta(minutes=10)
        assert canary.credit < canary.soak
        assert set((await shown(world)).values()) == {"50%"}

    async def test_by_force_it_ends_at_once_and_only_with_a_reason(self, world: World) -> None:
        handle = await in_stage(world, "internal")
        assert "needs a reason" in await refusal(handle, CommandName.PROMOTE, Promote(by="kim", force=True))

        await ask(handle, CommandName.PROMOTE, Promote(by="kim", reason="known false alarm", force=True))

        canary = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=30))
        assert any("internal promoted by force by kim: known false alarm" in event.text for event in canary.timeline)


class TestExtend:
    async def test_an_extended_stage_asks_for_that_much_more_credit(self, world: World) -> None:
        handle = await in_stage(world, "internal")

        await ask(handle, CommandName.EXTEND, Extend(by="kim", reason="a holiday", more=2 * SOAK))

        canary = await world.until(handle, RolloutStatus.SOAKING, stage="canary")
        assert canary.stages[1].credit == 3 * SOAK


class TestStepBack:
    async def test_one_stage_down_soaks_anew_and_going_up_again_needs_an_approval(self, world: World) -> None:
        handle = await in_stage(world, "staged")

        answer = await ask(handle, CommandName.STEP_BACK)
        assert answer.happened == "stepping back to canary"
        back = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=30))
        assert set((await shown(world)).values()) == {"10%"}
        assert back.current.credit == timedelta()

        waiting = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, RolloutStatus.HOLDING)
        assert waiting.status is RolloutStatus.AWAITING_APPROVAL, waiting.why
        assert waiting.current.name == "staged"
        assert set((await shown(world)).values()) == {"10%"}
        await ask(handle, CommandName.APPROVE)
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=timedelta(seconds=30))
        assert set((await shown(world)).values()) == {"50%"}

    async def test_every_stage_that_was_stepped_back_from_needs_an_approval_to_be_entered_again(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "staged")
        for stage in ("canary", "internal"):
            await ask(handle, CommandName.STEP_BACK)
            await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=timedelta(seconds=30))

        for stage, exposed in (("canary", "10%"), ("staged", "50%")):
            waiting = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, RolloutStatus.HOLDING)
            assert (waiting.status, waiting.current.name) == (RolloutStatus.AWAITING_APPROVAL, stage)
            await ask(handle, CommandName.APPROVE)
            await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=timedelta(seconds=30))
            assert set((await shown(world)).values()) == {exposed}

    async def test_step_by_step_down_to_nobody_and_no_further(self, world: World) -> None:
        handle = await in_stage(world, "canary")
        for stage, exposed in (("internal", "internal"), ("deploy-off", "off")):
            await ask(handle, CommandName.STEP_BACK)
            await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=timedelta(seconds=30))
            assert set((await shown(world)).values()) == {exposed}
        assert "nobody sees the features yet" in await refusal(handle, CommandName.STEP_BACK)

    async def test_a_step_back_can_be_paused_and_escalated(self, world: World) -> None:
        handle = await in_stage(world, "canary")
        await ask(handle, CommandName.PAUSE)
        await ask(handle, CommandName.STEP_BACK)
        back = await world.until(handle, RolloutStatus.PAUSED, stage="internal", step=timedelta(seconds=30))
        assert back.current.state == "soaking"

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "worse"})

        result = await handle.result()
        assert result.status is RolloutStatus.ROLLED_BACK
        assert await world.is_safe(result)


class TestWaiting:
    async def test_while_a_stage_waits_for_an_approval_the_one_before_is_watched_and_taken_back(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "staged")
        await ask(handle, CommandName.STEP_BACK)
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL)

        world.source.fault = errors_of_treated_users

        result = await handle.result()
        assert (result.status, result.rollback and result.rollback.cause) == (RolloutStatus.ROLLED_BACK, "gate")
        assert await world.is_safe(result)

    async def test_a_rollout_that_was_paused_while_it_waited_for_an_approval_waits_for_it_again(
        self, world: World
    ) -> None:
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL)
        await ask(handle, CommandName.PAUSE)
        assert "nothing waits for an approval" in await refusal(handle, CommandName.APPROVE)

        await ask(handle, CommandName.RESUME)

        await world.until(handle, RolloutStatus.AWAITING_APPROVAL)
        await world.approve(handle)
        await world.until(handle, RolloutStatus.SOAKING, stage="deploy-off")


HELD_FOR = 6 * SOAK


def assert_nothing_was_credited_for(held: timedelta, stage: StageProgress) -> None:
    """However often the time of a hold is judged anew, its credit clock stood."""
    assert stage.entered_at is not None
    assert stage.passed_at is not None
    assert stage.passed_at - stage.entered_at >= stage.soak + held


class TestHolds:
    async def test_a_person_lets_a_rollout_go_on_without_the_gate_that_holds_it(self, world: World) -> None:
        handle = await in_stage(world, "canary")
        world.source.fault = slow_websockets
        held = await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))
        assert held.current.soak_state is not None
        causes = held.current.soak_state.causes
        await world.passes(HELD_FOR)

        answer = await ask(
            handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", reason="a known test", how="continue")
        )

        assert answer.next.startswith(
            f"{', '.join(causes)} {'holds' if len(causes) == 1 else 'hold'} this stage no longer"
        )
        staged = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="staged")
        assert staged.stages[2].waived == causes
        assert_nothing_was_credited_for(HELD_FOR, staged.stages[2])

    async def test_a_flag_that_somebody_else_lowered_is_adopted_and_stays_there(self, world: World) -> None:
        handle = await in_stage(world, "internal")
        off = {"factory_pattern": exposures.document_of(exposures.OFF, "off")}
        assert (await world.store.set_exposures(off, fence=0, by="robin", reason="by hand")).accepted
        await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))
        assert "`adopt` accepts them" in await refusal(
            handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", how="continue")
        )
        await world.passes(HELD_FOR)

        answer = await adopt(handle)

        assert "factory_pattern off" in answer.next
        canary = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="canary")
        assert canary.status is RolloutStatus.SOAKING, canary.why
        assert canary.limits == {"factory_pattern": "off"}
        assert "hold resolved: adopt by kim: robin is right" in [event.text for event in canary.timeline]
        assert_nothing_was_credited_for(HELD_FOR, canary.stages[1])
        flags = (await world.flags()).flags
        assert {flag: shown.in_words() for flag, shown in flags.items()} == {
            "request_isolation": "10%",
            "factory_pattern": "off",
            "websocket_isolation": "10%",
        }

    async def test_what_exposes_more_than_the_rollout_set_is_not_adopted(self, world: World) -> None:
        handle = await in_stage(world, "internal")
        more = {"factory_pattern": exposures.document_of(0.1, "canary")}
        assert (await world.store.override(more, by="robin", reason="impatient")).accepted
        await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))

        refused = await refusal(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", how="adopt"))

        assert refused == "cannot adopt: factory_pattern is shown to 10%, the rollout set internal"
        still = await world.progress(handle)
        assert still.status is RolloutStatus.HOLDING
        assert [event.text for event in still.timeline if event.kind == "command" and "hold" in event.text] == []

    async def test_a_hold_can_be_ended_by_taking_everything_back(self, world: World) -> None:
        handle = await in_stage(world, "canary")
        world.source.fault = slow_websockets
        await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))

        await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", reason="too slow", how="rollback"))

        result = await handle.result()
        assert (result.status, result.rollback and result.rollback.reason) == (RolloutStatus.ROLLED_BACK, "too slow")
        assert await world.is_safe(result)


class TestFinish:
    async def test_the_guard_after_a_rollback_can_be_ended_so_that_the_next_rollout_may_start(
        self, guarded_for_long: World
    ) -> None:
        world = guarded_for_long
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, step=timedelta(milliseconds=100))
        assert "it goes on" in await refusal(handle, CommandName.FINISH)
        await handle.signal(SIGNAL_EMERGENCY)
        await world.until_under_way(handle, "guard_rollback", 1)

        await ask(handle, CommandName.FINISH)

        # Far less than the hour for which the guard was to last.
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.ROLLED_BACK
        assert await world.is_safe(result)
