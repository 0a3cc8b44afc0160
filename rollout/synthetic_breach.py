"""A gate on trial: measurements that break its limit plainly, and how long it takes until the gate says so.

The breach is made from what the metric says now, its rate and its buckets, and judged by the very functions that judge
a rollout. A gate that does not fire on it would sleep through the real one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from rollout.gate_judgement import judge_probe
from rollout.gates import (
    QUANTILES,
    AbsenceGate,
    Gate,
    MeasuredGate,
    ProbeGate,
    ThresholdGate,
    VersusBaselineGate,
    VersusControlGate,
    ZeroToleranceGate,
)
from rollout.interval_judgement import Answers, judge_interval
from rollout.interval_series import IntervalSeries
from rollout.measurement import Counts, Group, Histogram, IntervalMeasurement, Level, Sample
from rollout.sample_sums import times
from rollout.soak import begin
from rollout.soak_evidence import SoakEvidence
from rollout.verdict import Verdict
from rollout.watch import BoundGate

TIMES_BEYOND = 3.0
"""How far beyond its limit the breach is: three times the difference that the gate allows."""
INTERVALS_TRIED = 720
SMALLEST_EXCESS = 0.01
"""Where a limit allows nothing, one in a hundred is a plain breach."""
SEEN_PER_INTERVAL = 1_000
"""Observations per interval that are assumed of a metric that says nothing yet."""
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Usual:
    """What one interval of a metric usually holds, over all groups; `assumed` where it says nothing yet."""

    sample: Sample
    assumed: bool


@dataclass(frozen=True)
class Trial:
    """`fires_after` is None where the gate never failed; `said` is its last reason, or the one it failed with."""

    fires_after: timedelta | None
    said: str


def assumed(gate: Gate) -> Usual:
    """What is assumed of a gate's metric that says nothing yet."""
    statistic = gate.statistic if isinstance(gate, MeasuredGate) else "bad_share"
    limit = gate.limit.value if isinstance(gate, ThresholdGate) else 100.0
    match statistic:
        case "bad_share" | "good_share":
            return Usual(Counts(total=SEEN_PER_INTERVAL), assumed=True)
        case "level":
            return Usual(Level(value=limit), assumed=True)
        case _:
            bounds = tuple(limit * factor for factor in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0))
            counts = tuple(round(SEEN_PER_INTERVAL * share) for share in (0.6, 0.3, 0.09, 0.01, 0.0, 0.0, 0.0))
            return Usual(Histogram(bounds=bounds, counts=counts, sum=SEEN_PER_INTERVAL * limit / 8), assumed=True)


def try_breach(
    name: str, bound: BoundGate, usual: Mapping[str, Usual], *, treated: float, interval: timedelta
) -> Trial:
    """Judge a breach that begins with the stage and stays. `treated` is the share of users who see the features."""
    gate = bound.gate
    if isinstance(gate, ProbeGate):
        judged = judge_probe(name, gate, status=500, field=None, as_of=_EPOCH)
        return Trial(timedelta() if judged.verdict is Verdict.FAIL else None, judged.reason)
    breach = _breach(gate, bound, usual, treated)
    soak = begin(_EPOCH, interval)
    evidence = SoakEvidence(since=soak.since)
    series = {metric: IntervalSeries() for metric in breach}
    said = ""
    for step in range(1, INTERVALS_TRIED + 1):
        end = soak.since + step * interval
        for metric, groups in breach.items():
            series[metric].extend([IntervalMeasurement(end=end, groups=dict(groups))])
        judged_all, evidence = judge_interval({name: bound}, Answers(end, series), end, soak, evidence)
        said = judged_all[name].reason
        if judged_all[name].verdict is Verdict.FAIL:
            return Trial(step * interval, said)
        if judged_all[name].verdict is Verdict.ERROR:
            break
    return Trial(None, said)


def _breach(gate: Gate, bound: BoundGate, usual: Mapping[str, Usual], treated: float) -> dict[str, dict[Group, Sample]]:
    match gate:
        case ZeroToleranceGate():
            return {gate.metric: {gate.group: Counts(total=1)}}
        case AbsenceGate():
            return {gate.metric: {gate.group: Counts(total=1)}, gate.alive: {gate.group: Counts(total=1)}}
        case ThresholdGate():
            share = treated if gate.group == "treated" else 1.0
            broken = _beyond_the_limit(gate, times(usual[gate.metric].sample, share))
            return {gate.metric: {gate.group: broken}}
        case VersusControlGate() | VersusBaselineGate():
            sample = usual[gate.metric].sample
            share = treated if gate.group == "treated" else 1.0
            reference = bound.baseline if isinstance(gate, VersusBaselineGate) and bound.baseline else sample
            groups: dict[Group, Sample] = {gate.group: _worse(gate, times(sample, share), reference)}
            if isinstance(gate, VersusControlGate):
                groups["control"] = times(sample, 1 - share)
            return {gate.metric: groups}
        case _:
            raise TypeError(f"nothing is measured for {gate.kind}")


def _beyond_the_limit(gate: ThresholdGate, sample: Sample) -> Sample:
    limit = gate.limit
    match sample:
        case Counts(total=total):
            allowed = limit.value if gate.at_least is None else 1 - limit.value
            return Counts(total=total, bad=_bad(total, max(SMALLEST_EXCESS, TIMES_BEYOND * allowed)))
        case Histogram():
            return _all_above(sample, limit.value if gate.statistic in QUANTILES else limit.value * TIMES_BEYOND)
        case Level():
            value = limit.value / TIMES_BEYOND if gate.at_least is not None else limit.value * TIMES_BEYOND
            return Level(value=value, samples=sample.samples)


def _worse(gate: VersusControlGate | VersusBaselineGate, sample: Sample, reference: Sample) -> Sample:
    match sample, reference:
        case Counts(total=total), Counts() if gate.max_difference is not None:
            usual_share = reference.bad / reference.total if reference.total else 0.0
            return Counts(total=total, bad=_bad(total, usual_share + TIMES_BEYOND * gate.max_difference))
        case Histogram(), Histogram():
            return _all_above(sample, reference.bounds[-1])
        case Level(), Level():
            return Level(
                value=reference.value * (1 + TIMES_BEYOND * (gate.max_increase or 0.0)), samples=sample.samples
            )
        case _:
            # Of another kind than the gate can judge: it will say so.
            return sample


def _bad(total: int, share: float) -> int:
    return min(total, ceil(total * share))


def _all_above(sample: Histogram, value: float) -> Histogram:
    """Every observation in the first bucket that lies wholly at or above `value`, or else in the last one."""
    edge = next((index for index, bound in enumerate(sample.bounds) if bound >= value), len(sample.bounds) - 1)
    counts = [0] * len(sample.counts)
    counts[edge + 1] = sample.total
    return Histogram(bounds=sample.bounds, counts=tuple(counts), sum=sample.total * max(value, sample.bounds[edge]))
