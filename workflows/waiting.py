"""Waiting for a person, without losing sight of what people are exposed to meanwhile."""

from collections.abc import Callable

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext
from workflows.rollback import GoBack
from workflows.soaking import Soaking, latched, leave

with workflow.unsafe.imports_passed_through():
    from activities.gate_watch import GateWatchActivities
    from rollout.plan_parts import Stage
    from rollout.progress import RolloutStatus, StageProgress
    from rollout.watch import StoreWatchRequest


class Waiting:
    def __init__(self, context: RolloutContext, soaking: Soaking) -> None:
        self._context = context
        self._soaking = soaking
        self.interrupted: Callable[[], bool] = lambda: False
        """Whether a person asked for something that no waiting may delay."""

    async def until(self, released: Callable[[], bool], *, broken: Callable[[], bool] = lambda: False) -> None:
        """Return when `released`, or interrupted. The gates of the stage that was entered last go on being judged.

        While they hold, what was waited for is not enough; what is `broken` ends the waiting all the same.
        Before the first stage the kill switch alone is looked at.

        Raises:
            GoBack: one of them failed, or the kill switch was pulled.
        """
        self._context.waiting_for(None)
        entered = self._entered_last()
        if entered is not None:
            await self._soaking.keep_watch(*entered, released, lambda: self.interrupted() or broken())
        elif workflow.patched("store-watched-from-the-start"):
            await self._watch_store(lambda: released() or self.interrupted() or broken())
        else:
            await workflow.wait_condition(lambda: released() or self.interrupted() or broken())

    async def _watch_store(self, over: Callable[[], bool]) -> None:
        """Before the first stage no gate is judged; the kill switch may be pulled all the same."""
        if over():
            return
        progress, interval = self._context.progress, self._context.plan.check_interval
        watch = workflow.start_activity_method(
            GateWatchActivities.watch_store,
            StoreWatchRequest(
                environment=progress.environment, group=progress.plan, fence=progress.fence, interval=interval
            ),
            **summarised(activity_options.watch_store(interval), "is the kill switch pulled while nothing is entered?"),
        )
        try:
            await workflow.wait_condition(lambda: watch.done() or over())
        finally:
            leave(watch)
        if watch.done() and not watch.cancelled():
            raise GoBack(latched(watch.result()))

    async def not_paused(self) -> None:
        """Wait until nobody has paused the rollout."""
        context, progress = self._context, self._context.progress
        while progress.paused and not self.interrupted():
            context.stand(RolloutStatus.PAUSED, context.paused_why(), f"`rollout resume {progress.plan}`")
            await self.until(lambda: not progress.paused)

    def _entered_last(self) -> tuple[Stage, StageProgress] | None:
        index = self._context.progress.entered_last
        return None if index is None else (self._context.plan.stages[index], self._context.progress.stages[index])
