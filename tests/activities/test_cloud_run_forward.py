"""A candidate is deployed beside what serves and gets its traffic, whenever and however often that is attempted."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError

from activities.cloud_run_service import FENCE_ANNOTATION, revision_name
from activities.failures import Failure
from rollout.traffic import Candidate, ServiceAnchor, ServiceRef, Tag, TrafficSplit
from tests.activities.cloud_run_ground import FENCE, NEW_IMAGE, TAG, Ground, failure_type, is_final


async def test_a_candidate_is_deployed_at_nothing_with_a_tag_and_an_address(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    assert await ground.activities.read_traffic(ground.ref) == TrafficSplit(
        shares={anchor.stable: 100}, tags=(Tag(tag=TAG, revision=candidate.revision),)
    )
    service = await ground.service()
    assert service.template.containers[0].image == NEW_IMAGE
    assert candidate.url == f"{ground.sandbox.http_url}/run/{TAG}---backend"
    assert candidate.revision == service.latest_ready_revision.rpartition("/")[2]


async def test_template_and_traffic_go_in_one_update_that_sends_nothing_else(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    (update,) = ground.wire.updates
    assert set(update.update_mask.paths) == {"template", "traffic", "annotations"}
    assert [(row.revision, row.percent, row.tag) for row in update.service.traffic] == [
        (anchor.stable, 100, ""),
        (candidate.revision, 0, TAG),
    ]
    assert update.service.etag
    assert not update.service.labels
    assert (await ground.service()).generation == anchor.generation + 1


async def test_tags_and_annotations_of_others_stay(ground: Ground) -> None:
    stable = (await ground.anchor()).stable
    await ground.splits({stable: 100}, {"docs": stable})
    await ground.settled()
    await ground.writes(["annotations"], annotations={"team": "shop"})
    await ground.settled()
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    split = await ground.shift(anchor, candidate, 10)
    assert Tag(tag="docs", revision=stable) in split.tags
    assert dict((await ground.service()).annotations) == {"team": "shop", FENCE_ANNOTATION: str(FENCE)}


async def test_a_tag_that_was_made_meanwhile_survives_a_shift(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.splits({anchor.stable: 100}, {"docs": anchor.stable, TAG: candidate.revision})
    await ground.settled()
    split = await ground.shift(anchor, candidate, 10)
    assert {tag.tag for tag in split.tags} == {"docs", TAG}


async def test_the_tag_of_the_rollout_before_moves_to_the_new_candidate(ground: Ground) -> None:
    first = await ground.anchor()
    old = await ground.deploy(first)
    await ground.shift(first, old, 100)
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor, image="shop/backend:3", fence=FENCE + 1)
    split = await ground.activities.read_traffic(ground.ref)
    assert split == TrafficSplit(shares={old.revision: 100}, tags=(Tag(tag=TAG, revision=candidate.revision),))


async def test_deploying_what_is_deployed_changes_nothing(ground: Ground) -> None:
    anchor = await ground.anchor()
    first = await ground.deploy(anchor)
    assert await ground.deploy(anchor) == first
    assert len(ground.wire.updates) == 1
    assert (await ground.service()).generation == anchor.generation + 1


async def test_a_second_attempt_of_a_deployment_does_not_take_traffic_back(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    split = await ground.shift(anchor, candidate, 10)
    assert await ground.deploy(anchor) == candidate
    assert await ground.activities.read_traffic(ground.ref) == split


async def test_two_attempts_at_once_make_one_revision(ground: Ground) -> None:
    anchor = await ground.anchor()
    outcomes = await asyncio.gather(ground.deploy(anchor), ground.deploy(anchor), return_exceptions=True)
    for outcome in outcomes:
        # Where versions do not count, an attempt cannot tell its twin from a stranger, and does not call it done.
        assert isinstance(outcome, Candidate) or failure_type(outcome) == Failure.FOREIGN_CHANGE
    candidate = await ground.deploy(anchor)
    pager = await ground.stranger.revisions.list_revisions(parent=ground.ref.resource_name)
    revisions = {revision.name.rpartition("/")[2] async for revision in pager}
    assert revisions == {anchor.stable, candidate.revision}


@pytest.mark.parametrize("percent", [1, 10, 50, 100])
async def test_a_shift_is_read_back(ground: Ground, percent: int) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    split = await ground.shift(anchor, candidate, percent)
    assert (split.share_of(candidate.revision), split.share_of(anchor.stable)) == (percent, 100 - percent)
    assert await ground.activities.read_traffic(ground.ref) == split


async def test_shifting_where_it_is_changes_nothing(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    split = await ground.shift(anchor, candidate, 10)
    written = len(ground.wire.updates)
    assert await ground.shift(anchor, candidate, 10) == split
    assert len(ground.wire.updates) == written


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL"])
async def test_a_write_whose_answer_is_lost_is_not_done_twice(ground: Ground, code: str) -> None:
    anchor = await ground.anchor()
    ground.fails("UpdateService", code, count=1, after_commit=True)
    candidate = await ground.deploy(anchor)
    ground.fails("UpdateService", code, count=1, after_commit=True)
    split = await ground.shift(anchor, candidate, 10)
    assert split.share_of(candidate.revision) == 10
    assert (await ground.service()).generation == anchor.generation + 2


@pytest.mark.parametrize("code", ["ABORTED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"])
async def test_a_write_that_did_not_get_through_is_decided_and_tried_again(ground: Ground, code: str) -> None:
    anchor = await ground.anchor()
    ground.fails("UpdateService", code, count=3)
    candidate = await ground.deploy(anchor)
    ground.fails("UpdateService", code, count=3)
    assert (await ground.shift(anchor, candidate, 10)).share_of(candidate.revision) == 10


@pytest.mark.parametrize("method", ["GetService", "UpdateService"])
async def test_a_service_that_stays_unreachable_is_left_to_the_workflows_retries(ground: Ground, method: str) -> None:
    anchor = await ground.anchor()
    ground.fails(method, "UNAVAILABLE")
    with pytest.raises(ApplicationError, match="UNAVAILABLE") as raised:
        await ground.deploy(anchor)
    assert (raised.value.type, raised.value.non_retryable) == (Failure.SOURCE_FAILURE, False)
    ground.sandbox.faults.clear()
    await ground.deploy(anchor)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("PERMISSION_DENIED", Failure.NOT_ALLOWED),
        ("INVALID_ARGUMENT", Failure.INVALID_REQUEST),
        ("FAILED_PRECONDITION", Failure.INVALID_REQUEST),
    ],
)
async def test_a_refusal_is_final_and_says_what_was_refused(ground: Ground, code: str, failure: Failure) -> None:
    anchor = await ground.anchor()
    ground.fails("UpdateService", code)
    with pytest.raises(ApplicationError, match=f"deploying {NEW_IMAGE} to backend: {code}") as raised:
        await ground.deploy(anchor)
    assert is_final(raised, failure)
    assert len(ground.wire.updates) == 1


async def test_a_revision_that_does_not_start_fails_with_its_reason_and_leaves_the_rest_alone(ground: Ground) -> None:
    anchor = await ground.anchor()
    await ground.behaves(fails_to_start=True)
    with pytest.raises(ApplicationError, match="failed to start and listen on the port") as raised:
        await ground.deploy(anchor)
    assert is_final(raised, Failure.DEPLOYMENT_FAILED)
    assert await ground.activities.read_traffic(ground.ref) == anchor.split
    assert len(ground.wire.updates) == 1
    with pytest.raises(ApplicationError, match="failed to start") as again:
        await ground.deploy(anchor)
    assert is_final(again, Failure.DEPLOYMENT_FAILED)
    assert len(ground.wire.updates) == 1


async def test_traffic_to_an_unknown_revision_fails_with_cloud_runs_own_words(ground: Ground) -> None:
    anchor = (await ground.anchor()).model_copy(
        update={"stable": "backend-gone", "split": TrafficSplit(shares={"backend-gone": 100})}
    )
    with pytest.raises(ApplicationError, match="'backend-gone' does not exist or is deleted") as raised:
        await ground.deploy(anchor)
    assert is_final(raised, Failure.DEPLOYMENT_FAILED)


def test_a_revisions_name_is_the_same_for_the_same_and_another_for_another() -> None:
    longest = ServiceRef(key="b", project="shop-production", region="us-central1", service="b" * 49)
    anchor = ServiceAnchor(
        service=longest, stable="b-1", split=TrafficSplit(shares={"b-1": 100}), image="i", generation=3
    )
    name = revision_name(anchor, "shop/backend:2", "rollout/shop/1")
    assert name == revision_name(anchor, "shop/backend:2", "rollout/shop/1")
    assert name.startswith(f"{longest.service}-r")
    assert len(name) <= 63
    others = {
        revision_name(anchor, "shop/backend:3", "rollout/shop/1"),
        revision_name(anchor, "shop/backend:2", "rollout/shop/2"),
        revision_name(anchor.model_copy(update={"generation": 4}), "shop/backend:2", "rollout/shop/1"),
    }
    assert len(others | {name}) == 4
