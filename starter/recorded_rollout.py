"""What Temporal's history knows of a rollout's way back, where no worker answers and the flag store cannot say it.

A history needs no worker to be read: what each activity was asked for, and what it answered, stands in it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.cloud_run import CloudRunActivities, RestoreTraffic
from activities.feature_flags import FeatureFlagActivities, Latched, RecordAnchors
from config.settings import SettingsError
from config.temporal import TemporalUnreachable, connect
from rollout.messages import SIGNAL_EMERGENCY, RolloutRequest
from rollout.traffic import ServiceAnchor
from starter.outcome import CommandEnds, refused
from starter.rollouts import SERVER_ANSWERS_WITHIN, Rollouts, name_of, workflow_id_of

HISTORY_READ_WITHIN = timedelta(seconds=30)
"""All its pages; one of a few hundred events takes milliseconds."""

M = TypeVar("M", bound=BaseModel)

_BEGIN = FeatureFlagActivities.begin_rollout.__name__
_RECORD_ANCHORS = FeatureFlagActivities.record_anchors.__name__
_LATCH_OFF = FeatureFlagActivities.latch_off.__name__
_RESTORE_TRAFFIC = CloudRunActivities.restore_traffic.__name__
_IN_ORDER = (
    WorkflowExecutionStatus.RUNNING,
    WorkflowExecutionStatus.COMPLETED,
    WorkflowExecutionStatus.CONTINUED_AS_NEW,
)


@dataclass(frozen=True)
class RecordedRollout:
    """`fence` is the one that its own rollback would sign with: whatever its way forward still writes is older.

    `images` by service key are its candidate. One that has not `begun` has written no flag; one without anchors has
    changed no traffic, for they are recorded before.
    """

    group: str
    environment: str
    anchors: tuple[ServiceAnchor, ...]
    images: dict[str, str]
    fence: int
    begun: bool


class RecordedRollouts:
    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    async def where_temporal_answers(cls) -> "RecordedRollouts | None":
        try:
            return cls(await connect())
        except (TemporalUnreachable, SettingsError):
            return None

    async def meant(self, group: str | None, *, ended_too: bool = False) -> RecordedRollout | None:
        """The rollout of that name, unless it ended by itself; without a name the only one that is open.

        With `ended_too` it may have ended by itself: for whoever only looks.

        None where there is none, or where the server does not say.

        Raises:
            CommandEnds: several are open, and nobody said which.
        """
        try:
            workflow_id = workflow_id_of(group) if group is not None else await self._only_open_one()
            if workflow_id is None:
                return None
            description = await self._client.get_workflow_handle(workflow_id).describe(
                rpc_timeout=SERVER_ANSWERS_WITHIN
            )
            if description.status is WorkflowExecutionStatus.COMPLETED and not ended_too:
                return None
            async with asyncio.timeout(HISTORY_READ_WITHIN.total_seconds()):
                return await self._read(workflow_id, description.run_id)
        except (RPCError, TimeoutError):
            return None
        except (ValueError, TypeError, RuntimeError):
            # Another version wrote it, or with a key that is not known here. An emergency goes on without it.
            return None

    async def each_ended_by_itself(self, group: str) -> bool:
        """Whether no rollout of that name was ended from outside; False, too, where the server does not say."""
        query = f"WorkflowId = '{workflow_id_of(group)}'"
        try:
            runs = self._client.list_workflows(query, rpc_timeout=SERVER_ANSWERS_WITHIN)
            return all([run.status in _IN_ORDER async for run in runs])
        except RPCError:
            return False

    async def tell(self, group: str, *, by: str, reason: str) -> bool:
        """Send the emergency signal, for whichever worker comes back; False where it was not taken."""
        handle = self._client.get_workflow_handle(workflow_id_of(group))
        try:
            await handle.signal(SIGNAL_EMERGENCY, {"by": by, "reason": reason}, rpc_timeout=SERVER_ANSWERS_WITHIN)
        except RPCError:
            return False
        return True

    async def _only_open_one(self) -> str | None:
        try:
            found = await Rollouts(self._client).listed(only_open=True)
        except CommandEnds:
            return None
        if len(found) > 1:
            names = ", ".join(sorted(name_of(execution.id) for execution in found))
            raise refused(f"{len(found)} rollouts are open in Temporal; say whose traffic is to go back: {names}")
        return found[0].id if found else None

    async def _read(self, workflow_id: str, run_id: str) -> RecordedRollout | None:
        found, latching = None, set[int]()
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        async for event in handle.fetch_history_events(rpc_timeout=SERVER_ANSWERS_WITHIN):
            if event.HasField("workflow_execution_started_event_attributes"):
                given = event.workflow_execution_started_event_attributes.input.payloads
                found = _as_it_began(await self._decoded(given, RolloutRequest))
            elif found is not None:
                found = await self._after(event, found, latching)
        return found

    async def _after(self, event: HistoryEvent, found: RecordedRollout, latching: set[int]) -> RecordedRollout:
        """`latching` are the calls that set the kill switch: what they answer says more than what they were asked."""
        match _scheduled(event):
            case name, payloads if name == _RECORD_ANCHORS:
                recorded = await self._decoded(payloads, RecordAnchors)
                anchors, images = tuple(recorded.anchors.values()), recorded.candidates or found.images
                return replace(found, anchors=anchors, images=images, fence=max(found.fence, recorded.fence + 1))
            case name, payloads if name == _RESTORE_TRAFFIC:
                return replace(found, fence=max(found.fence, (await self._decoded(payloads, RestoreTraffic)).fence))
            case name, _ if name == _BEGIN:
                return replace(found, begun=True)
            case name, _ if name == _LATCH_OFF:
                latching.add(event.event_id)
        completed = event.activity_task_completed_event_attributes
        if completed.scheduled_event_id not in latching:
            return found
        return replace(found, fence=max(found.fence, (await self._decoded(completed.result.payloads, Latched)).epoch))

    async def _decoded(self, payloads: Sequence[Payload], kind: type[M]) -> M:
        (value,) = await self._client.data_converter.decode(payloads, [kind])
        return kind.model_validate(value)


def _as_it_began(request: RolloutRequest) -> RecordedRollout:
    """A run that continued another one was given what that one knew."""
    plan, carried = request.plan, request.carried
    if carried is None:
        return RecordedRollout(plan.name, plan.environment, (), request.images, fence=0, begun=False)
    anchors = tuple(carried.anchors.values())
    return RecordedRollout(plan.name, plan.environment, anchors, carried.images, carried.fence + 1, begun=True)


def _scheduled(event: HistoryEvent) -> tuple[str, Sequence[Payload]] | None:
    if not event.HasField("activity_task_scheduled_event_attributes"):
        return None
    scheduled = event.activity_task_scheduled_event_attributes
    return scheduled.activity_type.name, scheduled.input.payloads
