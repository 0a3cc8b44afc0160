"""What Cloud Monitoring turns away when series or descriptors are written, and in which words: one row each."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from google.cloud import monitoring_v3

from tests.sandbox.conformance_facts import Standing
from tests.sandbox.conformance_metric_story import (
    DEPTH,
    END,
    GAUGE,
    MINUTE,
    OWN,
    PARENT,
    REQUESTS,
    Descriptor,
    counter,
    distribution,
    gauge,
    series,
)
from tests.sandbox.monitoring_refusal import NEW, SECOND, MetricRefusal, bad_value


def _write(
    standing: Standing, worded: Standing, fact: str, said: str, *written: monitoring_v3.TimeSeries
) -> MetricRefusal:
    request = {"name": PARENT, "time_series": list(written)}
    return MetricRefusal(standing, worded, fact, "create_time_series", request, said)


def _malformed(
    fact: str,
    place: str,
    value: object,
    problem: str,
    *written: monitoring_v3.TimeSeries,
    worded: Standing = "assumed",
) -> MetricRefusal:
    said = f"{bad_value(f'timeSeries[0].{place}', value, problem)}: timeSeries[0]"
    return _write("documented", worded, fact, f"One or more TimeSeries could not be written: {said}", *written)


def _at(end: Any) -> str:
    return f"{end:%Y-%m-%dT%H:%M:%SZ}"


def _without_points() -> monitoring_v3.TimeSeries:
    empty = gauge(NEW, 1, END)
    del empty.points[:]
    return empty


def _with(change: Callable[[Any], None], made: monitoring_v3.TimeSeries) -> monitoring_v3.TimeSeries:
    change(monitoring_v3.TimeSeries.pb(made))
    return made


def _of_too_many_buckets() -> monitoring_v3.TimeSeries:
    bounds = [float(number) for number in range(1, 201)]
    return distribution(NEW, [1.0], END, bounds=bounds)


OUT_OF_ORDER = (
    "Points must be written in order. One or more of the points specified had an older start time than the most recent "
    "point.: global{project_id:shop-production} timeSeries[0]: "
)
TOO_OFTEN = (
    "One or more points were written more frequently than the maximum sampling period configured for the metric.: "
    "global{project_id:shop-production} timeSeries[0]: "
)
WRITTEN = (
    _write(
        "documented",
        "reported",
        "a point older than the newest of its series",
        f"One or more TimeSeries could not be written: {OUT_OF_ORDER}{DEPTH}{{}}",
        gauge(DEPTH, 1, END - MINUTE),
    ),
    _write(
        "documented",
        "reported",
        "a second point at the same time",
        f"One or more TimeSeries could not be written: {OUT_OF_ORDER}{DEPTH}{{}}",
        gauge(DEPTH, 1, END),
    ),
    _write(
        "documented",
        "reported",
        "a point nine seconds after the newest",
        f"One or more TimeSeries could not be written: {TOO_OFTEN}{REQUESTS}{{group:treated,outcome:ok}}",
        counter(13, END + 9 * SECOND, group="treated", outcome="ok"),
    ),
    _write(
        "reported",
        "reported",
        "one series twice in a request",
        "Field timeSeries[1] had an invalid value: Duplicate TimeSeries encountered. Only one point can be written per "
        "TimeSeries per request.: timeSeries[1]",
        gauge(f"{OWN}/twice", 1, END),
        gauge(f"{OWN}/twice", 2, END + MINUTE),
    ),
    _write(
        "documented",
        "assumed",
        "201 series in a request",
        bad_value("timeSeries", 201, "At most 200 series can be written at once."),
        *(gauge(NEW, 1, END, n=str(number)) for number in range(201)),
    ),
    _malformed(
        "a series without a point", "points", 0, "A time series must contain exactly one point.", _without_points()
    ),
    _malformed(
        "a series of two points",
        "points",
        2,
        "A time series must contain exactly one point.",
        _with(lambda made: made.points.append(made.points[0]), gauge(NEW, 1, END)),
    ),
    _malformed("a point without a value", "points[0].value", "", "The point has no value.", series(NEW, {}, END)),
    _malformed(
        "a metric of the platform",
        "metric.type",
        "run.googleapis.com/request_count",
        "The metric is not a user-defined one.",
        gauge("run.googleapis.com/request_count", 1, END),
    ),
    _malformed(
        "a series without a resource",
        "resource.type",
        "",
        "The monitored resource type is required.",
        _with(lambda made: made.ClearField("resource"), gauge(NEW, 1, END)),
    ),
    _malformed(
        "a DELTA metric of one's own",
        "metricKind",
        "DELTA",
        "User-defined metrics are GAUGE or CUMULATIVE.",
        _with(lambda made: setattr(made, "metric_kind", Descriptor.DELTA), gauge(NEW, 1, END)),
    ),
    _malformed(
        "a metric of 31 labels",
        "metric.labels",
        31,
        "The metric has more than 30 labels.",
        gauge(NEW, 1, END, **{f"l{number}": "x" for number in range(31)}),
    ),
    _malformed(
        "a distribution of 201 buckets",
        "points[0].value.distributionValue.bucketCounts",
        201,
        "A distribution has at most 200 buckets.",
        _of_too_many_buckets(),
    ),
    _malformed(
        "a distribution whose buckets do not sum to its count",
        "points[0].value.distributionValue.count",
        7,
        "The bucket counts sum to 1.",
        _with(lambda made: setattr(made.points[0].value.distribution_value, "count", 7), distribution(NEW, [1.0], END)),
    ),
    _malformed(
        "a gauge with a start of its own",
        "points[0].interval.start_time",
        _at(END - MINUTE),
        f"The start time must be equal to the end time ({_at(END)}) for the gauge metric '{NEW}'.",
        _with(
            lambda made: setattr(made, "metric_kind", GAUGE), series(NEW, {"int64_value": 1}, END, start=END - MINUTE)
        ),
        worded="reported",
    ),
    _malformed(
        "a cumulative point without a start before its end",
        "points[0].interval.start_time",
        _at(END),
        f"The start time must be before the end time ({_at(END)}) for the non-gauge metric '{NEW}'.",
        series(NEW, {"int64_value": 1}, END, start=END),
        worded="reported",
    ),
    _malformed(
        "a point of 26 hours ago",
        "points[0].interval.end_time",
        _at(END - timedelta(hours=26)),
        "Data points cannot be written more than 25h in the past.",
        gauge(NEW, 1, END - timedelta(hours=26)),
        worded="reported",
    ),
    _malformed(
        "a point of in six minutes",
        "points[0].interval.end_time",
        _at(END + 6 * MINUTE),
        "Data points cannot be written more than 5 minutes in the future.",
        gauge(NEW, 1, END + 6 * MINUTE),
    ),
    _malformed(
        "a label that the descriptor has not",
        "metric.labels[0]",
        "colour",
        "Unrecognized metric label.",
        counter(1, END, colour="red"),
        worded="reported",
    ),
    _malformed(
        "a kind that the descriptor has not",
        "metricKind",
        "GAUGE",
        f"The metric kind for metric {REQUESTS} must be CUMULATIVE.",
        gauge(REQUESTS, 1, END, group="other", outcome="ok"),
        worded="reported",
    ),
    _malformed(
        "a type that the descriptor has not",
        "points[0].value",
        "DOUBLE",
        f"Value type for metric {DEPTH} must be INT64, but is DOUBLE.",
        series(DEPTH, {"double_value": 1.0}, END + MINUTE),
    ),
)
