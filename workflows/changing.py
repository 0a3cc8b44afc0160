"""Changing what people see, under the gates of the stage that the change leads to.

A change takes seconds, and the data of what it shows are visible after minutes. Should Cloud Run or the flag store take
longer, people are left with a part of it: then what would take the rollout back is judged meanwhile, and does.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow

from workflows.context import RolloutContext, takes_long
from workflows.rollback import GoBack, RollbackOrder
from workflows.soaking import Soaking, latched, leave

with workflow.unsafe.imports_passed_through():
    from rollout.holds import what_holds
    from rollout.plan_parts import Stage
    from rollout.soak import begin
    from rollout.watch import WatchReport

T = TypeVar("T")


class Changing:
    def __init__(self, context: RolloutContext, soaking: Soaking) -> None:
        self._context = context
        self._soaking = soaking

    async def to(self, stage: Stage, change: Coroutine[Any, Any, T], *, repeatable: bool = False) -> T:
        """Bring the change about. One that is `repeatable` may be begun again by another run.

        Raises:
            GoBack: it took long, and meanwhile a gate failed or the kill switch was pulled.
            LongHistory: a new run begins it again.
        """
        if not self._context.judges_beside_what_takes_long():
            return await change
        began, changing = workflow.now(), asyncio.create_task(change)
        try:
            await workflow.wait_condition(lambda: changing.done() or takes_long(began))
            if not changing.done():
                with nullcontext() if repeatable else self._context.in_one_run():
                    await self._judge(stage, began, changing)
        finally:
            leave(changing)
        return changing.result()

    async def _judge(self, stage: Stage, began: datetime, changing: "asyncio.Task[Any]") -> None:
        """What is learnt here is kept nowhere: once the change is done, a soak judges the same data for credit."""
        soak, evidence = begin(began, self._context.plan.check_interval), self._context.progress.evidence
        while not changing.done():
            report = await self._soaking.watch_a_change(stage, soak, evidence, changing.done)
            if report is not None:
                self._go_back_if_it_must(stage, report)
                soak, evidence = report.soak, report.evidence

    def _go_back_if_it_must(self, stage: Stage, report: WatchReport) -> None:
        """All the way, also where a gate asks for a step back: half a change has no stage below it."""
        if report.transition == "latched":
            raise GoBack(latched(report.why))
        if report.transition == "breached":
            why = what_holds(report.soak, report.judgements)
            self._context.note("gate", f"{stage.name} failed while it was entered: {why}")
            late = (workflow.now() - report.soak.judged_until).total_seconds()
            raise GoBack(RollbackOrder("gate", f"gate {', '.join(report.soak.causes)}", why, late))
