"""Going forward: preparation, then one stage after the other, each entered as a unit and soaked to its full credit.

Nothing here takes anything back. Whatever goes wrong leaves as `Refused` (nothing was changed yet) or `GoBack`, and
the workflow takes the one way back.
"""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.context import RolloutContext, reason_of
from workflows.exposure import Exposing
from workflows.preparation import prepare
from workflows.rollback import GoBack, RollbackOrder
from workflows.soaking import Soaking
from workflows.stage_entry import StageEntry

with workflow.unsafe.imports_passed_through():
    from rollout.plan_parts import Stage
    from rollout.progress import StageProgress
    from rollout.soak import begin
    from rollout.wording import duration_in_words


class Refused(Exception):  # noqa: N818  (a decision about the rollout, not an error of the program)
    """The rollout cannot start; nothing has been changed. The text says why."""


class WayForward:
    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self._exposing = Exposing(context)
        self._entry = StageEntry(context, self._exposing)
        self._soaking = Soaking(context)

    def suspensions_changed(self) -> None:
        self._soaking.suspensions_changed()

    async def limit(self, flag: str, stage_name: str, by: str, reason: str) -> None:
        """Hold one flag at a stage; the watch under way learns what it has to expect."""
        state = self._context.progress.current
        if await self._exposing.limit(flag, stage_name, by, reason) and state.soak_state is not None:
            # Only data measured under this exposure prove anything about it.
            state.soak_state = begin(workflow.now(), self._context.plan.check_interval)
        self._soaking.suspensions_changed()

    async def run(self) -> bool:
        """True when all stages passed, False when the history has grown so long that it should be continued as new.

        Raises:
            Refused: the rollout could not be prepared.
            GoBack: it must be taken back.
        """
        context, progress = self._context, self._context.progress
        if not progress.anchors:
            await self._prepare()
        while True:
            stage, state = context.plan.stages[progress.stage], progress.current
            if state.state != "soaking":
                await self._attended(stage, self._entry.enter(stage, state))
            if not await self._walk_and_soak(stage, state):
                return False
            await self._attended(stage, self._entry.check(stage, stage.checks.after))
            await context.not_paused()
            self._pass(state)
            if progress.stage + 1 == len(context.plan.stages):
                return True
            progress.stage += 1

    async def _walk_and_soak(self, stage: Stage, state: StageProgress) -> bool:
        """Each traffic step soaks to its share of the credit, the last one to all of it."""
        rising = [percent for percent in stage.percents if percent > 0]
        steps: list[int | None] = [*rising] or [None]
        while state.step < len(steps):
            last = state.step + 1 == len(steps)
            if state.step_entered != state.step:
                await self._context.not_paused()
                await self._attended(stage, self._entry.take_step(stage, state, steps[state.step], last=last))
            held = (stage.traffic_hold or timedelta()) * (state.step + 1)
            if not await self._soaking.soak(stage, state, stage.soak if last else held):
                return False
            state.step += 1
        return True

    async def _prepare(self) -> None:
        try:
            await prepare(self._context)
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            raise Refused(reason_of(failure)) from failure

    async def _attended(self, stage: Stage, part: Coroutine[Any, Any, None]) -> None:
        """Run a part of a stage; its final failure fails the stage."""
        try:
            await part
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            why = f"{stage.name} failed: {reason_of(failure)}"
            self._context.note("failure", why)
            raise GoBack(RollbackOrder("stage_failed", f"stage {stage.name}", why)) from failure

    def _pass(self, state: StageProgress) -> None:
        credit = duration_in_words(state.credit)
        state.state, state.passed_at = "passed", workflow.now()
        self._context.note("stage", f"{state.name} passed with {credit} of credit")
        self._context.tell("info", f"{state.name} passed", f"{credit} of credit, every gate passes.")
