"""What is promised of every rollout, held against everything that was written since the last look."""

import uuid

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.cloud_run_service import FENCE_ANNOTATION
from flagstore.audit import AuditEntry
from rollout.commands import CommandName
from rollout.flags import FlagSnapshot
from rollout.messages import Answer, Command
from rollout.progress import RolloutProgress
from sandbox.resource_names import ServiceName
from sandbox.run_services import ServiceRecord
from tests.workflows.world import STABLE_IMAGE, Handle, World


class Promises:
    def __init__(self, world: World) -> None:
        self._world = world
        self._service = world.plan.service_ref("backend")
        self.fence: int | None = None
        """The rollout's own; what is written with a higher one is written by a rollback."""
        self.must_not_rise = False
        self.latched = False
        self._audited = 0
        self._served: list[tuple[int, int]] = []
        world.sandbox.services.listen(self._traffic_changed)

    async def must_be_kept(self, progress: RolloutProgress, snapshot: FlagSnapshot | None, *, highest: int) -> None:
        """`highest` is the order of the exposure above which no flag may have risen."""
        self._nothing_after_a_latch(snapshot)
        self._only_what_was_allowed(await self._new_entries(), highest)
        self._only_full_credit_passes(progress)
        if self.fence is not None:
            self._no_share_rises_by_a_rollback(self.fence)

    def share_of_candidates(self) -> int:
        """The percentage that anything but the stable image serves."""
        return self._share_of_others(self._record())

    def _nothing_after_a_latch(self, snapshot: FlagSnapshot | None) -> None:
        """Invariant 2."""
        self.latched = self.latched or (snapshot is not None and snapshot.latch)
        if self.latched:
            assert snapshot is not None
            assert snapshot.is_latched_off, snapshot

    def _only_what_was_allowed(self, entries: list[AuditEntry], highest: int) -> None:
        """Invariants 3 and 4, for the flags: by the audit trail, which has every write."""
        for entry in entries:
            for flag, (before, after) in entry.changes.items():
                raised = after is not None and after.order > (-1 if before is None else before.order)
                assert not (raised and self.must_not_rise), f"{flag} rose after it was taken back: {entry}"
                assert not raised or after is None or after.order <= highest, f"{flag} rose too high: {entry}"

    def _only_full_credit_passes(self, progress: RolloutProgress) -> None:
        """Invariant 4, by the record: what passed has its credit, unless a person promoted it."""
        promoted = {event.text.split(" ", 1)[0] for event in progress.timeline if " promoted" in event.text}
        for stage in progress.stages:
            if stage.state == "passed" and stage.name not in promoted and stage.soak_state is not None:
                assert stage.credit >= stage.soak + stage.extended, f"{stage.name} passed with {stage.credit}"

    def _no_share_rises_by_a_rollback(self, fence: int) -> None:
        """Invariant 3, for the traffic: a write that carries a rollback's fence raises nothing."""
        for (_, before), (by, share) in zip(self._served, self._served[1:], strict=False):
            assert by <= fence or share <= before, f"a rollback raised the candidate: {self._served}"

    async def _new_entries(self) -> list[AuditEntry]:
        entries = await self._world.store.audit(1_000)
        new = entries[: len(entries) - self._audited]
        self._audited = len(entries)
        return new

    def _traffic_changed(self, record: ServiceRecord, _instant: int) -> None:
        if record.name.service == self._service.service:
            fence = int(record.message.annotations.get(FENCE_ANNOTATION, "0"))
            self._served.append((fence, self._share_of_others(record)))

    def _record(self) -> ServiceRecord:
        ref = self._service
        return self._world.sandbox.services.get(ServiceName(ref.project, ref.region, ref.service))

    def _share_of_others(self, record: ServiceRecord) -> int:
        stable = STABLE_IMAGE.format("backend")
        return sum(share.percent for share in record.observed_traffic().shares if share.image != stable)


async def asked(handle: Handle, name: CommandName, command: Command) -> None:
    """Ask a rollout as the command line does: as one command, again where the server gave up the task it was in."""
    request_id = str(uuid.uuid4())
    while True:
        try:
            await handle.execute_update(name.value, command, id=request_id, result_type=Answer)
        except RPCError as failure:
            await no_task_failed(handle)
            if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                return
            if failure.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
        else:
            return


async def no_task_failed(handle: Handle) -> None:
    """The workflow's own code never raised: a task may fail only when it is overtaken, or the machine stands still.

    Temporal takes two seconds without an answer for a deadlock. A real one comes again with every attempt, and the
    rollout gets nowhere.
    """
    async for event in handle.fetch_history_events():
        if event.HasField("workflow_task_failed_event_attributes"):
            failed = event.workflow_task_failed_event_attributes
            overtaken = failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
            assert overtaken or failed.failure.application_failure_info.type == "_DeadlockError", failed
