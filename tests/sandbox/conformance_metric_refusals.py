"""What Cloud Monitoring turns away, and in which words: one row each."""

from datetime import timedelta

from google.cloud import monitoring_v3

from tests.sandbox.conformance_metric_story import (
    DEPTH,
    LATENCY,
    LAYOUTS,
    MINUTE,
    OWN,
    PARENT,
    REQUESTS,
)
from tests.sandbox.conformance_write_refusals import WRITTEN
from tests.sandbox.google import Aligner, Reducer
from tests.sandbox.monitoring_answer import NONE, RAW, asked
from tests.sandbox.monitoring_refusal import (
    OF_DEPTH,
    SECOND,
    MetricRefusal,
    bad_value,
    listing,
    unfit_aligner,
    unfit_filter,
    without_an_interval,
)

LISTED = (
    listing(
        "documented",
        "reported",
        "a period below a minute",
        asked(REQUESTS, period=30 * SECOND),
        bad_value(
            "aggregation.alignmentPeriod", "30s", "The alignment period must be greater than or equal to 1 minute."
        ),
    ),
    listing(
        "documented",
        "reported",
        "an aligner without a period",
        asked(REQUESTS, period=timedelta()),
        bad_value(
            "aggregation.alignmentPeriod", "0s", "The alignment period must be greater than or equal to 1 minute."
        ),
    ),
    listing(
        "documented",
        "assumed",
        "a reducer without an aligner",
        asked(REQUESTS, aligner=Aligner.ALIGN_NONE),
        bad_value("aggregation.perSeriesAligner", "ALIGN_NONE", "A cross-series reducer needs an aligner."),
    ),
    unfit_aligner("ALIGN_SUM of a cumulative metric", REQUESTS, Aligner.ALIGN_SUM, "CUMULATIVE", "INT64"),
    unfit_aligner("ALIGN_DELTA of a gauge", DEPTH, Aligner.ALIGN_DELTA, "GAUGE", "INT64"),
    unfit_aligner(
        "ALIGN_RATE of a distribution",
        "run.googleapis.com/container/cpu/utilizations",
        Aligner.ALIGN_RATE,
        "DELTA",
        "DISTRIBUTION",
    ),
    unfit_aligner("a percentile of a number", DEPTH, Aligner.ALIGN_PERCENTILE_95, "GAUGE", "INT64"),
    listing(
        "documented",
        "assumed",
        "REDUCE_MAX of distributions",
        asked(LATENCY, reducer=Reducer.REDUCE_MAX),
        bad_value(
            "aggregation.crossSeriesReducer",
            "REDUCE_MAX",
            "The reducer cannot be applied to metrics with kind DELTA and value type DISTRIBUTION.",
        ),
    ),
    listing(
        "assumed",
        "assumed",
        "distributions of different bounds reduced together",
        asked(LAYOUTS),
        "Distributions with different bucket boundaries cannot be combined.",
    ),
    listing(
        "documented",
        "assumed",
        "a field to group by that no series has",
        asked(REQUESTS, by=["metric.colour"]),
        bad_value(
            "aggregation.groupByFields",
            "metric.colour",
            "It is neither metric.type, resource.type, metric.labels.* nor resource.labels.*.",
        ),
    ),
    unfit_filter(
        "a filter without a metric type",
        'resource.type = "global"',
        'The filter must name exactly one metric type, as metric.type = "…".',
    ),
    unfit_filter(
        "a filter of two metric types",
        f'{OF_DEPTH} OR metric.type = "b"',
        'The filter must name exactly one metric type, as metric.type = "…".',
    ),
    unfit_filter("an empty filter", "", "The filter could not be parsed near ''."),
    unfit_filter("a filter that breaks off", f"{OF_DEPTH} AND", "The filter could not be parsed near 'AND'."),
    unfit_filter(
        "a comparison without a string",
        f"{OF_DEPTH} AND resource.labels.job = backend",
        "The filter could not be parsed near 'backend'.",
    ),
    MetricRefusal(
        "assumed",
        "reported",
        "a metric nobody has written",
        "list_time_series",
        asked(f"{OWN}/unwritten"),
        f'Cannot find metric(s) that match type = "{OWN}/unwritten". If a metric was created recently, it could take '
        "up to 10 minutes to become available. Please try again soon.",
        "NotFound",
    ),
    MetricRefusal(
        "recorded",
        "recorded",
        "a descriptor that is not there",
        "get_metric_descriptor",
        {"name": f"{PARENT}/metricDescriptors/{OWN}/unwritten"},
        f"Could not find descriptor for metric '{OWN}/unwritten'.",
        "NotFound",
    ),
    listing(
        "documented",
        "assumed",
        "an interval that ends before it starts",
        asked(REQUESTS, window=-MINUTE, period=MINUTE),
        "The start of the interval is after its end.",
    ),
    listing(
        "documented",
        "assumed",
        "an interval without an end",
        without_an_interval(),
        "The end of the interval is required.",
    ),
    listing(
        "documented",
        "assumed",
        "an order of the points",
        monitoring_v3.ListTimeSeriesRequest(asked(REQUESTS), order_by="timestamp"),
        bad_value("orderBy", "timestamp", "It is unsupported and must be left blank."),
    ),
    listing(
        "documented",
        "assumed",
        "a negative page size",
        asked(REQUESTS, page_size=-1),
        bad_value("pageSize", -1, "The page size must not be negative."),
    ),
    listing(
        "documented",
        "assumed",
        "a page token of somebody else",
        monitoring_v3.ListTimeSeriesRequest(asked(REQUESTS, **RAW), page_token="bm90LW91cnM6MQ=="),  # noqa: S106
        "The page token is not one of this server.",
    ),
    listing(
        "documented",
        "assumed",
        "a name that is not a project's",
        monitoring_v3.ListTimeSeriesRequest(asked(REQUESTS, reducer=NONE), name="shop"),
        bad_value("name", "shop", "It is not of the form projects/*."),
    ),
)


METRIC_REFUSALS = (*LISTED, *WRITTEN)
