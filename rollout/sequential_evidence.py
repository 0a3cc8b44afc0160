"""What one interval adds to the evidence: shares, scores and latencies, each as a bet against "no harm"."""

from datetime import timedelta
from math import log

from rollout.best_run import spread_needed, times_left_out
from rollout.capped_bets import capped_bets
from rollout.cohort_history import CohortHistory
from rollout.control_curve import NEAR_P95_TAIL, P95_TAIL, edges_around_p95, exceedance_ratio
from rollout.sample_ratio import SampleRatio
from rollout.sequential_model import (
    Group,
    GroupCounts,
    GroupLatencies,
    GroupScore,
    Interval,
    Keys,
    SequentialGate,
    SequentialState,
)
from rollout.statistics import (
    ERROR_RATIOS,
    LARGEST_GAIN,
    LATENCY_RATIOS,
    Mixture,
    StakeOf,
    fastest_stake,
    log_won,
    stake_for,
)
from rollout.wander import Wander

HARM_SHARE, BEYOND_SHARE = 0.05, 0.6
"""Which part of the gate's margin each key allows: the first key's part is what nobody would notice."""
LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE, LATENCY_BEYOND_SHARE_BEFORE = 0.2, 0.6, 0.5
"""The last in states that began when how far groups wander apart was learnt as bursts of errors are."""
LATENCY_HARM_SHARE_AT_MOST, LATENCY_BEYOND_SHARE_AT_MOST = 0.6, 0.8
"""Where groups wander far apart."""
LEARNT_HALF_LIFE_MINUTES = 1_440.0
UNKNOWN_BURST = 2.0
"""The burst size of a gate that has no control to estimate it from."""
SCORE_STAKES = (0.025, 0.1, 0.3, 0.75)
"""Bets on a score, as parts of the largest stake that cannot lose everything."""


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


_DATA_OF: dict[type[Group], str] = {
    GroupCounts: "counts (total, bad)",
    GroupLatencies: "a histogram (bounds_ms, counts)",
    GroupScore: "a score (score, total)",
}


def with_interval(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState | None:
    """The state with the interval's evidence in it; None where there is none."""
    data = usable(gate, interval)
    if data is None:
        return None
    minutes = gate.interval / timedelta(minutes=1)
    match data:
        case GroupScore() as treated, _:
            return state.model_copy(update={"keys": (_with_score(gate, state.keys[0], treated, minutes),)})
        case GroupLatencies() as treated, GroupLatencies() as control:
            return _with_latencies(gate, state, treated, control, minutes)
        case GroupCounts() as treated, control:
            control = control if isinstance(control, GroupCounts) else GroupCounts(total=0)
            return state.model_copy(update={"keys": (_with_shares(gate, state.keys[0], treated, control, minutes),)})
    raise ValueError("treated and control hold different kinds of data")


def with_control_alone(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """Before anybody is treated, control tells how bad events come together; nothing is judged by it."""
    control = interval.control
    if gate.statistic != "bad_share" or not isinstance(control, GroupCounts) or control.total == 0:
        return state
    keys, minutes = state.keys[0], gate.interval / timedelta(minutes=1)
    learnt = keys.dispersion_after(0, 0, control.bad, control.total, minutes)
    return state.model_copy(update={"keys": (keys.model_copy(update={"dispersion": learnt}),)})


def with_history(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState:
    """What an interval without exposure tells of the cohort, and of how bad events come together. Nothing is judged."""
    minutes = gate.interval / timedelta(minutes=1)
    match usable(gate, interval):
        case GroupCounts() as treated, GroupCounts() as control if gate.kind == "versus_control":
            return state.model_copy(update={"keys": (_with_past(state.keys[0], treated, control, minutes),)})
        case GroupLatencies() as treated, GroupLatencies() as control:
            edges, learnt = _learnt(state, treated, control, minutes)
            keys = tuple(
                _with_past(key, _above(treated, edge), _above(control, edge), minutes)
                for key, edge in zip(state.keys, edges, strict=bool(edges))
            )
            return learnt.model_copy(update={"keys": keys or state.keys})
        case _:
            return state


def _with_past(keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    counts = (treated.bad, treated.total, control.bad, control.total)
    history = (keys.history or CohortHistory()).after(*counts, keys.dispersion.phi)
    dispersion = keys.dispersion_after(*counts, minutes)
    return keys.model_copy(update={"history": history, "dispersion": dispersion})


def _above(group: GroupLatencies, edge: int) -> GroupCounts:
    return GroupCounts(total=group.total, bad=group.at_or_above(edge))


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


def _with_shares(gate: SequentialGate, keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    if gate.kind == "zero_tolerance":
        bad = treated.bad + (control.bad if gate.group == "all" else 0)
        return keys.model_copy(update={"bad": keys.bad + bad, "total": keys.total + treated.total})
    if gate.kind == "threshold":
        limit = gate.allowed_share
        grown = _grown(keys, treated, GroupCounts(total=0), ((limit, 1.0), (limit, 1.0)), ERROR_RATIOS, minutes)
        share = max(limit, _pooled(grown.bad, grown.total))
        variance = keys.dispersion.phi * treated.total * share * (1 - share)
        return _averaged(grown, treated.bad / treated.total, treated.total, variance, treated.total)
    margin = gate.max_difference or 0.0
    allowed = ((HARM_SHARE * margin, keys.allowed_ratio), (BEYOND_SHARE * margin, keys.allowed_ratio))
    grown = _grown(keys, treated, control, allowed, ERROR_RATIOS, minutes)
    if keys.best_run is not None:
        phi = keys.dispersion.phi
        needed = spread_needed(phi, margin * treated.total)
        times = times_left_out(phi, margin * (treated.total + control.total))
        grown = grown.model_copy(update={"best_run": keys.best_run.after(log(grown.harm_odds), needed, times)})
    return _compared(keys, grown, treated, control, margin, 1.0)


def _with_score(gate: SequentialGate, keys: Keys, treated: GroupScore, minutes: float) -> Keys:
    """A bet needs only that the expected score is no lower than allowed, whatever its distribution."""
    lost, limit = 1 - treated.score, gate.allowed_share
    total, bad = keys.total + treated.total, keys.bad + (1 if lost > 0 else 0)
    if limit <= 0:
        return keys.model_copy(update={"bad": bad, "total": total})
    factors = [log(1 + part / limit * (lost - limit)) for part in SCORE_STAKES]
    average = keys.average
    mean = average.difference / average.weight if average.weight else lost
    variance = max((lost - mean) ** 2, (limit / 4) ** 2)
    return keys.model_copy(
        update={
            "harm": keys.harm.after(factors, minutes),
            "beyond": keys.beyond.after(factors, minutes),
            "average": average.after(lost, 1.0, variance, treated.total),
            "bad": bad,
            "total": total,
        }
    )


def _with_latencies(
    gate: SequentialGate, state: SequentialState, treated: GroupLatencies, control: GroupLatencies, minutes: float
) -> SequentialState:
    """Requests above two bucket edges around control's p95, as counts: exact whatever the width of the buckets."""
    edges, learnt = _learnt(state, treated, control, minutes)
    known = _known(state, control)
    keys, increase = state.keys, gate.max_increase or 0.0
    if edges:
        grown = []
        for key, edge in zip(keys, edges, strict=True):
            above, other = _above(treated, edge), _above(control, edge)
            ratios = [
                exceedance_ratio(known, control.bounds_ms, edge, part * increase) for part in (*_tolerated(key), 1.0)
            ]
            allowed = ((0.0, key.allowed_ratio * ratios[0]), (0.0, key.allowed_ratio * ratios[1]))
            bets = _grown(key, above, other, allowed, LATENCY_RATIOS, minutes)
            grown.append(_compared(key, bets, above, other, 0.0, ratios[2]))
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


def _learnt(
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


def _grown(
    keys: Keys,
    treated: GroupCounts,
    control: GroupCounts,
    allowed: tuple[tuple[float, float], tuple[float, float]],
    risk_ratios: tuple[float, ...],
    minutes: float,
) -> Keys:
    """Both keys after the interval, each with its own (margin, ratio), and the burst size learnt from the past only."""
    burst = keys.dispersion.burst if control.total else UNKNOWN_BURST
    largest = keys.dispersion.largest_gain if control.total else LARGEST_GAIN
    stake_of = _stakes(keys)
    wealth = []
    bets: list[tuple[float, float]] = []
    known: float | None = None
    for mixture, (margin, ratio) in zip((keys.harm, keys.beyond), allowed, strict=True):
        if ratio != known:
            bets, known = _bets(treated, control, ratio, burst, risk_ratios, stake_of), ratio
        factors = [won - margin * stake * treated.total for stake, won in bets]
        wealth.append(mixture.after(factors, minutes, largest_gain=largest))
    counts = (treated.bad, treated.total, control.bad, control.total)
    learnt = keys.dispersion_after(*counts, minutes) if control.total else None
    return keys.model_copy(
        update={
            "capped": _capped(keys, treated, control, allowed, risk_ratios, minutes),
            "harm": wealth[0],
            "beyond": wealth[1],
            "dispersion": learnt or keys.dispersion,
            "bad": keys.bad + treated.bad,
            "total": keys.total + treated.total,
            "control_bad": keys.control_bad + control.bad,
            "control_total": keys.control_total + control.total,
        }
    )


def _capped(
    keys: Keys,
    treated: GroupCounts,
    control: GroupCounts,
    allowed: tuple[tuple[float, float], tuple[float, float]],
    risk_ratios: tuple[float, ...],
    minutes: float,
) -> tuple[Mixture, Mixture] | None:
    """What the second bettor has after the interval; where shares are compared, both keys allow the same ratio."""
    if keys.capped is None:
        return None
    share = allowed[0][1] * treated.total / control.total
    known = keys.dispersion
    bets = capped_bets(
        treated.bad,
        control.bad,
        share=share,
        burst=known.burst,
        events=known.events,
        risk_ratios=risk_ratios,
        stake_of=_stakes(keys),
    )
    harm, beyond = (
        mixture.after([min(bet.largest, bet.won - margin * bet.stake * treated.total) for bet in bets], minutes)
        for mixture, (margin, _) in zip(keys.capped, allowed, strict=True)
    )
    return harm, beyond


def _stakes(keys: Keys) -> StakeOf:
    return fastest_stake if keys.bets_by_dispersion else stake_for


def _bets(
    treated: GroupCounts,
    control: GroupCounts,
    ratio: float,
    burst: float,
    risk_ratios: tuple[float, ...],
    stake_of: StakeOf,
) -> list[tuple[float, float]]:
    """For each risk ratio the stake, and what it has won; keys that differ by their margin alone share these."""
    share = ratio * treated.total / control.total if control.total else 0.0
    bets = []
    for risk_ratio in risk_ratios:
        stake = stake_of(risk_ratio, share, burst) if control.total else (risk_ratio - 1) / burst
        bets.append((stake, log_won(treated.bad, control.bad, share=share, stake=stake, burst=burst)))
    return bets


def _compared(
    before: Keys, grown: Keys, treated: GroupCounts, control: GroupCounts, margin: float, ratio: float
) -> Keys:
    """The average difference with the interval in it, its variance taken where the limit is just reached."""
    weight = treated.total * control.total / (treated.total + control.total)
    reference = _pooled(grown.control_bad, grown.control_total)
    at_limit = min(1.0, max(ratio * reference + margin, _pooled(grown.bad, grown.total)))
    variance = at_limit * (1 - at_limit) / treated.total + ratio**2 * reference * (1 - reference) / control.total
    difference = treated.bad / treated.total - ratio * control.bad / control.total
    return _averaged(grown, difference, weight, before.dispersion.phi * weight**2 * variance, treated.total)


def _averaged(keys: Keys, difference: float, weight: float, variance: float, total: int) -> Keys:
    return keys.model_copy(update={"average": keys.average.after(difference, weight, variance, total)})


def _pooled(bad: int, total: int) -> float:
    """A share that is never 0 or 1."""
    return (bad + 1) / (total + 100)
