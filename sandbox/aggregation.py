"""Aggregation in Monitoring's two steps: each series aligned to periods, then the aligned series combined."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any

from sandbox.alignment import ALIGNERS, Aligner, Periods, align
from sandbox.clock import SECOND
from sandbox.combining import FIELD
from sandbox.reduction import REDUCERS, Reducer, reduce
from sandbox.rpc_errors import refused_value
from sandbox.time_series import Series

_MINUTE = 60 * SECOND


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
        aligned = [made for each in series if (made := align(each, self.aligner, self.periods)).points]
        return aligned if self.reducer == Reducer.REDUCE_NONE else reduce(aligned, self.reducer, self.group_by)


def plan_of(aggregation: Any, start: int, end: int, shortest_period: int) -> AggregationPlan:
    """Check the aggregation of a request over `(start, end]`.

    Raises:
        RpcError: INVALID_ARGUMENT: an aligner without a period, a period that is too short, a reducer without an
            aligner, or one that this server does not know.
    """
    aligner, reducer = aggregation.per_series_aligner, aggregation.cross_series_reducer
    if aligner == Aligner.ALIGN_NONE:
        if reducer != Reducer.REDUCE_NONE:
            raise refused_value(
                f"{FIELD}.perSeriesAligner", Aligner(aligner).name, "A cross-series reducer needs an aligner."
            )
        return AggregationPlan(aligner, reducer, (), None)
    if aligner not in ALIGNERS:
        raise refused_value(f"{FIELD}.perSeriesAligner", _name(Aligner, aligner), "The sandbox has no such aligner.")
    if reducer != Reducer.REDUCE_NONE and reducer not in REDUCERS:
        raise refused_value(f"{FIELD}.crossSeriesReducer", _name(Reducer, reducer), "The sandbox has no such reducer.")
    length = aggregation.alignment_period.ToMicroseconds()
    if length < shortest_period:
        raise refused_value(
            f"{FIELD}.alignmentPeriod",
            f"{length / SECOND:g}s",
            f"The alignment period must be greater than or equal to {_in_words(shortest_period)}.",
        )
    periods = Periods(end, length, max(1, ceil((end - start) / length)))
    return AggregationPlan(aligner, reducer, tuple(aggregation.group_by_fields), periods)


def _name(enumeration: Any, number: int) -> str:
    known = {each.value: each.name for each in enumeration}
    return str(known.get(number, number))


def _in_words(period: int) -> str:
    return "1 minute" if period == _MINUTE else f"{period / SECOND:g} seconds"
