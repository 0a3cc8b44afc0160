"""Waiting for a person, without losing sight of what people are exposed to meanwhile."""

from collections.abc import Callable

from temporalio import workflow

from workflows.context import RolloutContext
from workflows.soaking import Soaking

with workflow.unsafe.imports_passed_through():
    from rollout.plan_parts import Stage
    from rollout.progress import RolloutStatus, StageProgress


class Waiting:
    def __init__(self, context: RolloutContext, soaking: Soaking) -> None:
        self._context = context
        self._soaking = soaking
        self.interrupted: Callable[[], bool] = lambda: False
        """Whether a person asked for something that no waiting may delay."""

    async def until(self, released: Callable[[], bool], *, broken: Callable[[], bool] = lambda: False) -> None:
        """Return when `released`, or interrupted. The gates of the stage that was entered last go on being judged.

        While they hold, what was waited for is not enough; what is `broken` ends the waiting all the same.

        Raises:
            GoBack: one of them failed, or the kill switch was pulled.
        """
        self._context.waiting_for(None)
        entered = self._entered_last()
        if entered is None:
            await workflow.wait_condition(lambda: released() or self.interrupted())
        else:
            await self._soaking.keep_watch(*entered, released, lambda: self.interrupted() or broken())

    async def not_paused(self) -> None:
        """Wait until nobody has paused the rollout."""
        context, progress = self._context, self._context.progress
        while progress.paused and not self.interrupted():
            context.stand(RolloutStatus.PAUSED, context.paused_why(), f"`rollout resume {progress.plan}`")
            await self.until(lambda: not progress.paused)

    def _entered_last(self) -> tuple[Stage, StageProgress] | None:
        index = self._context.progress.entered_last
        return None if index is None else (self._context.plan.stages[index], self._context.progress.stages[index])
