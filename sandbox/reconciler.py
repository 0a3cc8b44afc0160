"""What follows an accepted change of a Cloud Run service: revisions start, routes move, conditions tell.

Delays are real seconds even where the clock of the sandbox is one that skips: such a clock stands still while a
client polls, and a client that polls for a reconciliation must see it end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.cloud.run_v2 import Condition as RunCondition

from sandbox.behaviours import Behaviours
from sandbox.clock import SandboxClock, micros_of, timestamp
from sandbox.etag import stamp
from sandbox.faults import FaultTable
from sandbox.operations import PendingOperation
from sandbox.resource_names import parse_service
from sandbox.revisions import FAILED, SUCCEEDED, settle, start_failure
from sandbox.rpc_errors import RpcError
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord
from sandbox.wire_messages import Condition, Service, TrafficTargetStatus, copy_of

_log = logging.getLogger(__name__)

StartProcess = Callable[[ServiceRecord, RevisionRecord], Awaitable[bool]]
"""Brings a revision up; whether it came to listen."""

_REASONS = {
    grpc.StatusCode.FAILED_PRECONDITION: int(RunCondition.CommonReason.REVISION_FAILED),
    grpc.StatusCode.INTERNAL: int(RunCondition.CommonReason.UNKNOWN),
}


class Reconciler:
    """Carries accepted changes out, one task per change; a newer change of the same service takes over the outcome."""

    def __init__(
        self,
        *,
        services: RunServices,
        behaviours: Behaviours,
        faults: FaultTable,
        clock: SandboxClock,
        seconds: float,
        data_plane_url: Callable[[], str],
        start_process: StartProcess,
    ) -> None:
        self._services = services
        self._behaviours = behaviours
        self._faults = faults
        self._clock = clock
        self._seconds = seconds
        self._data_plane_url = data_plane_url
        self._start_process = start_process
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, record: ServiceRecord, operation: PendingOperation, minted: RevisionRecord | None) -> None:
        """Carry out the change that made the service's present generation."""
        if minted is not None:
            self._spawn(self._start(record, minted))
        self._spawn(self._reconcile(record, record.message.generation, operation))

    def begin_delete(self, record: ServiceRecord, operation: PendingOperation) -> None:
        self._spawn(self._delete(record, operation))

    def start_again(self, record: ServiceRecord, revision: RevisionRecord) -> None:
        """Start a revision of which it was not known yet, when the sandbox was killed, whether it starts."""
        self._spawn(self._start(record, revision))

    def resume(self, operation: PendingOperation) -> None:
        """Carry on with a change that was accepted before the sandbox was killed."""
        accepted = Service()
        operation.message.metadata.Unpack(accepted)
        name = parse_service(accepted.name, field="name")
        if not self._services.exists(name) or self._services.get(name).message.uid != accepted.uid:
            operation.finish(accepted)
            return
        record = self._services.get(name)
        if accepted.HasField("delete_time"):
            self._spawn(self._delete(record, operation))
        else:
            self._spawn(self._reconcile(record, accepted.generation, operation))

    def readdress(self, record: ServiceRecord) -> None:
        """Give a service that was kept the address where it is answered now."""
        if not record.message.uri:
            return
        message = record.message
        message.uri = self._uri(record)
        message.urls[:] = [message.uri]
        for status in message.traffic_statuses:
            if status.tag:
                status.uri = self._uri(record, status.tag)
        self._services.changed(record)

    def _uri(self, record: ServiceRecord, tag: str = "") -> str:
        host = f"{tag}---{record.name.service}" if tag else record.name.service
        return f"{self._data_plane_url()}/run/{host}"

    def complete_now(self, record: ServiceRecord, revision: RevisionRecord, instant: int) -> None:
        """Bring a service that was there before the sandbox looked into its observed state, without a delay."""
        settle(record, revision, None, instant)
        self._observe(record, instant)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a reconciliation broke off", exc_info=task.exception())

    async def _delay(self, further_seconds: float = 0.0) -> None:
        seconds = self._seconds if self._faults.reconcile_seconds is None else self._faults.reconcile_seconds
        await asyncio.sleep(seconds + further_seconds)

    async def _start(self, record: ServiceRecord, revision: RevisionRecord) -> None:
        behaviour = self._behaviours.now(revision.image)
        await self._delay(behaviour.start_seconds)
        started = not behaviour.fails_to_start and await self._start_process(record, revision)
        failure = None if started else start_failure(revision)
        instant = await self._clock.now()
        settle(record, revision, failure, instant)
        self._services.observed(record, instant)

    async def _reconcile(self, record: ServiceRecord, generation: int, operation: PendingOperation) -> None:
        await self._delay()
        for revision in _awaited(record):
            await revision.settled.wait()
        instant = await self._clock.now()
        if record.deleted or record.message.generation != generation:
            operation.finish(record.message)
            return
        failure = self._observe(record, instant)
        if failure is None:
            operation.finish(record.message)
        else:
            operation.fail(record.message, failure)

    async def _delete(self, record: ServiceRecord, operation: PendingOperation) -> None:
        await self._delay()
        instant = await self._clock.now()
        if not record.deleted:
            self._services.remove(record)
        final = copy_of(record.message)
        final.reconciling = False
        stamp(final, max(instant, micros_of(final.update_time) + 1))
        del record.message.traffic_statuses[:]
        self._services.observed(record, instant)
        self._services.keep_deleted(final)
        operation.finish(final)

    def _observe(self, record: ServiceRecord, instant: int) -> RpcError | None:
        """Move the routes if they can move, and state the conditions. The spec and its etag stay as they are."""
        message = record.message
        routes_failure = _routes_failure(record)
        configurations_failure = _configurations_failure(record)
        if routes_failure is None:
            del message.traffic_statuses[:]
            message.traffic_statuses.extend(self._status_of(record, row) for row in message.traffic)
        message.uri = self._uri(record)
        message.urls[:] = [message.uri]
        message.ingress = message.ingress or 1
        message.observed_generation = message.generation
        message.reconciling = False
        failure = configurations_failure or routes_failure
        message.terminal_condition.CopyFrom(_condition("Ready", failure, instant))
        del message.conditions[:]
        message.conditions.append(_condition("RoutesReady", routes_failure, instant))
        message.conditions.append(_condition("ConfigurationsReady", configurations_failure, instant))
        self._services.observed(record, instant)
        return failure

    def _status_of(self, record: ServiceRecord, row: Any) -> Any:
        status = TrafficTargetStatus(type_=row.type_, revision=row.revision, percent=row.percent, tag=row.tag)
        if row.tag:
            status.uri = self._uri(record, row.tag)
        return status


def _awaited(record: ServiceRecord) -> list[RevisionRecord]:
    """The revisions that must have started, or failed to, before the routes can be judged."""
    targets = (record.revisions.get(row.revision) for row in record.message.traffic if row.revision)
    awaited = [revision for revision in targets if revision is not None]
    newest = next(reversed(record.revisions.values()))
    follows_latest = any(not row.revision for row in record.message.traffic)
    return [*awaited, newest] if follows_latest else awaited


def _routes_failure(record: ServiceRecord) -> RpcError | None:
    for row in record.message.traffic:
        if not row.revision:
            continue
        revision = record.revisions.get(row.revision)
        if revision is None:
            return RpcError(
                grpc.StatusCode.INTERNAL,
                f"Revision '{row.revision}' does not exist or is deleted. Update all traffic to route to currently "
                "available revisions.",
            )
        if revision.failure is not None:
            return revision.failure
    latest = record.latest_ready()
    newest = next(reversed(record.revisions.values()))
    return newest.failure if latest is None else None


def _configurations_failure(record: ServiceRecord) -> RpcError | None:
    """The newest started revision decides: while it has failed the service is not ready, wherever its traffic goes."""
    newest = record.revisions.get(record.message.latest_created_revision.rpartition("/")[2])
    return None if newest is None else newest.failure


def _condition(kind: str, failure: RpcError | None, instant: int) -> Any:
    condition = Condition(type_=kind, state=SUCCEEDED, last_transition_time=timestamp(instant))
    if failure is not None:
        condition.state = FAILED
        condition.message = failure.message
        condition.reason = _REASONS[failure.code]
    return condition
