"""How values of one moment become one value, and what is said where they cannot."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import grpc

from sandbox.distributions import Histogram, merge
from sandbox.rpc_errors import RpcError, refused_value
from sandbox.time_series import DISTRIBUTION, DOUBLE, INT64, Series, kind_name, type_name

FIELD = "aggregation"
NUMBERS = frozenset({INT64, DOUBLE})
DISTRIBUTIONS = frozenset({DISTRIBUTION})
P99 = 0.99
P95 = 0.95
P50 = 0.50
P05 = 0.05


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
        raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def does_not_fit(field: str, name: str, what: str, series: Series) -> RpcError:
    """The refusal of an aligner or reducer (`what`) of that `name`."""
    return refused_value(
        f"{FIELD}.{field}",
        name,
        f"The {what} cannot be applied to metrics with kind {kind_name(series.kind)} and value type "
        f"{type_name(series.value_type)}.",
    )
