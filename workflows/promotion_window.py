"""Waiting for a window of the plan before anything rises. What was entered before goes on being judged meanwhile."""

import asyncio
from datetime import datetime

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext
from workflows.forward import call_forward
from workflows.timers import sleep_for
from workflows.waiting import Waiting

with workflow.unsafe.imports_passed_through():
    from activities.promotion_windows import AskWindow, ask_window
    from rollout.progress import RolloutStatus, StageProgress


class PromotionWindow:
    def __init__(self, context: RolloutContext, waiting: Waiting) -> None:
        self._context = context
        self._waiting = waiting
        self._found_open: datetime | None = None

    async def still_open(self, state: StageProgress, what: str) -> None:
        """As `opens`, before each step of a stage: it may have closed while one was checked, deployed, held or paused.

        What has just been answered is not asked again.
        """
        windows, now = self._context.plan.windows, workflow.now()
        if windows is not None and self._found_open != now and workflow.patched("window-asked-before-each-step"):
            await self.opens(state, what)

    async def opens(self, state: StageProgress, what: str) -> None:
        """Return when `what` may begin: inside a window, waived by a person, or when the waiting is interrupted."""
        windows = self._context.plan.windows
        # A run before this one may have begun to wait. What it kept needs no patch: nothing older has kept it.
        before = state.before_its_window or self._context.but_for_a_pause
        while windows is not None and not state.window_waived and not self._waiting.interrupted():
            self._context.waiting_for(f"{what}: whether promotion is allowed now")
            answer = await call_forward(
                self._context,
                ask_window,
                AskWindow(windows=windows, at=workflow.now()),
                summarised(activity_options.ASK_WINDOW, f"{what}: is promotion allowed now?"),
            )
            if answer.opens_at is None:
                self._found_open = workflow.now()
                break
            why = f"{what} waits: {answer.why_closed}"
            following = (
                f"{what} begins on {answer.opens_in_words}; "
                f"`rollout promote {self._context.plan.name} --force --reason …` begins it at once"
            )
            state.before_its_window = before
            self._context.stand(RolloutStatus.AWAITING_WINDOW, why, following)
            if not state.told_of_window:
                self._context.note("hold", why)
                self._context.tell("info", f"{what} waits for its window", f"{why}. {following}")
                state.told_of_window = True
            await self._until(answer.opens_at, state)
            await self._waiting.not_paused()
        if state.told_of_window and not self._waiting.interrupted() and workflow.patched("begun-it-waits-no-longer"):
            self._context.stand(*before)
        state.told_of_window, state.before_its_window = False, None

    async def _until(self, opens_at: datetime, state: StageProgress) -> None:
        # Never cancelled: a timer that nobody waits for any more only wakes the workflow once.
        opening = asyncio.create_task(sleep_for(opens_at - workflow.now(), "the window opens"))
        await self._waiting.until(lambda: opening.done() or state.window_waived or self._context.progress.paused)
