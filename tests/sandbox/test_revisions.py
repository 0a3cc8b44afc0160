"""Names, immutability, listing and deletion of revisions, and revisions that do not start."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from sandbox.behaviours import Behaviour
from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, OLD_IMAGE, Google, result_of, short, template_of, to

Condition = run_v2.Condition


async def test_a_revision_carries_what_its_template_said(google: Google) -> None:
    await google.deploy(0)
    revision = await google.revisions.get_revision(name=f"{NAME}/revisions/{CANDIDATE}")

    assert revision.service == "backend"
    assert revision.containers[0].image == NEW_IMAGE
    assert revision.max_instance_request_concurrency == 80
    assert run_v2.Revision.pb(revision).timeout.seconds == 300
    assert revision.observed_generation == revision.generation == 1
    assert not revision.reconciling
    assert [(each.type_, each.state) for each in revision.conditions] == [
        ("Ready", Condition.State.CONDITION_SUCCEEDED)
    ]


async def test_a_name_that_stands_for_another_configuration_is_refused(google: Google) -> None:
    await google.deploy(0)
    with pytest.raises(exceptions.AlreadyExists) as refused:
        await google.update(["template"], template=template_of("shop/backend:3", CANDIDATE))

    assert refused.value.message == f"Revision named '{CANDIDATE}' with different configuration already exists."


async def test_the_same_name_with_the_same_configuration_makes_no_second_revision(google: Google) -> None:
    await google.deploy(0)
    await google.deploy(20)

    assert len([each async for each in await google.revisions.list_revisions(parent=NAME)]) == 2
    assert [row.percent for row in (await google.service()).traffic_statuses] == [80, 20]


async def test_sending_the_whole_fetched_service_back_collides_with_its_own_revision(google: Google) -> None:
    await google.deploy(0)
    fetched = await google.service()
    fetched.template.containers[0].image = "shop/backend:3"
    with pytest.raises(exceptions.AlreadyExists):
        await google.services.update_service(request=run_v2.UpdateServiceRequest(service=fetched))


async def test_an_unchanged_template_makes_no_revision(google: Google) -> None:
    await google.update(["template"], template=template_of(OLD_IMAGE))
    await google.settled()

    assert len([each async for each in await google.revisions.list_revisions(parent=NAME)]) == 1


@pytest.mark.parametrize("name", ["canary", "auth-c2", "backend-", "backend"])
async def test_a_revision_name_begins_with_the_service(google: Google, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"template\.revision"):
        await google.update(["template"], template=template_of(NEW_IMAGE, name))


async def test_revisions_are_listed_newest_first_page_by_page(google: Google) -> None:
    names = [await google.stable()]
    for number in range(4):
        names.append(f"backend-n{number}")
        await google.update(["template"], template=template_of(f"shop/backend:n{number}", names[-1]))
        await google.settled()

    pager = await google.revisions.list_revisions(request=run_v2.ListRevisionsRequest(parent=NAME, page_size=2))
    pages = [[short(revision.name) for revision in page.revisions] async for page in pager.pages]

    assert pages == [names[:2:-1], names[2:0:-1], names[:1]]


async def test_a_page_token_of_somebody_else_is_refused(google: Google) -> None:
    request = run_v2.ListRevisionsRequest(parent=NAME, page_token="bm90LW91cnM6MQ==")  # noqa: S106  (no secret)
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        await google.revisions.list_revisions(request=request)


async def test_a_revision_in_use_cannot_be_deleted(google: Google) -> None:
    await google.deploy(0, tag="canary")
    for name in (await google.stable(), CANDIDATE):
        with pytest.raises(exceptions.FailedPrecondition):
            await google.revisions.delete_revision(name=f"{NAME}/revisions/{name}")


async def test_a_revision_without_traffic_tag_and_successor_is_deleted(google: Google) -> None:
    stable = await google.stable()
    await google.deploy(0)
    await google.update(
        ["template", "traffic"], template=template_of("shop/backend:3", "backend-c3"), traffic=[to(stable, 100)]
    )
    await google.settled()
    operation = await google.revisions.delete_revision(name=f"{NAME}/revisions/{CANDIDATE}")

    assert short((await result_of(operation)).name) == CANDIDATE
    with pytest.raises(exceptions.NotFound):
        await google.revisions.get_revision(name=f"{NAME}/revisions/{CANDIDATE}")


async def test_a_revision_that_does_not_start_leaves_the_old_one_serving(google: Google) -> None:
    stable = await google.stable()
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(fails_to_start=True))
    operation = await google.update(
        ["template", "traffic"], template=template_of(NEW_IMAGE, CANDIDATE), traffic=[to(stable, 90), to(CANDIDATE, 10)]
    )
    with pytest.raises(exceptions.GoogleAPICallError) as failed:
        await result_of(operation)
    service = await google.service()
    revision = await google.revisions.get_revision(name=f"{NAME}/revisions/{CANDIDATE}")

    assert failed.value.errors[0].code == 9
    assert failed.value.message.startswith(f"Revision '{CANDIDATE}' is not ready and cannot serve traffic.")
    assert [(row.revision, row.percent) for row in service.traffic] == [(stable, 90), (CANDIDATE, 10)]
    assert [row.percent for row in service.traffic_statuses] == [100]
    assert short(service.latest_ready_revision) == stable
    assert short(service.latest_created_revision) == CANDIDATE
    assert service.observed_generation == service.generation
    assert service.terminal_condition.state == Condition.State.CONDITION_FAILED
    assert service.terminal_condition.reason == Condition.CommonReason.REVISION_FAILED
    assert revision.conditions[0].revision_reason == Condition.RevisionReason.HEALTH_CHECK_CONTAINER_ERROR


async def test_a_failed_revision_poisons_the_updates_after_it_until_the_traffic_is_set_anew(google: Google) -> None:
    stable = await google.stable()
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(fails_to_start=True))
    await google.deploy(10)
    poisoned = await google.update(["template"], template=template_of("shop/backend:3", "backend-c3"))
    with pytest.raises(exceptions.GoogleAPICallError, match=CANDIDATE):
        await result_of(poisoned)
    await google.update(["traffic"], traffic=[to(stable, 100)])
    service = await google.settled()

    assert [(row.revision, row.percent) for row in service.traffic_statuses] == [(stable, 100)]
    assert service.terminal_condition.state == Condition.State.CONDITION_SUCCEEDED


async def test_while_the_newest_revision_has_failed_traffic_moves_and_the_service_is_not_ready(google: Google) -> None:
    stable = await google.stable()
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(fails_to_start=True))
    await google.deploy(10)
    await google.update(["traffic"], traffic=[to(stable, 100)])
    service = await google.settled()

    assert [(row.revision, row.percent) for row in service.traffic_statuses] == [(stable, 100)]
    assert service.terminal_condition.state == Condition.State.CONDITION_FAILED
    assert [(each.type_, each.state.name) for each in service.conditions] == [
        ("RoutesReady", "CONDITION_SUCCEEDED"),
        ("ConfigurationsReady", "CONDITION_FAILED"),
    ]
