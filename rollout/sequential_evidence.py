"""Which evidence one interval adds to a gate's state, by what the gate judges: shares, scores or latencies.

And what an interval teaches that is not judged: about bursts, about the cohort before its exposure, about group sizes.
"""

from datetime import timedelta

from rollout.changed_edges import counted_at
from rollout.cohort_history import CohortHistory
from rollout.latency_evidence import counts_above, with_control_curve, with_latencies
from rollout.sample_ratio import SampleRatio
from rollout.score_evidence import with_score
from rollout.sequential_model import Group, GroupCounts, GroupLatencies, GroupScore, Interval, SequentialGate
from rollout.sequential_state import Keys, SequentialState
from rollout.share_evidence import with_shares

_DATA_OF: dict[type[Group], str] = {
    GroupCounts: "counts (total, bad)",
    GroupLatencies: "a histogram (bounds_ms, counts)",
    GroupScore: "a score (score, total)",
}


def usable(gate: SequentialGate, interval: Interval) -> tuple[Group, Group | None] | None:
    """The data of treated and control that the gate can judge; None where nobody was there.

    Raises:
        ValueError: the interval holds another kind of data than the gate judges.
    """
    treated, control = interval.treated, interval.control
    if treated is None or treated.total == 0:
        return None
    if gate.kind == "versus_control" and (control is None or control.total == 0):
        return None
    wanted = GroupLatencies if gate.statistic == "p95" else GroupScore if gate.statistic == "level" else GroupCounts
    for name, group in (("treated", treated), ("control", control)):
        if group is not None and not isinstance(group, wanted):
            raise ValueError(
                f"{name}: a gate on {gate.statistic} judges {_DATA_OF[wanted]}, got {_DATA_OF[type(group)]}"
            )
    return treated, control


def with_interval(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState | None:
    """The state with the interval's evidence in it; None where there is none."""
    data = usable(gate, interval)
    if data is None:
        return None
    minutes = gate.interval / timedelta(minutes=1)
    match data:
        case GroupScore() as treated, _:
            return state.model_copy(update={"keys": (with_score(gate, state.keys[0], treated, minutes),)})
        case GroupLatencies() as treated, GroupLatencies() as control:
            treated, control = treated.at_fewer_edges(), control.at_fewer_edges()
            return with_latencies(gate, counted_at(state, control), treated, control, minutes)
        case GroupCounts() as treated, control:
            control = control if isinstance(control, GroupCounts) else GroupCounts(total=0)
            return state.model_copy(update={"keys": (with_shares(gate, state.keys[0], treated, control, minutes),)})
    raise ValueError("treated and control hold different kinds of data")


def with_control_alone(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """Before anybody is treated, control tells how bad events come together; nothing is judged by it."""
    control = interval.control
    if gate.statistic != "bad_share" or not isinstance(control, GroupCounts) or control.total == 0:
        return state
    keys, minutes = state.keys[0], gate.interval / timedelta(minutes=1)
    # Against a limit only the treated group's own rate tells of its bursts.
    if keys.by_own_rates and gate.kind == "threshold":
        return state
    learnt = keys.dispersion_after(0, 0, control.bad, control.total, minutes)
    return state.model_copy(update={"keys": (keys.model_copy(update={"dispersion": learnt}),)})


def with_history(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """What an interval without exposure tells of the cohort, and of how bad events come together. Nothing is judged."""
    minutes = gate.interval / timedelta(minutes=1)
    match usable(gate, interval):
        case GroupCounts() as treated, GroupCounts() as control if gate.kind == "versus_control":
            return state.model_copy(update={"keys": (_with_past(state.keys[0], treated, control, minutes),)})
        case GroupLatencies() as treated, GroupLatencies() as control:
            treated, control = treated.at_fewer_edges(), control.at_fewer_edges()
            learnt = with_control_curve(counted_at(state, control), treated, control, minutes)
            keys = tuple(
                _with_past(key, counts_above(treated, edge), counts_above(control, edge), minutes)
                for key, edge in zip(learnt.keys, learnt.edges, strict=bool(learnt.edges))
            )
            return learnt.model_copy(update={"keys": keys or learnt.keys})
        case _:
            return state


def _with_past(keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    counts = (treated.bad, treated.total, control.bad, control.total)
    history = (keys.history or CohortHistory()).after(*counts, keys.dispersion.phi)
    dispersion = keys.dispersion_after(*counts, minutes)
    return keys.model_copy(update={"history": history, "dispersion": dispersion})


def with_sample_ratio(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """What the sizes of the groups say about the planned share. Begins anew where that has changed."""
    treated, control = interval.treated, interval.control
    if gate.planned_share is None:
        return state if state.sample is None else state.model_copy(update={"sample": None})
    if treated is None or control is None:
        return state
    known = state.sample
    if known is None or known.planned != gate.planned_share:
        known = SampleRatio(planned=gate.planned_share, users=gate.users)
    minutes = gate.interval / timedelta(minutes=1)
    return state.model_copy(update={"sample": known.after(treated.total, control.total, minutes)})
