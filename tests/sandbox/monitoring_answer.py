"""A question to Cloud Monitoring: what a row about its answer says, and how that is looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import pytest
from google.cloud import monitoring_v3

from tests.sandbox.conformance_facts import Standing
from tests.sandbox.conformance_metric_story import (
    BOUNDS,
    END,
    MINUTE,
    Descriptor,
    observed,
)
from tests.sandbox.google import Aligner, Reducer, question

RUN = "run.googleapis.com"
DELTA, INT64, DOUBLE = Descriptor.DELTA, Descriptor.INT64, Descriptor.DOUBLE
DISTRIBUTION = Descriptor.DISTRIBUTION
THREE = 3 * MINUTE
NONE = Reducer.REDUCE_NONE
HEADERS = monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.HEADERS
Pages = list[Any]


@dataclass(frozen=True)
class Answer:
    """`seen` of the pages (or, of another method than ListTimeSeries, of the answer) is `expected`."""

    standing: Standing
    fact: str
    request: Any
    seen: Callable[[Any], Any]
    expected: Any
    method: str = "list_time_series"


def asked(metric: str, **changes: Any) -> monitoring_v3.ListTimeSeriesRequest:
    """The question of the three minutes that end at `END`; `view` and `page_size` are fields of the request."""
    view = changes.pop("view", 0)
    request = question(metric, changes.pop("end", END), **{"window": THREE, **changes})
    return monitoring_v3.ListTimeSeriesRequest(request, view=view)


def every(pages: Pages) -> list[Any]:
    return [monitoring_v3.TimeSeries.pb(series) for page in pages for series in page.time_series]


def only(pages: Pages) -> Any:
    (series,) = every(pages)
    return series


def values(pages: Pages) -> dict[str, list[float]]:
    """The values of each series, as they come, by its labels: `treated/ok`."""
    return {
        "/".join(each.metric.labels[name] for name in sorted(each.metric.labels)): [
            getattr(point.value, point.value.WhichOneof("value")) for point in each.points
        ]
        for each in every(pages)
    }


def value(pages: Pages) -> Any:
    (point,) = only(pages).points
    return getattr(point.value, point.value.WhichOneof("value"))


def made(pages: Pages) -> tuple[int, int]:
    return only(pages).metric_kind, only(pages).value_type


def ends(pages: Pages) -> list[Any]:
    return [point.interval.end_time.ToDatetime(UTC) for point in only(pages).points]


def starts(pages: Pages) -> list[Any]:
    return [point.interval.start_time.ToDatetime(UTC) for point in only(pages).points]


def sizes(pages: Pages) -> list[list[int]]:
    return [[len(series.points) for series in page.time_series] for page in pages]


def spread(pages: Pages) -> tuple[Any, ...]:
    found = value(pages)
    bounds, counts = list(found.bucket_options.explicit_buckets.bounds), list(found.bucket_counts)
    # Empty buckets at the end may be left out.
    counts += [0] * (len(bounds) + 1 - len(counts))
    return found.count, found.mean, found.sum_of_squared_deviation, bounds, counts


def spread_of(*observations: float) -> tuple[Any, ...]:
    whole = observed(observations)
    mean, deviation = pytest.approx(whole.mean), pytest.approx(whole.sum_of_squared_deviation)
    return whole.count, mean, deviation, list(BOUNDS), list(whole.bucket_counts)


BY_GROUP = ["metric.labels.group"]
RAW: dict[str, Any] = {"aligner": Aligner.ALIGN_NONE, "reducer": NONE}
MINUTES: dict[str, Any] = {"period": MINUTE}
OK = 'metric.labels.outcome = "ok" AND metric.labels.group = "treated"'
ERROR = 'metric.labels.outcome = "error"'
SCALED: dict[str, Any] = {"reducer": Reducer.REDUCE_SUM, "aligner": Aligner.ALIGN_MAX}
