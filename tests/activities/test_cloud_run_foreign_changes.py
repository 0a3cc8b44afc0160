"""What others change at Cloud Run, before, between and while a rollout writes, is found out and not overwritten."""

import asyncio

import pytest
from google.cloud import run_v2
from temporalio.exceptions import ApplicationError

from activities import cloud_run_changes
from activities.cloud_run_service import FENCE_ANNOTATION
from activities.failures import Failure
from tests.activities.cloud_run_ground import FENCE, TAG, Ground, is_final


async def test_an_older_fence_is_refused_and_nothing_is_written(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    with pytest.raises(ApplicationError, match=f"fence {FENCE}.*this request has fence {FENCE - 1}") as raised:
        await ground.shift(anchor, candidate, 10, fence=FENCE - 1)
    assert is_final(raised, Failure.STALE_FENCE)
    with pytest.raises(ApplicationError) as raised:
        await ground.deploy(anchor, fence=FENCE - 1)
    assert is_final(raised, Failure.STALE_FENCE)
    assert len(ground.wire.updates) == 1


async def test_a_change_after_the_anchor_was_read_is_not_overwritten(ground: Ground) -> None:
    anchor = await ground.anchor()
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="shop/backend:hotfix")])
    await ground.writes(["template"], template=template)
    await ground.settled()
    with pytest.raises(
        ApplicationError, match=r"changed by somebody else.*its anchor was read at generation"
    ) as raised:
        await ground.deploy(anchor)
    assert is_final(raised, Failure.FOREIGN_CHANGE)
    assert ground.wire.updates == []


async def test_a_change_between_reading_and_writing_is_found_out(ground: Ground) -> None:
    anchor = await ground.anchor()

    async def hotfix() -> None:
        await ground.writes(["annotations"], annotations={"hotfix": "yes"})

    ground.wire.before_update = hotfix
    seen_before = "somebody else: its anchor was read at generation 1, now it is 2"
    seen_after = "somebody else, or by a try of ours whose answer never came: generation 1 was read"
    with pytest.raises(ApplicationError, match=f"changed by ({seen_before}|{seen_after})") as raised:
        await ground.deploy(anchor)
    assert is_final(raised, Failure.FOREIGN_CHANGE)


async def test_a_change_while_cloud_run_is_at_it_is_found_out() -> None:
    async with Ground.laid(inflight="supersede") as ground:
        anchor = await ground.anchor()
        ground.sandbox.faults.reconcile_seconds = 60
        deploying = asyncio.create_task(ground.deploy(anchor))
        while (await ground.service()).generation == anchor.generation:
            continue
        await ground.writes(["annotations"], annotations={FENCE_ANNOTATION: str(FENCE), "hotfix": "yes"})
        with pytest.raises(ApplicationError, match="generation 2 was ours, now it is 3") as raised:
            await deploying
        assert is_final(raised, Failure.FOREIGN_CHANGE)


async def test_a_shift_does_not_overwrite_a_stranger_who_serves_something_else(ground: Ground) -> None:
    anchor = await ground.anchor()
    first = await ground.deploy(anchor)
    await ground.shift(anchor, first, 100)
    second_anchor = await ground.anchor()
    second = await ground.deploy(second_anchor, image="shop/backend:3", fence=FENCE + 1)
    await ground.splits({first.revision: 60, anchor.stable: 40}, {TAG: second.revision})
    await ground.settled()
    with pytest.raises(ApplicationError, match=f"{anchor.stable} is not of this rollout") as raised:
        await ground.shift(second_anchor, second, 10, fence=FENCE + 1)
    assert is_final(raised, Failure.FOREIGN_CHANGE)


async def test_a_shift_does_not_bring_back_a_candidate_that_a_person_took_out(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.shift(anchor, candidate, 10)
    await ground.splits({anchor.stable: 100})
    await ground.settled()
    with pytest.raises(ApplicationError, match="was taken out of its traffic list") as raised:
        await ground.shift(anchor, candidate, 50)
    assert is_final(raised, Failure.FOREIGN_CHANGE)
    with pytest.raises(ApplicationError) as raised:
        await ground.deploy(anchor)
    assert is_final(raised, Failure.FOREIGN_CHANGE)


@pytest.mark.parametrize("strangers", [0, 5, 80])
async def test_a_step_does_not_overwrite_what_somebody_else_made_of_the_split_that_it_was_to_follow(
    ground: Ground, strangers: int
) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    set_by_us = await ground.shift(anchor, candidate, 10)
    theirs = {anchor.stable: 100 - strangers, candidate.revision: strangers}
    await ground.splits(theirs, {TAG: candidate.revision})
    await ground.settled()
    with pytest.raises(ApplicationError, match=f"the rollout set .*{candidate.revision}") as raised:
        await ground.shift(anchor, candidate, 50, instead_of=set_by_us)
    assert is_final(raised, Failure.FOREIGN_CHANGE)
    assert (await ground.activities.read_traffic(ground.ref)).share_of(candidate.revision) == strangers
    # Put back, it is followed; and an attempt whose answer was lost finds its own split there.
    await ground.splits(dict(set_by_us.shares), {TAG: candidate.revision})
    await ground.settled()
    shifted = await ground.shift(anchor, candidate, 50, instead_of=set_by_us)
    assert await ground.shift(anchor, candidate, 50, instead_of=set_by_us) == shifted


async def test_where_etags_count_not_even_a_change_between_reading_and_writing_is_overwritten() -> None:
    async with Ground.laid(etag="enforce") as ground:
        anchor = await ground.anchor()
        candidate = await ground.deploy(anchor)
        set_by_us = await ground.shift(anchor, candidate, 10)

        async def lowered() -> None:
            await ground.splits({anchor.stable: 95, candidate.revision: 5}, {TAG: candidate.revision})

        ground.wire.before_update = lowered
        with pytest.raises(ApplicationError, match="changed by somebody else") as raised:
            await ground.shift(anchor, candidate, 50, instead_of=set_by_us)
        assert is_final(raised, Failure.FOREIGN_CHANGE)
        await ground.settled()
        assert (await ground.activities.read_traffic(ground.ref)).share_of(candidate.revision) == 5


async def test_a_fence_that_is_no_number_stops_what_goes_forward(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.writes(["annotations"], annotations={FENCE_ANNOTATION: "mine"})
    await ground.settled()
    with pytest.raises(ApplicationError, match="is no number") as raised:
        await ground.shift(anchor, candidate, 10)
    assert is_final(raised, Failure.FOREIGN_CHANGE)


async def test_conflicts_without_end_are_left_to_the_workflows_retries(ground: Ground) -> None:
    anchor = await ground.anchor()
    ground.fails("UpdateService", "ABORTED")
    with pytest.raises(ApplicationError, match="ABORTED") as raised:
        await ground.deploy(anchor)
    assert not raised.value.non_retryable
    assert len(ground.wire.updates) == cloud_run_changes.WRITE_ATTEMPTS
