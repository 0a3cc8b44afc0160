"""How a stream begins, and how long its intervals are where the gate does not say."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from rollout.sequential_gate import GAPS_KEPT, begin
from rollout.sequential_model import SequentialGate
from rollout.sequential_state import SequentialState

SHORTEST_UNSAID = timedelta(seconds=1)
ENDS_KEPT = 16
"""The second shortest distance between them is the pace: neither one that came too soon changes it, nor those that are
missing or late."""
EARLIEST_BEFORE_THE_FIRST = timedelta(days=31)
"""How much earlier than the first interval that comes may one end that comes later."""


@dataclass(frozen=True)
class StreamPace:
    """The length of a stream's intervals, for gates that say nothing of it.

    Where they come more densely than the gate takes them to be, one that ends ten seconds after another would be taken
    for the same, and left out. What longer ones seem to leave out between them is taken for missing; so there the gaps
    that are none have to make room for those that are.
    """

    unsaid: timedelta
    """What the gate takes for their length, and the longest that is found."""
    first: datetime
    """The end of the first that came."""
    ends: tuple[datetime, ...] = ()
    """Of those that came last, in that order."""

    @cached_property
    def length(self) -> timedelta:
        """Of the last interval that came: the pace, or less where it came closer. It is asked three times."""
        if len(self.ends) < 2:  # noqa: PLR2004  (a distance needs two)
            return self.unsaid
        between = sorted(later - before for before, later in pairwise(sorted(self.ends)))
        nearest = min(abs(self.ends[-1] - other) for other in self.ends[:-1])
        return self._kept(min(nearest, between[min(1, len(between) // 3)]))

    def after(self, end: datetime) -> "StreamPace":
        """With one more interval; one that came before, to the second, is no news.

        Those that come late stand between those that came before them: a backfill must not seem to be of long
        intervals, most of which would then be taken for the same.
        """
        if self.ends and _to_the_second(min(abs(end - other) for other in self.ends)) == timedelta():
            return self
        return StreamPace(self.unsaid, self.first, (*self.ends, end)[-ENDS_KEPT:])

    def _kept(self, distance: timedelta) -> timedelta:
        return max(SHORTEST_UNSAID, min(_to_the_second(distance), self.unsaid))

    def room_for_earlier(self, state: SequentialState, before: "StreamPace") -> SequentialState:
        """The state that takes what ended just before the first, at this pace and no longer at the one before."""
        until, now = self.first - before.length, self.first - self.length
        gaps = tuple((since, now if last == until < now else last) for since, last in state.gaps)
        return state if gaps == state.gaps else state.model_copy(update={"gaps": gaps})


def _to_the_second(distance: timedelta) -> timedelta:
    return timedelta(seconds=round(distance.total_seconds()))


def begin_at(gate: SequentialGate, end: datetime) -> SequentialState:
    """No evidence, just before the first interval that came; earlier ones may still come."""
    before = end - gate.interval
    return begin(gate).model_copy(update={"newest": before, "gaps": ((end - EARLIEST_BEFORE_THE_FIRST, before),)})


def with_room_for_a_gap(gate: SequentialGate, state: SequentialState, end: datetime) -> SequentialState:
    """The state that has a place left for the gap before an interval that ends then; the shortest gaps give theirs up.

    Between longer intervals than the gate takes them for, each leaves a short one, and what is missing a long one.
    """
    full = len(state.gaps) >= GAPS_KEPT
    if not full or state.newest is None or end < state.newest + gate.interval * 3 / 2:
        return state
    by_length = sorted(range(len(state.gaps)), key=lambda place: state.gaps[place][1] - state.gaps[place][0])
    kept = sorted(by_length[1 - GAPS_KEPT :])
    return state.model_copy(update={"gaps": tuple(state.gaps[place] for place in kept)})
