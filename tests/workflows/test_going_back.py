"""Every way back ends in the same place: flags latched off and traffic at its anchor, read back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import RawValue

from rollout.flags import OFF
from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from sandbox.faults import Fault
from tests.workflows.foreign_changes import (
    give_traffic_back,
    restore_traffic_directly,
    take_back_directly,
    traffic_belongs_to_a_later_fence,
)
from tests.workflows.measured_faults import errors_of_treated_users, one_cascade, one_violation
from tests.workflows.shipped_plans import shipped
from tests.workflows.standing import in_stage, taken_back
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, Handle, World, laid_out_in_real_time

NEVER = 3600.0


@pytest.fixture
async def rehearsing(tmp_path: Path) -> AsyncIterator[World]:
    """On the real server: the one that skips time loses a task that cancels an activity which just ended."""
    async with laid_out_in_real_time(shipped("rehearsal.yaml"), tmp_path) as laid:
        yield laid


async def going_back_without_being_verified(world: World, for_so_long: timedelta) -> Handle:
    handle = await in_stage(world, "internal")
    await traffic_belongs_to_a_later_fence(world, await world.progress(handle))
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
    await world.passes(for_so_long)
    return handle


async def until_cloud_run_deploys(world: World) -> None:
    """Wait until Cloud Run has taken a change of each service and is not done with it: what then hangs, hangs there."""
    async with asyncio.timeout(REAL_SECONDS):
        while not all(record.message.reconciling for record in world.sandbox.services):  # noqa: ASYNC110  (it is asked)
            await asyncio.sleep(POLL_SECONDS)


class TestGates:
    async def test_errors_of_treated_users_at_canary_take_everything_back(self, world: World) -> None:
        handle = await in_stage(world, "canary")
        world.source.fault = errors_of_treated_users

        result = await taken_back(world, handle, "gate")

        assert result.rollback is not None
        assert "Backend errors against control" in result.rollback.reason
        assert "% against 0.02 % in control" in result.rollback.reason
        assert [stage.state for stage in result.stages] == ["passed", "passed", "failed", "pending", "pending"]

    async def test_one_violated_isolation_ends_the_internal_stage(self, world: World) -> None:
        handle = await in_stage(world, "internal")
        world.source.fault = one_violation

        result = await taken_back(world, handle, "gate")

        assert result.current.name == "internal"

    async def test_the_first_cascade_failure_takes_everything_back_before_anybody_is_exposed(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "deploy-off")
        world.source.fault = one_cascade

        result = await taken_back(world, handle, "gate")

        assert result.current.name == "deploy-off"


class TestPeople:
    async def test_a_cancelled_rollout_is_rolled_back_not_abandoned(self, world: World) -> None:
        handle = await in_stage(world, "internal")

        await handle.cancel()

        await taken_back(world, handle, "cancelled")

    async def test_a_cancellation_before_the_first_approval_leaves_everything_as_it_was(self, world: World) -> None:
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL)

        await handle.cancel()

        result = await taken_back(world, handle, "cancelled")
        assert result.candidates == {}

    async def test_an_emergency_before_the_first_line_of_the_rollout_is_believed(self, rehearsing: World) -> None:
        handle = await rehearsing.start()
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "wrong image"})

        result = await taken_back(rehearsing, handle, "emergency")

        assert result.rollback is not None
        assert (result.rollback.by, result.rollback.reason) == ("kim", "wrong image")

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            (SIGNAL_EMERGENCY, []),
            (SIGNAL_EMERGENCY, ["checkout is down"]),
            (SIGNAL_EMERGENCY, [{}]),
            (SIGNAL_EMERGENCY, [{"unknown": [1, 2]}, "and more", None]),
            (
                "emergency-rollback",
                [RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\xff\xfe\x00"))],
            ),
            ("Emergency Rollback", [3.5]),
        ],
        ids=["no input", "a text", "an empty object", "several inputs", "bytes and a hyphen", "a number and spaces"],
    )
    async def test_an_emergency_of_any_shape_is_believed(self, world: World, name: str, values: list[Any]) -> None:
        handle = await in_stage(world, "deploy-off")

        await handle.signal(name, args=values)

        await taken_back(world, handle, "emergency")

    async def test_an_unknown_signal_changes_nothing_and_is_answered_with_the_right_name(self, world: World) -> None:
        handle = await in_stage(world, "internal")

        for name in ("emergency_rolback", "emergency_rolback", "hello" * 100, "emergency_rolback", "hello" * 100):
            await handle.signal(name)
        await world.until(handle, RolloutStatus.SOAKING, stage="canary")

        told = [notice.text for notice in world.channel.notices if notice.title == "Unknown signal"]
        assert len(told) == 2, "each name is told once"
        assert all(SIGNAL_EMERGENCY in text for text in told)

    async def test_a_kill_switch_pulled_in_the_store_itself_is_seen_and_settles_in_rolled_back(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "canary")
        await world.store.emergency(by="on-call", reason="from a terminal")

        await taken_back(world, handle, "emergency")

    async def test_what_people_took_back_without_temporal_twice_over_is_settled_by_the_rollout(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "internal")
        progress = await world.progress(handle)
        for _ in range(2):
            fence = await take_back_directly(world, progress)

        await world.until(handle, RolloutStatus.ROLLED_BACK, step=timedelta(seconds=30))

        assert fence > progress.fence + 1
        await taken_back(world, handle, "emergency")

    async def test_a_kill_switch_pulled_by_a_second_person_while_the_traffic_goes_back_does_not_keep_it_from_ending(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "internal")
        progress = await world.progress(handle)
        world.sandbox.faults.put(Fault(method="UpdateService", code="PERMISSION_DENIED"))
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
        await world.until_under_way(handle, "restore_traffic", len(progress.anchors))
        first = (await world.flags()).epoch
        assert (await world.store.emergency(by="on-call", reason="from a terminal")).accepted
        world.sandbox.faults.clear()
        fence = (await world.flags()).epoch
        await restore_traffic_directly(world, progress, fence)

        await world.until(handle, RolloutStatus.ROLLED_BACK, step=timedelta(seconds=30))

        assert fence > first
        result = await taken_back(world, handle, "emergency")
        assert not any("was refused" in notice.title for notice in world.channel.notices)
        assert result.fence == fence


class TestTrouble:
    async def test_flags_that_somebody_turned_off_by_hand_are_a_rollback_and_the_rest_of_it_is_done(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "internal")
        off = dict.fromkeys(world.plan.flags, OFF)
        assert (await world.store.set_exposures(off, fence=0, by="robin", reason="by hand")).accepted

        result = await taken_back(world, handle, "emergency")

        assert result.rollback is not None
        assert "by hand: every flag was turned off" in result.rollback.reason

    async def test_traffic_that_somebody_gave_back_by_hand_is_a_rollback_and_the_rest_of_it_is_done(
        self, world: World
    ) -> None:
        handle = await in_stage(world, "canary")
        await give_traffic_back(world, await world.progress(handle))

        result = await taken_back(world, handle, "emergency")

        assert result.rollback is not None
        assert "the traffic was given back to what served before" in result.rollback.reason

    async def test_a_revision_that_does_not_start_fails_the_first_stage_and_leaves_the_traffic_alone(
        self, world: World
    ) -> None:
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL)
        await world.fail_to_start("backend")
        await world.approve(handle)

        result = await taken_back(world, handle, "stage_failed")

        assert "deploy-off failed" in result.why

    async def test_a_rollback_does_not_wait_for_a_deployment_that_hangs(self, rehearsing: World) -> None:
        rehearsing.sandbox.faults.reconcile_seconds = NEVER
        handle = await rehearsing.start()
        await until_cloud_run_deploys(rehearsing)
        rehearsing.sandbox.faults.reconcile_seconds = None

        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})

        await taken_back(rehearsing, handle, "emergency")

    async def test_a_rollback_that_is_not_verified_is_paged_every_five_minutes_and_a_refusal_of_it_is_told_once(
        self, world: World
    ) -> None:
        handle = await going_back_without_being_verified(world, timedelta(minutes=20))

        rolling_back = await world.progress(handle)
        assert rolling_back.status is RolloutStatus.ROLLING_BACK
        assert rolling_back.rollback is not None
        assert (await world.flags()).is_latched_off
        pages = [notice for notice in world.channel.notices if notice.severity == "page"]
        refused = [page.title for page in pages if "refused" in page.title]
        assert sorted(refused) == [f"Rollback: traffic of {key} was refused" for key in sorted(world.plan.services)]
        long = [page for page in pages if page.title == "Waiting long: rollback, traffic to its anchor"]
        minutes = [page.text.partition(" so far")[0] for page in long]
        assert minutes[:3] == ["5 minutes", "10 minutes", "15 minutes"]
        due = rolling_back.rollback.began_at + timedelta(minutes=5)
        first = next(event for event in rolling_back.timeline if "waited for 5 minutes" in event.text)
        assert timedelta() <= first.at - due < timedelta(seconds=1)

    async def test_the_temporal_ui_says_that_nobody_has_the_features_while_their_traffic_is_still_going_back(
        self, world: World
    ) -> None:
        handle = await going_back_without_being_verified(world, timedelta(minutes=20))

        shown = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        assert shown.current_details.startswith("### Rolling back from internal: exposed to nobody\n")
        assert "**Rollback**, by kim: flags off, latched and read back after " in shown.current_details
        assert "**Next:** traffic to its anchor, read back\n" in shown.current_details

    async def test_the_same_candidate_is_refused_until_somebody_says_why_it_may_try_again(self, world: World) -> None:
        handle = await in_stage(world, "internal")
        await handle.signal(SIGNAL_EMERGENCY, "bad")
        await taken_back(world, handle, "emergency")

        latched = await (await world.start()).result()
        reply = await world.store.rearm(epoch=(await world.flags()).epoch, by="kim", reason="understood")
        refused = await (await world.start()).result()
        tried_again = await world.start(again="the database was down, not we")

        assert reply.accepted
        assert (latched.status, refused.status) == (RolloutStatus.REFUSED, RolloutStatus.REFUSED)
        assert "kill switch" in latched.why
        assert "rolled back before" in refused.why
        assert (await world.until(tried_again, RolloutStatus.AWAITING_APPROVAL)).status
