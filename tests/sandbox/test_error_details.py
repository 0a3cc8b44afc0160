"""What a refusal carries beside its sentence: `google.rpc` details, as both clients unpack them."""

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from sandbox.faults import Fault
from tests.sandbox.both_clients import ClientKind, cloud
from tests.sandbox.google import NAME, NEW_IMAGE, PARENT, PROJECT, Google, template_of, to

BOTH: list[ClientKind] = ["sync", "async"]
OPERATION = f"{PARENT}/operations/0"
CALLS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("GetService", "get_service", {"name": NAME}, "run.services.get", NAME),
    ("UpdateService", "update_service", {"service": run_v2.Service(name=NAME)}, "run.services.update", NAME),
    ("CreateService", "create_service", {"parent": PARENT, "service_id": "a"}, "run.services.create", PARENT),
    ("ListRevisions", "list_revisions", {"parent": NAME}, "run.revisions.list", NAME),
]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("rpc", "method", "request_", "permission", "resource"), CALLS, ids=[each[0] for each in CALLS]
)
async def test_who_is_denied_is_told_the_permission_and_the_resource(
    google: Google, kind: ClientKind, rpc: str, method: str, request_: dict[str, Any], permission: str, resource: str
) -> None:
    google.sandbox.faults.put(Fault(method=rpc, code="PERMISSION_DENIED"))
    async with cloud(kind, google.sandbox.grpc_target) as client:
        with pytest.raises(exceptions.PermissionDenied) as refused:
            await client.call(method, **request_)

    error = refused.value
    assert error.message == f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
    assert (error.reason, error.domain) == ("IAM_PERMISSION_DENIED", "iam.googleapis.com")
    assert error.metadata == {"permission": permission, "resource": resource}


async def test_a_role_on_the_service_alone_does_not_read_operations(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="GetOperation", code="PERMISSION_DENIED"))
    with pytest.raises(exceptions.PermissionDenied) as refused:
        await google.services.get_operation(operations_pb2.GetOperationRequest(name=OPERATION))

    assert refused.value.metadata == {"permission": "run.operations.get", "resource": OPERATION}


async def test_a_denied_reader_of_metrics_is_told_the_project(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="ListMetricDescriptors", code="PERMISSION_DENIED"))
    with pytest.raises(exceptions.PermissionDenied) as refused:
        await google.metrics.list_metric_descriptors(name=f"projects/{PROJECT}")

    assert refused.value.metadata["permission"] == "monitoring.metricDescriptors.list"
    assert refused.value.metadata["resource"] == f"projects/{PROJECT}"


async def test_a_fault_with_a_message_of_its_own_says_that_and_nothing_else(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="GetService", code="PERMISSION_DENIED", message="not today"))
    with pytest.raises(exceptions.PermissionDenied) as refused:
        await google.service()

    assert (refused.value.message, refused.value.reason, refused.value.details) == ("not today", None, [])


@pytest.mark.parametrize("kind", BOTH)
async def test_a_violation_is_in_the_details_with_its_place_and_its_description(
    google: Google, kind: ClientKind
) -> None:
    async with cloud(kind, google.sandbox.grpc_target) as client:
        with pytest.raises(exceptions.InvalidArgument) as refused:
            await client.call("update_service", service=run_v2.Service(name=NAME, traffic=[to("backend-a", 7)]))

    place = "Violation in UpdateServiceRequest.service.traffic"
    (details,) = refused.value.details
    assert isinstance(details, error_details_pb2.BadRequest)
    assert [(each.field, each.description) for each in details.field_violations] == [
        (place, "Traffic targets sum to 7, want 100.")
    ]
    assert refused.value.message == f"{place}: Traffic targets sum to 7, want 100."


@pytest.mark.parametrize("kind", BOTH)
async def test_a_conflict_has_a_reason_and_the_domain_of_cloud_run(kind: ClientKind) -> None:
    async with Google.started(etag="enforce") as google, cloud(kind, google.sandbox.grpc_target) as client:
        with pytest.raises(exceptions.Aborted) as refused:
            await client.call(
                "update_service", service=run_v2.Service(name=NAME, etag='"old"', template=template_of(NEW_IMAGE))
            )

    assert (refused.value.reason, refused.value.domain) == ("CONFLICT", "run.googleapis.com")
