"""`google.cloud.run.v2.Revisions` on loopback: revisions are read and deleted; only a service makes them."""

from typing import Any

import grpc

from sandbox.clock import SandboxClock, timestamp
from sandbox.grpc_service import Method
from sandbox.operations import Operations
from sandbox.paging import page_of
from sandbox.resource_names import ServiceName, parse_revision, parse_service
from sandbox.rpc_errors import RpcError
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord
from sandbox.wire_messages import (
    DeleteRevisionRequest,
    GetRevisionRequest,
    ListRevisionsRequest,
    ListRevisionsResponse,
    copy_of,
)

SERVICE = "google.cloud.run.v2.Revisions"
_LARGEST_PAGE = 100
_ANY_SERVICE = "-"


class CloudRunRevisions:
    """Get, List and Delete of revisions."""

    def __init__(self, services: RunServices, operations: Operations, clock: SandboxClock) -> None:
        self._services = services
        self._operations = operations
        self._clock = clock

    def methods(self) -> list[Method]:
        return [
            Method("GetRevision", GetRevisionRequest, self._get, "run.revisions.get"),
            Method("ListRevisions", ListRevisionsRequest, self._list, "run.revisions.list"),
            Method("DeleteRevision", DeleteRevisionRequest, self._delete, "run.revisions.delete"),
        ]

    def _find(self, name: str, *, field: str) -> tuple[ServiceRecord, RevisionRecord]:
        service, short_name = parse_revision(name, field=field)
        record = self._services.get(service)
        revision = record.revisions.get(short_name)
        if revision is None:
            raise RpcError(
                grpc.StatusCode.NOT_FOUND,
                f"Resource '{short_name}' of kind 'REVISION' in region '{service.region}' in project "
                f"'{service.project}' does not exist.",
            )
        return record, revision

    async def _get(self, request: Any) -> Any:
        _, revision = self._find(request.name, field="GetRevisionRequest.name")
        return copy_of(revision.message)

    async def _list(self, request: Any) -> Any:
        """Newest first. The service in the parent may be `-` for those of every service in the region."""
        parent = parse_service(request.parent, field="ListRevisionsRequest.parent")
        revisions = [revision.message for record in self._below(parent) for revision in record.revisions.values()]
        page, token = page_of(revisions[::-1], request, field="ListRevisionsRequest.page_token", largest=_LARGEST_PAGE)
        return ListRevisionsResponse(revisions=page, next_page_token=token)

    def _below(self, parent: ServiceName) -> list[ServiceRecord]:
        if parent.service == _ANY_SERVICE:
            return [record for record in self._services if record.name.parent == parent.parent]
        return [self._services.get(parent)]

    async def _delete(self, request: Any) -> Any:
        record, revision = self._find(request.name, field="DeleteRevisionRequest.name")
        if _in_use(record, revision):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Revision '{revision.short_name}' cannot be deleted: it can receive traffic or is the latest one.",
            )
        condemned = copy_of(revision.message)
        condemned.delete_time.CopyFrom(timestamp(await self._clock.now()))
        operation = self._operations.begin(record.name.parent, condemned)
        if not request.validate_only:
            del record.revisions[revision.short_name]
            self._services.changed(record)
        operation.finish(condemned)
        return operation.snapshot()


def _in_use(record: ServiceRecord, revision: RevisionRecord) -> bool:
    message = record.message
    if revision.message.name in (message.latest_created_revision, message.latest_ready_revision):
        return True
    rows = [*message.traffic, *message.traffic_statuses]
    return not revision.settled.is_set() or any(row.revision == revision.short_name for row in rows)
