"""Cloud Monitoring's time series as counts, histograms and levels per closed interval. No call is made here.

Points are read from the plain protobuf messages: what a watch asks every minute adds up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from operator import lt
from typing import Any, Final, cast

from google.cloud import monitoring_v3

from rollout.measurement import (
    LARGEST_COUNT,
    Counts,
    Group,
    GroupsByCohort,
    GroupsByLabel,
    GroupsByRevision,
    Histogram,
    IntervalMeasurement,
    Level,
    Metric,
    Sample,
    TimeSeriesQuery,
    UnfitAnswer,
    ValueKind,
)
from rollout.sample_sums import merge

POINTS_PER_PAGE = 10_000

_Aligner = monitoring_v3.Aggregation.Aligner
_Reducer = monitoring_v3.Aggregation.Reducer
_AGGREGATIONS: Final[dict[ValueKind, tuple[int, int]]] = {
    # Both sum distributions bucket by bucket: the whole distribution comes back, and with it the sample size.
    "count": (_Aligner.ALIGN_DELTA, _Reducer.REDUCE_SUM),
    "distribution": (_Aligner.ALIGN_DELTA, _Reducer.REDUCE_SUM),
    "level": (_Aligner.ALIGN_MEAN, _Reducer.REDUCE_MEAN),
}

GroupBy = tuple[str, ...]
"""Full label paths, such as `metric.labels.group`. With none, everything is reduced to one series."""

TimeSeries = Any
TypedValue = Any
Distribution = Any
BucketOptions = Any
"""Messages of `google.monitoring.v3` and `google.api` as plain protobuf, which has no types to import."""


@dataclass(frozen=True)
class Window:
    """`(start, end]` in closed intervals of one length, counted back from `end`."""

    start: datetime
    end: datetime
    interval: timedelta

    def closing(self, moment: datetime) -> datetime | None:
        """The end of the interval that a point at `moment` closes; None for one that began before the window.

        Raises:
            UnfitAnswer: no interval of this window ends at `moment`.
        """
        back, off = divmod(self.end - moment, self.interval)
        if off:
            raise UnfitAnswer(f"a point at {moment.isoformat()} ends no interval of {self.interval} to {self.end}")
        end = self.end - back * self.interval
        return end if end - self.interval >= self.start else None


def groupings(metric: Metric) -> list[GroupBy]:
    """The groupings a metric is asked for in. Counts add up to those of all; means do not, and are asked for twice."""
    labels = [part.label for part in (metric.groups, metric.bad) if part is not None]
    if metric.value == "level" and labels:
        return [tuple(labels), ()]
    return [tuple(labels)]


def list_request(query: TimeSeriesQuery, window: Window, group_by: GroupBy) -> monitoring_v3.ListTimeSeriesRequest:
    """The question for one point per interval and per combination of the labels in `group_by`."""
    aligner, reducer = _AGGREGATIONS[query.metric.value]
    only = f'metric.type = "{query.metric.type}"'
    return monitoring_v3.ListTimeSeriesRequest(
        name=f"projects/{query.project}",
        filter=f"{only} AND ({query.metric.filter})" if query.metric.filter else only,
        interval=monitoring_v3.TimeInterval(start_time=window.start, end_time=window.end),
        aggregation=monitoring_v3.Aggregation(
            alignment_period=window.interval,
            per_series_aligner=aligner,
            cross_series_reducer=reducer,
            group_by_fields=list(group_by),
        ),
        view=monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
        page_size=POINTS_PER_PAGE,
    )


def measurements(
    query: TimeSeriesQuery, window: Window, answers: Iterable[tuple[GroupBy, Iterable[TimeSeries]]]
) -> list[IntervalMeasurement]:
    """What the series of each grouping say, ascending by the interval's end.

    Raises:
        UnfitAnswer: the answer does not fit what the plan says of the metric, or holds what no metric can.
    """
    found: defaultdict[datetime, defaultdict[Group, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for group_by, answer in answers:
        for series in answer:
            groups = _groups(query, series, group_by)
            for end, sample in _samples(query.metric, window, series):
                for group in groups:
                    found[end][group].append(sample)
    return [
        IntervalMeasurement(end=end, groups={group: _sum(samples) for group, samples in found[end].items()})
        for end in sorted(found)
    ]


def _samples(metric: Metric, window: Window, series: TimeSeries) -> Iterator[tuple[datetime, Sample]]:
    """What the points of one series say, each with the end of its interval."""
    is_bad = _is_bad(metric, series)
    for point in series.points:
        end = window.closing(point.interval.end_time.ToDatetime(tzinfo=UTC))
        sample = _sample(metric, point.value, is_bad=is_bad)
        if end is not None and sample is not None:
            yield end, sample


def _sum(samples: list[Sample]) -> Sample:
    # A single level goes on as it is, even where it is not a number: that says something of its interval only.
    return samples[0] if len(samples) == 1 else cast("Sample", merge(samples))


def _groups(query: TimeSeriesQuery, series: TimeSeries, group_by: GroupBy) -> tuple[Group, ...]:
    told_apart = query.metric.groups
    if told_apart is None or told_apart.label not in group_by:
        return ("all",)
    named = _named(query, told_apart, _label(series, told_apart.label))
    return named if query.metric.value == "level" else (*named, "all")


def _named(
    query: TimeSeriesQuery, told_apart: GroupsByLabel | GroupsByCohort | GroupsByRevision, value: str
) -> tuple[Group, ...]:
    """The group that a label's value stands for, if any."""
    if isinstance(told_apart, GroupsByCohort):
        if query.cohort is None:
            return ()
        if value in told_apart.labels_within(query.cohort):
            return ("treated",)
        return ("control",) if value in told_apart.labels_beyond(query.cohort) else ()
    # A label has values of its own; revisions have the names that this rollout gave them.
    values = told_apart if isinstance(told_apart, GroupsByLabel) else query
    return ("treated",) if value == values.treated else ("control",) if value == values.control else ()


def _is_bad(metric: Metric, series: TimeSeries) -> bool:
    return metric.bad is not None and _label(series, metric.bad.label) in metric.bad.values


def _label(series: TimeSeries, path: str) -> str:
    """The value of a label by its full path; empty where the series does not have it."""
    prefix, _, name = path.rpartition(".")
    labels: Mapping[str, str]
    match prefix:
        case "metric.label" | "metric.labels":
            labels = series.metric.labels
        case "resource.label" | "resource.labels":
            labels = series.resource.labels
        case "metadata.user_labels":
            labels = series.metadata.user_labels
        case _:
            raise UnfitAnswer(
                f"label {path!r} is none: it begins with metric.labels., resource.labels. or metadata.user_labels."
            )
    return labels.get(name, "")


def _sample(metric: Metric, value: TypedValue, *, is_bad: bool) -> Sample | None:
    kind = value.WhichOneof("value")
    match metric.value, kind:
        case "distribution", "distribution_value":
            return _histogram(metric, value.distribution_value)
        case "level", "int64_value" | "double_value":
            return Level(value=float(getattr(value, kind)))
        case "count", "int64_value" | "double_value":
            number = getattr(value, kind)
            if not 0 <= number <= LARGEST_COUNT:
                raise UnfitAnswer(f"{metric.type} answers with a count of {number}")
            return Counts(total=round(number), bad=round(number) if is_bad else 0)
        case _:
            raise UnfitAnswer(f"{metric.type} answers with {kind}; the plan says that it is a {metric.value}")


def _histogram(metric: Metric, distribution: Distribution) -> Histogram | None:
    """The buckets of a distribution; None for an empty one, which need not say what its buckets are."""
    bounds = _bounds(distribution.bucket_options)
    if not bounds:
        if distribution.count:
            raise UnfitAnswer(f"{metric.type} answers with a distribution without buckets")
        return None
    if not (isfinite(bounds[0]) and isfinite(bounds[-1]) and all(map(lt, bounds, bounds[1:]))):
        raise UnfitAnswer(f"{metric.type} answers with bucket edges that are not finite and ascending")
    # Empty buckets at the end may be left out.
    counts = [*distribution.bucket_counts, *([0] * (len(bounds) + 1 - len(distribution.bucket_counts)))]
    if len(counts) != len(bounds) + 1 or sum(counts) != distribution.count:
        raise UnfitAnswer(f"{metric.type} answers with buckets that do not add up to its count, {distribution.count}")
    if not isfinite(distribution.mean):
        raise UnfitAnswer(f"{metric.type} answers with a mean of {distribution.mean}")
    return Histogram(bounds=bounds, counts=tuple(counts), sum=distribution.mean * distribution.count)


def _bounds(options: BucketOptions) -> tuple[float, ...]:
    """The finite edges. Edge 0 ends the underflow bucket, the last one begins the overflow bucket."""
    match options.WhichOneof("options"):
        case "exponential_buckets":
            by = options.exponential_buckets
            try:
                return tuple(by.scale * by.growth_factor**edge for edge in range(by.num_finite_buckets + 1))
            except OverflowError:
                return (inf,)
        case "linear_buckets":
            steps = options.linear_buckets
            return tuple(steps.offset + steps.width * edge for edge in range(steps.num_finite_buckets + 1))
        case "explicit_buckets":
            return tuple(options.explicit_buckets.bounds)
        case _:
            return ()
