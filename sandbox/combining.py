"""How values of one moment become one value, and what is said where they cannot."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from sandbox.distributions import Histogram, merge
from sandbox.rpc_errors import RpcError, invalid
from sandbox.time_series import CUMULATIVE, DELTA, DISTRIBUTION, DOUBLE, GAUGE, INT64, Series

FIELD = "ListTimeSeriesRequest.aggregation"
NUMBERS = frozenset({INT64, DOUBLE})
DISTRIBUTIONS = frozenset({DISTRIBUTION})
P99 = 0.99
P95 = 0.95
P50 = 0.50
P05 = 0.05

_KIND_NAMES = {GAUGE: "GAUGE", DELTA: "DELTA", CUMULATIVE: "CUMULATIVE"}
_TYPE_NAMES = {INT64: "INT64", DOUBLE: "DOUBLE", DISTRIBUTION: "DISTRIBUTION"}


def total(values: Sequence[Any]) -> Any:
    return merge(values) if isinstance(values[0], Histogram) else sum(values)


def mean(values: Sequence[Any]) -> float:
    return merge(values).mean if isinstance(values[0], Histogram) else fmean(values)


def percentile(share: float) -> Callable[[Sequence[Any]], float]:
    def combine(values: Sequence[Any]) -> float:
        if isinstance(values[0], Histogram):
            return merge(values).percentile(share)
        ordered = sorted(values)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))

    return combine


def combined(combine: Callable[..., Any], *arguments: Any) -> Any:
    """`combine(*arguments)`; values that do not go together make the request an INVALID_ARGUMENT."""
    try:
        return combine(*arguments)
    except ValueError as error:
        raise invalid(FIELD, str(error)) from error


def does_not_fit(field: str, name: str, series: Series) -> RpcError:
    return invalid(
        field,
        f"{name} cannot be applied to metrics with kind {_KIND_NAMES[series.kind]} and value type "
        f"{_TYPE_NAMES.get(series.value_type, series.value_type)}.",
    )
