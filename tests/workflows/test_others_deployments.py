"""What somebody else deploys while a rollout waits for its first approval holds it, pages, and is never undone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import ResolveHold
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from sandbox.faults import Fault
from tests.workflows.changed_plans import approved_first
from tests.workflows.commanding import adopt, ask, emergency, refusal
from tests.workflows.foreign_changes import deploy_by_hand
from tests.workflows.long_histories import continued, told_something
from tests.workflows.many_rollouts import EVENTS_BEFORE_CONTINUING, SHORTLY, SOON, Land, land_for, one_rollout
from tests.workflows.partial_workers import carrying_on, without_the_workflow
from tests.workflows.small_plans import TO_THE_END, plan_of
from tests.workflows.standing import told, until_told
from tests.workflows.world import CANDIDATE_IMAGE, POLL_SECONDS, REAL_SECONDS, Handle, World
from workflows import activity_options

HOTFIX = "registry.example/backend:robins-hotfix"
CONTINUE = ResolveHold(by="alex", reason="I know why", how="continue")


@asynccontextmanager
async def deployed_meanwhile(
    name: str, directory: Path, image: str = HOTFIX, server_options: Sequence[str] = SHORTLY
) -> AsyncIterator[tuple[World, Handle, str, RolloutProgress]]:
    """Held, with the revision that somebody else deployed."""
    async with one_rollout(approved_first(plan_of(name, TO_THE_END)), directory, *server_options) as (_, world):
        handle, theirs = await approved_after_a_deployment(world, image)
        yield world, handle, theirs, await world.until(handle, RolloutStatus.HOLDING, step=SOON)


async def approved_after_a_deployment(world: World, image: str = HOTFIX) -> tuple[Handle, str]:
    """And the revision that somebody else deployed."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    theirs = await deploy_by_hand(world, image)
    await ask(handle, CommandName.APPROVE)
    return handle, theirs


def with_a_second_service(name: str, second: str) -> tuple[RolloutPlan, RolloutPlan]:
    """A plan, and the same plan with one service more."""
    plan = approved_first(plan_of(name, TO_THE_END))
    more = {second: plan.services["backend"].model_copy(update={"service": second})}
    return plan, plan.model_copy(update={"services": plan.services | more})


async def refused_beside_a_service_that_is_away(land: Land, both: World, first: World) -> tuple[Handle, str]:
    """What somebody else deployed to the first service is known, and the other one is still being deployed."""
    handle = await both.start()
    await both.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    theirs = await deploy_by_hand(first, HOTFIX)
    land.sandbox.faults.put(Fault(method="UpdateService", code="UNAVAILABLE"))
    await ask(handle, CommandName.APPROVE)
    async with asyncio.timeout(REAL_SECONDS):
        while (await both.progress(handle)).anchors["backend"].stable != theirs:  # noqa: ASYNC110  (it is asked)
            await asyncio.sleep(POLL_SECONDS)
    return handle, theirs


async def serving(world: World) -> dict[str, int]:
    return (await world.cloud_run.read_traffic(world.plan.service_ref("backend"))).shares


async def test_it_holds_pages_and_goes_on_beside_what_was_deployed_once_a_person_adopts_it(tmp_path: Path) -> None:
    async with deployed_meanwhile("adopted", tmp_path) as (world, handle, theirs, held):
        assert (held.rollback, held.candidates, held.current.name) == (None, {}, "dark")
        assert "adopted was changed by somebody else: its anchor was read at generation" in held.why
        assert f"{theirs} serves now, and a rollback returns to it" in held.why
        assert "`rollout resolve-hold adopt adopted --reason …`" in held.next
        assert [notice.severity for notice in await until_told(world, "is holding")] == ["page"]
        assert await serving(world) == {theirs: 100}
        assert "services are not what the rollout found" in await refusal(handle, CommandName.RESOLVE_HOLD, CONTINUE)

        answer = await adopt(handle)

        assert answer.next.startswith("the candidate is deployed beside what was shown to serve, which is what a")
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.anchors["backend"].stable == theirs
        assert await world.candidate_shares(result) == {"backend": 100}


async def test_what_is_deployed_after_it_was_shown_is_not_adopted_with_it_but_holds_again_and_is_shown(
    tmp_path: Path,
) -> None:
    # In one run: where a new one begins in between, it is the deployment that is refused, in other words.
    async with deployed_meanwhile("again", tmp_path, server_options=()) as (world, handle, shown, _):
        theirs = await deploy_by_hand(world, "registry.example/backend:another-hotfix")

        await adopt(handle)

        held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        assert held.why == (
            f"again was changed by somebody else again: {theirs} serves now and no longer {shown}, and a rollback "
            "returns to it"
        )
        assert (held.candidates, held.anchors["backend"].stable) == ({}, theirs)
        assert theirs in (await world.store.read_safety()).anchors["backend"]

        await adopt(handle)

        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.anchors["backend"].stable == theirs
        assert len(told(world, "dark is holding")) == 2


async def test_taken_back_instead_it_leaves_what_was_deployed_as_it_is(tmp_path: Path) -> None:
    async with deployed_meanwhile("left", tmp_path) as (world, handle, theirs, _):
        await emergency(handle)

        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)

        assert await world.is_safe(back)
        assert await serving(world) == {theirs: 100}
        kept = await world.store.read_safety()
        assert theirs in kept.anchors["backend"]


async def test_taken_back_while_the_flag_store_is_away_it_leaves_what_was_deployed_too(tmp_path: Path) -> None:
    async with one_rollout(approved_first(plan_of("away", TO_THE_END)), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
        land.wire.silence()
        theirs = await deploy_by_hand(world, HOTFIX)
        await ask(handle, CommandName.APPROVE)
        await world.until_under_way(handle, "record_anchors", 1)

        await emergency(handle)

        await world.until_under_way(handle, "latch_off", 1)
        land.wire.speak()
        land.wire.cut()
        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)
        assert await serving(world) == {theirs: 100}


async def test_taken_back_while_another_service_is_deployed_for_long_it_leaves_what_was_deployed_too(
    tmp_path: Path,
) -> None:
    alone, plan = with_a_second_service("first", "second")
    async with land_for(["first", "second"], tmp_path) as land:
        world, first = land.world(plan), land.world(alone)
        handle, theirs = await refused_beside_a_service_that_is_away(land, world, first)

        await emergency(handle)

        await world.until_under_way(handle, "restore_traffic", 1)
        land.sandbox.faults.clear()
        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)
        assert await serving(first) == {theirs: 100}


async def test_what_serves_instead_is_read_once_as_the_deployment_is_refused_and_that_is_what_is_kept(
    tmp_path: Path,
) -> None:
    async with one_rollout(approved_first(plan_of("once", TO_THE_END)), tmp_path) as (_, world):
        handle, theirs = await approved_after_a_deployment(world)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        scheduled = [
            event.activity_task_scheduled_event_attributes.activity_type.name
            async for event in handle.fetch_history_events()
        ]
        refused = scheduled.index("deploy_candidate")

        assert [name for name in scheduled[refused:] if name == "read_anchor"] == ["read_anchor"]
        assert theirs in (await world.store.read_safety()).anchors["backend"]


async def test_a_new_run_does_not_deploy_beside_what_nobody_has_adopted_yet(tmp_path: Path) -> None:
    alone, plan = with_a_second_service("first", "second")
    async with land_for(["first", "second"], tmp_path, *SHORTLY) as land:
        world, first = land.world(plan), land.world(alone)
        handle, theirs = await refused_beside_a_service_that_is_away(land, world, first)
        while (await handle.describe()).history_length < 2 * EVENTS_BEFORE_CONTINUING:
            await handle.signal("hello")

        land.sandbox.faults.clear()

        held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        assert list(held.candidates) == ["second"]
        assert await serving(first) == {theirs: 100}
        assert len(await until_told(world, "dark is holding")) == 1
        await emergency(handle)
        await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)


async def test_a_person_is_paged_when_what_was_adopted_cannot_be_read_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity_options, "UNJUDGED_AT_MOST", timedelta(seconds=1))
    monkeypatch.setattr(activity_options, "PAGE_AFTER", timedelta(seconds=2))
    async with one_rollout(approved_first(plan_of("unread", TO_THE_END)), tmp_path) as (land, world):
        handle, _ = await approved_after_a_deployment(world)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        land.sandbox.faults.put(Fault(method="GetService", code="UNAVAILABLE"))

        await adopt(handle)

        await until_told(world, "Waiting long: reading what serves now")
        land.sandbox.faults.clear()
        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why


async def test_held_for_days_it_goes_on_in_new_runs_and_deploys_only_once_that_is_adopted(tmp_path: Path) -> None:
    async with deployed_meanwhile("long", tmp_path) as (world, handle, theirs, _):
        for _ in range(2):
            after = await continued(world, handle, watched_by="watch_store", growing_by=told_something)
            assert (after.status, after.candidates) == (RolloutStatus.HOLDING, {})
        assert len(told(world, "is holding")) == 1

        await adopt(handle)

        result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.anchors["backend"].stable == theirs


async def test_the_candidate_itself_deployed_by_hand_is_never_what_a_rollback_returns_to(tmp_path: Path) -> None:
    async with deployed_meanwhile("itself", tmp_path, CANDIDATE_IMAGE.format("backend")) as (
        world,
        handle,
        theirs,
        held,
    ):
        assert f"{theirs} serves, and its image is the candidate's" in held.why

        await emergency(handle)

        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)
        assert theirs not in await serving(world)


async def test_two_people_who_decide_about_it_in_the_same_moment_are_both_answered(tmp_path: Path) -> None:
    plan = approved_first(plan_of("both", TO_THE_END))
    async with one_rollout(plan, tmp_path, worked_by=without_the_workflow) as (_, world):
        async with carrying_on(world.client):
            handle, _ = await approved_after_a_deployment(world)
            await world.until(handle, RolloutStatus.HOLDING, step=SOON)
        adopting = asyncio.create_task(adopt(handle))
        await world.sleep(SOON)
        continuing = asyncio.create_task(refusal(handle, CommandName.RESOLVE_HOLD, CONTINUE))
        await world.sleep(SOON)

        async with carrying_on(world.client):
            assert (await adopting).happened == "the hold is resolved"
            assert "nothing holds it" in await continuing
            result = await asyncio.wait_for(handle.result(), REAL_SECONDS)

        assert result.status is RolloutStatus.COMPLETED, result.why
        history = await handle.fetch_history()
        assert not [event for event in history.events if event.HasField("workflow_task_failed_event_attributes")]
