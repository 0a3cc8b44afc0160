"""What one interval adds to the evidence of a p95 against control's: how many requests lie above fixed bucket edges."""

from math import log

from rollout.best_run import spread_needed
from rollout.control_curve import NEAR_P95_TAIL, P95_TAIL, ControlCurve, edges_around_p95, edges_of_p95
from rollout.count_bets import Allowed, CountedInterval, with_bets, with_difference
from rollout.sequential_model import GroupCounts, GroupLatencies, SequentialGate
from rollout.sequential_state import Keys, SequentialState
from rollout.statistics import LATENCY_RATIOS
from rollout.wander import Wander

LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE, LATENCY_BEYOND_SHARE_BEFORE = 0.2, 0.6, 0.5
"""The last in states that began when how far groups wander apart was learnt as bursts of errors are."""
LATENCY_HARM_SHARE_AT_MOST, LATENCY_BEYOND_SHARE_AT_MOST = 0.6, 0.8
"""Where groups wander far apart."""
LARGEST_SPREAD_PHI = 5.0
"""For what must remain without the best run: beyond it groups wander apart for an hour rather than in bursts."""
NEVER_SPARSE = 1.0
"""Bad events that the limit would bring in an interval, for the same: of slow requests there are always some."""


def with_latencies(
    gate: SequentialGate, state: SequentialState, treated: GroupLatencies, control: GroupLatencies, minutes: float
) -> SequentialState:
    """Requests above two bucket edges around control's p95, as counts: exact whatever the width of the buckets.

    `state` is `counted_at` the edges of control's buckets.
    """
    known = _known(state, control.bounds_ms)
    learnt = with_control_curve(state, treated, control, minutes)
    if not learnt.edges:
        return learnt
    increase, grown = gate.max_increase or 0.0, []
    for key, edge in zip(state.keys, learnt.edges, strict=True):
        above, other = counts_above(treated, edge), counts_above(control, edge)
        parts = (*_tolerated(key), 1.0)
        ratios = known.exceedance_ratios(control.bounds_ms, edge, [part * increase for part in parts])
        harm, beyond = (Allowed(0.0, key.allowed_ratio * ratio) for ratio in ratios[:2])
        bets = with_bets(key, CountedInterval(above, other, harm, beyond, LATENCY_RATIOS, minutes))
        average = with_difference(key, bets, above, other, Allowed(0.0, ratios[2]))
        grown.append(bets.model_copy(update={"average": average}))
    phi = max(key.dispersion.phi for key in state.keys)
    return _with_best_run(learnt.model_copy(update={"keys": tuple(grown)}), phi)


def latency_spread_needed(phi: float) -> float:
    """Log odds that must remain without the best run."""
    return spread_needed(min(phi, LARGEST_SPREAD_PHI), NEVER_SPARSE)


def _with_best_run(state: SequentialState, phi: float) -> SequentialState:
    """With the best run of both edges' evidence, which convict together; it is kept with the first of them."""
    first, *others = state.keys
    if first.best_run is None:
        return state
    best_run = first.best_run.after(log(state.harm_odds), latency_spread_needed(phi))
    return state.model_copy(update={"keys": (first.model_copy(update={"best_run": best_run}), *others)})


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
) -> SequentialState:
    """The state with control's curve of the interval, and the edges around its p95 from before the interval.

    `state` is `counted_at` the edges of control's buckets.
    """
    if treated.bounds_ms != control.bounds_ms:
        raise ValueError("bounds_ms: treated and control need the same edges")
    known = _known(state, control.bounds_ms)
    grown = known.after(control.counts, minutes)
    if not known.edges:
        grown = _with_edges(grown, state, control.bounds_ms)
    return state.model_copy(update={"edges": known.edges, "curve": grown, "bounds_ms": (), "control_counts": ()})


def _known(state: SequentialState, bounds: tuple[float, ...]) -> ControlCurve:
    """Control's curve so far."""
    if state.curve is not None:
        return state.curve
    if not state.bounds_ms:
        return ControlCurve.fresh(bounds)
    before = ControlCurve.of_counts(state.control_counts, bounds)
    return before.around(state.edges, bounds) if state.edges else _with_edges(before, state, bounds)


def _with_edges(curve: ControlCurve, state: SequentialState, bounds: tuple[float, ...]) -> ControlCurve:
    """The curve with the edges around its p95 as soon as enough is known."""
    if state.keys[0].by_own_rates:
        edges = edges_of_p95(curve.counts)
    else:
        tail = NEAR_P95_TAIL if isinstance(state.keys[0].dispersion, Wander) else P95_TAIL
        edges = edges_around_p95(curve.counts, tail)
    return curve.around(edges, bounds) if edges else curve


def counts_above(group: GroupLatencies, edge: int) -> GroupCounts:
    return GroupCounts(total=group.total, bad=group.at_or_above(edge))
