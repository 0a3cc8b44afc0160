"""The rollout: a durable walk through the stages of a plan, with one way back that is always open.

    handle = await client.start_workflow(
        CanaryRolloutWorkflow.run, request, id=request.plan.workflow_id, task_queue=TASK_QUEUE)
    await handle.signal("emergency_rollback", {"by": "kim", "reason": "checkout is down"})

`run` only decides between going on and going back; how each is done is in `stages` and `rollback`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, NoReturn, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.any_shape import AnyShape
from workflows.context import LongHistory, RolloutContext, reason_of
from workflows.course_commands import CourseCommands
from workflows.forward import call_forward
from workflows.rollback import GoBack, RollbackOrder, RollbackPath
from workflows.soak_commands import SoakCommands
from workflows.stages import Refused

with workflow.unsafe.imports_passed_through():
    from activities.feature_flags import FeatureFlagActivities, Settle
    from rollout import exposure as exposures
    from rollout.messages import WORKFLOW, RolloutRequest
    from rollout.progress import RolloutProgress, RolloutStatus, StageProgress
    from rollout.request_reading import read_request, why_not_begun
    from rollout.wording import all_passed, duration_in_words

T = TypeVar("T")

_CANCELLED = RollbackOrder("cancelled", "cancellation", "the workflow was cancelled")


@workflow.defn(name=WORKFLOW)
class CanaryRolloutWorkflow(AnyShape, SoakCommands, CourseCommands):
    """One rollout of one plan. Ends as completed, rolled_back or refused; the result is its whole record.

    Its one input is a `RolloutRequest`. Started with anything else it fails at once, in words, before it is anything.
    """

    @workflow.init
    def __init__(self, *values: object) -> None:
        try:
            request = read_request(values)
        except ValueError as wrong:
            # Raised by `run`: here it would leave behind what the SDK has begun for signals that came with the start.
            self.unreadable = str(wrong)
            return
        if request.carried is None and (blank := why_not_begun(request)) and workflow.patched("blanks-begin-nothing"):
            self.unreadable = blank
            return
        progress = request.carried or _fresh_progress(request)
        progress.run_id = workflow.info().run_id
        super().__init__(RolloutContext(request, progress))

    @workflow.run
    async def run(self, *_values: object) -> RolloutProgress:
        if self.unreadable is not None:
            raise ApplicationError(self.unreadable, non_retryable=True)
        while True:
            all_passed = await self._go_forward()
            self._forward.deadman.end()
            if self._order is not None:
                await self._go_back(self._order)
            elif all_passed is False:
                await self._ready_to_continue_as_new()
                if self._order is None:
                    self._continue_as_new()
                continue
            await _uninterrupted(self._settled_or_ordered_back())
            # An emergency may have come while the last messages were sent; it is believed even then.
            if self._order is None or self._progress.rollback is not None:
                break
        self._progress.finished_at = workflow.now()
        return self._progress

    def _continue_as_new(self) -> NoReturn:
        workflow.continue_as_new(self._context.request.model_copy(update={"carried": self._progress}))

    async def _go_back(self, order: RollbackOrder) -> None:
        """One that takes days, because something outside refuses it, is gone on with in a new run."""
        going_back = asyncio.create_task(RollbackPath(self._context).run(order))
        try:
            await _uninterrupted(self._context.until(going_back.done))
        except LongHistory:
            self._continue_as_new()
        going_back.result()

    async def _ready_to_continue_as_new(self) -> None:
        """Everything sent and answered. What comes meanwhile must not be lost in the hand-over."""
        try:
            await self._settled_or_ordered_back()
        except asyncio.CancelledError:
            self._order_rollback(_CANCELLED)

    async def _settled_or_ordered_back(self) -> None:
        """What was told and asked for last is waited for; no emergency waits for a channel, or for a flag store."""
        settling = asyncio.create_task(self._settled())
        await workflow.wait_condition(
            lambda: settling.done() or (self._order is not None and self._progress.rollback is None)
        )
        if settling.done() or not workflow.patched("an-emergency-waits-for-no-notice"):
            await settling

    async def _settled(self) -> None:
        while True:
            await self._context.settle_notices()
            await self._forward.deadman.ended()
            await workflow.wait_condition(workflow.all_handlers_finished)
            # What came meanwhile may have been answered with a notice.
            if not self._context.is_telling or not workflow.patched("nothing-told-is-left-behind"):
                return

    async def _go_forward(self) -> bool | None:
        """True when all stages passed, False when the history should be continued as new, None otherwise."""
        if self._order is not None:
            return None
        way = asyncio.create_task(self._walk())
        try:
            await workflow.wait_condition(lambda: way.done() or self._order is not None)
        except asyncio.CancelledError:
            # A cancelled workflow is a request to undo, not permission to leave things as they are.
            self._order_rollback(_CANCELLED)
        self._forward.switching_off.leave()
        if self._order is not None:
            if workflow.patched("nothing-goes-on-beside-a-rollback"):
                self._context.leave_the_way_forward()
            way.cancel()
            return None
        return way.result()

    async def _walk(self) -> bool | None:
        try:
            await self._forward.run()
            await self._complete()
        except LongHistory:
            return False
        except Refused as refused:
            await self._refuse(str(refused))
            return None
        except GoBack as back:
            self._order_rollback(back.order)
            return None
        except FailureError as failure:
            if is_cancelled_exception(failure):
                return None
            # Whatever else fails for good while people may be exposed ends in safety, never in a failed workflow.
            self._order_rollback(RollbackOrder("stage_failed", "the rollout itself", reason_of(failure)))
            return None
        return True

    async def _complete(self) -> None:
        context, progress = self._context, self._progress
        await self._settle("completed")
        took = duration_in_words((progress.current.passed_at or workflow.now()) - progress.started_at)
        context.note("finished", f"{all_passed(len(progress.stages))} in {took}")
        context.tell(
            "info", "Rollout complete", f"All stages passed in {took}; the candidate has all users and traffic."
        )
        context.stand(
            RolloutStatus.COMPLETED, f"all stages passed in {took}", "nothing: the candidate is the new stable"
        )

    async def _refuse(self, why: str) -> None:
        context = self._context
        if self._progress.fence:
            await self._settle("refused")
        context.note("finished", f"refused before anything was changed: {why}")
        context.tell("warning", "Rollout refused", why)
        context.stand(RolloutStatus.REFUSED, why, "nothing was changed")

    async def _settle(self, outcome: Literal["completed", "refused"]) -> None:
        progress = self._progress
        request = Settle(
            environment=progress.environment,
            group=progress.plan,
            owner=self._context.owner,
            outcome=outcome,
            refused=None,
            by=progress.started_by,
            reason=outcome,
        )
        try:
            await call_forward(
                self._context,
                FeatureFlagActivities.settle,
                request,
                summarised(activity_options.FLAG_STORE, "release flags and services"),
            )
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            # Users are where the plan wants them; only the ownership was not given back, which a person can do.
            self._context.note("failure", f"ownership was not released: {reason_of(failure)}")
            self._context.tell("warning", "Ownership was not released", reason_of(failure))
            # For runs that began before `call_forward` knew of failures beside a rollback.
            self._context.must_go_on()


def _fresh_progress(request: RolloutRequest) -> RolloutProgress:
    info, plan = workflow.info(), request.plan
    return RolloutProgress(
        plan=plan.name,
        workflow_id=info.workflow_id,
        run_id=info.run_id,
        environment=plan.environment,
        images=request.images,
        started_by=request.by,
        started_at=info.start_time,
        reason=request.reason,
        stages=[
            StageProgress(name=stage.name, exposure=exposures.in_words(stage.exposure), soak=stage.soak)
            for stage in plan.stages
        ],
    )


async def _uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await work that nothing may cancel, not even the cancellation of the workflow itself."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue
    return task.result()
