"""How a stream begins, and how long its intervals are where the gate does not say."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.sequential_gate import begin
from rollout.sequential_model import SequentialGate
from rollout.sequential_state import SequentialState

SHORTEST_UNSAID = timedelta(seconds=1)
DISTANCES_KEPT = 5
"""Their median is the pace: one interval that came too soon, or one that is missing, does not change it."""
EARLIEST_BEFORE_THE_FIRST = timedelta(days=31)
"""How much earlier than the first interval that comes may one end that comes later."""


@dataclass(frozen=True)
class StreamPace:
    """The length of a stream's intervals, for gates that say nothing of it.

    Where they come more densely than the gate takes them to be, one that ends ten seconds after another would be taken
    for the same, and left out. Longer ones need nothing: what they seem to leave out between them is taken for missing.
    """

    unsaid: timedelta
    """What the gate takes for their length, and the longest that is found."""
    first: datetime
    """The end of the first that came."""
    distances: tuple[timedelta, ...] = ()

    @property
    def length(self) -> timedelta:
        """Of the last interval that came: the pace, or less where it came closer than that."""
        if not self.distances:
            return self.unsaid
        return min(self.distances[-1], sorted(self.distances)[len(self.distances) // 2])

    def after(self, newest: datetime, end: datetime) -> "StreamPace":
        """With the distance between one more interval and the newest before it, to the second."""
        distance = timedelta(seconds=round(abs(end - newest).total_seconds()))
        if not distance:
            return self
        kept = max(SHORTEST_UNSAID, min(distance, self.unsaid))
        return StreamPace(self.unsaid, self.first, (*self.distances, kept)[-DISTANCES_KEPT:])

    def room_for_earlier(self, state: SequentialState, before: "StreamPace") -> SequentialState:
        """The state that takes what ended just before the first, at this pace and no longer at the one before."""
        until, now = self.first - before.length, self.first - self.length
        gaps = tuple((since, now if last == until < now else last) for since, last in state.gaps)
        return state if gaps == state.gaps else state.model_copy(update={"gaps": gaps})


def begin_at(gate: SequentialGate, end: datetime) -> SequentialState:
    """No evidence, just before the first interval that came; earlier ones may still come."""
    before = end - gate.interval
    return begin(gate).model_copy(update={"newest": before, "gaps": ((end - EARLIEST_BEFORE_THE_FIRST, before),)})
