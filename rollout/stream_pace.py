"""How a stream begins, and how long its intervals are where the gate does not say."""

from datetime import datetime, timedelta

from rollout.sequential_gate import begin
from rollout.sequential_model import SequentialGate
from rollout.sequential_state import SequentialState

SHORTEST_UNSAID = timedelta(seconds=1)
EARLIEST_BEFORE_THE_FIRST = timedelta(days=31)
"""How much earlier than the first interval that comes may one end that comes later."""


def begin_at(gate: SequentialGate, end: datetime) -> SequentialState:
    """No evidence, just before the first interval that came; earlier ones may still come."""
    before = end - gate.interval
    return begin(gate).model_copy(update={"newest": before, "gaps": ((end - EARLIEST_BEFORE_THE_FIRST, before),)})


def at_its_pace(gate: SequentialGate, state: SequentialState, end: datetime) -> SequentialGate:
    """The gate with the length that the intervals have, where they come more densely than it takes them to be.

    For gates that say nothing of it: else an interval that ends ten seconds after another would be taken for the same,
    and left out. Longer ones need nothing: what they seem to leave out between them is taken for missing.
    """
    distance = abs(end - state.newest) if state.newest is not None else timedelta()
    if SHORTEST_UNSAID <= distance <= gate.interval / 2 and distance % SHORTEST_UNSAID == timedelta():
        return gate.model_copy(update={"interval": distance})
    return gate
