"""Google's message classes as plain protobuf.

The server side reads and writes every field of every answer; the proto-plus wrapper that suits a client would cost
it several times the work of the answer itself. Wire format and field numbers are the same. Note the one difference
in names: a field that proto-plus calls `type_` is called so here too, because proto-plus made the descriptor.
"""

from typing import Any

from google.api import (  # type: ignore[import-untyped]
    distribution_pb2,
    metric_pb2,
)
from google.cloud import monitoring_v3, run_v2, secretmanager_v1
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import duration_pb2, empty_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]


def copy_of(message: Any) -> Any:
    """A message of its own with the same content."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


Timestamp = timestamp_pb2.Timestamp
Duration = duration_pb2.Duration
Empty = empty_pb2.Empty

Status: Any = status_pb2.Status
BadRequest: Any = error_details_pb2.BadRequest
ErrorInfo: Any = error_details_pb2.ErrorInfo

Operation: Any = operations_pb2.Operation
GetOperationRequest: Any = operations_pb2.GetOperationRequest
ListOperationsRequest: Any = operations_pb2.ListOperationsRequest
ListOperationsResponse: Any = operations_pb2.ListOperationsResponse
DeleteOperationRequest: Any = operations_pb2.DeleteOperationRequest
WaitOperationRequest: Any = operations_pb2.WaitOperationRequest

Service: Any = run_v2.Service.meta.pb
Revision: Any = run_v2.Revision.meta.pb
RevisionTemplate: Any = run_v2.RevisionTemplate.meta.pb
Condition: Any = run_v2.Condition.meta.pb
TrafficTarget: Any = run_v2.TrafficTarget.meta.pb
TrafficTargetStatus: Any = run_v2.TrafficTargetStatus.meta.pb
CreateServiceRequest: Any = run_v2.CreateServiceRequest.meta.pb
GetServiceRequest: Any = run_v2.GetServiceRequest.meta.pb
ListServicesRequest: Any = run_v2.ListServicesRequest.meta.pb
ListServicesResponse: Any = run_v2.ListServicesResponse.meta.pb
UpdateServiceRequest: Any = run_v2.UpdateServiceRequest.meta.pb
DeleteServiceRequest: Any = run_v2.DeleteServiceRequest.meta.pb
GetRevisionRequest: Any = run_v2.GetRevisionRequest.meta.pb
ListRevisionsRequest: Any = run_v2.ListRevisionsRequest.meta.pb
ListRevisionsResponse: Any = run_v2.ListRevisionsResponse.meta.pb
DeleteRevisionRequest: Any = run_v2.DeleteRevisionRequest.meta.pb

Distribution: Any = distribution_pb2.Distribution
MetricDescriptor: Any = metric_pb2.MetricDescriptor
TimeSeries: Any = monitoring_v3.TimeSeries.meta.pb
Point: Any = monitoring_v3.Point.meta.pb
ListTimeSeriesRequest: Any = monitoring_v3.ListTimeSeriesRequest.meta.pb
ListTimeSeriesResponse: Any = monitoring_v3.ListTimeSeriesResponse.meta.pb
CreateTimeSeriesRequest: Any = monitoring_v3.CreateTimeSeriesRequest.meta.pb
CreateTimeSeriesSummary: Any = monitoring_v3.CreateTimeSeriesSummary.meta.pb
GetMetricDescriptorRequest: Any = monitoring_v3.GetMetricDescriptorRequest.meta.pb
ListMetricDescriptorsRequest: Any = monitoring_v3.ListMetricDescriptorsRequest.meta.pb
ListMetricDescriptorsResponse: Any = monitoring_v3.ListMetricDescriptorsResponse.meta.pb
CreateMetricDescriptorRequest: Any = monitoring_v3.CreateMetricDescriptorRequest.meta.pb
DeleteMetricDescriptorRequest: Any = monitoring_v3.DeleteMetricDescriptorRequest.meta.pb

CreateAlertPolicyRequest: Any = monitoring_v3.CreateAlertPolicyRequest.meta.pb
GetAlertPolicyRequest: Any = monitoring_v3.GetAlertPolicyRequest.meta.pb
ListAlertPoliciesRequest: Any = monitoring_v3.ListAlertPoliciesRequest.meta.pb
ListAlertPoliciesResponse: Any = monitoring_v3.ListAlertPoliciesResponse.meta.pb
UpdateAlertPolicyRequest: Any = monitoring_v3.UpdateAlertPolicyRequest.meta.pb
DeleteAlertPolicyRequest: Any = monitoring_v3.DeleteAlertPolicyRequest.meta.pb
CreateNotificationChannelRequest: Any = monitoring_v3.CreateNotificationChannelRequest.meta.pb
GetNotificationChannelRequest: Any = monitoring_v3.GetNotificationChannelRequest.meta.pb
ListNotificationChannelsRequest: Any = monitoring_v3.ListNotificationChannelsRequest.meta.pb
ListNotificationChannelsResponse: Any = monitoring_v3.ListNotificationChannelsResponse.meta.pb
UpdateNotificationChannelRequest: Any = monitoring_v3.UpdateNotificationChannelRequest.meta.pb
DeleteNotificationChannelRequest: Any = monitoring_v3.DeleteNotificationChannelRequest.meta.pb

Secret: Any = secretmanager_v1.Secret.meta.pb
SecretVersion: Any = secretmanager_v1.SecretVersion.meta.pb
SecretPayload: Any = secretmanager_v1.SecretPayload.meta.pb
CreateSecretRequest: Any = secretmanager_v1.CreateSecretRequest.meta.pb
GetSecretRequest: Any = secretmanager_v1.GetSecretRequest.meta.pb
ListSecretsRequest: Any = secretmanager_v1.ListSecretsRequest.meta.pb
ListSecretsResponse: Any = secretmanager_v1.ListSecretsResponse.meta.pb
DeleteSecretRequest: Any = secretmanager_v1.DeleteSecretRequest.meta.pb
AddSecretVersionRequest: Any = secretmanager_v1.AddSecretVersionRequest.meta.pb
GetSecretVersionRequest: Any = secretmanager_v1.GetSecretVersionRequest.meta.pb
ListSecretVersionsRequest: Any = secretmanager_v1.ListSecretVersionsRequest.meta.pb
ListSecretVersionsResponse: Any = secretmanager_v1.ListSecretVersionsResponse.meta.pb
AccessSecretVersionRequest: Any = secretmanager_v1.AccessSecretVersionRequest.meta.pb
AccessSecretVersionResponse: Any = secretmanager_v1.AccessSecretVersionResponse.meta.pb
EnableSecretVersionRequest: Any = secretmanager_v1.EnableSecretVersionRequest.meta.pb
DisableSecretVersionRequest: Any = secretmanager_v1.DisableSecretVersionRequest.meta.pb
DestroySecretVersionRequest: Any = secretmanager_v1.DestroySecretVersionRequest.meta.pb
SecretVersionState: Any = SecretVersion.State
