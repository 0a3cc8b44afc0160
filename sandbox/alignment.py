"""Alignment: the points of one series sorted into periods, each period one value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from google.cloud.monitoring_v3 import Aggregation

from sandbox.clock import SECOND
from sandbox.combining import (
    DISTRIBUTIONS,
    NUMBERS,
    P05,
    P50,
    P95,
    P99,
    combined,
    does_not_fit,
    percentile,
    total,
)
from sandbox.distributions import Histogram
from sandbox.time_series import CUMULATIVE, DELTA, DOUBLE, GAUGE, INT64, DataPoint, Series

Aligner = Aggregation.Aligner
_SAME = None


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


def align(series: Series, aligner: int, periods: Periods) -> Series:
    alignment = ALIGNERS[aligner]
    if series.kind not in alignment.kinds or series.value_type not in alignment.value_types:
        raise does_not_fit("perSeriesAligner", Aligner(aligner).name, "aligner", series)
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
        made.points.append((start, end, combined(alignment.combine, values[index], seconds)))
    return made


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


def _percentile_of_period(share: float) -> Callable[[Sequence[Any], float], float]:
    of_values = percentile(share)
    return lambda values, _: of_values(values)


_COUNTED = frozenset({DELTA, CUMULATIVE})
_PLAIN = frozenset({GAUGE, DELTA})
ALIGNERS: dict[int, _Alignment] = {
    Aligner.ALIGN_DELTA: _Alignment(_COUNTED, NUMBERS | DISTRIBUTIONS, lambda v, _: total(v), DELTA),
    Aligner.ALIGN_RATE: _Alignment(_COUNTED, NUMBERS, lambda v, seconds: sum(v) / seconds, GAUGE, DOUBLE),
    Aligner.ALIGN_SUM: _Alignment(_PLAIN, NUMBERS | DISTRIBUTIONS, lambda v, _: total(v)),
    Aligner.ALIGN_MEAN: _Alignment(_PLAIN, NUMBERS, lambda v, _: fmean(v), GAUGE, DOUBLE),
    Aligner.ALIGN_MIN: _Alignment(_PLAIN, NUMBERS, lambda v, _: min(v)),
    Aligner.ALIGN_MAX: _Alignment(_PLAIN, NUMBERS, lambda v, _: max(v)),
    Aligner.ALIGN_COUNT: _Alignment(_PLAIN, NUMBERS, lambda v, _: len(v), GAUGE, INT64),
    Aligner.ALIGN_NEXT_OLDER: _Alignment(frozenset({GAUGE}), NUMBERS | DISTRIBUTIONS, lambda v, _: v[-1]),
} | {
    aligner: _Alignment(_PLAIN, DISTRIBUTIONS, _percentile_of_period(share), GAUGE, DOUBLE)
    for aligner, share in (
        (Aligner.ALIGN_PERCENTILE_99, P99),
        (Aligner.ALIGN_PERCENTILE_95, P95),
        (Aligner.ALIGN_PERCENTILE_50, P50),
        (Aligner.ALIGN_PERCENTILE_05, P05),
    )
}
