"""What all handlers of one rollout share: its record, whether it goes back already, and when a command is refused."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.context import RolloutContext
from workflows.rollback import RollbackOrder, ordered_before
from workflows.stages import WayForward
from workflows.updates import taking

with workflow.unsafe.imports_passed_through():
    from rollout.commands import CommandName, decisive, refusal
    from rollout.messages import Answer, Command
    from rollout.progress import ASKED_AGAIN, Answered, RolloutProgress, RolloutStatus


class Commanded:
    """The part of the workflow that its handlers are built on."""

    unreadable: str | None = None
    """What is wrong with the input that it was started with: then there is no rollout that could be asked anything."""

    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self._progress: RolloutProgress = context.progress
        self._forward = WayForward(context)
        self._order = ordered_before(context.progress.rollback)

    def _order_rollback(self, order: RollbackOrder) -> None:
        """The first order decides; what comes later is kept in the record."""
        nothing_to_undo = self._progress.status is RolloutStatus.REFUSED
        if self._order is None and not nothing_to_undo:
            self._order = order
        else:
            self._context.note("command", f"{ASKED_AGAIN}{order.reason}", order.by)

    @property
    def _status(self) -> RolloutStatus:
        """As it stands from now on: what was ordered counts, though nothing of it may have been done yet."""
        ordered = self._order is not None and not self._progress.status.is_final
        return RolloutStatus.ROLLING_BACK if ordered else self._progress.status

    def must_allow(self, command: CommandName) -> None:
        refused = refusal(command, decisive(command, self._status, self._progress))
        if refused is not None:
            raise ApplicationError(refused)

    def answer_before(self) -> Answer | None:
        """What was answered to the request of now when it came to a run before this one."""
        request = _request_of_now()
        answers = [answered for answered in self._progress.answered if answered.request == request]
        return Answer.model_validate(answers[-1].model_dump(exclude={"request"})) if answers else None

    def answering(self, result: object) -> object:
        """What a handler answers is kept; a validator answers nothing."""
        if isinstance(result, Answer):
            self._progress.answer(Answered(request=_request_of_now(), **result.model_dump()))
        return result

    def _commanded(self, happened: str, command: Command) -> None:
        reason = f": {command.reason}" if command.reason else ""
        self._context.note("command", f"{happened} by {command.by}{reason}", command.by)

    def _answer(self, happened: str, following: str) -> Answer:
        return Answer(happened=happened, next=following, status=self._progress.status)


def _request_of_now() -> str:
    update = workflow.current_update_info()
    assert update is not None, "asked for within an Update"  # noqa: S101
    return update.id


def where_allowed(name: CommandName, message: type[Command]) -> Callable[..., None]:
    """The validator of a command that is refused by where the rollout stands alone, whatever else it says."""

    @taking(name, message)
    def must_be_allowed(commanded: Commanded, _command: Command) -> None:
        commanded.must_allow(name)

    return must_be_allowed
