"""A fuse beside the evidence: gross failure that waits for no statistics."""

from rollout.sequential_model import GroupCounts, Interval, SequentialGate
from rollout.sequential_state import SequentialState
from rollout.stored_state import DIGITS

FUSE_POINTS, FUSE_INTERVALS, FUSE_SAMPLE, FUSE_BAD = 0.20, 3, 50, 150
"""So much worse, in so many intervals in a row, of so many requests each; and so many bad events beyond it in all, more
than one burst brings.

Two in a row happen by chance where a tenth of the users sit on two instances, each of which may fail for a minute.
"""


def with_gross(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """The state with one more gross interval in it, or with none in a row."""
    bad = _gross_bad(gate, interval)
    gross = state.gross_in_a_row + 1 if bad else 0
    in_all = None if state.gross_bad is None else round(state.gross_bad + bad, DIGITS) if bad else 0.0
    if (state.gross_in_a_row, state.gross_bad) == (gross, in_all):
        return state
    return state.model_copy(update={"gross_in_a_row": gross, "gross_bad": in_all})


def _gross_bad(gate: SequentialGate, interval: Interval) -> float:
    """The bad events too many where it is worse by so much that nobody needs statistics to see it; 0 elsewhere."""
    treated, control = interval.treated, interval.control
    if not isinstance(treated, GroupCounts) or treated.total < FUSE_SAMPLE or gate.kind == "zero_tolerance":
        return 0.0
    if gate.kind == "threshold":
        reference = gate.allowed_share
    elif isinstance(control, GroupCounts) and control.total >= FUSE_SAMPLE:
        reference = control.bad / control.total
    else:
        return 0.0
    gross = treated.bad / treated.total >= reference + FUSE_POINTS
    return treated.bad - reference * treated.total if gross else 0.0


def has_blown(state: SequentialState) -> bool:
    return state.gross_in_a_row >= FUSE_INTERVALS and (state.gross_bad is None or state.gross_bad >= FUSE_BAD)
