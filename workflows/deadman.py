"""Beside the whole way forward: a page when the gates are no longer looked at, as often as the plan wants one."""

import asyncio
from datetime import datetime

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext

with workflow.unsafe.imports_passed_through():
    from activities.deadman import DeadmanActivities, DeadmanRequest, Silence
    from rollout.plan_parts import Deadman
    from rollout.wording import duration_in_words


class DeadmanWatch:
    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self._keeping: asyncio.Task[None] | None = None
        self._ending = False

    def begin(self) -> None:
        """Keep it from now on, where the plan has one."""
        self._ending = False
        if self._context.plan.deadman is not None:
            self._keeping = asyncio.create_task(self._page_silence(self._context.plan.deadman))

    def end(self) -> None:
        self._ending = True
        if self._keeping is not None:
            self._keeping.cancel()

    async def ended(self) -> None:
        """An activity that is still being cancelled would be a command after the workflow's last one."""
        if self._keeping is not None:
            await workflow.wait([self._keeping])

    async def _page_silence(self, deadman: Deadman) -> None:
        context, began, paged_at = self._context, workflow.now(), None
        while True:
            silence = await self._silence(deadman, began, paged_at)
            if self._ending and workflow.patched("ended-as-it-paged"):
                # The SDK hands on an answer that comes in the very task which cancels, and forgets the cancellation.
                return
            paged_at = silence.noticed_at
            lasted = duration_in_words(silence.noticed_at - silence.since)
            why = f" ({silence.why})" if silence.why else ""
            context.note("failure", f"no look at the gates has ended for {lasted}{why}")
            context.tell(
                "page", "Nobody looks at the gates", f"None has ended for {lasted}{why}. {_what_then(deadman)}"
            )

    async def _silence(self, deadman: Deadman, began: datetime, paged_at: datetime | None) -> Silence:
        progress = self._context.progress
        return await workflow.execute_activity_method(
            DeadmanActivities.look_after_the_watch,
            DeadmanRequest(
                environment=progress.environment,
                group=progress.plan,
                fence=progress.fence,
                page_after=deadman.page_after,
                flags_off_after=deadman.flags_off_after,
                since=began,
                paged_at=paged_at,
            ),
            **summarised(
                activity_options.deadman(),
                f"dead-man: pages when no look at the gates ends for {duration_in_words(deadman.page_after)}",
            ),
        )


def _what_then(deadman: Deadman) -> str:
    if deadman.flags_off_after is None:
        return "People stay exposed; look at the workers, or roll back."
    after = duration_in_words(deadman.flags_off_after)
    return f"Applications turn the features off by themselves {after} after the lease was last renewed."
