"""Soaking: one long activity that the server retries as the clock, and what its reports mean for the rollout."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import LongHistory, RolloutContext
from workflows.rollback import GoBack, RollbackOrder
from workflows.switching_off import SwitchingOff
from workflows.timers import sleep_for
from workflows.watch_requests import request_beside_a_change, watch_request

with workflow.unsafe.imports_passed_through():
    from activities.gate_watch import GateWatchActivities
    from rollout import exposure as exposures
    from rollout.counting import counted
    from rollout.drift import DRIFT, TAKEN_BACK
    from rollout.flag_limits import undecided
    from rollout.holds import how_it_goes_on, what_holds, why_held
    from rollout.plan_parts import Stage
    from rollout.progress import RolloutStatus, StageProgress
    from rollout.resumption import how_resumed
    from rollout.soak import WITHOUT_END, SoakState
    from rollout.soak_evidence import SoakEvidence
    from rollout.switch_off import SWITCHED_OFF
    from rollout.verdict import LEAVING, Verdict
    from rollout.watch import WatchReport, WatchRequest
    from rollout.wording import duration_in_words, how_decided, moment_in_words


_CHANGED_BY_OTHERS = {DRIFT, TAKEN_BACK}


class Soaking:
    def __init__(self, context: RolloutContext, switching_off: SwitchingOff) -> None:
        self._context = context
        self._switching_off = switching_off
        self._plan = context.plan
        self._progress = context.progress
        self._outdated = False

    def outdated(self) -> None:
        """A person changed what the watch under way was told: it must begin again, knowing that."""
        self._outdated = True

    async def soak(
        self, stage: Stage, state: StageProgress, credit: timedelta, interrupted: Callable[[], bool]
    ) -> bool:
        """Soak until there is as much credit, and what a person has added to it; False when interrupted.

        Raises:
            GoBack: a gate failed, or somebody pulled the kill switch in the flag store.
            LongHistory: a new run goes on with it.
        """
        while not interrupted():
            if workflow.info().is_continue_as_new_suggested() and not workflow.patched("waits-are-continued-as-new"):
                raise LongHistory
            self._context.end_if_long()
            target = credit + state.extended
            self._stand(stage, state, target)
            report = await self._watch(stage, state, target, interrupted)
            if report is None:
                continue
            self._keep(state, report)
            if report.transition == "conclusive":
                self._context.note("stage", f"{stage.name} ends early: every comparison passes beyond doubt")
            if report.transition in ("credit_complete", "conclusive"):
                return True
            self._follow(stage, state, report)
        return False

    async def keep_watch(
        self, stage: Stage, state: StageProgress, released: Callable[[], bool], interrupted: Callable[[], bool]
    ) -> None:
        """Judge a stage that has its credit for as long as the rollout waits for something else, and while it holds.

        Raises:
            GoBack: as `soak`.
        """

        def over() -> bool:
            return interrupted() or (released() and why_held(state) is None)

        while not over():
            self._context.end_if_long()
            report = await self._watch(stage, state, WITHOUT_END, over)
            if report is not None:
                self._keep(state, report)
                self._follow(stage, state, report)

    def _keep(self, state: StageProgress, report: WatchReport) -> None:
        state.soak_state, state.judgements = report.soak, report.judgements
        self._progress.evidence = report.evidence

    async def _watch(
        self, stage: Stage, state: StageProgress, target: timedelta, over: Callable[[], bool]
    ) -> WatchReport | None:
        """One watch until it reports; None when it is over, or a person's command made it outdated."""
        self._outdated = False
        self._switching_off.see_to_it()
        request = watch_request(self._context, stage, state, target)
        what = f"{stage.name}: {_what_for(target)} under {counted(len(stage.gates), 'gate')}"
        async with self._looking(request, what) as watch:
            await self._context.until(lambda: watch.done() or self._outdated or over())
        if not watch.done() or watch.cancelled():
            return None
        report = watch.result()
        if not self._saw_what_is_being_written(request, report):
            return self._without_what_is_being_written(request, report)
        # The next look sees it whole; should the write take long, gates go on being judged meanwhile.
        pause = asyncio.create_task(sleep_for(self._plan.check_interval, "what a command is writing"))
        await workflow.wait_condition(lambda: pause.done() or not self._context.writing_flags.locked() or over())
        return None

    async def watch_a_change(
        self, stage: Stage, soak: SoakState, evidence: SoakEvidence | None, over: Callable[[], bool]
    ) -> WatchReport | None:
        """One watch beside a change to what `stage` shows, of what takes the rollout back; None when it is over."""
        request = request_beside_a_change(self._context, stage, soak, evidence)
        what = f"{stage.name}: {counted(len(request.gates), 'gate')}, while it takes long to be entered"
        async with self._looking(request, what) as watch:
            await self._context.until_done(lambda: watch.done() or over())
        return watch.result() if watch.done() and not watch.cancelled() else None

    @asynccontextmanager
    async def _looking(self, request: WatchRequest, what: str) -> AsyncIterator[asyncio.Task[WatchReport]]:
        options = summarised(activity_options.watch(self._plan.check_interval), what)
        watch = workflow.start_activity_method(GateWatchActivities.watch_gates, request, **options)
        try:
            yield watch
        finally:
            leave(watch)

    def _saw_what_is_being_written(self, request: WatchRequest, report: WatchReport) -> bool:
        """Whether it takes for somebody else's change what a person's command was writing while it looked."""
        if not self._was_writing(request, report):
            return False
        beside = set(report.soak.causes) - _CHANGED_BY_OTHERS
        if not beside:
            return workflow.patched("own-flags-are-no-drift")
        return not self._is_news(beside, request, report) and workflow.patched("own-flags-beside-a-hold")

    def _was_writing(self, request: WatchRequest, report: WatchReport) -> bool:
        """Whether it reports a change by others, and one of the rollout's own was under way while it looked."""
        if report.transition not in ("breached", "hold_began", "hold_changed"):
            return False
        failed = {judgement.gate for judgement in report.judgements if judgement.verdict is Verdict.FAIL}
        written = self._context.writing_flags.locked() or request.expected.flags != self._progress.flags
        return written and bool(failed & _CHANGED_BY_OTHERS)

    def _without_what_is_being_written(self, request: WatchRequest, report: WatchReport) -> WatchReport:
        """What gates say is believed and acted on; of the change beside them the next look tells whose it is."""
        gates = tuple(cause for cause in report.soak.causes if cause not in _CHANGED_BY_OTHERS)
        if not gates or not self._was_writing(request, report) or not workflow.patched("own-flags-beside-a-failure"):
            return report
        judgements = tuple(one for one in report.judgements if one.gate not in _CHANGED_BY_OTHERS)
        soak = report.soak.model_copy(update={"causes": gates})
        return report.model_copy(update={"soak": soak, "judgements": judgements})

    def _is_news(self, gates: set[str], request: WatchRequest, report: WatchReport) -> bool:
        """Whether what these gates say would be told without the change of flags; a hold that goes on is told once."""
        if report.transition == "breached":
            return any(gate.action in LEAVING for name, gate in self._plan.gates.items() if name in gates)
        return report.transition == "hold_began" or not gates <= set(request.soak.causes)

    def _follow(self, stage: Stage, state: StageProgress, report: WatchReport) -> None:
        """What a transition means: a way back, something to turn off alone, or something that people should know."""
        context, why = self._context, what_holds(report.soak, report.judgements)
        if report.switch_off:
            self._switching_off.ask(state, report)
        if report.transition in ("breached", "latched"):
            self._go_back(stage, report, why)
            return
        match report.transition:
            case "hold_began" | "hold_changed":
                context.note("hold", f"holding: {why}")
                context.tell("warning", f"{stage.name} is holding", why)
            case "hold_needs_a_person":
                context.note("hold", f"still holding, a person is needed: {why}")
                context.tell("page", f"{stage.name} still holds", why)
            case "hold_ended":
                context.note("hold", "the hold ended: every gate passes again")
                context.tell("info", f"{stage.name} goes on", "Every gate passes again; the credit clock runs.")
            case "warned":
                warned = "; ".join(j.reason for j in report.judgements if j.gate in report.soak.warned)
                context.note("gate", f"warning: {warned}")
                context.tell("warning", f"{stage.name}: a warning", warned)
            case "credit_complete" | "conclusive":
                raise AssertionError("full credit ends a soak, it is not a transition inside it")

    def _go_back(self, stage: Stage, report: WatchReport, why: str) -> None:
        """All the way, or by one stage where no more is asked for."""
        if report.transition == "latched":
            raise GoBack(latched(report.why))
        detected_after = (workflow.now() - report.soak.judged_until).total_seconds()
        self._context.note("gate", f"{stage.name} failed: {why}")
        if TAKEN_BACK in report.soak.causes:
            raise GoBack(RollbackOrder("emergency", "somebody else", why, detected_after))
        if not self._leads_one_stage_down(report):
            failed = ", ".join(name for name in report.soak.causes if name != SWITCHED_OFF)
            raise GoBack(RollbackOrder("gate", f"gate {failed}", why, detected_after))
        self._progress.stepping_back = True
        self._context.tell("page", f"Stepping back from {stage.name}", why)

    def _leads_one_stage_down(self, report: WatchReport) -> bool:
        """Whether nothing that failed asks for more than a step back, and there is a stage to step back to.

        A gate that would only hold asks for less. Beside a change by others there is no step: the stage below might
        show more than they have just left, for a reason that nobody here knows.
        """
        gates, failed = self._plan.gates, set(report.soak.causes) - {SWITCHED_OFF}
        if not self._progress.entered_last or not failed <= gates.keys():
            return False
        actions = {gates[name].action for name in failed}
        if actions == {"step_back"}:
            return True
        return "rollback" not in actions and workflow.patched("a-hold-asks-for-less-than-a-step-back")

    def _stand(self, stage: Stage, state: StageProgress, target: timedelta) -> None:
        context, plan = self._context, self._plan
        context.waiting_for(None)
        if self._progress.paused:
            following = f"{how_resumed(self._progress)}; gates go on being judged, the credit clock stands"
            context.stand(RolloutStatus.PAUSED, self._progress.paused_why, following)
        elif (why := why_held(state)) is not None:
            alone = undecided(plan, self._progress, stage)
            following = how_decided(self._progress, alone) if alone else how_it_goes_on(self._progress)
            context.stand(RolloutStatus.HOLDING, why, following)
        elif self._progress.watched_until is not None:
            why = f"all stages passed, exposed to {exposures.who_sees(self._progress.exposed_to)}"
            context.stand(RolloutStatus.WATCHING, why, self._until_when(self._progress.watched_until))
        else:
            why = "credit grows while every gate passes on fresh data"
            context.stand(
                RolloutStatus.SOAKING, why, f"{duration_in_words(target)} of credit, then {self._after(stage, state)}"
            )

    def _until_when(self, watched_until: datetime) -> str:
        ends = f"`rollout finish {self._plan.name}` ends it and makes room for the next rollout"
        return f"watched until {moment_in_words(watched_until)}; {ends}"

    def _after(self, stage: Stage, state: StageProgress) -> str:
        rising = [percent for percent in stage.percents if percent > 0]
        if state.step + 1 < len(rising):
            return f"{rising[state.step + 1]} % of the traffic"
        if self._progress.stage + 1 == len(self._plan.stages):
            return "done"
        following = self._plan.stages[self._progress.stage + 1]
        return f"{following.name} (features for {exposures.who_sees(exposures.in_words(following.exposure))})"


def leave(running: asyncio.Future[Any]) -> None:
    """Cancel an activity, or a check, that goes on while something else is waited for, unless it has ended."""
    if not running.done():
        # It ends as cancelled, which nobody waits to hear.
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        running.cancel()


def _what_for(target: timedelta) -> str:
    return "watched" if target >= WITHOUT_END else f"soak of {duration_in_words(target)}"


def latched(why: str) -> RollbackOrder:
    """The kill switch is set in the store: somebody pulled it, or, as `why` says, the watch did."""
    return RollbackOrder("emergency", "flag store", why or "the kill switch of this group was set in the flag store")
