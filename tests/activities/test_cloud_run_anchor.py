"""An anchor is read where it is beyond doubt what serves, and nowhere else."""

import pytest
from google.cloud import run_v2
from temporalio.exceptions import ApplicationError

from activities.cloud_run_service import ObservedService
from activities.failures import Failure
from rollout.traffic import ServiceRef, Tag, TrafficSplit
from tests.activities.cloud_run_ground import FENCE, NEW_IMAGE, OLD_IMAGE, Ground


async def refused(ground: Ground) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await ground.anchor()
    assert raised.value.non_retryable
    return raised.value


async def test_the_newest_revision_that_has_all_traffic_is_named(ground: Ground) -> None:
    anchor = await ground.anchor()
    service = await ground.service()
    newest = service.latest_ready_revision.rpartition("/")[2]
    assert anchor.split == TrafficSplit(shares={newest: 100})
    assert (anchor.stable, anchor.image, anchor.latest_pinned) == (newest, OLD_IMAGE, True)
    assert anchor.generation == service.generation


async def test_an_older_revision_that_has_all_traffic_is_named_with_its_own_image_and_the_tags(ground: Ground) -> None:
    first = await ground.anchor()
    await ground.deploy(first)
    await ground.settled()
    anchor = await ground.anchor()
    assert (anchor.stable, anchor.image, anchor.latest_pinned) == (first.stable, OLD_IMAGE, False)
    assert (await ground.service()).template.containers[0].image == NEW_IMAGE
    assert [tag.tag for tag in anchor.split.tags] == ["candidate"]


async def test_a_tag_that_stands_first_in_the_list_is_not_taken_for_what_serves(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    latest = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
    rows = [
        run_v2.TrafficTarget(type_=latest, revision=candidate.revision, tag="preview"),
        run_v2.TrafficTarget(type_=latest, revision=anchor.stable, percent=100),
    ]
    await ground.writes(["traffic"], traffic=rows)
    await ground.settled()
    again = await ground.anchor()
    assert again.stable == anchor.stable
    assert again.split.tags == (Tag(tag="preview", revision=candidate.revision),)


async def test_two_revisions_that_serve_are_no_anchor(ground: Ground) -> None:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.shift(anchor, candidate, 30)
    failure = await refused(ground)
    assert failure.type == Failure.AMBIGUOUS
    assert f"{candidate.revision} 30 %" in failure.message
    assert "give one revision all traffic first" in failure.message


async def test_a_service_on_its_way_is_no_anchor(ground: Ground) -> None:
    ground.sandbox.faults.reconcile_seconds = 60
    await ground.writes(["annotations"], annotations={"team": "shop"})
    failure = await refused(ground)
    assert failure.type == Failure.AMBIGUOUS
    assert "under way" in failure.message


async def test_a_split_that_was_asked_for_and_did_not_come_about_is_no_anchor(ground: Ground) -> None:
    anchor = await ground.anchor()
    await ground.splits({anchor.stable: 100}, {"gone": "backend-gone"})
    await ground.settled()
    failure = await refused(ground)
    assert failure.type == Failure.AMBIGUOUS
    assert "its last change failed" in failure.message
    assert "gone→backend-gone" in failure.message


async def test_a_revision_that_failed_under_latest_leaves_the_old_one_as_the_anchor(ground: Ground) -> None:
    anchor = await ground.anchor()
    await ground.behaves(fails_to_start=True)
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image=NEW_IMAGE)])
    await ground.writes(["template"], template=template)
    await ground.settled()
    again = await ground.anchor()
    assert (again.stable, again.image) == (anchor.stable, OLD_IMAGE)


async def test_a_service_that_is_not_there_is_named(ground: Ground) -> None:
    ground.ref = ServiceRef(key="auth", project="shop-production", region="us-central1", service="auth")
    failure = await refused(ground)
    assert failure.type == Failure.NOT_FOUND
    assert failure.message.startswith("reading auth: NOT_FOUND: Resource 'auth' of kind 'SERVICE'")


async def test_several_containers_are_told_apart_by_their_port(ground: Ground) -> None:
    containers = [
        run_v2.Container(image="shop/backend:3", ports=[run_v2.ContainerPort(container_port=8080)]),
        run_v2.Container(image="shop/proxy:1"),
    ]
    await ground.writes(["template"], template=run_v2.RevisionTemplate(containers=containers))
    await ground.settled()
    anchor = await ground.anchor()
    assert anchor.image == "shop/backend:3"
    await ground.deploy(anchor, image="shop/backend:4")
    images = [container.image for container in (await ground.service()).template.containers]
    assert images == ["shop/backend:4", "shop/proxy:1"]


async def test_several_containers_with_a_port_are_no_anchor(ground: Ground) -> None:
    containers = [
        run_v2.Container(image=image, ports=[run_v2.ContainerPort(container_port=port)])
        for image, port in (("shop/backend:3", 8080), ("shop/proxy:1", 9090))
    ]
    await ground.writes(["template"], template=run_v2.RevisionTemplate(containers=containers))
    await ground.settled()
    failure = await refused(ground)
    assert failure.type == Failure.AMBIGUOUS
    assert "backend has 2 containers" in failure.message


async def test_one_read_tells_what_was_asked_for_what_serves_and_who_wrote_last(ground: Ground) -> None:
    anchor = await ground.anchor()
    before = await ground.activities.observed(ground.ref)
    assert before == ObservedService(
        desired=anchor.split, observed=anchor.split, generation=anchor.generation, reconciling=False, fence=0
    )
    candidate = await ground.deploy(anchor)
    split = await ground.shift(anchor, candidate, 40)
    after = await ground.activities.observed(ground.ref)
    assert after.desired == after.observed == split
    assert (after.generation, after.fence) == (anchor.generation + 2, FENCE)
    assert await ground.activities.read_traffic(ground.ref) == split


async def test_a_service_has_an_address_of_its_own(ground: Ground) -> None:
    assert await ground.activities.base_url(ground.ref) == f"{ground.sandbox.http_url}/run/backend"
