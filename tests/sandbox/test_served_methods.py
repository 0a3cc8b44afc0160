"""Which calls of Google's clients the sandbox serves: a new release of a client that can do more shows here."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.monitoring_v3.services.alert_policy_service.transports import AlertPolicyServiceGrpcTransport
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.cloud.monitoring_v3.services.notification_channel_service.transports import (
    NotificationChannelServiceGrpcTransport,
)
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]

from tests.sandbox.google import NAME, Google

NO_CANCEL = "CancelOperation"  # a general client of operations has it, Cloud Run's own clients do not


def paths_of(transport: Any) -> set[str]:
    """The paths of all calls that a client with this transport can make."""
    paths: set[str] = set()

    def note(path: str, **_: Any) -> Callable[..., None]:
        paths.add(path)
        return lambda *_: None

    with grpc.insecure_channel("127.0.0.1:0") as never_used:
        prepared = transport(channel=never_used)
        prepared._logged_channel = SimpleNamespace(unary_unary=note)
        prepared._stubs.clear()
        for name in dir(type(prepared)):
            if not name.startswith("_"):
                getattr(prepared, name)  # a call is prepared when its property is read
    return paths


async def is_served(channel: grpc.aio.Channel, path: str) -> bool:
    call: Any = channel.unary_unary(path)
    try:
        await call(b"")
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNIMPLEMENTED
    return True


@pytest.mark.parametrize(
    ("transport", "not_served"),
    [
        (ServicesGrpcTransport, {"GetIamPolicy", "SetIamPolicy", "TestIamPermissions", NO_CANCEL}),
        (RevisionsGrpcTransport, {NO_CANCEL}),
        (
            MetricServiceGrpcTransport,
            {
                "GetMonitoredResourceDescriptor",
                "ListMonitoredResourceDescriptors",
                "CreateServiceTimeSeries",
            },
        ),
        (AlertPolicyServiceGrpcTransport, set()),
        (
            SecretManagerServiceGrpcTransport,
            {
                "UpdateSecret",
                "EnableManagedRotation",
                "RotateSecret",
                "GetIamPolicy",
                "SetIamPolicy",
                "TestIamPermissions",
                "GetLocation",
                "ListLocations",
            },
        ),
        (
            NotificationChannelServiceGrpcTransport,
            {
                "GetNotificationChannelDescriptor",
                "ListNotificationChannelDescriptors",
                "GetNotificationChannelVerificationCode",
                "SendNotificationChannelVerificationCode",
                "VerifyNotificationChannel",
            },
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_every_call_is_served_but_the_ones_named_here(
    google: Google, transport: Any, not_served: set[str]
) -> None:
    paths = paths_of(transport)
    unserved = {path for path in paths if not await is_served(google.channel, path)}

    assert len(paths) > len(not_served)
    assert {path.rpartition("/")[2] for path in unserved} == not_served


async def test_a_call_that_is_not_served_says_so(google: Google) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        await google.services.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=NAME))
