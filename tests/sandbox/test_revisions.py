"""Immutability, listing and deletion of revisions, and revisions that do not start; see test_conformance.py too."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from sandbox.behaviours import Behaviour
from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, OLD_IMAGE, Google, result_of, short, template_of, to

Condition = run_v2.Condition


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


async def test_revisions_are_listed_newest_first_page_by_page(google: Google) -> None:
    names = [await google.stable()]
    for number in range(4):
        names.append(f"backend-n{number}")
        await google.update(["template"], template=template_of(f"shop/backend:n{number}", names[-1]))
        await google.settled()

    pager = await google.revisions.list_revisions(request=run_v2.ListRevisionsRequest(parent=NAME, page_size=2))
    pages = [[short(revision.name) for revision in page.revisions] async for page in pager.pages]

    assert pages == [names[:2:-1], names[2:0:-1], names[:1]]


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
