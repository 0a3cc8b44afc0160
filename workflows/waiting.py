"""Waiting for a person, without losing sight of what people are exposed to meanwhile."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import LongHistory, RolloutContext, takes_long
from workflows.rollback import GoBack
from workflows.soaking import Soaking, latched, leave

with workflow.unsafe.imports_passed_through():
    from activities.gate_watch import GateWatchActivities
    from rollout.holds import how_resolved, why_held
    from rollout.plan_parts import Stage
    from rollout.progress import RolloutStatus, StageProgress
    from rollout.resumption import how_resumed
    from rollout.watch import StoreWatchRequest


class Waiting:
    def __init__(self, context: RolloutContext, soaking: Soaking) -> None:
        self._context = context
        self._soaking = soaking
        self.interrupted: Callable[[], bool] = lambda: False
        """Whether a person asked for something that no waiting may delay."""

    async def until(
        self,
        released: Callable[[], bool],
        *,
        broken: Callable[[], bool] = lambda: False,
        then: str = "the rollout goes on",
    ) -> None:
        """Return when `released`, or interrupted. The gates of the stage that was entered last go on being judged.

        While they hold, what was waited for is not enough, and people are told what will happen `then`; what is
        `broken` ends the waiting all the same. Before the first stage the kill switch alone is looked at.

        Raises:
            GoBack: one of them failed, or the kill switch was pulled.
            LongHistory: a new run goes on with it.
        """
        self._context.waiting_for(None)
        await self._judging_until(released, broken, then)

    async def _judging_until(
        self, released: Callable[[], bool], broken: Callable[[], bool], then: str = "the rollout goes on"
    ) -> None:
        entered = self._entered_last()
        if entered is not None:
            stage, state = entered
            before = self._context.but_for_a_pause
            showing = asyncio.create_task(self._show_what_holds(state, released, then))
            try:
                await self._soaking.keep_watch(stage, state, released, lambda: self.interrupted() or broken())
            except LongHistory:
                self._context.progress.waits_out_a_hold = released() and why_held(state) is not None
                raise
            finally:
                showing.cancel()
            if self._context.progress.status is RolloutStatus.HOLDING and before[0] is not RolloutStatus.HOLDING:
                self._context.stand(*before)
        elif workflow.patched("store-watched-from-the-start"):
            await self._watch_store(lambda: released() or self.interrupted() or broken())
        else:
            await workflow.wait_condition(lambda: released() or self.interrupted() or broken())

    async def beside(self, check: "asyncio.Task[None]", since: datetime, *, at_once: bool) -> None:
        """Return when a check is done, or interrupted. Should it take long, gates are judged as in any other waiting.

        What is to be judged `at_once` is not begun again in another run.
        """
        if not at_once:
            await workflow.wait_condition(lambda: check.done() or takes_long(since) or self.interrupted())
        else:
            self._context.waiting_for(None)
        if check.done():
            return
        with self._context.in_one_run() if at_once else nullcontext():
            try:
                # Judged or not, a check that takes long goes on being paged.
                await self._judging_until(check.done, check.done)
            except LongHistory:
                self._context.progress.waits_out_a_hold = self.why_held() is not None
                raise

    def why_held(self) -> str | None:
        """Why the stage that people are shown is held, if it is."""
        entered = self._entered_last()
        return None if entered is None else why_held(entered[1])

    async def while_held(self) -> None:
        if self.why_held() is not None:
            await self.until(lambda: True)

    async def _show_what_holds(self, state: StageProgress, released: Callable[[], bool], then: str) -> None:
        """Once nothing else is waited for, it is a hold that people see, and that they can resolve."""
        context, progress = self._context, self._context.progress

        def holding_only() -> str | None:
            return why_held(state) if released() and not progress.paused else None

        while True:
            await workflow.wait_condition(lambda: holding_only() is not None)
            why = holding_only() or ""
            if not workflow.patched("held-while-it-waited"):
                return
            context.stand(RolloutStatus.HOLDING, why, f"{then} when every gate passes again{how_resolved(progress)}")
            await workflow.wait_condition(lambda: holding_only() != why)  # noqa: B023  (waited for before it changes)

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
            await self._context.until(lambda: watch.done() or over())
        finally:
            leave(watch)
        if watch.done() and not watch.cancelled():
            raise GoBack(latched(watch.result()))

    async def not_paused(self, *, held_or_not: bool = False) -> None:
        """Wait until nobody has paused the rollout, and, unless it may be `held_or_not`, until nothing holds it."""
        context, progress = self._context, self._context.progress
        while progress.paused and not self.interrupted():
            context.stand(RolloutStatus.PAUSED, progress.paused_why, how_resumed(progress))
            if held_or_not:
                await self.until(lambda: False, broken=lambda: not progress.paused)
            else:
                await self.until(lambda: not progress.paused)

    def _entered_last(self) -> tuple[Stage, StageProgress] | None:
        index = self._context.progress.entered_last
        return None if index is None else (self._context.plan.stages[index], self._context.progress.stages[index])
