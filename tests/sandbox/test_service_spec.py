"""What an owner may write, and how masks choose; what the server fills in stands in test_conformance.py."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.sandbox.google import NAME, NEW_IMAGE, OLD_IMAGE, PARENT, Google, result_of, template_of, to


async def test_only_masked_fields_are_written(google: Google) -> None:
    await google.update(["annotations"], annotations={"owner": "shop"}, description="not masked")
    service = await google.service()

    assert dict(service.annotations) == {"owner": "shop"}
    assert service.description == ""
    assert service.template.containers[0].image == OLD_IMAGE


async def test_a_nested_path_changes_that_field_alone(google: Google) -> None:
    await google.update(["scaling.min_instance_count"], scaling={"min_instance_count": 3, "manual_instance_count": 9})
    service = await google.service()

    assert service.scaling.min_instance_count == 3
    assert service.scaling.manual_instance_count == 0


async def test_a_masked_list_is_replaced_and_not_added_to(google: Google) -> None:
    for environment in ("first", "second"):
        template = template_of(OLD_IMAGE)
        template.containers[0].env = [run_v2.EnvVar(name=environment, value="1")]
        await google.update(["template"], template=template)
        await google.settled()

    assert [variable.name for variable in (await google.service()).template.containers[0].env] == ["second"]


async def test_without_a_mask_every_populated_field_is_written(google: Google) -> None:
    await google.update(["annotations"], annotations={"owner": "shop"})
    await google.update(None, description="the shop")
    service = await google.service()

    assert service.description == "the shop"
    assert dict(service.annotations) == {"owner": "shop"}


@pytest.mark.parametrize("path", ["trafficStatuses", "template.maxInstances", "no_such_field"])
async def test_a_path_that_does_not_exist_is_refused(google: Google, path: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="update_mask"):
        await google.update([path], description="lost")


async def test_fields_of_the_server_are_not_written_even_where_masked(google: Google) -> None:
    before = await google.service()
    await google.update(["uid", "generation", "uri"], uid="mine", generation=77, uri="https://example.com")
    after = await google.service()

    assert (after.uid, after.uri) == (before.uid, before.uri)
    assert after.generation == before.generation + 1


async def test_validate_only_answers_the_spec_with_defaults_and_changes_nothing(google: Google) -> None:
    before = await google.service()
    operation = await google.update(["template"], template=template_of(NEW_IMAGE), validate_only=True)
    proposed = await result_of(operation)

    assert proposed.template.containers[0].image == NEW_IMAGE
    assert proposed.template.max_instance_request_concurrency == 80
    assert await google.service() == before
    assert len([each async for each in await google.revisions.list_revisions(parent=NAME)]) == 1


async def test_validate_only_creates_nothing(google: Google) -> None:
    request = run_v2.CreateServiceRequest(
        parent=PARENT, service_id="idea", service=run_v2.Service(template=template_of(OLD_IMAGE)), validate_only=True
    )
    await google.services.create_service(request=request)

    with pytest.raises(exceptions.NotFound):
        await google.service(f"{PARENT}/services/idea")


@pytest.mark.parametrize(
    "key", ["run.googleapis.com/ingress", "serving.knative.dev/creator", "a.cloud.googleapis.com/x"]
)
async def test_annotations_of_the_system_are_refused(google: Google, key: str) -> None:
    with pytest.raises(exceptions.InvalidArgument) as refused:
        await google.update(["annotations"], annotations={key: "x"})

    (violation,) = refused.value.details[0].field_violations
    assert violation.field == "Violation in UpdateServiceRequest.service.annotations"
    assert key in violation.description


async def test_annotations_survive_other_updates(google: Google) -> None:
    await google.update(["annotations"], annotations={"rollout/fence": "7"})
    await google.update(["traffic"], traffic=[to(await google.stable(), 100)])

    assert dict((await google.settled()).annotations) == {"rollout/fence": "7"}
