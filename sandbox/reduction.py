"""Reduction: aligned series combined into one per group of labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.monitoring_v3 import Aggregation

from sandbox.combining import (
    DISTRIBUTIONS,
    FIELD,
    NUMBERS,
    P05,
    P50,
    P95,
    P99,
    combined,
    does_not_fit,
    mean,
    percentile,
    total,
)
from sandbox.time_series import DOUBLE, INT64, Series
from sandbox.time_series_filter import SeriesIdentity, label_reader

Reducer = Aggregation.Reducer
_SAME = None


@dataclass(frozen=True, slots=True)
class _Reduction:
    value_types: frozenset[int]
    combine: Callable[[Sequence[Any]], Any]
    value_type: int | None = _SAME


def reduce(aligned: Sequence[Series], reducer: int, group_by: Sequence[str]) -> list[Series]:
    """One series for each group; series of different kinds of resources are never in one group."""
    reduction = REDUCERS[reducer]
    readers = {name: label_reader(name, field=f"{FIELD}.groupByFields") for name in group_by}
    groups: dict[tuple[str | None, ...], list[Series]] = {}
    for series in aligned:
        if series.value_type not in reduction.value_types:
            raise does_not_fit("crossSeriesReducer", Reducer(reducer).name, "reducer", series)
        of_group = tuple(read(series.identity) for read in readers.values())
        groups.setdefault((series.identity.resource_type, *of_group), []).append(series)
    return [
        _reduced(members, reduction, dict(zip(readers, values[1:], strict=True))) for values, members in groups.items()
    ]


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
        (start, end, combined(reduction.combine, values[start, end]))
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


REDUCERS: dict[int, _Reduction] = {
    Reducer.REDUCE_SUM: _Reduction(NUMBERS | DISTRIBUTIONS, total),
    Reducer.REDUCE_MEAN: _Reduction(NUMBERS | DISTRIBUTIONS, mean, DOUBLE),
    Reducer.REDUCE_MIN: _Reduction(NUMBERS, min),
    Reducer.REDUCE_MAX: _Reduction(NUMBERS, max),
    Reducer.REDUCE_COUNT: _Reduction(NUMBERS | DISTRIBUTIONS, len, INT64),
    Reducer.REDUCE_PERCENTILE_99: _Reduction(NUMBERS | DISTRIBUTIONS, percentile(P99), DOUBLE),
    Reducer.REDUCE_PERCENTILE_95: _Reduction(NUMBERS | DISTRIBUTIONS, percentile(P95), DOUBLE),
    Reducer.REDUCE_PERCENTILE_50: _Reduction(NUMBERS | DISTRIBUTIONS, percentile(P50), DOUBLE),
    Reducer.REDUCE_PERCENTILE_05: _Reduction(NUMBERS | DISTRIBUTIONS, percentile(P05), DOUBLE),
}
