"""What comes with any input or none: the emergency, as a signal or an Update, and the question how it stands."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflows.commanded import Commanded
from workflows.rollback import RollbackOrder
from workflows.signals import means_emergency, read_by_and_reason
from workflows.updates import unknown

with workflow.unsafe.imports_passed_through():
    from rollout.messages import LONGEST_NAME, QUERY_PROGRESS, SIGNAL_EMERGENCY, Answer, kept_of
    from rollout.progress import RolloutProgress, RolloutStatus


class AnyShape(Commanded):
    """The emergency is total: it is never refused and never fails to parse."""

    @workflow.signal(dynamic=True)
    def any_signal(self, name: str, values: Sequence[RawValue]) -> None:
        """`emergency_rollback` takes everything back: with any input, or none. {"by": …, "reason": …} is kept."""
        if self.unreadable is not None:
            return
        by, reason = read_by_and_reason(values)
        if means_emergency(name):
            self._order_rollback(RollbackOrder("emergency", by or "a signal", reason or "emergency rollback"))
            return
        shown = kept_of(name, LONGEST_NAME)
        hint = f"signal {shown!r} is not known and changed nothing; the emergency signal is {SIGNAL_EMERGENCY}"
        if self._stands_in_the_record(hint) and workflow.patched("unknown-signals-told-once"):
            return
        self._context.note("command", hint, by)
        self._context.tell("warning", "Unknown signal", hint)

    def _stands_in_the_record(self, hint: str) -> bool:
        """Somebody's script may send the same one without end; its name is told once."""
        return any(event.text == hint for event in self._progress.timeline)

    @workflow.update(dynamic=True)
    def any_update(self, name: str, values: Sequence[RawValue]) -> Answer:  # noqa: ARG002  (held by the validator)
        """An emergency that was sent as an Update, with any input or none, is believed like the signal."""
        if self.unreadable is not None:
            raise ApplicationError(self.unreadable)
        by, reason = read_by_and_reason(values)
        self._order_rollback(RollbackOrder("emergency", by or "an Update", reason or "emergency rollback"))
        if self._progress.status is RolloutStatus.REFUSED:
            return self._answer("recorded", "nothing was changed, so nothing is taken back")
        following = "flags off, then traffic to its anchor, both read back"
        return Answer(happened="taken back", next=following, status=self._status)

    @any_update.validator
    def _is_an_emergency(self, name: str, values: Sequence[RawValue]) -> None:  # noqa: ARG002  (any input will do)
        if not means_emergency(name):
            raise ApplicationError(unknown(name))

    @workflow.query(name=QUERY_PROGRESS)
    def progress(self) -> RolloutProgress:
        """The whole record of this rollout."""
        if self.unreadable is not None:
            raise ApplicationError(self.unreadable)
        return self._progress
