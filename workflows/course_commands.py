"""Updates that change what people are exposed to, or what is rolled out: they lead to calls of outside systems."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.commanded import Commanded
from workflows.context import reason_of
from workflows.rollback import RollbackOrder
from workflows.updates import taking

with workflow.unsafe.imports_passed_through():
    from rollout.commands import CommandName
    from rollout.commands import in_words as command_in_words
    from rollout.flag_limits import why_no_limit
    from rollout.flags import Exposure
    from rollout.holds import why_not_passed_over, why_not_resolved
    from rollout.messages import NOT_CARRIED_OUT, Answer, Command, FlagStage, ReplaceCandidate, ResolveHold
    from rollout.replacement import why_no_image, why_not_replaced


class CourseCommands(Commanded):
    """Step back, resolve a hold, set a flag's stage, replace the candidate."""

    @workflow.update(name=CommandName.STEP_BACK)
    @taking(CommandName.STEP_BACK, Command)
    def step_back(self, command: Command) -> Answer:
        """Go back by one stage: its flags, then its traffic, and its soak anew. Entering again needs an approval."""
        left = self._progress.entered_last
        assert left, "held by the validator"  # noqa: S101
        names = [stage.name for stage in self._progress.stages]
        self._progress.stepping_back = True
        self._commanded(f"stepping back from {names[left]}", command)
        return self._answer(
            f"stepping back to {names[left - 1]}", f"{names[left]} then needs an approval to be entered"
        )

    @step_back.validator
    @taking(CommandName.STEP_BACK, Command)
    def _may_step_back(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self.must_allow(CommandName.STEP_BACK)
        if self._progress.stepping_back:
            raise ApplicationError("cannot step back: it is being done; one step at a time")
        if not self._progress.entered_last:
            raise ApplicationError(
                "cannot step back: nobody sees the features yet; the emergency rollback takes the deployment back too"
            )

    @workflow.update(name=CommandName.RESOLVE_HOLD)
    @taking(CommandName.RESOLVE_HOLD, ResolveHold)
    async def resolve_hold(self, command: ResolveHold) -> Answer:
        """End a hold by a person's decision."""
        if command.how == "rollback":
            self._commanded(f"hold resolved: {command.how}", command)
            why = command.reason or "a person decided so, at a hold"
            self._order_rollback(RollbackOrder("emergency", command.by, why))
            return self._answer("taken back", "flags off, then traffic to its anchor, both read back")
        try:
            following = await self._forward.resolve_hold(adopt=command.how == "adopt", gates=command.gates)
        except ActivityError as failure:
            raise _not_carried_out(command_in_words(CommandName.RESOLVE_HOLD), failure, "nothing was adopted") from None
        # Not before: what is refused is adopted by nobody.
        self._commanded(f"hold resolved: {command.how}", command)
        if self._progress.paused:
            self._context.hold_ended_beside_a_pause(following)
            following = f"{following}; it stays paused until `rollout resume {self._progress.plan}`"
        return self._answer("the hold is resolved", following)

    @resolve_hold.validator
    @taking(CommandName.RESOLVE_HOLD, ResolveHold)
    def _may_resolve_hold(self, command: ResolveHold) -> None:
        self.must_allow(CommandName.RESOLVE_HOLD)
        refused = why_not_resolved(self._progress, command.how) or why_not_passed_over(
            self._progress, command.how, command.gates
        )
        if refused is not None:
            raise ApplicationError(f"cannot resolve hold: {refused}")

    @workflow.update(name=CommandName.SET_STAGE)
    @taking(CommandName.SET_STAGE, FlagStage)
    async def set_stage(self, command: FlagStage) -> Answer:
        """Hold one flag of the plan at an earlier stage, or at off, from now on; the others go on."""
        before = self._progress.flags[command.flag]
        try:
            await self._forward.limit(command.flag, command.stage, command.by, command.reason or "by hand")
        except ActivityError as failure:
            left = self._left_at(command.flag, before)
            raise _not_carried_out(command_in_words(CommandName.SET_STAGE), failure, left) from None
        self._commanded(f"{command.flag} set to {command.stage}", command)
        limited = command.flag in self._progress.limits
        following = f"it stays at {command.stage} to the end" if limited else "it rises with the stages again"
        return self._answer(f"{command.flag} set to {command.stage}", f"{following}; the other flags go on")

    def _left_at(self, flag: str, before: Exposure) -> str:
        """A flag that rises by several steps may have taken some of them."""
        if self._order is not None:
            return "everything is taken back"
        now = self._progress.flags[flag]
        return f"{flag} is as it was" if now == before else f"{flag} had reached {now.in_words()} by then"

    @set_stage.validator
    @taking(CommandName.SET_STAGE, FlagStage)
    def _may_set_stage(self, command: FlagStage) -> None:
        self.must_allow(CommandName.SET_STAGE)
        refused = why_no_limit(self._context.plan, self._progress, command.flag, command.stage)
        if refused is not None:
            raise ApplicationError(refused)

    @workflow.update(name=CommandName.REPLACE_CANDIDATE)
    @taking(CommandName.REPLACE_CANDIDATE, ReplaceCandidate)
    async def replace_candidate(self, command: ReplaceCandidate) -> Answer:
        """Go on with other images: features off, traffic at its anchor, the first stage, then the one of now anew."""
        images = self._progress.images | command.images
        try:
            await self._forward.must_not_be_refused(images)
        except ActivityError as refused:
            raise ApplicationError(f"cannot replace candidate: {reason_of(refused)}") from None
        # The rollout went on while the store was asked.
        self._must_allow_replacing(command)
        self._progress.replacing = images
        stage, first = self._progress.current.name, self._progress.stages[0].name
        self._commanded(f"candidate replaced by {', '.join(sorted(command.images.values()))}", command)
        following = f"features off and traffic at its anchor, then {first} again"
        return self._answer("the candidate is replaced", following if stage == first else f"{following}, then {stage}")

    @replace_candidate.validator
    @taking(CommandName.REPLACE_CANDIDATE, ReplaceCandidate)
    def _may_replace_candidate(self, command: ReplaceCandidate) -> None:
        self._must_allow_replacing(command)
        blank = why_no_image(command)
        if blank is not None:
            raise ApplicationError(f"cannot replace candidate: {blank}")

    def _must_allow_replacing(self, command: ReplaceCandidate) -> None:
        self.must_allow(CommandName.REPLACE_CANDIDATE)
        refused = why_not_replaced(self._progress, command)
        if refused is not None:
            raise ApplicationError(f"cannot replace candidate: {refused}")


def _not_carried_out(what: str, failure: ActivityError, left: str) -> ApplicationError:
    return ApplicationError(f"cannot {what}: {reason_of(failure)}; {left}", type=NOT_CARRIED_OUT)
