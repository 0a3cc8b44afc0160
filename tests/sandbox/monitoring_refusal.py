"""A request that Cloud Monitoring turns away: what a row about it says, and how such requests are written."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.cloud import monitoring_v3

from tests.sandbox.conformance_facts import Standing
from tests.sandbox.conformance_metric_story import (
    DEPTH,
    OWN,
    REQUESTS,
)
from tests.sandbox.google import Aligner
from tests.sandbox.monitoring_answer import asked

NEW = f"{OWN}/new"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class MetricRefusal:
    """`standing` is that of the refusal, `worded` that of its text; the text ends in `said`."""

    standing: Standing
    worded: Standing
    fact: str
    method: str
    request: Any
    said: str
    kind: str = "InvalidArgument"


def bad_value(field: str, value: object, problem: str) -> str:
    return f'Field {field} had an invalid value of "{value}": {problem}'


def listing(
    standing: Standing, worded: Standing, fact: str, request: monitoring_v3.ListTimeSeriesRequest, said: str
) -> MetricRefusal:
    return MetricRefusal(standing, worded, fact, "list_time_series", request, said)


def unfit_aligner(fact: str, metric: str, aligner: int, kind: str, value_type: str) -> MetricRefusal:
    problem = f"The aligner cannot be applied to metrics with kind {kind} and value type {value_type}."
    return listing(
        "documented",
        "reported",
        fact,
        asked(metric, aligner=aligner),
        bad_value("aggregation.perSeriesAligner", Aligner(aligner).name, problem),
    )


def unfit_filter(fact: str, text: str, problem: str) -> MetricRefusal:
    request = asked(DEPTH, aligner=Aligner.ALIGN_MAX)
    request.filter = text
    return listing("documented", "assumed", fact, request, bad_value("filter", text, problem))


def without_an_interval() -> monitoring_v3.ListTimeSeriesRequest:
    request = asked(REQUESTS)
    del request.interval
    return request


OF_DEPTH = f'metric.type = "{DEPTH}"'
