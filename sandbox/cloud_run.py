"""`google.cloud.run.v2.Services` on loopback: accepts changes of services, and leaves carrying them out to later."""

from collections.abc import Callable
from random import Random
from typing import Any, Literal
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from sandbox.clock import SECOND, SandboxClock, micros_of, timestamp
from sandbox.etag import stamp, version_in
from sandbox.grpc_service import Method
from sandbox.operations import Operations
from sandbox.paging import page_of
from sandbox.reconciler import Reconciler
from sandbox.resource_names import ServiceName, new_service, parse_location, parse_service
from sandbox.revisions import PENDING, mint, revision_to_mint
from sandbox.rpc_errors import RpcError, conflict
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord
from sandbox.service_spec import complete, merged, same_configuration
from sandbox.wire_messages import (
    Condition,
    CreateServiceRequest,
    DeleteServiceRequest,
    GetServiceRequest,
    ListServicesRequest,
    ListServicesResponse,
    Service,
    UpdateServiceRequest,
    copy_of,
)

SERVICE = "google.cloud.run.v2.Services"
EtagProfile = Literal["enforce", "ignore"]
InflightProfile = Literal["supersede", "abort"]

_DOMAIN = "run.googleapis.com"
_OWNER = "owner@sandbox.invalid"
_LARGEST_PAGE = 100
_DELETED_FOR = 30 * 24 * 3600 * SECOND


class CloudRunServices:
    """Create, Get, List, Update and Delete of services.

    `etag` says whether an update with a stale etag is refused; `inflight` whether an update that arrives while an
    older one is being carried out takes over or is refused. Both are not known of the real service.
    """

    def __init__(
        self,
        services: RunServices,
        operations: Operations,
        reconciler: Reconciler,
        clock: SandboxClock,
        random: Random,
        new_id: Callable[[], UUID],
        *,
        etag: EtagProfile,
        inflight: InflightProfile,
    ) -> None:
        self._services = services
        self._operations = operations
        self._reconciler = reconciler
        self._clock = clock
        self._random = random
        self._new_id = new_id
        self._etag = etag
        self._inflight = inflight

    def methods(self) -> list[Method]:
        return [
            Method("CreateService", CreateServiceRequest, self._create, "run.services.create"),
            Method("GetService", GetServiceRequest, self._get, "run.services.get"),
            Method("ListServices", ListServicesRequest, self._list, "run.services.list"),
            Method("UpdateService", UpdateServiceRequest, self._update, "run.services.update"),
            Method("DeleteService", DeleteServiceRequest, self._delete, "run.services.delete"),
        ]

    def install(self, name: ServiceName, image: str, instant: int) -> ServiceRecord:
        """Put a ready service with one revision of `image`, serving everything since `instant`, in place."""
        spec = Service()
        spec.template.containers.add(image=image)
        record, revision = self._new_record(name, spec, instant)
        self._services.add(record)
        self._reconciler.complete_now(record, revision, instant)
        return record

    async def _create(self, request: Any) -> Any:
        name = new_service(request.parent, request.service_id)
        if self._services.exists(name):
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"Resource '{name.service}' already exists.")
        spec = merged(Service(), request.service, FieldMask())
        record, revision = self._new_record(name, spec, await self._clock.now())
        operation = self._operations.begin(name.parent, record.message)
        if not request.validate_only:
            self._services.add(record)
            self._reconciler.begin(record, operation, revision)
        else:
            operation.finish(record.message)
        return operation.snapshot()

    def _new_record(self, name: ServiceName, spec: Any, instant: int) -> tuple[ServiceRecord, RevisionRecord]:
        complete(spec, name, "CreateService")
        spec.name = str(name)
        spec.uid = str(self._new_id())
        spec.generation = 1
        spec.creator = spec.last_modifier = _OWNER
        spec.create_time.CopyFrom(timestamp(instant))
        stamp(spec, instant)
        spec.reconciling = True
        spec.terminal_condition.CopyFrom(Condition(state=PENDING))
        record = ServiceRecord(name, spec)
        short_name = revision_to_mint(record, spec.template, self._random)
        if short_name is None:
            raise AssertionError("a service without revisions always needs its first one")
        return record, mint(record, short_name, instant, self._new_id())

    async def _get(self, request: Any) -> Any:
        return copy_of(self._services.get(parse_service(request.name, field="GetServiceRequest.name")).message)

    async def _list(self, request: Any) -> Any:
        parent = parse_location(request.parent, field="ListServicesRequest.parent")
        held = [record.message for record in self._services]
        if request.show_deleted:
            held += self._services.deleted_ones()
        found = sorted((each for each in held if each.name.startswith(f"{parent}/")), key=lambda each: each.name)
        page, token = page_of(found, request, field="ListServicesRequest.page_token", largest=_LARGEST_PAGE)
        return ListServicesResponse(services=page, next_page_token=token)

    async def _update(self, request: Any) -> Any:
        instant = await self._clock.now()
        record = self._services.get(parse_service(request.service.name, field="UpdateServiceRequest.service.name"))
        self._refuse_conflict(record, request.service.etag)
        proposed = merged(record.message, request.service, request.update_mask)
        complete(proposed, record.name, "UpdateService")
        short_name = (
            None
            if same_configuration(proposed.template, record.message.template)
            and proposed.template.revision == record.message.template.revision
            else revision_to_mint(record, proposed.template, self._random)
        )
        if request.validate_only:
            operation = self._operations.begin(record.name.parent, proposed)
            operation.finish(proposed)
            return operation.snapshot()
        record.message = self._changed(record, proposed, instant)
        minted = None if short_name is None else mint(record, short_name, instant, self._new_id())
        self._services.changed(record)
        operation = self._operations.begin(record.name.parent, record.message)
        self._reconciler.begin(record, operation, minted)
        return operation.snapshot()

    def _changed(self, record: ServiceRecord, proposed: Any, instant: int) -> Any:
        """The service as it is once `proposed` is accepted: the new spec at once; what is observed stays as it was."""
        proposed.generation += 1
        proposed.reconciling = True
        proposed.terminal_condition.state = PENDING
        proposed.last_modifier = _OWNER
        stamp(proposed, max(instant, micros_of(record.message.update_time) + 1))
        return proposed

    async def _delete(self, request: Any) -> Any:
        instant = await self._clock.now()
        record = self._services.get(parse_service(request.name, field="DeleteServiceRequest.name"))
        self._refuse_conflict(record, request.etag)
        condemned = self._changed(record, copy_of(record.message), instant)
        condemned.delete_time.CopyFrom(timestamp(instant))
        condemned.expire_time.CopyFrom(timestamp(instant + _DELETED_FOR))
        operation = self._operations.begin(record.name.parent, condemned)
        if request.validate_only:
            operation.finish(condemned)
        else:
            record.message = condemned
            self._services.changed(record)
            self._reconciler.begin_delete(record, operation)
        return operation.snapshot()

    def _refuse_conflict(self, record: ServiceRecord, etag: str) -> None:
        message = record.message
        stale = bool(etag) and etag != message.etag
        busy = self._inflight == "abort" and message.reconciling
        if busy or (stale and self._etag == "enforce"):
            named = version_in(etag or message.etag)
            raise conflict(
                f"Conflict for resource '{record.name.service}': version '{named}' was specified but current version "
                f"is '{version_in(message.etag)}'.",
                domain=_DOMAIN,
            )
