"""The one way back: flags off and latched, traffic to its anchor, each read back before it is called done.

It serves the emergency signal, a failed gate, a failed stage and a cancelled workflow alike. It uses its own task
queue, waits for nothing that going forward had begun, and is retried until verified.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.workflow import ActivityConfig

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext, reason_of
from workflows.timers import sleep_for

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities, RestoreTraffic
    from activities.failures import Failure
    from activities.feature_flags import FeatureFlagActivities, Latched, LatchFlags, Settle
    from activities.rollback_guard import GuardRequest, RollbackGuardActivities
    from rollout.progress import Rollback, RollbackCause, RollbackStep, RolloutStatus
    from rollout.traffic import ServiceAnchor, TrafficSplit
    from rollout.wording import duration_in_words, steps_in_words


T = TypeVar("T")

FLAGS_OFF = "flags off, latched and read back"
REFUSALS = "refusals-of-a-rollback"
"""The patch with which a refusal is told once, and answered by learning the fence anew."""


@dataclass(frozen=True)
class RollbackOrder:
    """Why a rollout goes back. `detected_after` is in seconds, from the end of the breaching interval."""

    cause: RollbackCause
    by: str
    reason: str
    detected_after: float | None = None


def ordered_before(rollback: Rollback | None) -> RollbackOrder | None:
    """What a run before this one was ordered and has not ended."""
    if rollback is None:
        return None
    return RollbackOrder(rollback.cause, rollback.by, rollback.reason, rollback.detected_after)


class GoBack(Exception):  # noqa: N818  (a decision about the rollout, not an error of the program)
    """Something happened that ends the way forward."""

    def __init__(self, order: RollbackOrder) -> None:
        super().__init__(order.reason)
        self.order = order


class RollbackPath:
    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self._progress = context.progress
        latched = any(step.name == FLAGS_OFF for step in self._steps_done())
        self._fence = context.progress.fence + (not latched)

    async def run(self, order: RollbackOrder) -> None:
        """Take everything back. Returns when flags and traffic were read back as safe and the guard time is over.

        A run that goes on with it asserts anew what is done, and neither records nor tells it again.
        """
        if self._progress.rollback is None:
            self._begin(order)
        if self._rollback.verified_at is None:
            await self._to_safety(order)
            self._verified(order)
        if not self._rollback.candidates_refused:
            await self._refuse_candidates(order)
            self._rollback.candidates_refused = True
        await self._guard()
        context, progress = self._context, self._progress
        following = f"`rollout rearm {context.plan.name} --reason …` allows a new start; this candidate needs `--again`"
        context.stand(RolloutStatus.ROLLED_BACK, progress.why, following)

    def _begin(self, order: RollbackOrder) -> None:
        context, progress = self._context, self._progress
        # Whoever ended the watch after the last stage has not ended the guard of this rollback.
        progress.finish_asked = False
        progress.rollback = Rollback(
            cause=order.cause,
            reason=order.reason,
            by=order.by,
            began_at=workflow.now(),
            detected_after=order.detected_after,
        )
        if progress.current.state in ("entering", "soaking"):
            progress.current.state = "failed"
        context.note("rollback", f"rollback began: {order.reason}", order.by)
        context.stand(RolloutStatus.ROLLING_BACK, order.reason, "flags off, then traffic to its anchor, both read back")
        context.tell("page", "Rolling back", f"{order.reason} (by {order.by})")

    def _verified(self, order: RollbackOrder) -> None:
        context, rollback = self._context, self._rollback
        context.waiting_for(None)
        rollback.verified_at = workflow.now()
        seconds = duration_in_words(rollback.verified_at - rollback.began_at)
        context.note("rollback", f"rolled back and verified in {seconds}")
        context.stand(
            RolloutStatus.ROLLED_BACK,
            f"{order.reason}; verified in {seconds}",
            f"guarding flags and traffic for {duration_in_words(context.plan.guard)}; then "
            f"`rollout rearm {context.plan.name} --reason …` allows a new start",
        )
        context.tell("page", "Rolled back", f"Verified in {seconds}: {steps_in_words(rollback)}.")

    def _steps_done(self) -> list[RollbackStep]:
        return self._progress.rollback.steps if self._progress.rollback else []

    @property
    def _rollback(self) -> Rollback:
        rollback = self._progress.rollback
        assert rollback is not None, "a step belongs to a rollback"  # noqa: S101
        return rollback

    async def _to_safety(self, order: RollbackOrder) -> None:
        self._waiting_for("rollback, flags off")
        flags = asyncio.create_task(self._flags_off(order))
        # Flags first, because they act in a second. A flag store that is down must not keep the traffic where it is.
        patience = asyncio.create_task(
            sleep_for(activity_options.FLAGS_BEFORE_TRAFFIC, "traffic does not wait for flags")
        )
        await workflow.wait([flags, patience], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(flags, *(self._restore(order, anchor) for anchor in self._progress.anchors.values()))

    async def _flags_off(self, order: RollbackOrder) -> None:
        latched = await self._until_done("flags off", lambda: self._latched(order, activity_options.LATCH_FLAGS))
        self._progress.flags = latched.flags
        self._sign_with(latched.epoch)
        self._progress.next = "traffic to its anchor, read back"
        self._done(FLAGS_OFF)
        self._waiting_for("rollback, traffic to its anchor")

    async def _latched(self, order: RollbackOrder, options: ActivityConfig) -> Latched:
        progress = self._progress
        request = LatchFlags(
            environment=progress.environment,
            group=progress.plan,
            by=order.by,
            reason=order.reason,
            at_least_epoch=self._fence,
        )
        return await workflow.execute_activity_method(
            FeatureFlagActivities.latch_off, request, **summarised(options, "flags off, latched, read back")
        )

    def _sign_with(self, epoch: int) -> None:
        """Whoever pulled the kill switch has taken a fence, and may have signed the traffic with it."""
        self._progress.fence = max(self._progress.fence, epoch)
        self._fence = max(self._fence, epoch)

    def _waiting_for(self, step: str) -> None:
        """Whoever is paged wants to know how long the rollback has not been verified, whichever step it stands at."""
        began = self._rollback.began_at if workflow.patched("rollback-paged-from-its-beginning") else workflow.now()
        self._context.waiting_for(step, since=began)

    async def _restore(self, order: RollbackOrder, anchor: ServiceAnchor) -> None:
        progress, key = self._progress, anchor.service.key

        async def restored() -> TrafficSplit:
            while True:
                fence = self._fence
                request = RestoreTraffic(anchor=anchor, candidate=progress.candidates.get(key), fence=fence)
                words = f"{key}: traffic back to {anchor.split.in_words()}, read back"
                try:
                    return await workflow.execute_activity_method(
                        CloudRunActivities.restore_traffic,
                        request,
                        **summarised(activity_options.RESTORE_TRAFFIC, words),
                    )
                except ActivityError as failure:
                    if not is_cancelled_exception(failure) and workflow.patched(REFUSALS):
                        await self._learn_fence(order)
                    if not self._was_overtaken(failure, fence):
                        raise

        progress.traffic[key] = await self._until_done(f"traffic of {key}", restored)
        self._done(f"{key}: traffic at its anchor and read back")

    def _was_overtaken(self, failure: ActivityError, fence: int) -> bool:
        """Whether the call was refused only because somebody pulled the kill switch after it was made.

        Nothing keeps it from being made again at once, with the fence of now. Each further time needs another person.
        """
        stale = isinstance(failure.cause, ApplicationError) and failure.cause.type == Failure.STALE_FENCE
        return stale and self._fence > fence and workflow.patched("overtaken-is-not-refused")

    async def _learn_fence(self, order: RollbackOrder) -> None:
        """Somebody may have pulled the kill switch after us and signed the traffic; a store that is down is silent."""
        with suppress(ActivityError):
            self._sign_with((await self._latched(order, activity_options.LATCH_BRIEFLY)).epoch)

    async def _until_done(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """A rollback is not given up: even a refusal that no retry can change is told to a person and tried again.

        The same refusal is told once: that it lasts is what goes on being paged.

        Only its guard can be ended, by a person, who cancels it.
        """
        told, pause = self._told_before(what), activity_options.AFTER_A_REFUSAL
        while True:
            try:
                return await call()
            except ActivityError as failure:
                if is_cancelled_exception(failure):
                    raise
                refused = reason_of(failure)
                if refused != told or not workflow.patched(REFUSALS):
                    self._context.note("failure", f"{_refusal_of(what)}{refused}")
                    self._context.tell("page", f"Rollback: {what} was refused", refused)
                told = refused
                await sleep_for(pause, f"{what}: try again")
                pause = min(pause * 2, activity_options.LONGEST_AFTER_A_REFUSAL)

    def _told_before(self, what: str) -> str:
        """The refusal of it that was told last, in this run or one before it."""
        texts = (event.text for event in reversed(self._progress.timeline) if event.kind == "failure")
        of_it = _refusal_of(what)
        return next((text.removeprefix(of_it) for text in texts if text.startswith(of_it)), "")

    def _done(self, step: str) -> None:
        rollback = self._rollback
        if any(before.name == step for before in rollback.steps):
            return
        seconds = (workflow.now() - rollback.began_at).total_seconds()
        rollback.steps.append(RollbackStep(name=step, seconds=seconds))
        self._context.note("rollback", step)
        # Traffic may take long: whoever looks meanwhile must see that nobody has the features any more.
        self._context.renew_details()

    async def _refuse_candidates(self, order: RollbackOrder) -> None:
        progress = self._progress
        request = Settle(
            environment=progress.environment,
            group=progress.plan,
            owner=self._context.owner,
            outcome="rolled_back",
            refused=progress.images,
            by=order.by,
            reason=order.reason,
        )
        await self._until_done(
            "recording the refused candidate",
            lambda: workflow.execute_activity_method(
                FeatureFlagActivities.settle,
                request,
                **summarised(activity_options.SETTLE, "this candidate is refused from now on"),
            ),
        )

    async def _guard(self) -> None:
        """Late writes of calls that were under way are undone for as long as any of them can still arrive."""
        progress, lasts = self._progress, self._context.plan.guard
        request = GuardRequest(
            environment=progress.environment,
            group=progress.plan,
            epoch=progress.fence,
            anchors=tuple(progress.anchors.values()),
            candidates=tuple(progress.candidates.values()),
            began=workflow.now(),
            until=workflow.now() + lasts,
        )
        guarding = asyncio.create_task(
            self._until_done(
                "guarding flags and traffic",
                lambda: workflow.execute_activity_method(
                    RollbackGuardActivities.guard_rollback,
                    request,
                    **summarised(activity_options.guard(), f"guard flags and traffic for {duration_in_words(lasts)}"),
                ),
            )
        )
        await workflow.wait_condition(lambda: guarding.done() or progress.finish_asked)
        if not guarding.done():
            # It ends as cancelled, which nobody waits to hear.
            guarding.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            guarding.cancel()
            await workflow.wait([guarding])
            return
        for undone in guarding.result().undone:
            self._context.note("rollback", f"undone by the guard: {undone}")
            self._context.tell("page", "A late write was undone", undone)


def _refusal_of(what: str) -> str:
    return f"rollback, {what}: "
