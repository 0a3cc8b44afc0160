"""Latencies whose buckets change on the way: what was counted at the old edges says nothing of the new ones."""

from rollout.confidence_sequence import Average
from rollout.control_curve import P95_TAIL
from rollout.sequential_model import Group, GroupLatencies, SequentialState


def counted_at(state: SequentialState, control: Group | None) -> SequentialState:
    """The state before an interval with these latencies of control.

    At other edges than before, the sums and the average begin anew, and what passes has to show it again; the evidence
    goes on, for a bet that was won stays won.
    """
    others = isinstance(control, GroupLatencies) and state.bounds_ms not in ((), control.bounds_ms)
    if not others or state.failed:
        return state
    sums = {"average": Average(), "bad": 0, "total": 0, "control_bad": 0, "control_total": 0}
    return state.model_copy(update={"keys": tuple(keys.model_copy(update=sums) for keys in state.keys)})


def out_of_sight(control: Group | None) -> str:
    """Why control's p95 cannot be seen, where it lies above the last edge; else nothing.

    Whatever it rises to from there, the counts stay the same.
    """
    if not isinstance(control, GroupLatencies) or control.counts[-1] <= P95_TAIL * control.total:
        return ""
    return f"control's p95 lies above the last bucket edge, {control.bounds_ms[-1]:g}, where no bucket shows it rise"
