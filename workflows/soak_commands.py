"""Updates about when a rollout goes on: they change its record, and what is under way reads that."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.commanded import Commanded, where_allowed
from workflows.updates import taking

with workflow.unsafe.imports_passed_through():
    from rollout.commands import CommandName
    from rollout.holds import why_not_looked_again
    from rollout.messages import Answer, Command, Extend, Promote
    from rollout.progress import RolloutStatus
    from rollout.resumption import how_resumed, what_follows_resuming
    from rollout.soak import Suspension
    from rollout.wording import duration_in_words


class SoakCommands(Commanded):
    """Pause, resume, approve, promote, extend, retry, finish."""

    @workflow.update(name=CommandName.PAUSE)
    @taking(CommandName.PAUSE, Command)
    def pause(self, command: Command) -> Answer:
        """Stop promotion and the credit clock. Gates go on being judged, and roll back what fails."""
        self._progress.suspensions.append(Suspension(since=workflow.now()))
        self._commanded("paused", command)
        self._forward.outdated()
        self._context.stand(RolloutStatus.PAUSED, self._progress.paused_why, how_resumed(self._progress))
        return self._answer("paused", f"gates go on being judged; `rollout resume {self._progress.plan}` goes on")

    pause.validator(where_allowed(CommandName.PAUSE, Command))

    @workflow.update(name=CommandName.RESUME)
    @taking(CommandName.RESUME, Command)
    def resume(self, command: Command) -> Answer:
        """Let the credit clock and promotion go on."""
        suspensions = self._progress.suspensions
        suspensions[-1] = Suspension(since=suspensions[-1].since, until=workflow.now())
        self._commanded("resumed", command)
        self._forward.outdated()
        if workflow.patched("resumed-to-what-it-stood-at"):
            self._context.stand_as_without_the_pause()
        return self._answer("resumed", what_follows_resuming(self._progress))

    resume.validator(where_allowed(CommandName.RESUME, Command))

    @workflow.update(name=CommandName.APPROVE)
    @taking(CommandName.APPROVE, Command)
    def approve(self, command: Command) -> Answer:
        """Let the stage that waits for a person begin; confirms the statements of its checklist."""
        stage = self._progress.current.name
        self._progress.approved.append(stage)
        self._commanded(f"{stage} approved", command)
        held = self._forward.why_held()
        if held is None:
            return self._answer(f"{stage} approved", f"entering {stage}")
        following = f"entering {stage} as soon as nothing holds the stage before it: {held}"
        return Answer(happened=f"{stage} approved", next=following, status=RolloutStatus.HOLDING)

    approve.validator(where_allowed(CommandName.APPROVE, Command))

    @workflow.update(name=CommandName.PROMOTE)
    @taking(CommandName.PROMOTE, Promote)
    def promote(self, command: Promote) -> Answer:
        """End the soak of now: with the next interval in which every gate passes, or at once where that is forced.

        Forced while the stage waits for its window, it begins now.
        """
        stage = self._progress.current
        if self._status is RolloutStatus.AWAITING_WINDOW:
            stage.window_waived = True
            following = "it begins now, outside the plan's windows"
        elif command.force:
            stage.forced = True
            following = "the soak ends now, whatever its gates say"
        else:
            stage.promote_after = workflow.now()
            self._forward.outdated()
            following = "the soak ends with the next interval in which every gate passes"
        self._commanded(f"{stage.name} promoted{' by force' if command.force else ''}", command)
        return self._answer(f"{stage.name} promoted", following)

    @promote.validator
    @taking(CommandName.PROMOTE, Promote)
    def _may_promote(self, command: Promote) -> None:
        self.must_allow(CommandName.PROMOTE)
        if command.force and not command.reason:
            raise ApplicationError("cannot promote by force: it goes against the gates and needs a reason")
        if self._status is RolloutStatus.HOLDING and self._progress.current.state != "soaking":
            raise ApplicationError(
                f"cannot promote: {self._progress.current.name} has not been entered; `resolve-hold` lets it be"
            )
        if self._status in (RolloutStatus.HOLDING, RolloutStatus.AWAITING_WINDOW) and not command.force:
            raise ApplicationError(f"cannot promote: {self._progress.why}. By force, with a reason, all the same")

    @workflow.update(name=CommandName.EXTEND)
    @taking(CommandName.EXTEND, Extend)
    def extend(self, command: Extend) -> Answer:
        """Ask the stage of now for more credit than its plan does."""
        stage, more = self._progress.current, duration_in_words(command.more)
        stage.extended += command.more
        self._commanded(f"{stage.name} extended by {more}", command)
        self._forward.outdated()
        following = "the soak goes on until it has that credit too"
        if stage.soak_state is None:
            following = f"once {stage.name} is entered, it soaks until it has that credit too"
        return self._answer(f"{stage.name} extended by {more}", following)

    extend.validator(where_allowed(CommandName.EXTEND, Extend))

    @workflow.update(name=CommandName.RETRY)
    @taking(CommandName.RETRY, Command)
    def retry(self, command: Command) -> Answer:
        """Look at once, instead of at the next check interval; for whoever has just mended what held the rollout."""
        self._forward.outdated()
        self._commanded("asked to look again", command)
        return self._answer("asked to look again at once", "credit and holds follow from what it sees")

    @retry.validator
    @taking(CommandName.RETRY, Command)
    def _may_retry(self, command: Command) -> None:  # noqa: ARG002  (the decision rests on the rollout's state)
        self.must_allow(CommandName.RETRY)
        if (refused := why_not_looked_again(self._progress)) is not None:
            raise ApplicationError(f"cannot retry: {refused}")

    @workflow.update(name=CommandName.FINISH)
    @taking(CommandName.FINISH, Command)
    def finish(self, command: Command) -> Answer:
        """End the watch after the last stage, or the guard after a rollback, before its time."""
        watching = self._status is not RolloutStatus.ROLLED_BACK
        self._progress.finish_asked = True
        ended = "the watch ended" if watching else "the guard ended"
        self._commanded(ended, command)
        following = "nobody judges its gates" if watching else "nobody undoes late writes"
        return self._answer(ended, f"the rollout closes; {following} any more")

    finish.validator(where_allowed(CommandName.FINISH, Command))
