"""Turning off alone what a gate asks for: written beside the watch, which goes on judging whatever the store does.

What is to be off stands in the record first (`limits`), so that no stage turns it on again, and a run that is continued
as new, or a step back, finishes what was begun.
"""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.context import RolloutContext, reason_of
from workflows.exposure import Exposing
from workflows.timers import sleep_for

with workflow.unsafe.imports_passed_through():
    from rollout.exposure import OFF
    from rollout.messages import kept_of
    from rollout.progress import StageProgress, SwitchedOff
    from rollout.soak import held
    from rollout.switch_off import SWITCHED_OFF, judge_switched_off
    from rollout.watch import WatchReport
    from rollout.wording import how_switched_on, off_in_words


class SwitchingOff:
    def __init__(self, context: RolloutContext, exposing: Exposing) -> None:
        self._context = context
        self._exposing = exposing
        self._progress = context.progress
        self._writing: asyncio.Task[None] | None = None
        self.written: Callable[[], None] = lambda: None
        """Called once a flag is off: the watch under way expects another."""

    def ask(self, state: StageProgress, report: WatchReport) -> None:
        """Take down what a watch asks for: the flags are off from now on, and the stage holds until a person decides.

        A plan of before this could ask for nothing, so that no history of before comes here.
        """
        said = {judgement.gate: judgement.reason for judgement in report.judgements}
        for flag, gate in report.switch_off.items():
            self._progress.limits[flag] = OFF
            self._progress.switched_off[flag] = SwitchedOff(gate=gate, why=said[gate], at=workflow.now())
            self._context.note("gate", f"{gate} turns {flag} off alone: {said[gate]}")
        assert state.soak_state is not None, "only a stage that soaks is watched"  # noqa: S101
        state.soak_state = held(state.soak_state, SWITCHED_OFF)
        why = {flag: off_in_words(self._progress, flag) for flag in report.switch_off}
        if (judgement := judge_switched_off(why, state.soak_state.judged_until)) is not None:
            state.judgements = (*state.judgements, judgement)

    def see_to_it(self) -> None:
        """Begin to write what is to be off and is not, unless that is under way."""
        if self._to_do() and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())
            # Whatever takes everything back leaves it, and nobody waits to hear how it ended.
            self._writing.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def leave(self) -> None:
        """Stop writing: everything is being taken back, or the run that follows sees to it."""
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()

    async def finish(self) -> None:
        """Return when everything is off that is to be, for nobody watches any more who would see to it."""
        if self._to_do():
            self._context.waiting_for(f"{', '.join(self._to_do())} off")
            await self._write()

    def _to_do(self) -> list[str]:
        progress = self._progress
        return [flag for flag in progress.switched_off if progress.flags[flag].exposure != OFF]

    async def _write(self) -> None:
        told = ""
        while to_do := self._to_do():
            flag = to_do[0]
            asked = self._progress.switched_off[flag]
            try:
                if await self._exposing.switch_off(flag, f"gate {asked.gate}", kept_of(asked.why)):
                    self._tell(flag, asked)
                self.written()
            except ActivityError as failure:
                if is_cancelled_exception(failure):
                    raise
                refused = f"{flag} could not be turned off: {reason_of(failure)}"
                if refused != told:
                    self._context.note("failure", refused)
                    self._context.tell("page", f"{flag} is not off", f"{refused}; it is tried again at every check.")
                told = refused
                await sleep_for(self._context.plan.check_interval, f"{flag} off: try again")

    def _tell(self, flag: str, asked: SwitchedOff) -> None:
        self._context.note("flags", f"{flag} is off, read back; the other flags stay as they are")
        text = f"{asked.why}. The other flags stay as they are; {how_switched_on(self._progress, flag)}"
        self._context.tell("page", f"{flag} was turned off alone by gate {asked.gate}", text)
