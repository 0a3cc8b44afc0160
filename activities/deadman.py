"""The dead-man: notices that the gates of a rollout are no longer looked at, whatever keeps them from it.

It runs on the emergency queue, beside the watch it looks after, and asks Temporal when that last finished a look. While
it is content it renews the lease that lets applications keep the features on, where the plan asks for one: with every
worker dead nobody renews it, and they turn the features off by themselves.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from temporalio import activity
from temporalio.api.enums.v1 import ApplicationErrorCategory as WireCategory
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionDescription

from activities.clock import Clock
from activities.failures import not_yet
from activities.flag_access import Lease
from rollout.moments import time_of_day
from rollout.watch import WATCH_ACTIVITY, WatchBeat

LOOKS_PER_PATIENCE = 5
"""How often it looks in the time after which it pages, or in the life of a lease."""


class DeadmanRequest(BaseModel):
    """`since`: from when on silence counts; `paged_at`: when the last page went out about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str
    group: str
    fence: int
    page_after: timedelta
    flags_off_after: timedelta | None
    since: datetime
    paged_at: datetime | None = None


class Silence(BaseModel):
    """No look has ended since `since`; `why` is what the last attempt failed with, where one did."""

    since: datetime
    noticed_at: datetime
    why: str = ""


class DeadmanActivities:
    def __init__(self, *, client: Client, lease: Lease, clock: Clock) -> None:
        self._client = client
        self._lease = lease
        self._clock = clock

    @activity.defn
    async def look_after_the_watch(self, request: DeadmanRequest) -> Silence:
        """Look once. Returns when no look at the gates has ended for too long.

        Raises:
            ApplicationError: of type StillLookedAt, retryable, as long as there is nothing to page about.
        """
        info, now = activity.info(), await self._clock()
        assert info.workflow_id is not None, "an activity of a workflow"  # noqa: S101
        handle = self._client.get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
        description = await handle.describe()
        watch = _pending_watch(description)
        known = datetime.fromisoformat(info.heartbeat_details[0]) if info.heartbeat_details else request.since
        # Without a watch nothing soaks: what is being entered pages by itself when it takes long.
        alive_at = now if watch is None else max(known, await _last_look(description, watch) or known)
        activity.heartbeat(alive_at.isoformat())
        silent = now - alive_at >= request.page_after
        if request.flags_off_after is not None and not silent:
            await self._lease.renew(request.environment, request.group, fence=request.fence)
        if silent and (request.paged_at is None or now - request.paged_at >= request.page_after):
            return Silence(since=alive_at, noticed_at=now, why=_why(watch))
        shortest = min(request.page_after, request.flags_off_after or request.page_after)
        seen = f"the last look at the gates ended at {time_of_day(alive_at, now, seconds=True)}"
        raise not_yet(seen, "StillLookedAt", again_after=shortest / LOOKS_PER_PATIENCE)


def _pending_watch(description: WorkflowExecutionDescription) -> PendingActivityInfo | None:
    calls = description.raw_description.pending_activities
    return next((call for call in calls if call.activity_type.name == WATCH_ACTIVITY), None)


def _why(watch: PendingActivityInfo | None) -> str:
    """What the watch's last attempt failed with; its answer that all is well and goes on is none."""
    if watch is None:
        return ""
    category = watch.last_failure.application_failure_info.category
    benign = category == WireCategory.APPLICATION_ERROR_CATEGORY_BENIGN
    return "" if benign else watch.last_failure.message


async def _last_look(description: WorkflowExecutionDescription, watch: PendingActivityInfo) -> datetime | None:
    if not watch.heartbeat_details.payloads:
        return None
    (beat,) = await description.data_converter.decode(watch.heartbeat_details.payloads, [WatchBeat])
    return WatchBeat.model_validate(beat).as_of
