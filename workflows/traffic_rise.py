"""One traffic step of all services, which overwrites nothing that somebody else made of their traffic meanwhile.

The watch sees such a change within an interval, and holds. A step that comes before its next look finds it itself, and
holds too: until the traffic is again what the rollout set, or a person decides.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.changing import Changing
from workflows.context import RolloutContext, is_change_by_others, reason_of
from workflows.promotion_window import PromotionWindow
from workflows.traffic_shift import shift
from workflows.waiting import Waiting

with workflow.unsafe.imports_passed_through():
    from rollout.drift import DRIFT
    from rollout.holds import why_held
    from rollout.plan_parts import Stage
    from rollout.progress import StageProgress
    from rollout.soak import begin, held
    from rollout.verdict import Judgement, Verdict


class TrafficRise:
    def __init__(self, context: RolloutContext, waiting: Waiting, window: PromotionWindow, changing: Changing) -> None:
        self._context = context
        self._changing = changing
        self._waiting = waiting
        self._window = window
        self._progress = context.progress

    async def to(self, stage: Stage, percent: int, state: StageProgress) -> bool:
        """Move every service; False where a person, or a gate, asked to turn back while others' changes held it."""
        told = ""
        while changed := await self._changing.to(stage, self._changed_by_others(percent), repeatable=True):
            await self._held(changed, state, f"the traffic goes to {percent} %", tell=changed != told)
            told = changed
            # A person may have paused it while it was held, and its window may have closed.
            await self._waiting.not_paused()
            await self._window.still_open(state, f"{stage.name} at {percent} %")
            if self._progress.turning_back:
                return False
        return True

    async def _changed_by_others(self, percent: int) -> str:
        """What kept services from being moved, in words; empty where all were."""
        found = await asyncio.gather(*(self._move(key, percent) for key in self._context.plan.services))
        return "; ".join(filter(None, found))

    async def _move(self, key: str, percent: int) -> str:
        try:
            await shift(self._context, key, percent, instead_of=self._progress.traffic[key])
        except ActivityError as failure:
            if not is_change_by_others(failure) or not workflow.patched("others-traffic-is-not-overwritten"):
                raise
            return reason_of(failure)
        return ""

    async def _held(self, why: str, state: StageProgress, then: str, *, tell: bool) -> None:
        context, progress, now = self._context, self._progress, workflow.now()
        if progress.entered_last is None:
            # Nothing can hold, and no gate be judged, but in a soak; the step begins it anew.
            state.soak_state = begin(now, context.plan.check_interval)
        judged = progress.judged
        assert judged.soak_state is not None, "begun above, or entered"  # noqa: S101
        drift = Judgement(gate=DRIFT, verdict=Verdict.FAIL, reason=why, value="foreign", limit="none", as_of=now)
        judged.soak_state = held(judged.soak_state, DRIFT)
        judged.judgements = (*(one for one in judged.judgements if one.gate != DRIFT), drift)
        context.note("hold", f"holding: {why}")
        if tell:
            context.tell("warning", f"{judged.name} is holding", why)
        while why_held(judged) is not None and not progress.turning_back:
            # A promotion by force goes over gates, and not over what somebody else made of the traffic.
            state.forced = False
            await self._waiting.until(lambda: True, then=then)
