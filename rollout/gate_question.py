"""What a plan's gate asks of each interval, for the gates that are judged by evidence over the whole soak.

Shares, quantiles with an upper limit and scores are questions about good and bad events, and those can be counted
interval by interval. A quantile becomes a count: "p95 at most 100 ms" is "at most 5 % at or above the first bucket edge
that is not below 100 ms", exact whatever the buckets' width. The stored baseline becomes a fixed limit.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import exp, log

from rollout.gates import QUANTILES, Gate, MeasuredGate, ThresholdGate, VersusBaselineGate, VersusControlGate
from rollout.measurement import Counts, Group, Histogram, Level, Sample
from rollout.quantity import Limit, format_share
from rollout.sample_ratio import ASSUMED_USERS
from rollout.sequential_model import GroupCounts, GroupLatencies, GroupScore, Interval, SequentialGate
from rollout.window_reading import fits, size_of

QUESTIONS_KEPT = 4096
FEWEST_EDGES = 3
"""Two that are asked, and one that tells how control's curve falls there."""


@dataclass(frozen=True)
class Question:
    """`asks` of the interval's data. With `edge`, bad is what lies at or above the first bucket edge not below it.

    `same_edges` are the baseline's bucket edges, which the data must share; empty where there is nothing to share.
    """

    asks: SequentialGate
    edge: float | None = None
    same_edges: tuple[float, ...] = ()


@lru_cache(maxsize=QUESTIONS_KEPT)
def question_of(
    gate: Gate, baseline: Sample | None, interval: timedelta, planned_share: float | None, users: int | None = None
) -> Question | None:
    """`planned_share` is the treated part of the requests, where the plan says so; `users` make them.

    None where the gate is judged from its window alone, or has no baseline to be judged against.
    """
    match gate:
        case ThresholdGate(statistic="bad_share" | "good_share"):
            return Question(_threshold(gate, interval, at_most=gate.at_most, below=gate.below, at_least=gate.at_least))
        case ThresholdGate(statistic="level", at_least=Limit(unit="share")):
            asks = _threshold(gate, interval, at_least=gate.at_least)
            return Question(asks)
        case ThresholdGate() if gate.statistic in QUANTILES and gate.at_least is None:
            allowed = _share(1 - QUANTILES[gate.statistic])
            return Question(_threshold(gate, interval, at_most=allowed), edge=gate.limit.value)
        case VersusControlGate(statistic="bad_share" | "p95"):
            return Question(_versus_control(gate, interval, planned_share, users or ASSUMED_USERS))
        case VersusBaselineGate() if size_of(baseline) >= gate.minimum_sample:
            return _versus_baseline(gate, baseline, interval)
    return None


def interval_of(question: Question, gate: MeasuredGate, groups: Mapping[Group, Sample], end: datetime) -> Interval:
    """The interval's data as the question wants them.

    Raises:
        ValueError: the data are of another kind, or hold what no metric can.
    """
    treated = _taken(question, gate, groups.get(gate.group))
    control = _taken(question, gate, groups.get("control")) if isinstance(gate, VersusControlGate) else None
    return Interval(end=end, treated=treated, control=control)


def lies_inside_a_bucket(question: Question, sample: Sample) -> bool:
    """Whether the limit falls between two bucket edges, so that counts say nothing of what lies just beyond it."""
    return question.edge is not None and isinstance(sample, Histogram) and question.edge not in sample.bounds


def _taken(
    question: Question, gate: MeasuredGate, sample: Sample | None
) -> GroupCounts | GroupLatencies | GroupScore | None:
    match sample:
        case None:
            return None
        case _ if not fits(gate.statistic, sample):
            raise ValueError(f"{gate.statistic} cannot be taken from a {sample.kind}")
        case Counts(total=total, bad=bad) if not 0 <= bad <= total:
            raise ValueError(f"{bad:,} bad of {total:,} is no share")
        case Counts():
            return GroupCounts(total=sample.total, bad=sample.bad)
        case Level(value=value) if not 0 <= value <= 1:
            raise ValueError(f"a score lies between 0 and 1, this one is {value:g}")
        case Level():
            return GroupScore(score=sample.value, total=sample.samples)
        case Histogram() if question.edge is None and len(sample.bounds) < FEWEST_EDGES:
            raise ValueError(f"{len(sample.bounds)} bucket edges tell too little of a p95, {FEWEST_EDGES} are needed")
        case Histogram() if question.edge is None:
            return GroupLatencies(bounds_ms=sample.bounds, counts=sample.counts)
        case Histogram():
            return GroupCounts(total=sample.total, bad=sample.at_or_above(_edge_index(question, sample)))


def _edge_index(question: Question, sample: Histogram) -> int:
    assert question.edge is not None, "asked for questions with an edge only"  # noqa: S101
    if question.same_edges and question.same_edges != sample.bounds:
        raise ValueError("the bucket edges are not those of the baseline")
    index = bisect_left(sample.bounds, question.edge)
    if index == len(sample.bounds):
        raise ValueError(f"the limit of {question.edge:g} lies above the last bucket edge, {sample.bounds[-1]:g}")
    return index


def _threshold(
    gate: MeasuredGate,
    interval: timedelta,
    *,
    at_most: Limit | None = None,
    below: Limit | None = None,
    at_least: Limit | None = None,
) -> SequentialGate:
    statistic = gate.statistic if gate.statistic in ("good_share", "level") else "bad_share"
    return SequentialGate(
        kind="threshold",
        statistic=statistic,
        at_most=at_most,
        below=below,
        at_least=at_least,
        title=gate.title,
        minimum_sample=gate.minimum_sample,
        interval=interval,
    )


def _versus_control(
    gate: VersusControlGate, interval: timedelta, planned_share: float | None, users: int
) -> SequentialGate:
    # As a plan writes them: shares are read with their percent sign only.
    margins = gate.model_dump(include={"max_difference", "max_increase"}, exclude_none=True)
    return SequentialGate(
        kind="versus_control",
        statistic="p95" if gate.statistic == "p95" else "bad_share",
        title=gate.title,
        minimum_sample=gate.minimum_sample,
        interval=interval,
        planned_share=None if planned_share is None else format_share(planned_share),
        users=users,
        **margins,
    )


def _versus_baseline(gate: VersusBaselineGate, baseline: Sample | None, interval: timedelta) -> Question | None:
    match baseline:
        case Counts() if gate.max_difference is not None:
            allowed = baseline.bad / baseline.total + gate.max_difference
            return Question(_threshold(gate, interval, at_most=_share(allowed)))
        case Histogram() if gate.statistic in QUANTILES and gate.max_increase is not None:
            tail = 1 - QUANTILES[gate.statistic]
            edge = _edge_below(baseline, QUANTILES[gate.statistic])
            allowed = max(tail, _share_above(baseline, edge / (1 + gate.max_increase)))
            return Question(_threshold(gate, interval, at_most=_share(allowed)), edge, baseline.bounds)
    return None


def _edge_below(histogram: Histogram, quantile: float) -> float:
    """The last bucket edge that is not above the quantile: more than its tail lies above, so there is much to count."""
    return histogram.bounds[max(0, bisect_left(histogram.bounds, histogram.quantile(quantile)) - 1)]


def _share_above(histogram: Histogram, value: float) -> float:
    """The share of observations above a value inside a bucket; half an observation keeps an empty tail finite.

    A straight line between the edges in logarithms of both, which follows the tail of latencies within a bucket.
    """
    index = bisect_left(histogram.bounds, value)
    if index == 0:
        return 1.0
    low, high = histogram.bounds[index - 1], histogram.bounds[index]
    above_low, above_high = ((histogram.at_or_above(edge) + 0.5) / (histogram.total + 1) for edge in (index - 1, index))
    part = log(value / low) / log(high / low) if low > 0 else (value - low) / (high - low)
    return exp(log(above_low) + part * (log(above_high) - log(above_low)))


def _share(value: float) -> Limit:
    return Limit(value=min(1.0, value), unit="share")
