"""What one asks a Temporal server before using it: is it there, is the namespace there, does a worker poll.

Blocking calls with short limits, for programs that start servers; everything else uses the SDK's client.
"""

from collections.abc import Callable
from typing import Any

import grpc
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)

CALL_SECONDS = 2.0
_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService"


class TemporalFrontend:
    """A server at `address` (host:port, plaintext). Answers are plain values; no answer is a plain no."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.namespace = namespace

    def serves_namespace(self) -> bool:
        """Whether the server answers and knows the namespace."""
        request = DescribeNamespaceRequest(namespace=self.namespace)
        return self._call("DescribeNamespace", request, DescribeNamespaceResponse.FromString) is not None

    def pollers(self, task_queue: str) -> frozenset[str]:
        """Identities that poll a queue for workflow or activity tasks."""
        found: set[str] = set()
        for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
            request = DescribeTaskQueueRequest(
                namespace=self.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
            )
            answer = self._call("DescribeTaskQueue", request, DescribeTaskQueueResponse.FromString)
            found |= {poller.identity for poller in answer.pollers} if answer is not None else set()
        return frozenset(found)

    def _call(self, method: str, request: Any, read: Callable[[bytes], Any]) -> Any:
        with grpc.insecure_channel(self.address) as channel:
            call = channel.unary_unary(
                f"{_SERVICE}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=read,
            )
            try:
                return call(request, timeout=CALL_SECONDS)
            except grpc.RpcError:
                return None
