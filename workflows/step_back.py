"""One stage down, because a person or a gate asked for it: flags, then traffic; then the earlier stage soaks again."""

from temporalio import workflow

from workflows.changing import Changing
from workflows.context import RolloutContext
from workflows.exposure import Exposing
from workflows.traffic_shift import shift_all

with workflow.unsafe.imports_passed_through():
    from rollout.progress import RolloutStatus
    from rollout.soak import begin


class StepBack:
    def __init__(self, context: RolloutContext, exposing: Exposing, changing: Changing) -> None:
        self._context = context
        self._changing = changing
        self._exposing = exposing
        self._plan = context.plan
        self._progress = context.progress

    async def take(self) -> None:
        """From the stage that was entered last to the one before it. Entering that stage again needs an approval."""
        context, progress = self._context, self._progress
        left = progress.entered_last
        assert left, "a step back is only accepted above the first stage"  # noqa: S101
        stage, name = self._plan.stages[left - 1], self._plan.stages[left].name
        context.stand(RolloutStatus.ENTERING, f"stepping back from {name} to {stage.name}", "flags, then traffic")
        for index in range(left - 1, len(progress.stages)):
            progress.stages[index] = progress.stages[index].anew()
        progress.stage = left - 1
        earlier = {stage.name for stage in self._plan.stages[:left]}
        progress.approved = [approved for approved in progress.approved if approved in earlier]
        progress.stepped_back_from = (*self._left_before(), name)
        await self._changing.to(stage, self._exposing.expose(stage))
        percent = self._percent_of(left - 1)
        moved = [
            key
            for key, candidate in progress.candidates.items()
            if progress.traffic[key].share_of(candidate.revision) != percent
        ]
        await self._changing.to(stage, shift_all(context, moved, percent))
        state = progress.current
        state.state, state.entered_at = "soaking", workflow.now()
        state.step = state.step_entered = len(stage.steps) - 1
        state.soak_state = begin(workflow.now(), self._plan.check_interval)
        progress.stepping_back = False
        context.note("stage", f"stepped back from {name} to {stage.name}")
        context.tell("warning", f"Stepped back to {stage.name}", f"{name} needs an approval to be entered again.")

    def _left_before(self) -> tuple[str, ...]:
        """The stages above that a person has not approved since they were stepped back from."""
        before = self._progress.stepped_back_from
        return before if before and workflow.patched("all-stages-stepped-back-from-are-approved") else ()

    def _percent_of(self, index: int) -> int:
        """The candidate's share of the traffic at the end of a stage; a stage without traffic steps leaves it."""
        steps = [percent for stage in self._plan.stages[: index + 1] for percent in stage.percents]
        return steps[-1] if steps else 0
