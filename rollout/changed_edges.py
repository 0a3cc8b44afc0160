"""Latencies whose buckets change on the way: what was counted at the old edges says nothing of the new ones."""

from rollout.control_curve import identity_of
from rollout.sequential_model import Group, GroupLatencies
from rollout.sequential_state import SequentialState

NEARLY_ALL = 0.95


def counted_at(state: SequentialState, control: GroupLatencies) -> SequentialState:
    """The state before an interval with these latencies of control is taken into it.

    At other edges than before, control's curve, the sums and the average begin anew, and what passes has to show it
    again; the evidence goes on, for a bet that was won stays won.
    """
    if not has_other_edges(state, control):
        return state
    keys = tuple(keys.without_sums() for keys in state.keys)
    return state.model_copy(update={"keys": keys, "curve": None, "edges": (), "bounds_ms": (), "control_counts": ()})


def has_other_edges(state: SequentialState, control: Group | None) -> bool:
    """Whether these latencies have other buckets than what is known of control."""
    if not isinstance(control, GroupLatencies):
        return False
    if state.curve is not None:
        return state.curve.buckets != identity_of(control.at_fewer_edges().bounds_ms)
    return state.bounds_ms not in ((), control.bounds_ms)


def out_of_sight(control: Group | None) -> str:
    """Why nothing can be seen of how slow requests are, where nearly all lie above the last edge; else nothing.

    However slow they become there, the counts stay the same. A p95 alone above it is none: what lies above the last
    edge grows with it.
    """
    if not isinstance(control, GroupLatencies) or control.counts[-1] <= NEARLY_ALL * control.total:
        return ""
    edge = f"{control.bounds_ms[-1]:g}"
    return f"nearly all requests of control lie above the last edge, {edge}, where no bucket shows them get slower"
