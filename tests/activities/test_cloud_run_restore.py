"""Traffic goes back to its anchor, verified, whatever is hung, failing, half done or late."""

import asyncio
from time import monotonic

import pytest
from temporalio.exceptions import ApplicationError

from activities.cloud_run import RestoreTraffic
from activities.cloud_run_service import FENCE_ANNOTATION
from activities.failures import Failure
from rollout.traffic import Candidate, ServiceAnchor, TrafficSplit
from tests.activities.cloud_run_ground import FENCE, TAG, Ground, exposed

SLOW_START_SECONDS = 1.5


async def assert_restored(ground: Ground, anchor: ServiceAnchor, fence: int = FENCE + 1) -> None:
    """What was asked for and what serves are the anchor's, tags included, once Cloud Run is done."""
    await ground.settled()
    found = await ground.activities.observed(ground.ref)
    assert found.desired == found.observed == anchor.split
    assert found.fence == fence


def assert_candidate_only_fell(ground: Ground, candidate: Candidate, *, since: int, had: int) -> None:
    sent = ground.wire.updates[since:]
    assert sent
    for update in sent:
        assert update.service.traffic, "an empty list gives everything to the newest revision"
        assert sum(row.percent for row in update.service.traffic if row.revision == candidate.revision) <= had


@pytest.mark.parametrize("percent", [0, 30, 100])
async def test_traffic_returns_to_the_anchor_and_the_candidates_tag_is_gone(any_ground: Ground, percent: int) -> None:
    anchor, candidate = await exposed(any_ground, percent)
    written = len(any_ground.wire.updates)
    assert await any_ground.restore(anchor, candidate) == anchor.split
    await assert_restored(any_ground, anchor)
    assert_candidate_only_fell(any_ground, candidate, since=written, had=percent)


async def test_restoring_what_is_restored_changes_nothing(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    await ground.restore(anchor, candidate)
    generation = (await ground.service()).generation
    assert await ground.restore(anchor, candidate) == anchor.split
    assert (await ground.service()).generation == generation


async def test_tags_come_back_as_the_anchor_had_them(ground: Ground) -> None:
    stable = (await ground.anchor()).stable
    await ground.splits({stable: 100}, {"docs": stable, TAG: stable})
    await ground.settled()
    anchor, candidate = await exposed(ground)
    await ground.restore(anchor, candidate)
    await assert_restored(ground, anchor)
    assert {tag.tag for tag in anchor.split.tags} == {"docs", TAG}


async def test_before_anything_was_deployed_a_rollback_still_leaves_its_fence(ground: Ground) -> None:
    anchor = await ground.anchor()
    assert await ground.restore(anchor, None) == anchor.split
    await assert_restored(ground, anchor)
    with pytest.raises(ApplicationError) as raised:
        await ground.deploy(anchor)
    assert raised.value.type == Failure.STALE_FENCE


async def test_a_running_deployment_is_not_waited_for() -> None:
    async with Ground.laid(inflight="supersede") as ground:
        anchor = await ground.anchor()
        await ground.behaves(start_seconds=60)
        deploying = asyncio.create_task(ground.deploy(anchor))
        while (await ground.service()).generation == anchor.generation:
            continue
        began = monotonic()
        assert await ground.restore(anchor, None) == anchor.split
        assert monotonic() - began < 10
        await assert_restored(ground, anchor)
        with pytest.raises(ApplicationError) as raised:
            await deploying
        assert raised.value.type == Failure.STALE_FENCE


async def test_a_running_deployment_that_holds_the_service_is_outlasted() -> None:
    async with Ground.laid(etag="enforce", inflight="abort") as ground:
        anchor = await ground.anchor()
        await ground.behaves(start_seconds=SLOW_START_SECONDS)
        deploying = asyncio.create_task(ground.deploy(anchor))
        while (await ground.service()).generation == anchor.generation:
            continue
        assert await ground.restore(anchor, None) == anchor.split
        await assert_restored(ground, anchor)
        outcome = (await asyncio.gather(deploying, return_exceptions=True))[0]
        assert isinstance(outcome, Candidate | ApplicationError)
        assert len(ground.wire.updates) > 2, "it was refused, and asked again"


async def test_a_failed_revision_leaves_a_poisoned_wish_that_is_taken_back(any_ground: Ground) -> None:
    anchor = await any_ground.anchor()
    await any_ground.behaves(fails_to_start=True)
    with pytest.raises(ApplicationError):
        await any_ground.deploy(anchor)
    poisoned = await any_ground.activities.observed(any_ground.ref)
    assert poisoned.desired != poisoned.observed == anchor.split
    assert await any_ground.restore(anchor, None) == anchor.split
    await assert_restored(any_ground, anchor)


async def test_a_wish_for_a_share_that_never_came_about_is_taken_back(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    await ground.splits({"backend-gone": 90, anchor.stable: 10})
    await ground.settled()
    assert (await ground.activities.observed(ground.ref)).desired != anchor.split
    assert await ground.restore(anchor, candidate) == anchor.split
    await assert_restored(ground, anchor)


@pytest.mark.parametrize("late", ["deploy", "shift"])
async def test_a_late_attempt_of_what_went_before_is_refused_after_the_rollback(any_ground: Ground, late: str) -> None:
    anchor, candidate = await exposed(any_ground)
    await any_ground.restore(anchor, candidate)
    await any_ground.settled()
    written = len(any_ground.wire.updates)
    with pytest.raises(ApplicationError) as raised:
        await (any_ground.deploy(anchor) if late == "deploy" else any_ground.shift(anchor, candidate, 30))
    assert (raised.value.type, raised.value.non_retryable) == (Failure.STALE_FENCE, True)
    assert len(any_ground.wire.updates) == written
    await assert_restored(any_ground, anchor)


async def test_a_rollback_of_the_past_does_not_touch_a_later_rollout(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    with pytest.raises(ApplicationError, match="a later rollout came after it") as raised:
        await ground.restore(anchor, candidate, fence=FENCE - 1)
    assert (raised.value.type, raised.value.non_retryable) == (Failure.STALE_FENCE, True)
    assert (await ground.activities.read_traffic(ground.ref)).share_of(candidate.revision) == 30


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "UNAVAILABLE"])
async def test_a_write_whose_answer_is_lost_counts_when_it_is_read_back(ground: Ground, code: str) -> None:
    anchor, candidate = await exposed(ground)
    generation = (await ground.service()).generation
    ground.fails("UpdateService", code, count=1, after_commit=True)
    assert await ground.restore(anchor, candidate) == anchor.split
    await assert_restored(ground, anchor)
    assert (await ground.service()).generation == generation + 1


@pytest.mark.parametrize("method", ["GetService", "UpdateService"])
@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"])
async def test_calls_that_do_not_get_through_only_take_time(any_ground: Ground, method: str, code: str) -> None:
    anchor, candidate = await exposed(any_ground)
    any_ground.fails(method, code, count=6)
    assert await any_ground.restore(anchor, candidate) == anchor.split
    any_ground.sandbox.faults.clear()
    await assert_restored(any_ground, anchor)


async def test_after_one_conflict_the_version_it_read_no_longer_matters(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    written = len(ground.wire.updates)
    ground.fails("UpdateService", "ABORTED", count=1)
    await ground.restore(anchor, candidate)
    first, second = ground.wire.updates[written:][:2]
    assert first.service.etag
    assert second.service.etag == ""


@pytest.mark.parametrize("shares", [(50, 50), (0, 100)])
async def test_a_write_of_somebody_else_in_between_does_not_survive(
    any_ground: Ground, shares: tuple[int, int]
) -> None:
    anchor, candidate = await exposed(any_ground)
    stable, newest = shares

    async def meanwhile() -> None:
        await any_ground.settled()
        kept = {anchor.stable: stable, candidate.revision: newest}
        await any_ground.splits({revision: share for revision, share in kept.items() if share})
        await any_ground.settled()

    written = len(any_ground.wire.updates)
    any_ground.wire.before_update = meanwhile
    assert await any_ground.restore(anchor, candidate) == anchor.split
    await assert_restored(any_ground, anchor)
    assert_candidate_only_fell(any_ground, candidate, since=written, had=0)


async def shifted_as_it_was_rolled_back(ground: Ground) -> tuple[ServiceAnchor, Candidate, ApplicationError]:
    """The rollback comes between what the shift reads and what it writes; with how the shift ends."""
    anchor, candidate = await exposed(ground)

    async def rolled_back_meanwhile() -> None:
        await ground.restore(anchor, candidate)
        await ground.settled()

    ground.wire.before_update = rolled_back_meanwhile
    with pytest.raises(ApplicationError) as raised:
        await ground.shift(anchor, candidate, 50)
    return anchor, candidate, raised.value


async def test_a_shift_that_lands_after_the_rollback_is_undone_by_the_next_one() -> None:
    async with Ground.laid(etag="ignore") as ground:
        anchor, candidate, raised = await shifted_as_it_was_rolled_back(ground)
        assert (raised.type, raised.non_retryable) == (Failure.FOREIGN_CHANGE, True)
        assert await ground.restore(anchor, candidate, fence=FENCE + 2) == anchor.split
        await assert_restored(ground, anchor, fence=FENCE + 2)


async def test_a_shift_that_would_land_after_the_rollback_is_refused_where_versions_count() -> None:
    async with Ground.laid(etag="enforce") as ground:
        anchor, _, raised = await shifted_as_it_was_rolled_back(ground)
        assert raised.type == Failure.STALE_FENCE
        await assert_restored(ground, anchor)


async def test_a_tag_whose_revision_is_gone_does_not_keep_the_traffic_where_it_is(ground: Ground) -> None:
    first = await ground.anchor()
    old = await ground.deploy(first)
    await ground.shift(first, old, 100)
    await ground.splits({old.revision: 100}, {"before": first.stable})
    await ground.settled()
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor, image="shop/backend:3", fence=FENCE + 1)
    await ground.shift(anchor, candidate, 30, fence=FENCE + 1)
    await ground.splits({old.revision: 70, candidate.revision: 30}, {TAG: candidate.revision})
    await ground.settled()
    await ground.stranger.revisions.delete_revision(name=f"{ground.ref.resource_name}/revisions/{first.stable}")
    split = await ground.restore(anchor, candidate, fence=FENCE + 2)
    assert split == TrafficSplit(shares={old.revision: 100})


@pytest.mark.parametrize(
    ("method", "code", "failure"),
    [
        ("UpdateService", "PERMISSION_DENIED", Failure.NOT_ALLOWED),
        ("UpdateService", "FAILED_PRECONDITION", Failure.INVALID_REQUEST),
        ("GetService", "NOT_FOUND", Failure.NOT_FOUND),
        ("GetService", "UNAUTHENTICATED", Failure.NOT_ALLOWED),
    ],
)
async def test_a_permanent_refusal_is_told_and_left_to_be_tried_again(
    ground: Ground, method: str, code: str, failure: Failure
) -> None:
    anchor, candidate = await exposed(ground)
    ground.fails(method, code)
    with pytest.raises(ApplicationError, match=f"restoring backend to {anchor.stable} 100 %: {code}") as raised:
        await ground.restore(anchor, candidate)
    assert (raised.value.type, raised.value.non_retryable) == (failure, False)
    ground.sandbox.faults.clear()
    assert await ground.restore(anchor, candidate) == anchor.split


async def test_an_anchor_that_would_give_the_candidate_more_is_refused_before_anything_is_written(
    ground: Ground,
) -> None:
    anchor, candidate = await exposed(ground)
    wrong = anchor.model_copy(update={"split": TrafficSplit(shares={candidate.revision: 100})})
    written = len(ground.wire.updates)
    with pytest.raises(ApplicationError, match="a rollback never raises the candidate's share") as raised:
        await ground.restore(wrong, candidate)
    assert (raised.value.type, raised.value.non_retryable) == (Failure.INVALID_REQUEST, True)
    assert len(ground.wire.updates) == written


async def test_a_fence_that_is_no_number_does_not_stop_a_rollback(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    await ground.writes(["annotations"], annotations={FENCE_ANNOTATION: "mine", "team": "shop"})
    await ground.settled()
    await ground.restore(anchor, candidate)
    await assert_restored(ground, anchor)
    assert (await ground.service()).annotations["team"] == "shop"


async def test_outside_an_activity_traffic_is_restored_just_the_same(ground: Ground) -> None:
    anchor, candidate = await exposed(ground)
    request = RestoreTraffic(anchor=anchor, candidate=candidate, fence=FENCE + 1)
    assert await ground.activities.restore_traffic(request) == anchor.split
