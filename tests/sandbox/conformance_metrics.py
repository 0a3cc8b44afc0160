"""What Cloud Monitoring answers: one row, one question, what is seen in the answer, and how well that is known.

The standings are those of `conformance_facts.py`; the series asked about are those of `conformance_metric_story.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import pytest
from google.cloud import monitoring_v3

from tests.sandbox.conformance_facts import Standing
from tests.sandbox.conformance_metric_story import (
    BOUNDS,
    CUMULATIVE,
    DEPTH,
    END,
    GAUGE,
    LATENCY,
    MINUTE,
    OF_A,
    OF_B,
    PARENT,
    PLACES,
    QUEUES,
    REQUESTS,
    Descriptor,
    observed,
)
from tests.sandbox.google import PROJECT, Aligner, Reducer, question
from tests.sandbox.moving_clock import START

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

ALIGNED = (
    Answer(
        "documented",
        "ALIGN_DELTA reads a cumulative series as its changes, newest first",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        values,
        {"treated/ok": [0, 7, 5]},
    ),
    Answer(
        "documented",
        "a new start time is a reset and no negative change",
        asked(REQUESTS, only=ERROR, reducer=NONE, **MINUTES),
        values,
        {"treated/error": [0, 2, 1]},
    ),
    Answer(
        "documented",
        "ALIGN_DELTA makes DELTA and keeps the value type",
        asked(REQUESTS, only=OK, reducer=NONE),
        made,
        (DELTA, INT64),
    ),
    Answer(
        "documented",
        "ALIGN_RATE is per second",
        asked(REQUESTS, only='metric.labels.group = "control"', aligner=Aligner.ALIGN_RATE, reducer=NONE),
        values,
        {"control/ok": [pytest.approx(100 / 180)]},
    ),
    Answer(
        "documented",
        "ALIGN_RATE makes GAUGE and DOUBLE",
        asked(REQUESTS, only=OK, aligner=Aligner.ALIGN_RATE, reducer=NONE),
        made,
        (GAUGE, DOUBLE),
    ),
    Answer(
        "documented",
        "a period ends with the interval and others step back from there",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        ends,
        [END, END - MINUTE, END - 2 * MINUTE],
    ),
    Answer(
        "documented",
        "a DELTA point spans its period",
        asked(REQUESTS, only=OK, reducer=NONE, **MINUTES),
        starts,
        [END - MINUTE, END - 2 * MINUTE, START],
    ),
    Answer(
        "documented",
        "a GAUGE point has one time",
        asked(DEPTH, reducer=NONE, aligner=Aligner.ALIGN_MEAN, **MINUTES),
        lambda pages: (starts(pages), ends(pages)),
        ([END], [END]),
    ),
    Answer(
        "documented",
        "a window that is one period is one point",
        asked(REQUESTS, only=OK, reducer=NONE),
        values,
        {"treated/ok": [12]},
    ),
    Answer(
        "assumed",
        "a period without points is left out",
        asked(REQUESTS, only='metric.labels.group = "control"', reducer=NONE, **MINUTES),
        values,
        {"control/ok": [100]},
    ),
    *(
        Answer(
            "documented",
            f"{Aligner(aligner).name} of a gauge",
            asked(DEPTH, aligner=aligner, reducer=NONE),
            lambda pages: (value(pages), made(pages)),
            (expected, (GAUGE, value_type)),
        )
        for aligner, expected, value_type in (
            (Aligner.ALIGN_MEAN, 9.0, DOUBLE),
            (Aligner.ALIGN_MIN, 9, INT64),
            (Aligner.ALIGN_MAX, 9, INT64),
            (Aligner.ALIGN_SUM, 9, INT64),
            (Aligner.ALIGN_COUNT, 1, INT64),
            (Aligner.ALIGN_NEXT_OLDER, 9, INT64),
        )
    ),
)

REDUCED = (
    Answer(
        "documented",
        "one series for each group",
        asked(REQUESTS, by=BY_GROUP),
        values,
        {"treated": [15], "control": [100]},
    ),
    Answer(
        "documented",
        "periods are reduced one by one",
        asked(REQUESTS, by=BY_GROUP, only='metric.labels.group = "treated"', **MINUTES),
        values,
        {"treated": [0, 9, 6]},
    ),
    Answer("documented", "without fields to group by there is one series", asked(REQUESTS), values, {"": [115]}),
    Answer(
        "documented",
        "labels not grouped by are aggregated away, the project stays",
        asked(REQUESTS, by=BY_GROUP, only=OK),
        lambda pages: (dict(only(pages).metric.labels), dict(only(pages).resource.labels)),
        ({"group": "treated"}, {"project_id": PROJECT}),
    ),
    Answer(
        "documented",
        "kinds of resources are never reduced together",
        asked(PLACES, **SCALED),
        lambda pages: {each.resource.type: each.points[0].value.int64_value for each in every(pages)},
        {"global": 1, "generic_task": 2},
    ),
    Answer(
        "documented",
        "without a reducer the fields to group by are ignored",
        asked(REQUESTS, by=BY_GROUP, reducer=NONE),
        lambda pages: sorted(values(pages)),
        ["control/ok", "treated/error", "treated/ok"],
    ),
    *(
        Answer(
            "documented",
            f"{Reducer(reducer).name} of numbers",
            asked(QUEUES, aligner=Aligner.ALIGN_MAX, reducer=reducer),
            lambda pages: (value(pages), only(pages).value_type),
            (expected, value_type),
        )
        for reducer, expected, value_type in (
            (Reducer.REDUCE_SUM, 60, INT64),
            (Reducer.REDUCE_MEAN, 20.0, DOUBLE),
            (Reducer.REDUCE_MIN, 10, INT64),
            (Reducer.REDUCE_MAX, 30, INT64),
            (Reducer.REDUCE_COUNT, 3, INT64),
            (Reducer.REDUCE_PERCENTILE_50, 20.0, DOUBLE),
        )
    ),
)

DISTRIBUTIONS = (
    Answer(
        "documented",
        "a distribution comes back as it was written, its bounds included",
        asked(LATENCY, only='metric.labels.instance = "a"', reducer=NONE),
        spread,
        spread_of(*OF_A),
    ),
    Answer(
        "documented",
        "REDUCE_SUM merges distributions: count, mean, deviation and buckets are those of all values",
        asked(LATENCY),
        spread,
        spread_of(*OF_A, *OF_B),
    ),
    Answer(
        "documented",
        "merged, they are still DELTA distributions",
        asked(LATENCY),
        made,
        (DELTA, DISTRIBUTION),
    ),
    Answer(
        "documented",
        "REDUCE_MEAN of distributions is the mean of their values",
        asked(LATENCY, reducer=Reducer.REDUCE_MEAN),
        lambda pages: (value(pages), made(pages)),
        (pytest.approx(76.8), (DELTA, DOUBLE)),
    ),
    Answer(
        "documented",
        "REDUCE_COUNT counts series, not values",
        asked(LATENCY, reducer=Reducer.REDUCE_COUNT),
        value,
        2,
    ),
    Answer(
        "documented",
        "a percentile of merged distributions lies inside its bucket",
        asked(LATENCY, reducer=Reducer.REDUCE_PERCENTILE_50),
        lambda pages: (20.0 <= value(pages) < 50.0, made(pages)),
        (True, (DELTA, DOUBLE)),
    ),
)

RAWS = (
    Answer(
        "documented",
        "without an aligner the points come as they were written",
        asked(REQUESTS, only=OK, **RAW),
        lambda pages: (values(pages), made(pages)),
        ({"treated/ok": [12, 12, 5]}, (CUMULATIVE, INT64)),
    ),
    Answer(
        "documented",
        "an interval excludes its start and includes its end",
        asked(REQUESTS, only=OK, window=MINUTE, end=END - MINUTE, **RAW),
        ends,
        [END - MINUTE],
    ),
    Answer(
        "documented",
        "of headers no point comes along",
        asked(REQUESTS, view=HEADERS, **RAW),
        sizes,
        [[0, 0, 0]],
    ),
    Answer("documented", "the unit of all series is told", asked(LATENCY), lambda pages: pages[0].unit, "ms"),
)

ABSENT = (
    Answer(
        "documented",
        "a series without a point in the interval is not there",
        asked(REQUESTS, end=START + MINUTE, window=MINUTE, by=BY_GROUP),
        values,
        {"treated": [6]},
    ),
    Answer(
        "documented",
        "nothing is an empty answer and no error",
        asked(REQUESTS, end=START - MINUTE),
        lambda pages: ([list(page.time_series) for page in pages], pages[-1].next_page_token),
        ([[]], ""),
    ),
    Answer(
        "documented",
        "a label nobody has is an empty answer and no error",
        asked(REQUESTS, only='metric.labels.group = "nobody"'),
        every,
        [],
    ),
    Answer(
        "documented",
        "points within the ingest delay of a platform's metric are not there yet",
        asked(f"{RUN}/request_count", end=END - MINUTE, window=MINUTE),
        every,
        [],
    ),
    Answer(
        "documented",
        "points older than the ingest delay are there",
        asked(f"{RUN}/request_count", end=END - 2 * MINUTE, window=MINUTE),
        lambda pages: len(only(pages).points),
        1,
    ),
    Answer(
        "documented",
        "points that clients write are there at once",
        asked(DEPTH, window=MINUTE, **SCALED),
        value,
        9,
    ),
)

PAGED = (
    Answer(
        "documented",
        "a page counts points, across series",
        asked(REQUESTS, by=["metric.labels.group", "metric.labels.outcome"], page_size=3, **MINUTES),
        sizes,
        [[3], [3], [1]],
    ),
    Answer(
        "documented",
        "a series that does not fit goes on on the next page",
        asked(REQUESTS, by=["metric.labels.group", "metric.labels.outcome"], page_size=2, **MINUTES),
        sizes,
        [[2], [1, 1], [2], [1]],
    ),
    Answer(
        "documented",
        "of headers a page counts series",
        asked(REQUESTS, view=HEADERS, page_size=2, **RAW),
        sizes,
        [[0, 0], [0]],
    ),
    Answer(
        "documented",
        "every page but the last has a token",
        asked(REQUESTS, by=BY_GROUP, page_size=1),
        lambda pages: [bool(page.next_page_token) for page in pages],
        [True, False],
    ),
)


def described(answer: Any) -> tuple[Any, ...]:
    return answer.metric_kind, answer.value_type, {label.key for label in answer.labels}


def _descriptor(metric: str) -> dict[str, Any]:
    return {"name": f"{PARENT}/metricDescriptors/{metric}"}


DESCRIBED = (
    *(
        Answer(
            "documented",
            f"{metric}: its kind, type and labels",
            _descriptor(f"{RUN}/{metric}"),
            described,
            (kind, value_type, labels),
            "get_metric_descriptor",
        )
        for metric, kind, value_type, labels in (
            ("request_count", DELTA, INT64, {"response_code", "response_code_class"}),
            ("container/cpu/utilizations", DELTA, DISTRIBUTION, set()),
            ("container/memory/utilizations", DELTA, DISTRIBUTION, set()),
            ("container/instance_count", GAUGE, INT64, {"state"}),
        )
    ),
    Answer(
        "documented",
        "the resource of Cloud Run's metrics, and its labels",
        asked(f"{RUN}/request_count", end=END - 2 * MINUTE, only='metric.labels.response_code = "200"', reducer=NONE),
        lambda pages: (only(pages).resource.type, sorted(only(pages).resource.labels)),
        (
            "cloud_run_revision",
            ["configuration_name", "location", "project_id", "revision_name", "service_name"],
        ),
    ),
    Answer(
        "documented",
        "a descriptor tells how late and how often points come",
        _descriptor(f"{RUN}/request_count"),
        lambda answer: (answer.metadata.ingest_delay.ToTimedelta(), answer.metadata.sample_period.ToTimedelta()),
        (timedelta(minutes=2), timedelta(minutes=1)),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "a first point makes the descriptor, of the point's kind and type and with its labels",
        _descriptor(REQUESTS),
        described,
        (CUMULATIVE, INT64, {"group", "outcome"}),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "what clients write has no ingest delay",
        _descriptor(REQUESTS),
        lambda answer: answer.metadata.ingest_delay.ToTimedelta(),
        timedelta(),
        "get_metric_descriptor",
    ),
    Answer(
        "documented",
        "descriptors are listed by prefix, in pages",
        {"name": PARENT, "filter": f'metric.type = starts_with("{RUN}/container")', "page_size": 2},
        lambda pages: [[each.type.rpartition("/")[2] for each in page.metric_descriptors] for page in pages],
        [["utilizations", "instance_count"], ["utilizations"]],
        "list_metric_descriptors",
    ),
)

ANSWERS = (*ALIGNED, *REDUCED, *DISTRIBUTIONS, *RAWS, *ABSENT, *PAGED, *DESCRIBED)
