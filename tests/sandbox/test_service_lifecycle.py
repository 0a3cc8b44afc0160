"""Field by field what a service looks like when a change is accepted and when it is done, as recorded at Google."""

from base64 import urlsafe_b64encode
from datetime import timedelta
from uuid import UUID

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from tests.sandbox.google import (
    CANDIDATE,
    INSTALLED,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    PARENT,
    Google,
    result_of,
    template_of,
    to,
    to_latest,
    updated_at,
)
from tests.sandbox.moving_clock import MovingClock

Condition = run_v2.Condition
PENDING, SUCCEEDED = Condition.State.CONDITION_PENDING, Condition.State.CONDITION_SUCCEEDED
MARKETING = f"{PARENT}/services/marketing"


def packed_service(packed: object) -> run_v2.Service:
    service = run_v2.Service.pb(run_v2.Service())
    assert packed.Unpack(service)  # type: ignore[attr-defined]
    return run_v2.Service(service)


def conditions(service: run_v2.Service) -> list[tuple[str, Condition.State]]:
    return [(condition.type_, condition.state) for condition in service.conditions]


async def create(google: Google, **fields: object) -> run_v2.Service:
    operation = await google.services.create_service(
        parent=PARENT,
        service_id="marketing",
        service=run_v2.Service(template=template_of(OLD_IMAGE), **fields),
    )
    return packed_service(operation.operation.metadata)


async def test_a_created_service_is_pending_and_has_observed_nothing(google: Google) -> None:
    created = await create(google)

    assert created.name == MARKETING
    assert created.generation == 1
    assert created.reconciling
    assert created.terminal_condition == Condition(state=PENDING)
    assert created.etag
    assert created.observed_generation == 0
    assert created.conditions == []
    assert created.ingress == run_v2.IngressTraffic.INGRESS_TRAFFIC_UNSPECIFIED
    assert created.traffic_statuses == []
    assert created.latest_ready_revision == ""
    assert created.latest_created_revision == ""
    assert created.uri == ""


async def test_a_created_service_that_is_done_serves_its_first_revision(google: Google) -> None:
    created = await create(google)
    done = await google.settled(MARKETING)

    assert done.etag == created.etag
    assert done.update_time == created.update_time
    assert done.generation == done.observed_generation == 1
    assert not done.reconciling
    assert done.terminal_condition.type_ == "Ready"
    assert done.terminal_condition.state == SUCCEEDED
    assert conditions(done) == [("RoutesReady", SUCCEEDED), ("ConfigurationsReady", SUCCEEDED)]
    assert done.latest_ready_revision == done.latest_created_revision
    assert done.latest_ready_revision.startswith(f"{MARKETING}/revisions/marketing-00001-")
    assert len(done.latest_ready_revision) == len(f"{MARKETING}/revisions/marketing-00001-xyz")
    assert list(done.traffic) == [to_latest(100)]
    assert [(row.type_.name, row.revision, row.percent) for row in done.traffic_statuses] == [
        ("TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "", 100)
    ]
    assert done.ingress == run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL
    assert done.uri == f"{google.sandbox.http_url}/run/marketing"
    assert list(done.urls) == [done.uri]


async def test_an_accepted_update_shows_the_new_spec_and_the_old_state(google: Google) -> None:
    before = await google.service()
    google.sandbox.faults.reconcile_seconds = 60
    operation = await google.update(
        ["template", "traffic"],
        template=template_of(NEW_IMAGE, CANDIDATE),
        traffic=[to(before.latest_ready_revision.rpartition("/")[2], 100), to(CANDIDATE, 0, "canary")],
    )
    accepted = packed_service(operation.operation.metadata)

    assert accepted == await google.service()
    assert accepted.generation == before.generation + 1
    assert accepted.observed_generation == before.generation
    assert accepted.reconciling
    assert accepted.terminal_condition.type_ == "Ready"
    assert accepted.terminal_condition.state == PENDING
    assert accepted.terminal_condition.last_transition_time == before.terminal_condition.last_transition_time
    assert accepted.conditions == before.conditions
    assert accepted.latest_ready_revision == before.latest_ready_revision
    assert accepted.latest_created_revision == before.latest_created_revision
    assert accepted.traffic_statuses == before.traffic_statuses
    assert accepted.template.containers[0].image == NEW_IMAGE
    assert [row.percent for row in accepted.traffic] == [100, 0]
    assert updated_at(accepted).ToNanoseconds() > updated_at(before).ToNanoseconds()
    assert accepted.create_time == before.create_time
    assert accepted.etag != before.etag
    assert accepted.uid == before.uid


async def test_a_finished_update_observes_the_spec_and_keeps_its_etag(google: Google) -> None:
    before = await google.service()
    operation = await google.update(["template"], template=template_of(NEW_IMAGE))
    accepted = packed_service(operation.operation.metadata)
    done = await google.settled()

    assert done.etag == accepted.etag
    assert done.update_time == accepted.update_time
    assert done.observed_generation == done.generation == before.generation + 1
    assert done.terminal_condition.state == SUCCEEDED
    assert conditions(done) == [("RoutesReady", SUCCEEDED), ("ConfigurationsReady", SUCCEEDED)]
    assert done.latest_created_revision == done.latest_ready_revision != before.latest_ready_revision
    assert done.latest_created_revision.startswith(f"{NAME}/revisions/backend-00002-")


async def test_the_operation_answers_with_the_whole_service(google: Google) -> None:
    operation = await google.update(["traffic"], traffic=[to(await google.stable(), 100)])

    name = operation.operation.name
    assert name.startswith(f"{PARENT}/operations/")
    assert UUID(name.rpartition("/")[2]).version == 4
    assert await result_of(operation) == await google.service()
    finished = await google.services.get_operation(operations_pb2.GetOperationRequest(name=name))
    assert finished.done
    assert packed_service(finished.metadata) == packed_service(finished.response) == await google.service()


@pytest.mark.parametrize("service", ["backend", "marketing", "shop"])
async def test_the_etag_is_made_of_the_update_time_and_the_name(google: Google, service: str) -> None:
    name = f"{PARENT}/services/{service}"
    await google.sandbox.install(INSTALLED.model_copy(update={"service": service}))
    found = await google.service(name)

    parts = (updated_at(found).SerializeToString(), name.encode())
    expected = "/".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    assert found.etag == f'"{expected}"'


async def test_two_updates_in_one_instant_have_different_etags() -> None:
    async with Google.started(clock=MovingClock()) as google:
        etags = set()
        for marker in "abc":
            await google.update(["annotations"], annotations={"marker": marker})
            etags.add((await google.service()).etag)
        assert len(etags) == 3


async def test_a_deleted_service_expires_in_thirty_days_and_its_etag_changes_again_at_the_end(google: Google) -> None:
    before = await google.service()
    operation = await google.services.delete_service(name=NAME)
    accepted = packed_service(operation.operation.metadata)
    final = await result_of(operation)

    assert accepted.generation == before.generation + 1
    assert accepted.reconciling
    assert accepted.expire_time - accepted.delete_time == timedelta(days=30)
    assert final.etag != accepted.etag
    assert updated_at(final).ToNanoseconds() > updated_at(accepted).ToNanoseconds()
    with pytest.raises(exceptions.NotFound):
        await google.service()


async def test_a_missing_service_is_refused_in_googles_words(google: Google) -> None:
    with pytest.raises(exceptions.NotFound) as refused:
        await google.services.get_service(name=f"{PARENT}/services/nobody")

    assert refused.value.message == (
        "Resource 'nobody' of kind 'SERVICE' in region 'us-central1' in project 'shop-production' does not exist."
    )


async def test_a_service_that_exists_cannot_be_created(google: Google) -> None:
    await create(google)

    with pytest.raises(exceptions.AlreadyExists):
        await create(google)


@pytest.mark.parametrize("service_id", ["", "1st", "Upper", "ends-", "a" * 50])
async def test_a_service_id_follows_the_rules(google: Google, service_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="service_id"):
        await google.services.create_service(
            parent=PARENT, service_id=service_id, service=run_v2.Service(template=template_of(OLD_IMAGE))
        )


async def test_services_are_listed_page_by_page(google: Google) -> None:
    for number in range(3):
        await google.services.create_service(
            parent=PARENT, service_id=f"extra-{number}", service=run_v2.Service(template=template_of(OLD_IMAGE))
        )

    pager = await google.services.list_services(request=run_v2.ListServicesRequest(parent=PARENT, page_size=2))
    pages = [[service.name.rpartition("/")[2] for service in page.services] async for page in pager.pages]

    assert pages == [["backend", "extra-0"], ["extra-1", "extra-2"]]


async def test_services_of_other_regions_are_not_listed(google: Google) -> None:
    pager = await google.services.list_services(parent="projects/shop-production/locations/europe-west1")

    assert [service async for service in pager] == []
