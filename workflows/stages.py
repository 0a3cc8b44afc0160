"""Going forward: preparation, then one stage after the other, each entered as a unit and soaked to its full credit.

Nothing here takes anything back. Whatever goes wrong leaves as `Refused` (nothing was changed yet) or `GoBack`, and
the workflow takes the one way back.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import adoption
from workflows.changing import Changing
from workflows.context import LongHistory, RolloutContext, reason_of
from workflows.deadman import DeadmanWatch
from workflows.exposure import Exposing
from workflows.preparation import prepare
from workflows.promotion_window import PromotionWindow
from workflows.replacement import Replacement
from workflows.rollback import GoBack, RollbackOrder
from workflows.soaking import Soaking, leave
from workflows.stage_entry import StageEntry
from workflows.step_back import StepBack
from workflows.switching_off import SwitchingOff
from workflows.timers import sleep_for
from workflows.waiting import Waiting

with workflow.unsafe.imports_passed_through():
    from rollout.holds import gates_among, how_passed_over, released, why_held
    from rollout.plan_parts import Stage
    from rollout.progress import StageProgress
    from rollout.soak import WITHOUT_END, begin
    from rollout.wording import all_passed, duration_in_words, how_switched_on


class Refused(Exception):  # noqa: N818  (a decision about the rollout, not an error of the program)
    """The rollout cannot start; nothing has been changed. The text says why."""


class WayForward:
    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self.deadman = DeadmanWatch(context)
        self._exposing = Exposing(context)
        self.switching_off = SwitchingOff(context, self._exposing)
        self._soaking = Soaking(context, self.switching_off)
        self.switching_off.written = self._soaking.outdated
        self._waiting = Waiting(context, self._soaking)
        self._waiting.interrupted = self._is_interrupted
        self._changing = Changing(context, self._soaking)
        self._replacement = Replacement(context, self._exposing, self._changing)
        self._window = PromotionWindow(context, self._waiting)
        self._entry = StageEntry(context, self._exposing, self._waiting, self._window, self._changing)

    def outdated(self) -> None:
        """A person changed what the watch under way was told."""
        self._soaking.outdated()

    async def limit(self, flag: str, stage_name: str, by: str, reason: str) -> None:
        """Hold one flag at a stage; the watch under way learns what it has to expect."""
        state, last = self._context.progress.current, self._context.progress.entered_last
        if await self._exposing.limit(flag, stage_name, by, reason):
            if state.soak_state is not None:
                # Only data measured under this exposure prove anything about it.
                state.soak_state = begin(workflow.now(), self._context.plan.check_interval)
            elif last is not None:
                self._begin_silences_anew(self._context.progress.stages[last])
        self._soaking.outdated()

    def _begin_silences_anew(self, state: StageProgress) -> None:
        """Of a stage that has its credit and waits: what was silent without a flag says nothing of it with the flag.

        Below nothing by what lies between the last judged interval and now, for that was measured without it too.
        """
        soak = state.soak_state
        if soak is not None:
            unjudged = workflow.now() - soak.judged_until
            state.soak_state = soak.model_copy(update={"silences": dict.fromkeys(soak.silences, -unjudged)})

    async def must_not_be_refused(self, images: dict[str, str]) -> None:
        """Raises ActivityError where this candidate was taken back before."""
        await self._replacement.must_not_be_refused(images)

    def why_held(self) -> str | None:
        """Why the stage that people are shown is held, if it is."""
        return self._waiting.why_held()

    async def resolve_hold(self, *, adopt: bool, gates: tuple[str, ...] | None) -> str:
        """End the hold by a person's decision, passing over those gates, or all its causes; says what follows."""
        progress = self._context.progress
        if progress.deployed_by_others:
            progress.deployed_by_others = {}
            # What serves is read again by then; whoever decided has seen what did when it was told.
            return (
                "the candidate is deployed beside what was shown to serve, which is what a rollback returns to; should "
                "something else serve by now, it holds again and shows that"
            )
        assert progress.entered_last is not None, "only a stage that was entered can hold"  # noqa: S101
        state = progress.stages[progress.entered_last]
        assert state.soak_state is not None, "as above"  # noqa: S101
        if adopt:
            following = await adoption.adopt(self._context)
        else:
            causes = gates_among(state.soak_state.causes)
            passed_over = causes if gates is None else tuple(cause for cause in causes if cause in gates)
            state.waived = tuple(sorted({*state.waived, *passed_over}))
            still = "what fails beyond its limit still rolls back"
            following = "; ".join([*how_passed_over(causes, passed_over), *self._go_on_without(), still])
        # The next watch judges the time of the hold anew, and no longer sees what held it.
        progress.not_credited(state.soak_state.judged_until, workflow.now())
        state.soak_state = released(state.soak_state)
        self._soaking.outdated()
        return following

    def _go_on_without(self) -> list[str]:
        """A person lets the rollout go on without the flags that a gate turned off; says how each can rise again."""
        progress, told = self._context.progress, []
        for flag, off in progress.switched_off.items():
            if not off.decided:
                progress.switched_off[flag] = off.model_copy(update={"decided": True})
                told.append(f"it goes on without {flag}: {how_switched_on(progress, flag)}")
        return told

    async def run(self) -> None:
        """Return when all stages have passed, and the watch after them is over.

        Raises:
            Refused: the rollout could not be prepared.
            GoBack: it must be taken back.
            LongHistory: a new run goes on with it.
        """
        context, progress = self._context, self._context.progress
        if not progress.anchors:
            await self._prepare()
        self.deadman.begin()
        if progress.waits_out_a_hold:
            await self._waiting.until(lambda: True)
            progress.waits_out_a_hold = False
        while True:
            if progress.watched_until is None:
                await self._walk()
            if context.plan.watch is not None:
                await self._watch_on(context.plan.watch)
            if not progress.turning_back:
                await self.switching_off.finish()
            # Whoever asked for a step back while that was written was told that it is taken.
            if not progress.turning_back:
                return
            progress.watched_until = None

    async def _walk(self) -> None:
        """Return when all stages have passed."""
        context, progress = self._context, self._context.progress
        while True:
            await self._turn_back()
            stage, state = context.plan.stages[progress.stage], progress.current
            if not await self._may_pass(stage, state):
                continue
            self._pass(state)
            if progress.stage + 1 == len(context.plan.stages):
                return
            progress.stage = max(progress.stage + 1, progress.return_to or 0)
            progress.return_to = None

    async def _may_pass(self, stage: Stage, state: StageProgress) -> bool:
        """Enter a stage, soak it and check it; False where it was left to turn back, or was given longer to soak."""
        progress = self._context.progress
        if state.state != "soaking":
            await self._attended(stage, self._entry.enter(stage, state))
            if progress.turning_back:
                return False
        await self._walk_and_soak(stage, state)
        if progress.turning_back:
            return False
        extended = state.extended
        try:
            await self._attended(stage, self._check_before_it_passes(stage, state))
            await self._waiting.not_paused()
        except LongHistory:
            if state.extended != extended:
                self._soak_on(state)
            raise
        if progress.turning_back:
            return False
        if state.extended != extended and workflow.patched("extended-while-it-was-checked"):
            self._soak_on(state)
            return False
        return True

    def _soak_on(self, state: StageProgress) -> None:
        """Who asked for more credit while it was checked was told that the soak goes on."""
        state.step -= 1
        state.checked = 0

    async def _check_before_it_passes(self, stage: Stage, state: StageProgress) -> None:
        """A step back, or another candidate, does not wait for a check of the stage that it leaves."""
        if not stage.checks.after or not workflow.patched("checks-give-way"):
            await self._entry.check(stage, state, stage.checks.after)
            return
        checking = asyncio.create_task(self._entry.check(stage, state, stage.checks.after))
        try:
            await workflow.wait_condition(lambda: checking.done() or self._context.progress.turning_back)
        finally:
            leave(checking)
        if checking.done():
            checking.result()

    async def _watch_on(self, lasts: timedelta) -> None:
        """After the last stage: what fails still takes the rollout back, for as long as the plan or a person wants.

        It ends early for what no waiting may delay.
        """
        context, progress = self._context, self._context.progress
        stage, state = context.plan.stages[progress.stage], progress.current
        if progress.watched_until is None:
            progress.watched_until = workflow.now() + lasts
            context.note("stage", f"{all_passed(len(progress.stages))}; watched for {duration_in_words(lasts)}")
            context.tell("info", "All stages passed", f"{stage.name} stays watched for {duration_in_words(lasts)}.")
        # Never cancelled: a timer that nobody waits for any more only wakes the workflow once.
        ending = asyncio.create_task(sleep_for(progress.watched_until - workflow.now(), "the end of the watch"))

        def over() -> bool:
            return progress.turning_back or progress.finish_asked or (ending.done() and why_held(state) is None)

        while not over():
            await self._soaking.soak(stage, state, WITHOUT_END, over)
        # What was asked of the watch must not end the guard of a rollback.
        progress.finish_asked = False

    async def _turn_back(self) -> None:
        """Do what a person or a gate asked for before anything else."""
        context, progress = self._context, self._context.progress
        if progress.replacing is not None:
            await self._attended(context.plan.stages[progress.stage], self._replacement.take())
        if progress.stepping_back:
            step_back = StepBack(context, self._exposing, self._changing)
            await self._attended(context.plan.stages[progress.stage], step_back.take())

    def _is_interrupted(self) -> bool:
        progress = self._context.progress
        return progress.turning_back or progress.current.forced

    async def _walk_and_soak(self, stage: Stage, state: StageProgress) -> None:
        """Each traffic step soaks to its share of the credit, the last one to all of it; ends early to turn back."""
        steps = stage.steps
        while state.step < len(steps):
            last = state.step + 1 == len(steps)
            if state.step_entered != state.step:
                await self._waiting.not_paused()
                what = stage.name if steps[state.step] is None else f"{stage.name} at {steps[state.step]} %"
                asked = self._window.opens if state.step else self._window.still_open
                await self._attended(stage, asked(state, what))
                if self._context.progress.turning_back:
                    return
                await self._attended(stage, self._entry.take_step(stage, state, steps[state.step], last=last))
            held = (stage.traffic_hold or timedelta()) * (state.step + 1)
            complete = await self._soaking.soak(stage, state, stage.soak if last else held, self._is_interrupted)
            if not complete and not state.forced:
                return
            state.forced, state.promote_after = False, None
            state.step += 1

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
