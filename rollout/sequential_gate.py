"""A gate judged after every interval, for as long as its soak lasts, without losing count of how often it was asked.

    state = begin(gate)
    state, judgement = step(gate, state, interval)

Two keys: the first says that the new code does harm at all, the second that the harm is beyond half of what the gate
allows. The first alone holds; both together fail. Passing early needs a bound on the average harm below the limit.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import exp, log
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rollout.interval_estimates import newcombe, wilson
from rollout.quantity import Duration, Limit, Share
from rollout.statistics import (
    ERROR_RATIOS,
    LATENCY_RATIOS,
    PASS_INTERVALS,
    Average,
    Dispersion,
    Mixture,
    log_kernel,
    stake_for,
)
from rollout.verdict import Action, Verdict

Decision = Literal["advance", "hold", "rollback", "continue"]

HARM_NEEDED, BEYOND_NEEDED = 300.0, 10.0
"""Odds at which each key turns: 1 % over three gates, and 10 %."""
HARM_SHARE, BEYOND_SHARE = 0.05, 0.5
"""Which part of the gate's margin each key allows: the first key's part is what nobody would notice."""
LATENCY_HARM_SHARE = 0.2
PASS_REQUESTS = 1_000
MISSING_BEFORE_A_HOLD = 5
GAPS_KEPT = 16
"""Beyond that the oldest gap is given up: its data will not be used when they arrive."""
P95_TAIL = 0.05
LEARNT_FROM = 1_000
"""Requests in control before a latency gate knows where its p95 lies."""
LEARNT_HALF_LIFE_MINUTES = 1_440.0
UNKNOWN_BURST = 2.0
"""The burst size of a gate that has no control to estimate it from."""
SHOWN_Z = 2.5758
"""For people: the 99 % interval around what was measured so far."""
SCORE_STAKES = (0.025, 0.1, 0.3, 0.75)
"""Bets on a score, as parts of the largest stake that cannot lose everything."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SequentialGate(_Frozen):
    """What is judged. Exactly one of the limits, as its kind wants it; fields of a plan's gate may stand beside them.

    versus_control: `max_difference` (bad_share, in points) or `max_increase` (p95, relative to control).
    threshold: `at_most` or `below` of bad_share, `at_least` of good_share or level. zero_tolerance: none.
    """

    kind: Literal["versus_control", "threshold", "zero_tolerance"]
    statistic: Literal["bad_share", "good_share", "p95", "level"] = "bad_share"
    max_difference: Share | None = Field(default=None, gt=0)
    max_increase: Share | None = Field(default=None, gt=0)
    at_most: Limit | None = None
    below: Limit | None = None
    at_least: Limit | None = None
    action: Action = "rollback"
    title: str = "gate"
    metric: str = ""
    group: Literal["treated", "all"] = "treated"
    window: Duration | None = None
    page_after: Duration | None = None
    minimum_sample: int = Field(default=PASS_REQUESTS, ge=1)
    interval: Duration = Field(default=timedelta(minutes=1), description="length of each interval")

    @model_validator(mode="after")
    def _one_limit_that_fits(self) -> "SequentialGate":
        limits = ("max_difference", "max_increase", "at_most", "below", "at_least")
        given = [name for name in limits if getattr(self, name) is not None]
        allowed = _LIMITS_OF.get((self.kind, self.statistic), ())
        if self.kind == "zero_tolerance":
            if given:
                raise ValueError(f"{given[0]}: zero_tolerance has no limit but 0")
        elif len(given) != 1 or given[0] not in allowed:
            wanted = " or ".join(allowed) or "another statistic"
            raise ValueError(
                f"{self.kind} of {self.statistic} has exactly one limit, {wanted}; got {', '.join(given) or 'none'}"
            )
        if self.limit is not None and (self.limit.unit == "ms" or not 0 <= self.limit.value <= 1):
            raise ValueError(f"{given[0]}: a share from 0% to 100%, got {self.limit}")
        return self

    @property
    def limit(self) -> Limit | None:
        return self.at_most or self.below or self.at_least

    @property
    def allowed_share(self) -> float:
        """The largest bad share that a threshold gate lets pass."""
        limit = self.limit
        assert limit is not None, "held by validation"  # noqa: S101
        return 1 - limit.value if self.at_least is not None else limit.value


_LIMITS_OF = {
    ("versus_control", "bad_share"): ("max_difference",),
    ("versus_control", "p95"): ("max_increase",),
    ("threshold", "bad_share"): ("at_most", "below"),
    ("threshold", "good_share"): ("at_least",),
    ("threshold", "level"): ("at_least",),
}


class GroupCounts(_Frozen):
    total: int = Field(ge=0)
    bad: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bad_are_among_all(self) -> "GroupCounts":
        if self.bad > self.total:
            raise ValueError(f"bad: at most total ({self.total}), got {self.bad}")
        return self


class GroupLatencies(_Frozen):
    """`counts` has one entry more than `bounds_ms`: below the first edge, between edges, above the last."""

    bounds_ms: tuple[float, ...] = Field(min_length=3)
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _one_bucket_more_than_bounds(self) -> "GroupLatencies":
        if len(self.counts) != len(self.bounds_ms) + 1:
            raise ValueError(f"counts: {len(self.bounds_ms) + 1} for these bounds_ms, got {len(self.counts)}")
        if any(count < 0 for count in self.counts):
            raise ValueError("counts: none below 0")
        if any(low >= high for low, high in zip(self.bounds_ms, self.bounds_ms[1:], strict=False)):
            raise ValueError("bounds_ms: ascending")
        return self

    @property
    def total(self) -> int:
        return sum(self.counts)

    def at_or_above(self, edge: int) -> int:
        return sum(self.counts[edge + 1 :])


class GroupScore(_Frozen):
    score: float = Field(ge=0, le=1)
    total: int = Field(default=1, ge=0)


Group = GroupCounts | GroupLatencies | GroupScore


class Interval(_Frozen):
    """One closed interval. A group that is missing had no data; nothing is not zero."""

    end: datetime
    treated: Group | None = None
    control: Group | None = None


class Evidence(_Frozen):
    """Odds against "no harm" and against "no harm beyond half of the limit", and what turns each key."""

    harm: float
    harm_needed: float = HARM_NEEDED
    beyond: float
    beyond_needed: float = BEYOND_NEEDED


class SequentialJudgement(_Frozen):
    decision: Decision
    verdict: Verdict
    evidence: Evidence
    interval: datetime
    reason: str


class Keys(_Frozen):
    """One pair of e-values, and the sums that people are shown."""

    harm: Mixture
    beyond: Mixture
    dispersion: Dispersion = Field(default_factory=Dispersion)
    average: Average = Field(default_factory=Average)
    bad: int = 0
    total: int = 0
    control_bad: int = 0
    control_total: int = 0


class SequentialState(_Frozen):
    """Everything that the next interval needs; a few kilobytes of JSON whatever the length of the soak."""

    keys: tuple[Keys, ...]
    edges: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = ()
    control_counts: tuple[float, ...] = ()
    newest: datetime | None = None
    gaps: tuple[tuple[datetime, datetime], ...] = Field(default=(), description="ends in (since, until] are missing")
    missing_in_a_row: int = 0
    failed: str = ""


def begin(gate: SequentialGate) -> SequentialState:
    """No evidence either way."""
    arms = len(SCORE_STAKES) if gate.statistic == "level" else len(ERROR_RATIOS)
    count = 2 if gate.statistic == "p95" else 1
    return SequentialState(keys=(Keys(harm=Mixture.fresh(arms), beyond=Mixture.fresh(arms)),) * count)


def step(
    gate: SequentialGate, state: SequentialState, interval: Interval
) -> tuple[SequentialState, SequentialJudgement]:
    """The state and the judgement after one more interval. An interval that is in the evidence already changes nothing.

    Raises:
        ValueError: the interval holds another kind of data than the gate judges.
    """
    placed = _placed(gate, state, interval.end)
    if placed is None:
        return state, _judged(gate, state, interval.end, f"the interval that ended at {_at(interval.end)} was judged")
    newest = state.newest is None or interval.end > state.newest
    missing = 0
    applied = placed if state.failed else _applied(gate, placed, interval)
    if applied is None:
        applied, missing = placed, placed.missing_in_a_row + (1 if newest else 0)
    elif not newest:
        missing = placed.missing_in_a_row
    applied = applied.model_copy(update={"missing_in_a_row": missing})
    if not applied.failed and (why := _failure(gate, applied, interval)):
        applied = applied.model_copy(update={"failed": why})
    nobody = _usable(gate, interval) is None
    return applied, _judged(gate, applied, interval.end, "nobody to judge in this interval" if nobody else "")


def _placed(gate: SequentialGate, state: SequentialState, end: datetime) -> SequentialState | None:
    """The state that knows this interval's end; None where it has been judged, or was given up."""
    half = gate.interval / 2
    if state.newest is None:
        return state.model_copy(update={"newest": end})
    if end > state.newest + half:
        gaps, missed = state.gaps, round((end - state.newest) / gate.interval) - 1
        if missed > 0:
            gaps = (*gaps, (state.newest, end - gate.interval))[-GAPS_KEPT:]
        return state.model_copy(
            update={"newest": end, "gaps": gaps, "missing_in_a_row": state.missing_in_a_row + missed}
        )
    for index, (since, until) in enumerate(state.gaps):
        if since + half < end <= until + half:
            pieces = ((since, end - gate.interval), (end, until))
            left = tuple(piece for piece in pieces if piece[1] - piece[0] > half)
            return state.model_copy(update={"gaps": (*state.gaps[:index], *left, *state.gaps[index + 1 :])})
    return None


def _usable(gate: SequentialGate, interval: Interval) -> tuple[Group, Group | None] | None:
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


def _applied(gate: SequentialGate, state: SequentialState, interval: Interval) -> SequentialState | None:
    """The state with the interval's evidence in it; None where there is none."""
    usable = _usable(gate, interval)
    if usable is None:
        return None
    minutes = gate.interval / timedelta(minutes=1)
    match usable:
        case GroupScore() as treated, _:
            return state.model_copy(update={"keys": (_with_score(gate, state.keys[0], treated, minutes),)})
        case GroupLatencies() as treated, GroupLatencies() as control:
            return _with_latencies(gate, state, treated, control, minutes)
        case GroupCounts() as treated, control:
            control = control if isinstance(control, GroupCounts) else GroupCounts(total=0)
            return state.model_copy(update={"keys": (_with_shares(gate, state.keys[0], treated, control, minutes),)})
    raise ValueError("treated and control hold different kinds of data")


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
    allowed = ((HARM_SHARE * margin, 1.0), (BEYOND_SHARE * margin, 1.0))
    grown = _grown(keys, treated, control, allowed, ERROR_RATIOS, minutes)
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
    if treated.bounds_ms != control.bounds_ms:
        raise ValueError("bounds_ms: treated and control need the same edges")
    known = state.control_counts if state.bounds_ms == control.bounds_ms else (0.0,) * len(control.counts)
    edges = state.edges if state.bounds_ms == control.bounds_ms else ()
    edges = edges or _edges_around_p95(known)
    keys, increase = state.keys, gate.max_increase or 0.0
    if edges:
        grown = []
        for key, edge in zip(keys, edges, strict=True):
            above = GroupCounts(total=treated.total, bad=treated.at_or_above(edge))
            other = GroupCounts(total=control.total, bad=control.at_or_above(edge))
            ratios = [
                _exceedance_ratio(known, control.bounds_ms, edge, part * increase)
                for part in (LATENCY_HARM_SHARE, BEYOND_SHARE, 1.0)
            ]
            bets = _grown(key, above, other, ((0.0, ratios[0]), (0.0, ratios[1])), LATENCY_RATIOS, minutes)
            grown.append(_compared(key, bets, above, other, 0.0, ratios[2]))
        keys = tuple(grown)
    kept = 0.5 ** (minutes / LEARNT_HALF_LIFE_MINUTES)
    learnt = tuple(round(old * kept + new, 1) for old, new in zip(known, control.counts, strict=True))
    return state.model_copy(
        update={"keys": keys, "edges": edges, "bounds_ms": control.bounds_ms, "control_counts": learnt}
    )


def _edges_around_p95(counts: tuple[float, ...]) -> tuple[int, ...]:
    """The last edge below the p95 and the first at or above it; none while too little is known."""
    total = sum(counts)
    if total < LEARNT_FROM:
        return ()
    above = 0.0
    for edge in range(len(counts) - 2, 0, -1):
        above += counts[edge + 1]
        if above > P95_TAIL * total:
            upper = min(edge + 1, len(counts) - 2)
            return (upper - 1, upper)
    return (1, 2)


def _exceedance_ratio(counts: tuple[float, ...], bounds: tuple[float, ...], edge: int, increase: float) -> float:
    """How many times more requests lie above an edge when every one takes `increase` longer; from control's own curve.

    A parabola through three edges, logarithmic in both directions; half a request keeps an empty tail finite.
    """
    total = sum(counts) + 1
    around = [index for index in (edge - 1, edge, edge + 1) if 0 <= index < len(bounds)]
    xs = [log(max(bounds[index], 1e-9)) for index in around]
    ys = [log((sum(counts[index + 1 :]) + 0.5) / total) for index in around]
    at = log(max(bounds[edge], 1e-9)) - log(1 + increase)
    survived = sum(
        y * _product((at - other) / (x - other) for other in xs if other != x) for x, y in zip(xs, ys, strict=True)
    )
    return max(1.0, exp(survived - ys[around.index(edge)]))


def _product(factors: Iterable[float]) -> float:
    result = 1.0
    for factor in factors:
        result *= factor
    return result


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
    wealth = []
    for mixture, (margin, ratio) in zip((keys.harm, keys.beyond), allowed, strict=True):
        share = ratio * treated.total / control.total if control.total else 0.0
        factors = [
            log_kernel(
                treated.bad,
                treated.total,
                control.bad,
                control.total,
                margin=margin,
                ratio=ratio,
                stake=stake_for(risk_ratio, share, burst) if control.total else (risk_ratio - 1) / burst,
                burst=burst,
            )
            for risk_ratio in risk_ratios
        ]
        wealth.append(mixture.after(factors, minutes))
    counts = (treated.bad, treated.total, control.bad, control.total)
    return keys.model_copy(
        update={
            "harm": wealth[0],
            "beyond": wealth[1],
            "dispersion": keys.dispersion.after(*counts, minutes) if control.total else keys.dispersion,
            "bad": keys.bad + treated.bad,
            "total": keys.total + treated.total,
            "control_bad": keys.control_bad + control.bad,
            "control_total": keys.control_total + control.total,
        }
    )


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


def _evidence(state: SequentialState) -> Evidence:
    """Where there are two edges, the mean of both: an e-value again."""
    count = len(state.keys)
    return Evidence(
        harm=sum(keys.harm.wealth for keys in state.keys) / count,
        beyond=sum(keys.beyond.wealth for keys in state.keys) / count,
    )


def _failure(gate: SequentialGate, state: SequentialState, interval: Interval) -> str:
    """Why the gate has failed, or nothing."""
    must_be_zero = gate.kind == "zero_tolerance" or (gate.kind == "threshold" and gate.allowed_share <= 0)
    if must_be_zero:
        return f"{state.keys[0].bad:,} at {_at(interval.end)}, none is tolerated" if state.keys[0].bad else ""
    found = _evidence(state)
    if found.harm >= HARM_NEEDED and found.beyond >= BEYOND_NEEDED:
        return _measured(gate, state)
    return ""


def _passes(gate: SequentialGate, state: SequentialState) -> bool:
    limit = gate.allowed_share if gate.kind == "threshold" else gate.max_difference or 0.0
    if gate.kind == "zero_tolerance":
        return False
    enough = all(keys.total >= gate.minimum_sample and keys.average.intervals >= PASS_INTERVALS for keys in state.keys)
    return enough and all(keys.average.bound() < limit for keys in state.keys)


def _judged(gate: SequentialGate, state: SequentialState, end: datetime, remark: str) -> SequentialJudgement:
    evidence = _evidence(state)
    about = f"{gate.title}: "

    def say(decision: Decision, verdict: Verdict, reason: str) -> SequentialJudgement:
        if gate.action == "warn" and decision in ("rollback", "hold"):
            decision = "continue"
        if gate.action == "hold" and decision == "rollback":
            decision = "hold"
        return SequentialJudgement(
            decision=decision, verdict=verdict, evidence=evidence, interval=end, reason=about + reason
        )

    if state.failed:
        return say("rollback", Verdict.FAIL, state.failed)
    if state.missing_in_a_row > MISSING_BEFORE_A_HOLD:
        return say(
            "hold", Verdict.UNKNOWN, f"no data for {state.missing_in_a_row} intervals, and silence is not health"
        )
    if evidence.harm >= HARM_NEEDED:
        return say("hold", Verdict.SUSPECT, f"{_measured(gate, state)}; worse, but not yet beyond half of the limit")
    if remark:
        return say("continue", Verdict.IDLE, remark)
    if not state.keys[0].total:
        return say("continue", Verdict.UNKNOWN, "learning where control's p95 lies")
    if _passes(gate, state):
        return say("advance", Verdict.PASS, f"{_measured(gate, state)}; the average is below the limit beyond doubt")
    verdict = Verdict.PASS if state.keys[0].total >= gate.minimum_sample else Verdict.UNKNOWN
    return say("continue", verdict, _measured(gate, state))


def _measured(gate: SequentialGate, state: SequentialState) -> str:
    """What was measured over the soak so far, with a 99 % interval; for people, the decision rests on the evidence."""
    keys = state.keys[0]
    if keys.total == 0:
        return "nothing measured so far"
    share = keys.bad / keys.total
    if gate.statistic == "level":
        mean = keys.average.difference / keys.average.weight if keys.average.weight else 0.0
        return f"mean score {(1 - mean) * 100:.3f} %, limit ≥ {gate.limit}; {keys.average.intervals:,} intervals"
    if gate.kind != "versus_control":
        low, high = wilson(keys.bad, keys.total, SHOWN_Z)
        limit = "0" if gate.kind == "zero_tolerance" else f"{gate.allowed_share * 100:.3g} %"
        return (
            f"{share * 100:.3f} % bad, 99 % interval {low * 100:.3f} to {high * 100:.3f}, limit {limit}; {keys.total:,}"
        )
    reference = keys.control_bad / keys.control_total
    sizes = f"{keys.total:,} and {keys.control_total:,} requests"
    if gate.max_increase is not None:
        edge = state.bounds_ms[state.edges[0]]
        return (
            f"{share * 100:.2f} % above {edge:g} ms against {reference * 100:.2f} % in control, "
            f"limit p95 +{gate.max_increase * 100:g} %; {sizes}"
        )
    low, high = newcombe(keys.bad, keys.total, keys.control_bad, keys.control_total, SHOWN_Z)
    return (
        f"{share * 100:.2f} % against {reference * 100:.2f} % in control: {(share - reference) * 100:+.2f} points, "
        f"99 % interval {low * 100:+.2f} to {high * 100:+.2f}, limit +{(gate.max_difference or 0) * 100:.2f}; {sizes}"
    )


def _at(moment: datetime) -> str:
    return f"{moment:%H:%M}"
