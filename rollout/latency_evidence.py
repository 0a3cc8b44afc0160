"""What one interval adds to the evidence of a p95 against control's: how many requests lie above fixed bucket edges."""

from rollout.control_curve import NEAR_P95_TAIL, P95_TAIL, edges_around_p95, exceedance_ratio
from rollout.count_bets import with_bets, with_difference
from rollout.e_process import LATENCY_RATIOS
from rollout.sequential_model import GroupCounts, GroupLatencies, Keys, SequentialGate, SequentialState
from rollout.wander import Wander

LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE, LATENCY_BEYOND_SHARE_BEFORE = 0.2, 0.6, 0.5
"""The last in states that began when how far groups wander apart was learnt as bursts of errors are."""
LATENCY_HARM_SHARE_AT_MOST, LATENCY_BEYOND_SHARE_AT_MOST = 0.6, 0.8
"""Where groups wander far apart."""
LEARNT_HALF_LIFE_MINUTES = 1_440.0


def with_latencies(
    gate: SequentialGate, state: SequentialState, treated: GroupLatencies, control: GroupLatencies, minutes: float
) -> SequentialState:
    """Requests above two bucket edges around control's p95, as counts: exact whatever the width of the buckets."""
    edges, learnt = with_control_curve(state, treated, control, minutes)
    known = _known(state, control)
    keys, increase = state.keys, gate.max_increase or 0.0
    if edges:
        grown = []
        for key, edge in zip(keys, edges, strict=True):
            above, other = counts_above(treated, edge), counts_above(control, edge)
            ratios = [
                exceedance_ratio(known, control.bounds_ms, edge, part * increase) for part in (*_tolerated(key), 1.0)
            ]
            allowed = ((0.0, key.allowed_ratio * ratios[0]), (0.0, key.allowed_ratio * ratios[1]))
            bets = with_bets(key, above, other, allowed, LATENCY_RATIOS, minutes)
            grown.append(with_difference(key, bets, above, other, 0.0, ratios[2]))
        keys = tuple(grown)
    return learnt.model_copy(update={"keys": keys})


def _tolerated(key: Keys) -> tuple[float, float]:
    """Which parts of the limit the two keys of a latency gate tolerate, by what was known before the interval."""
    wander = key.dispersion
    if not isinstance(wander, Wander):
        return LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE_BEFORE
    if not key.bets_by_dispersion:
        return LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE
    harm = wander.tolerated(LATENCY_HARM_SHARE, LATENCY_HARM_SHARE_AT_MOST)
    return harm, wander.tolerated(LATENCY_BEYOND_SHARE, LATENCY_BEYOND_SHARE_AT_MOST)


def with_control_curve(
    state: SequentialState, treated: GroupLatencies, control: GroupLatencies, minutes: float
) -> tuple[tuple[int, ...], SequentialState]:
    """The edges around control's p95, from before this interval; and the state with control's curve of it."""
    if treated.bounds_ms != control.bounds_ms:
        raise ValueError("bounds_ms: treated and control need the same edges")
    known = _known(state, control)
    edges = state.edges if state.bounds_ms == control.bounds_ms else ()
    tail = NEAR_P95_TAIL if isinstance(state.keys[0].dispersion, Wander) else P95_TAIL
    edges = edges or edges_around_p95(known, tail)
    kept = 0.5 ** (minutes / LEARNT_HALF_LIFE_MINUTES)
    counts = tuple(round(old * kept + new, 1) for old, new in zip(known, control.counts, strict=True))
    curve = {"edges": edges, "bounds_ms": control.bounds_ms, "control_counts": counts}
    return edges, state.model_copy(update=curve)


def _known(state: SequentialState, control: GroupLatencies) -> tuple[float, ...]:
    """Control's curve so far; nothing where the buckets have changed."""
    return state.control_counts if state.bounds_ms == control.bounds_ms else (0.0,) * len(control.counts)


def counts_above(group: GroupLatencies, edge: int) -> GroupCounts:
    return GroupCounts(total=group.total, bad=group.at_or_above(edge))
