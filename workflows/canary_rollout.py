"""The rollout: a durable walk through the stages of a plan, with one way back that is always open.

    handle = await client.start_workflow(
        CanaryRolloutWorkflow.run, request, id=request.plan.workflow_id, task_queue=TASK_QUEUE)
    await handle.signal("emergency_rollback", {"by": "kim", "reason": "checkout is down"})

`run` only decides between going on and going back; how each is done is in `stages` and `rollback`.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext, reason_of
from workflows.rollback import GoBack, RollbackOrder, RollbackPath
from workflows.signals import means_emergency, read_by_and_reason
from workflows.stages import Refused, WayForward
from workflows.updates import taking, unknown

with workflow.unsafe.imports_passed_through():
    from activities.feature_flags import FeatureFlagActivities, Settle
    from rollout import exposure as exposures
    from rollout.commands import CommandName, refusal
    from rollout.flag_limits import why_no_limit
    from rollout.holds import why_not_resolved
    from rollout.messages import (
        QUERY_PROGRESS,
        SIGNAL_EMERGENCY,
        UPDATE_APPROVE,
        UPDATE_EXTEND,
        UPDATE_FINISH,
        UPDATE_PAUSE,
        UPDATE_PROMOTE,
        UPDATE_REPLACE_CANDIDATE,
        UPDATE_RESOLVE_HOLD,
        UPDATE_RESUME,
        UPDATE_RETRY,
        UPDATE_SET_STAGE,
        UPDATE_STEP_BACK,
        WORKFLOW,
        Answer,
        Command,
        Extend,
        FlagStage,
        Promote,
        ReplaceCandidate,
        ResolveHold,
        RolloutRequest,
    )
    from rollout.progress import RolloutProgress, RolloutStatus, StageProgress
    from rollout.replacement import why_not_replaced
    from rollout.soak import Suspension
    from rollout.wording import duration_in_words

T = TypeVar("T")

_CANCELLED = RollbackOrder("cancelled", "cancellation", "the workflow was cancelled")


@workflow.defn(name=WORKFLOW)
class CanaryRolloutWorkflow:
    """One rollout of one plan. Ends as completed, rolled_back or refused; the result is its whole record."""

    @workflow.init
    def __init__(self, request: RolloutRequest) -> None:
        self._progress = request.carried or _fresh_progress(request)
        self._progress.run_id = workflow.info().run_id
        self._context = RolloutContext(request, self._progress)
        self._forward = WayForward(self._context)
        self._order: RollbackOrder | None = None

    @workflow.run
    async def run(self, request: RolloutRequest) -> RolloutProgress:
        while True:
            all_passed = await self._go_forward()
            self._forward.deadman.end()
            if self._order is not None:
                await _uninterrupted(RollbackPath(self._context).run(self._order))
            elif all_passed is False:
                await self._ready_to_continue_as_new()
                if self._order is None:
                    workflow.continue_as_new(request.model_copy(update={"carried": self._progress}))
                continue
            await _uninterrupted(self._settled())
            # An emergency may have come while the last messages were sent; it is believed even then.
            if self._order is None or self._progress.rollback is not None:
                break
        self._progress.finished_at = workflow.now()
        return self._progress

    async def _ready_to_continue_as_new(self) -> None:
        """Everything sent and answered. What comes meanwhile must not be lost in the hand-over."""
        try:
            await self._settled()
        except asyncio.CancelledError:
            self._order_rollback(_CANCELLED)

    async def _settled(self) -> None:
        await self._context.settle_notices()
        await self._forward.deadman.ended()
        await workflow.wait_condition(workflow.all_handlers_finished)

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
        if self._order is not None:
            way.cancel()
            return None
        return way.result()

    async def _walk(self) -> bool | None:
        try:
            if not await self._forward.run():
                return False
            await self._complete()
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
        context.note("finished", f"all {len(progress.stages)} stages passed in {took}")
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
            await workflow.execute_activity_method(
                FeatureFlagActivities.settle,
                request,
                **summarised(activity_options.FLAG_STORE, "release flags and services"),
            )
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            # Users are where the plan wants them; only the ownership was not given back, which a person can do.
            self._context.note("failure", f"ownership was not released: {reason_of(failure)}")
            self._context.tell("warning", "Ownership was not released", reason_of(failure))

    def _order_rollback(self, order: RollbackOrder) -> None:
        """The first order decides; what comes later is kept in the record."""
        nothing_to_undo = self._progress.status is RolloutStatus.REFUSED
        if self._order is None and not nothing_to_undo:
            self._order = order
        else:
            self._context.note("command", f"asked to roll back again: {order.reason}", order.by)

    # Commands. The emergency is a signal and total; everything else is an Update that can be refused.

    @workflow.signal(dynamic=True)
    def any_signal(self, name: str, values: Sequence[RawValue]) -> None:
        """`emergency_rollback` takes everything back: with any input, or none. {"by": …, "reason": …} is kept."""
        by, reason = read_by_and_reason(values)
        if means_emergency(name):
            self._order_rollback(RollbackOrder("emergency", by or "a signal", reason or "emergency rollback"))
            return
        hint = f"signal {name!r} is not known and changed nothing; the emergency signal is {SIGNAL_EMERGENCY}"
        self._context.note("command", hint, by)
        self._context.tell("warning", "Unknown signal", hint)

    @workflow.query(name=QUERY_PROGRESS)
    def progress(self) -> RolloutProgress:
        """The whole record of this rollout."""
        return self._progress

    @workflow.update(name=UPDATE_PAUSE)
    @taking(CommandName.PAUSE, Command)
    def pause(self, command: Command) -> Answer:
        """Stop promotion and the credit clock. Gates go on being judged, and roll back what fails."""
        self._progress.suspensions.append(Suspension(since=workflow.now()))
        self._commanded("paused", command)
        self._forward.outdated()
        self._context.stand(RolloutStatus.PAUSED, self._context.paused_why(), f"`rollout resume {self._progress.plan}`")
        return self._answer("paused", f"gates go on being judged; `rollout resume {self._progress.plan}` goes on")

    @pause.validator
    @taking(CommandName.PAUSE, Command)
    def _may_pause(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.PAUSE)

    @workflow.update(name=UPDATE_RESUME)
    @taking(CommandName.RESUME, Command)
    def resume(self, command: Command) -> Answer:
        """Let the credit clock and promotion go on."""
        suspensions = self._progress.suspensions
        suspensions[-1] = Suspension(since=suspensions[-1].since, until=workflow.now())
        self._commanded("resumed", command)
        self._forward.outdated()
        return Answer(happened="resumed", next="the credit clock runs again", status="resumed")

    @resume.validator
    @taking(CommandName.RESUME, Command)
    def _may_resume(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.RESUME)

    @workflow.update(name=UPDATE_APPROVE)
    @taking(CommandName.APPROVE, Command)
    def approve(self, command: Command) -> Answer:
        """Let the stage that waits for a person begin; confirms the statements of its checklist."""
        stage = self._progress.current.name
        self._progress.approved.append(stage)
        self._commanded(f"{stage} approved", command)
        return self._answer(f"{stage} approved", f"entering {stage}")

    @approve.validator
    @taking(CommandName.APPROVE, Command)
    def _may_approve(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.APPROVE)

    @workflow.update(name=UPDATE_PROMOTE)
    @taking(CommandName.PROMOTE, Promote)
    def promote(self, command: Promote) -> Answer:
        """End the soak of now: with the next interval in which every gate passes, or at once where that is forced.

        Forced while the stage waits for its window, it begins now.
        """
        stage = self._progress.current
        if self._status is RolloutStatus.AWAITING_WINDOW:
            stage.window_waived = True
            following = "it begins now, outside the plan's windows"
        elif command.force:
            stage.forced = True
            following = "the soak ends now, whatever its gates say"
        else:
            stage.promote_after = workflow.now()
            self._forward.outdated()
            following = "the soak ends with the next interval in which every gate passes"
        self._commanded(f"{stage.name} promoted{' by force' if command.force else ''}", command)
        return self._answer(f"{stage.name} promoted", following)

    @promote.validator
    @taking(CommandName.PROMOTE, Promote)
    def _may_promote(self, command: Promote) -> None:
        self._must_allow(CommandName.PROMOTE)
        if command.force and not command.reason:
            raise ApplicationError("cannot promote by force: it goes against the gates and needs a reason")
        if self._status in (RolloutStatus.HOLDING, RolloutStatus.AWAITING_WINDOW) and not command.force:
            raise ApplicationError(f"cannot promote: {self._progress.why}. By force, with a reason, all the same")

    @workflow.update(name=UPDATE_EXTEND)
    @taking(CommandName.EXTEND, Extend)
    def extend(self, command: Extend) -> Answer:
        """Ask the stage of now for more credit than its plan does."""
        stage, more = self._progress.current, duration_in_words(command.more)
        stage.extended += command.more
        self._commanded(f"{stage.name} extended by {more}", command)
        self._forward.outdated()
        return self._answer(f"{stage.name} extended by {more}", "the soak goes on until it has that credit too")

    @extend.validator
    @taking(CommandName.EXTEND, Extend)
    def _may_extend(self, command: Extend) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.EXTEND)

    @workflow.update(name=UPDATE_STEP_BACK)
    @taking(CommandName.STEP_BACK, Command)
    def step_back(self, command: Command) -> Answer:
        """Go back by one stage: its flags, then its traffic, and its soak anew. Entering again needs an approval."""
        left = self._progress.entered_last
        assert left, "held by the validator"  # noqa: S101
        names = [stage.name for stage in self._progress.stages]
        self._progress.stepping_back = True
        self._commanded(f"stepping back from {names[left]}", command)
        return self._answer(
            f"stepping back to {names[left - 1]}", f"{names[left]} then needs an approval to be entered"
        )

    @step_back.validator
    @taking(CommandName.STEP_BACK, Command)
    def _may_step_back(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.STEP_BACK)
        if self._progress.stepping_back:
            raise ApplicationError("cannot step back: it is being done; one step at a time")
        if not self._progress.entered_last:
            raise ApplicationError(
                "cannot step back: nobody sees the features yet; the emergency rollback takes the deployment back too"
            )

    @workflow.update(name=UPDATE_RESOLVE_HOLD)
    @taking(CommandName.RESOLVE_HOLD, ResolveHold)
    async def resolve_hold(self, command: ResolveHold) -> Answer:
        """End a hold by a person's decision."""
        self._commanded(f"hold resolved: {command.how}", command)
        if command.how == "rollback":
            why = command.reason or "a person decided so, at a hold"
            self._order_rollback(RollbackOrder("emergency", command.by, why))
            return self._answer("taken back", "flags off, then traffic to its anchor, both read back")
        following = await self._forward.resolve_hold(adopt=command.how == "adopt")
        return self._answer("the hold is resolved", following)

    @resolve_hold.validator
    @taking(CommandName.RESOLVE_HOLD, ResolveHold)
    def _may_resolve_hold(self, command: ResolveHold) -> None:
        self._must_allow(CommandName.RESOLVE_HOLD)
        refused = why_not_resolved(self._progress, command.how)
        if refused is not None:
            raise ApplicationError(f"cannot resolve hold: {refused}")

    @workflow.update(name=UPDATE_SET_STAGE)
    @taking(CommandName.SET_STAGE, FlagStage)
    async def set_stage(self, command: FlagStage) -> Answer:
        """Hold one flag of the plan at an earlier stage, or at off, from now on; the others go on."""
        await self._forward.limit(command.flag, command.stage, command.by, command.reason or "by hand")
        self._commanded(f"{command.flag} set to {command.stage}", command)
        limited = command.flag in self._progress.limits
        following = f"it stays at {command.stage} to the end" if limited else "it rises with the stages again"
        return self._answer(f"{command.flag} set to {command.stage}", f"{following}; the other flags go on")

    @set_stage.validator
    @taking(CommandName.SET_STAGE, FlagStage)
    def _may_set_stage(self, command: FlagStage) -> None:
        self._must_allow(CommandName.SET_STAGE)
        refused = why_no_limit(self._context.plan, self._progress, command.flag, command.stage)
        if refused is not None:
            raise ApplicationError(refused)

    @workflow.update(name=UPDATE_REPLACE_CANDIDATE)
    @taking(CommandName.REPLACE_CANDIDATE, ReplaceCandidate)
    async def replace_candidate(self, command: ReplaceCandidate) -> Answer:
        """Go on with other images: features off, traffic at its anchor, the first stage, then the one of now anew."""
        images = self._progress.images | command.images
        try:
            await self._forward.must_not_be_refused(images)
        except ActivityError as refused:
            raise ApplicationError(f"cannot replace candidate: {reason_of(refused)}") from None
        # The rollout went on while the store was asked.
        self._must_allow_replacing(command)
        self._progress.replacing = images
        stage, first = self._progress.current.name, self._progress.stages[0].name
        self._commanded(f"candidate replaced by {', '.join(sorted(command.images.values()))}", command)
        following = f"features off and traffic at its anchor, then {first} again"
        return self._answer("the candidate is replaced", following if stage == first else f"{following}, then {stage}")

    @replace_candidate.validator
    @taking(CommandName.REPLACE_CANDIDATE, ReplaceCandidate)
    def _may_replace_candidate(self, command: ReplaceCandidate) -> None:
        self._must_allow_replacing(command)

    def _must_allow_replacing(self, command: ReplaceCandidate) -> None:
        self._must_allow(CommandName.REPLACE_CANDIDATE)
        refused = why_not_replaced(self._progress, command)
        if refused is not None:
            raise ApplicationError(f"cannot replace candidate: {refused}")

    @workflow.update(name=UPDATE_RETRY)
    @taking(CommandName.RETRY, Command)
    def retry(self, command: Command) -> Answer:
        """Look at once, instead of at the next check interval; for whoever has just mended what held the rollout."""
        self._forward.outdated()
        self._commanded("asked to look again", command)
        return self._answer("it looks again now", "credit and holds follow from what it sees")

    @retry.validator
    @taking(CommandName.RETRY, Command)
    def _may_retry(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.RETRY)

    @workflow.update(name=UPDATE_FINISH)
    @taking(CommandName.FINISH, Command)
    def finish(self, command: Command) -> Answer:
        """End the watch after the last stage, or the guard after a rollback, before its time."""
        watching = self._status is RolloutStatus.WATCHING
        self._context.finish_asked = True
        ended = "the watch ended" if watching else "the guard ended"
        self._commanded(ended, command)
        following = "nobody judges its gates" if watching else "nobody undoes late writes"
        return self._answer(ended, f"the rollout closes; {following} any more")

    @finish.validator
    @taking(CommandName.FINISH, Command)
    def _may_finish(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self._must_allow(CommandName.FINISH)

    @workflow.update(dynamic=True)
    def any_update(self, name: str, values: Sequence[RawValue]) -> Answer:  # noqa: ARG002  (held by the validator)
        """An emergency that was sent as an Update, with any input or none, is believed like the signal."""
        by, reason = read_by_and_reason(values)
        self._order_rollback(RollbackOrder("emergency", by or "an Update", reason or "emergency rollback"))
        if self._progress.status is RolloutStatus.REFUSED:
            return self._answer("recorded", "nothing was changed, so nothing is taken back")
        following = "flags off, then traffic to its anchor, both read back"
        return Answer(happened="taken back", next=following, status=self._status)

    @any_update.validator
    def _is_an_emergency(self, name: str, values: Sequence[RawValue]) -> None:  # noqa: ARG002  (any input will do)
        if not means_emergency(name):
            raise ApplicationError(unknown(name))

    @property
    def _status(self) -> RolloutStatus:
        """As it stands from now on: what was ordered counts, though nothing of it may have been done yet."""
        ordered = self._order is not None and not self._progress.status.is_final
        return RolloutStatus.ROLLING_BACK if ordered else self._progress.status

    def _must_allow(self, command: CommandName) -> None:
        refused = refusal(command, self._status)
        if refused is not None:
            raise ApplicationError(refused)

    def _commanded(self, happened: str, command: Command) -> None:
        reason = f": {command.reason}" if command.reason else ""
        self._context.note("command", f"{happened} by {command.by}{reason}", command.by)

    def _answer(self, happened: str, following: str) -> Answer:
        return Answer(happened=happened, next=following, status=self._progress.status)


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
