"""Aggregation in Monitoring's two steps: each series aligned to periods, then the aligned series combined."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import Any

from google.cloud.monitoring_v3 import Aggregation

from sandbox.clock import SECOND
from sandbox.distributions import Histogram, merge
from sandbox.rpc_errors import RpcError, invalid
from sandbox.time_series import CUMULATIVE, DELTA, DISTRIBUTION, DOUBLE, GAUGE, INT64, DataPoint, Series
from sandbox.time_series_filter import SeriesIdentity, label_reader

Aligner = Aggregation.Aligner
Reducer = Aggregation.Reducer

_FIELD = "ListTimeSeriesRequest.aggregation"
_NUMBERS = frozenset({INT64, DOUBLE})
_DISTRIBUTIONS = frozenset({DISTRIBUTION})
_SAME = None
_P95 = 0.95
_P99 = 0.99
_P50 = 0.50
_P05 = 0.05


@dataclass(frozen=True, slots=True)
class Periods:
    """The blocks of time that end at `end` and step back by `length` (microseconds), `count` of them."""

    end: int
    length: int
    count: int

    @property
    def start(self) -> int:
        return self.end - self.count * self.length

    def index_of(self, instant: int) -> int:
        """Which period `instant` ends in: 0 is the newest; each is open at its start and closed at its end."""
        return (self.end - instant) // self.length


@dataclass(frozen=True, slots=True)
class _Alignment:
    """What an aligner accepts and makes. A kind or type of None means: as it came."""

    kinds: frozenset[int]
    value_types: frozenset[int]
    combine: Callable[[Sequence[Any], float], Any]
    kind: int | None = _SAME
    value_type: int | None = _SAME


@dataclass(frozen=True, slots=True)
class _Reduction:
    value_types: frozenset[int]
    combine: Callable[[Sequence[Any]], Any]
    value_type: int | None = _SAME


@dataclass(frozen=True, slots=True)
class AggregationPlan:
    """One request's aggregation, checked. `periods` is None where the raw points are asked for."""

    aligner: int
    reducer: int
    group_by: tuple[str, ...]
    periods: Periods | None

    def apply(self, series: Iterable[Series]) -> list[Series]:
        """The aggregated series; those without a point are left out.

        Raises:
            RpcError: INVALID_ARGUMENT, an aligner or reducer that does not fit the kind or type of a series.
        """
        if self.periods is None:
            return [each for each in series if each.points]
        aligned = [made for each in series if (made := _align(each, self.aligner, self.periods)).points]
        return aligned if self.reducer == Reducer.REDUCE_NONE else _reduce(aligned, self.reducer, self.group_by)


def plan_of(aggregation: Any, start: int, end: int, shortest_period: int) -> AggregationPlan:
    """Check the aggregation of a request over `(start, end]`.

    Raises:
        RpcError: INVALID_ARGUMENT: an aligner without a period, a period that is too short, a reducer without an
            aligner, or one that this server does not know.
    """
    aligner, reducer = aggregation.per_series_aligner, aggregation.cross_series_reducer
    if aligner == Aligner.ALIGN_NONE:
        if reducer != Reducer.REDUCE_NONE:
            raise invalid(f"{_FIELD}.perSeriesAligner", "A cross-series reducer needs an aligner.")
        return AggregationPlan(aligner, reducer, (), None)
    if aligner not in _ALIGNERS:
        raise invalid(f"{_FIELD}.perSeriesAligner", f"The sandbox does not know the aligner {aligner}.")
    if reducer != Reducer.REDUCE_NONE and reducer not in _REDUCERS:
        raise invalid(f"{_FIELD}.crossSeriesReducer", f"The sandbox does not know the reducer {reducer}.")
    length = aggregation.alignment_period.ToMicroseconds()
    if length < shortest_period:
        raise invalid(
            f"{_FIELD}.alignmentPeriod",
            f"The alignment period must be at least {shortest_period / SECOND:g} seconds, got {length / SECOND:g}.",
        )
    periods = Periods(end, length, max(1, ceil((end - start) / length)))
    return AggregationPlan(aligner, reducer, tuple(aggregation.group_by_fields), periods)


def deltas(series: Series) -> list[DataPoint]:
    """The points of a CUMULATIVE or DELTA series as changes: a new start time is a reset, the count begins anew."""
    if series.kind == DELTA:
        return series.points
    changes: list[DataPoint] = []
    previous: DataPoint | None = None
    for start, end, value in series.points:
        if previous is None or previous[0] != start:
            changes.append((start, end, value))
        elif isinstance(value, Histogram):
            changes.append((previous[1], end, value.minus(previous[2])))
        else:
            changes.append((previous[1], end, value - previous[2]))
        previous = (start, end, value)
    return changes


def _align(series: Series, aligner: int, periods: Periods) -> Series:
    alignment = _ALIGNERS[aligner]
    if series.kind not in alignment.kinds or series.value_type not in alignment.value_types:
        raise _does_not_fit(f"{_FIELD}.perSeriesAligner", Aligner(aligner).name, series)
    points = series.points if series.kind == GAUGE else deltas(series)
    values: dict[int, list[Any]] = {}
    for _, end, value in points:
        index = periods.index_of(end)
        if 0 <= index < periods.count:
            values.setdefault(index, []).append(value)
    kind = alignment.kind or series.kind
    seconds = periods.length / SECOND
    made = Series(series.identity, kind, alignment.value_type or series.value_type, series.unit)
    for index in sorted(values, reverse=True):
        end = periods.end - index * periods.length
        start = end if kind == GAUGE else end - periods.length
        made.points.append((start, end, _combined(alignment.combine, values[index], seconds)))
    return made


def _reduce(aligned: Sequence[Series], reducer: int, group_by: Sequence[str]) -> list[Series]:
    reduction = _REDUCERS[reducer]
    readers = {name: label_reader(name, field=f"{_FIELD}.groupByFields") for name in group_by}
    groups: dict[tuple[str | None, ...], list[Series]] = {}
    for series in aligned:
        if series.value_type not in reduction.value_types:
            raise _does_not_fit(f"{_FIELD}.crossSeriesReducer", Reducer(reducer).name, series)
        groups.setdefault(tuple(read(series.identity) for read in readers.values()), []).append(series)
    return [_reduced(members, reduction, dict(zip(readers, values, strict=True))) for values, members in groups.items()]


def _reduced(members: Sequence[Series], reduction: _Reduction, kept: dict[str, str | None]) -> Series:
    first = members[0]
    values: dict[tuple[int, int], list[Any]] = {}
    for series in members:
        for start, end, value in series.points:
            values.setdefault((start, end), []).append(value)
    made = Series(
        _identity_of_group(first.identity, kept), first.kind, reduction.value_type or first.value_type, first.unit
    )
    made.points = [
        (start, end, _combined(reduction.combine, values[start, end]))
        for start, end in sorted(values, key=lambda interval: interval[1])
    ]
    return made


def _identity_of_group(identity: SeriesIdentity, kept: dict[str, str | None]) -> SeriesIdentity:
    """Of the labels only those grouped by are left, and the project that every series belongs to."""
    labels: dict[str, dict[str, str]] = {"metric": {}, "resource": {}}
    if "project_id" in identity.resource_labels:
        labels["resource"]["project_id"] = identity.resource_labels["project_id"]
    for name, value in kept.items():
        owner, _, label = name.split(".", 2) if name.count(".") > 1 else (name, "", "")
        if label and value is not None:
            labels[owner][label] = value
    return SeriesIdentity(identity.metric_type, labels["metric"], identity.resource_type, labels["resource"])


def _combined(combine: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return combine(*arguments)
    except ValueError as error:
        raise invalid(_FIELD, str(error)) from error


def _does_not_fit(field: str, name: str, series: Series) -> RpcError:
    return invalid(
        field,
        f"{name} cannot be applied to metrics with kind {_KIND_NAMES[series.kind]} and value type "
        f"{_TYPE_NAMES.get(series.value_type, series.value_type)}.",
    )


def _total(values: Sequence[Any]) -> Any:
    return merge(values) if isinstance(values[0], Histogram) else sum(values)


def _mean(values: Sequence[Any]) -> float:
    return merge(values).mean if isinstance(values[0], Histogram) else fmean(values)


def _percentile(share: float) -> Callable[[Sequence[Any]], float]:
    def combine(values: Sequence[Any]) -> float:
        if isinstance(values[0], Histogram):
            return merge(values).percentile(share)
        ordered = sorted(values)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))

    return combine


def _percentile_of_period(share: float) -> Callable[[Sequence[Any], float], float]:
    percentile = _percentile(share)
    return lambda values, _: percentile(values)


_COUNTED = frozenset({DELTA, CUMULATIVE})
_PLAIN = frozenset({GAUGE, DELTA})
_ALIGNERS: dict[int, _Alignment] = {
    Aligner.ALIGN_DELTA: _Alignment(_COUNTED, _NUMBERS | _DISTRIBUTIONS, lambda v, _: _total(v), DELTA),
    Aligner.ALIGN_RATE: _Alignment(_COUNTED, _NUMBERS, lambda v, seconds: sum(v) / seconds, GAUGE, DOUBLE),
    Aligner.ALIGN_SUM: _Alignment(_PLAIN, _NUMBERS | _DISTRIBUTIONS, lambda v, _: _total(v)),
    Aligner.ALIGN_MEAN: _Alignment(_PLAIN, _NUMBERS, lambda v, _: fmean(v), GAUGE, DOUBLE),
    Aligner.ALIGN_MIN: _Alignment(_PLAIN, _NUMBERS, lambda v, _: min(v)),
    Aligner.ALIGN_MAX: _Alignment(_PLAIN, _NUMBERS, lambda v, _: max(v)),
    Aligner.ALIGN_COUNT: _Alignment(_PLAIN, _NUMBERS, lambda v, _: len(v), GAUGE, INT64),
    Aligner.ALIGN_NEXT_OLDER: _Alignment(frozenset({GAUGE}), _NUMBERS | _DISTRIBUTIONS, lambda v, _: v[-1]),
} | {
    aligner: _Alignment(_PLAIN, _DISTRIBUTIONS, _percentile_of_period(share), GAUGE, DOUBLE)
    for aligner, share in (
        (Aligner.ALIGN_PERCENTILE_99, _P99),
        (Aligner.ALIGN_PERCENTILE_95, _P95),
        (Aligner.ALIGN_PERCENTILE_50, _P50),
        (Aligner.ALIGN_PERCENTILE_05, _P05),
    )
}
_REDUCERS: dict[int, _Reduction] = {
    Reducer.REDUCE_SUM: _Reduction(_NUMBERS | _DISTRIBUTIONS, _total),
    Reducer.REDUCE_MEAN: _Reduction(_NUMBERS | _DISTRIBUTIONS, _mean, DOUBLE),
    Reducer.REDUCE_MIN: _Reduction(_NUMBERS, min),
    Reducer.REDUCE_MAX: _Reduction(_NUMBERS, max),
    Reducer.REDUCE_COUNT: _Reduction(_NUMBERS | _DISTRIBUTIONS, len, INT64),
    Reducer.REDUCE_PERCENTILE_99: _Reduction(_NUMBERS | _DISTRIBUTIONS, _percentile(_P99), DOUBLE),
    Reducer.REDUCE_PERCENTILE_95: _Reduction(_NUMBERS | _DISTRIBUTIONS, _percentile(_P95), DOUBLE),
    Reducer.REDUCE_PERCENTILE_50: _Reduction(_NUMBERS | _DISTRIBUTIONS, _percentile(_P50), DOUBLE),
    Reducer.REDUCE_PERCENTILE_05: _Reduction(_NUMBERS | _DISTRIBUTIONS, _percentile(_P05), DOUBLE),
}
_KIND_NAMES = {GAUGE: "GAUGE", DELTA: "DELTA", CUMULATIVE: "CUMULATIVE"}
_TYPE_NAMES = {INT64: "INT64", DOUBLE: "DOUBLE", DISTRIBUTION: "DISTRIBUTION"}
