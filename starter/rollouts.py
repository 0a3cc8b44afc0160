"""Finding a rollout and asking how it is: what the rollout says itself, and what the server knows without it."""

import asyncio
from datetime import datetime, timedelta
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from temporalio.api.enums.v1 import ApplicationErrorCategory
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from rollout.holds import why_held
from rollout.messages import QUERY_PROGRESS, WORKFLOW
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.watch import WATCH_ACTIVITY, WatchBeat
from starter.lookup_failures import NoneOpen, NoSuchRollout, TemporalSilent
from starter.outcome import CommandEnds, refused

ID_PREFIX = "rollout/"
MEMO_ENVIRONMENT = "environment"
MEMO_GROUP = "group"
MEMO_BY = "started_by"
SERVER_ANSWERS_WITHIN = timedelta(seconds=10)
WORKER_ANSWERS_WITHIN = timedelta(seconds=5)
LISTED = 100

_START_A_WORKER = "`rollout worker` starts one; nothing is lost meanwhile, and a signal is kept until then"
_BEING_WATCHED = (
    RolloutStatus.AWAITING_WINDOW,
    RolloutStatus.AWAITING_APPROVAL,
    RolloutStatus.SOAKING,
    RolloutStatus.HOLDING,
    RolloutStatus.PAUSED,
    RolloutStatus.WATCHING,
)


class LastRollout(BaseModel):
    """The newest rollout of a plan. Without an environment it was not started by `rollout start`."""

    model_config = ConfigDict(frozen=True)

    is_open: bool
    environment: str | None
    is_abandoned: bool = False
    """Ended from outside, as in `Observation`."""


class PendingCall(BaseModel):
    """An activity that is under way or waits to be tried again, as the server sees it.

    `last_failure` is empty for calls that have not failed, and for those whose failures only mean "look again later".
    """

    model_config = ConfigDict(frozen=True)

    activity: str
    attempt: int
    last_failure: str


class Observation(BaseModel):
    """One look at a rollout. `progress` is missing while no worker answers; `silence` says why."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    run_id: str
    execution: str
    started_at: datetime
    closed_at: datetime | None
    history_length: int
    progress: RolloutProgress | None
    silence: str = ""
    latest: WatchBeat | None = None
    pending: tuple[PendingCall, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.execution == "running"

    @property
    def ended_by_itself(self) -> bool:
        """Whether the rollout came to an end of its own, and was not terminated or timed out under way."""
        return self.execution == "completed"

    @property
    def is_abandoned(self) -> bool:
        """Whether it was ended from outside: whatever it exposed may still be exposed, and nobody watches it."""
        return not self.is_open and not self.ended_by_itself


def workflow_id_of(given: str) -> str:
    """`request-isolation` and `rollout/request-isolation` are the same rollout."""
    return given if given.startswith(ID_PREFIX) else f"{ID_PREFIX}{given}"


def name_of(workflow_id: str) -> str:
    """The name people use, which is also that of the plan and of its group of flags."""
    return workflow_id.removeprefix(ID_PREFIX)


def ui_link(ui_url: str | None, namespace: str, workflow_id: str, run_id: str) -> str | None:
    """Where the Temporal UI shows a run, if we know where the UI is."""
    if ui_url is None:
        return None
    return f"{ui_url}/namespaces/{quote(namespace, safe='')}/workflows/{quote(workflow_id, safe='')}/{run_id}"


def newest(observation: Observation) -> RolloutProgress | None:
    """The rollout's record, with the credit and the judgements of the watch that is under way.

    Between transitions the workflow knows nothing new: what the watch found meanwhile travels in its heartbeats.
    """
    progress, latest = observation.progress, observation.latest
    if progress is None or latest is None or progress.status not in _BEING_WATCHED:
        return progress
    judged = progress.judged
    if judged.soak_state is None or latest.soak.judged_until < judged.soak_state.judged_until:
        return progress
    if latest.soak.since > judged.soak_state.judged_until:
        # A watch beside a change that takes long: what it judges is no soak.
        return progress
    renewed = judged.model_copy(update={"soak_state": latest.soak, "judgements": latest.judgements})
    stages = [renewed if stage is judged else stage for stage in progress.stages]
    told = progress.model_copy(update={"stages": stages})
    # What held it as the hold began may long have passed again beside what holds it now.
    why = why_held(renewed) if progress.status is RolloutStatus.HOLDING and why_held(judged) == progress.why else None
    return told if why is None else told.model_copy(update={"why": why})


def how_it_ended(observation: Observation) -> str:
    """`rolled back`, `completed`; for a workflow that somebody ended from outside, what the server calls it."""
    return observation.progress.status.replace("_", " ") if observation.progress is not None else observation.execution


def none_runs(name: str) -> str:
    """What is the case where the flag store has an owner that Temporal does not have."""
    return f"In the flag store a rollout of {name} has not ended, and none runs in Temporal"


class Rollouts:
    """The rollouts of a namespace. Every method raises `CommandEnds` when the server does not answer."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def listed(self, *, only_open: bool) -> list[WorkflowExecution]:
        """The newest first, at most `LISTED`."""
        query = f"WorkflowType = '{WORKFLOW}'" + (" AND ExecutionStatus = 'Running'" if only_open else "")
        found = self.client.list_workflows(query, limit=LISTED, rpc_timeout=SERVER_ANSWERS_WITHIN)
        try:
            return [execution async for execution in found]
        except RPCError as failure:
            raise TemporalSilent(f"Temporal could not list rollouts: {failure.message}") from failure

    async def chosen(self, given: str | None) -> str:
        """The workflow id of the rollout meant by `given`, or of the only open one.

        Raises:
            NoneOpen: there is none to choose from.
            CommandEnds: there is none of that name, or there are several to choose from.
        """
        if given is not None:
            workflow_id = workflow_id_of(given)
            await self.describe(workflow_id)
            return workflow_id
        executions = await self.listed(only_open=True)
        if not executions:
            raise NoneOpen
        if len(executions) > 1:
            names = "\n".join(f"  {name_of(execution.id)}" for execution in executions)
            raise refused(f"{len(executions)} rollouts are open; say which one:\n{names}")
        return executions[0].id

    async def describe(self, workflow_id: str) -> WorkflowExecutionDescription:
        """What the server knows.

        Raises:
            CommandEnds: it knows no such rollout.
        """
        try:
            return await self.client.get_workflow_handle(workflow_id).describe(rpc_timeout=SERVER_ANSWERS_WITHIN)
        except RPCError as failure:
            if failure.status is RPCStatusCode.NOT_FOUND and not lacks_the_namespace(failure):
                raise NoSuchRollout(name_of(workflow_id)) from None
            raise TemporalSilent(f"Temporal did not say how {workflow_id} is: {failure.message}") from failure

    async def last_of(self, group: str) -> LastRollout | None:
        """The plan's newest rollout; None where there is none, or where the server does not say."""
        try:
            description = await self.describe(workflow_id_of(group))
        except CommandEnds:
            return None
        return LastRollout(
            is_open=description.status is WorkflowExecutionStatus.RUNNING,
            environment=await description.memo_value(MEMO_ENVIRONMENT, default=None),
            is_abandoned=description.status not in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED),
        )

    async def observe(self, workflow_id: str, known: Observation | None = None) -> Observation:
        """Look once. With an earlier look, the rollout is only asked again when its history has grown since.

        Raises:
            CommandEnds: the server knows no such rollout.
        """
        description = await self.describe(workflow_id)
        progress, silence = await self._progress(description, known)
        return Observation(
            workflow_id=workflow_id,
            run_id=description.run_id,
            execution=description.status.name.lower() if description.status else "unknown",
            started_at=description.start_time,
            closed_at=description.close_time,
            history_length=description.history_length,
            progress=progress,
            silence=silence,
            latest=await latest_beat(description),
            pending=tuple(_pending(call) for call in description.raw_description.pending_activities),
        )

    async def _progress(
        self, description: WorkflowExecutionDescription, known: Observation | None
    ) -> tuple[RolloutProgress | None, str]:
        if (
            known is not None
            and known.progress is not None
            and (known.run_id, known.history_length) == (description.run_id, description.history_length)
        ):
            return known.progress, ""
        handle = self.client.get_workflow_handle(description.id, run_id=description.run_id, result_type=RolloutProgress)
        if description.status is WorkflowExecutionStatus.COMPLETED:
            # A finished rollout needs no worker to be read: its result is its record.
            try:
                return await handle.result(rpc_timeout=SERVER_ANSWERS_WITHIN), ""
            except RPCError as failure:
                raise TemporalSilent(f"Temporal did not say how {description.id} ended: {failure.message}") from failure
        try:
            async with asyncio.timeout(WORKER_ANSWERS_WITHIN.total_seconds()):
                answer: RolloutProgress = await handle.query(QUERY_PROGRESS, result_type=RolloutProgress)
        except TimeoutError:
            return None, f"no worker answered within {WORKER_ANSWERS_WITHIN.total_seconds():g} s. {_START_A_WORKER}"
        except (RPCError, WorkflowQueryFailedError) as failure:
            return None, f"the rollout could not be asked: {failure}; the worker's log tells more"
        return answer, ""


def lacks_the_namespace(failure: RPCError) -> bool:
    """Whether nothing was found because nobody looked: there is no such namespace on that server."""
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in failure.grpc_status.details)


def _pending(call: PendingActivityInfo) -> PendingCall:
    benign = (
        call.last_failure.application_failure_info.category
        == ApplicationErrorCategory.APPLICATION_ERROR_CATEGORY_BENIGN
    )
    return PendingCall(
        activity=call.activity_type.name,
        attempt=call.attempt,
        last_failure="" if benign else call.last_failure.message,
    )


async def latest_beat(description: WorkflowExecutionDescription) -> WatchBeat | None:
    """What the watch that is under way found last; None while there is none, or before its first look."""
    for call in description.raw_description.pending_activities:
        if call.activity_type.name == WATCH_ACTIVITY and call.heartbeat_details.payloads:
            (beat,) = await description.data_converter.decode(call.heartbeat_details.payloads, [WatchBeat])
            return WatchBeat.model_validate(beat)
    return None
