"""The application's own metrics, written to Cloud Monitoring with Google's client every `report_seconds`.

Reports are due at whole multiples of that on the wall clock, and their points end there: a report that goes out a
little late leaves no interval without a point.
"""

import asyncio
import logging
from datetime import UTC, datetime
from time import time
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcAsyncIOTransport

from sample_app.configuration import Configuration
from sample_app.measurements import (
    BUCKETS,
    GROWTH,
    SCALE_MS,
    CohortMeasurements,
    Group,
    GroupMeasurements,
    Latencies,
    Measurements,
)

_log = logging.getLogger(__name__)
_OWN = "custom.googleapis.com/rollout"
_CUMULATIVE = 3
_Value = int | Latencies


class Reporter:
    """Cumulative series since the process started, zeros included.

    A group, or a part of the cohort, that nobody was served in has no point.
    """

    def __init__(self, configuration: Configuration, measurements: Measurements) -> None:
        self._configuration = configuration
        self._measurements = measurements
        self._began = datetime.now(UTC)
        self._reported: dict[Group, int] = dict.fromkeys(measurements.groups, 0)
        self._reported_cohorts: dict[str, int] = {}

    async def run(self, endpoint: str) -> None:
        """Report until cancelled. A report that fails is logged; the next one carries its counts along."""
        async with grpc.aio.insecure_channel(endpoint) as channel:
            client = monitoring_v3.MetricServiceAsyncClient(
                transport=MetricServiceGrpcAsyncIOTransport(channel=channel)
            )
            every, interval = self._configuration.report_seconds, 0
            while True:
                interval = max(interval, int(time() / every)) + 1
                await asyncio.sleep(max(0.0, interval * every - time()))
                await self._report(client, datetime.fromtimestamp(interval * every, UTC))

    async def _report(self, client: monitoring_v3.MetricServiceAsyncClient, end: datetime) -> None:
        activity = {group: _activity(figures) for group, figures in self._measurements.groups.items()}
        active = [group for group, total in activity.items() if total != self._reported[group]]
        series = [
            self._series(metric, {"group": group, **labels}, value, end)
            for group in active
            for metric, labels, value in _figures(self._measurements.groups[group])
            if isinstance(value, int) or value.count
        ]
        cohorts = {label: figures.ok + figures.errors for label, figures in self._measurements.cohorts.items()}
        series += [
            self._series(metric, {"cohort": cohort, **labels}, value, end)
            for cohort, total in cohorts.items()
            if total != self._reported_cohorts.get(cohort, 0)
            for metric, labels, value in _cohort_figures(self._measurements.cohorts[cohort])
        ]
        if not series:
            return
        try:
            await client.create_time_series(name=f"projects/{self._configuration.project}", time_series=series)
        except GoogleAPICallError as error:
            _log.warning("metrics were not taken: %s", error)
            return
        self._reported, self._reported_cohorts = activity, cohorts

    def _series(self, metric: str, labels: dict[str, str], value: _Value, end: datetime) -> Any:
        place = self._configuration
        environment = (place.flag_group or "production").partition(":")[0]
        return monitoring_v3.TimeSeries(
            metric={
                "type": f"{_OWN}/{metric}",
                "labels": labels,
            },
            resource={
                "type": "generic_task",
                "labels": {
                    "project_id": place.project,
                    "location": place.region,
                    "namespace": environment,
                    "job": place.service,
                    "task_id": place.revision,
                },
            },
            metric_kind=_CUMULATIVE,
            unit="ms" if isinstance(value, Latencies) else "1",
            points=[{"interval": {"start_time": self._began, "end_time": end}, "value": _typed(value)}],
        )


def _figures(figures: GroupMeasurements) -> list[tuple[str, dict[str, str], _Value]]:
    return [
        ("request_count", {"outcome": "ok"}, figures.ok),
        ("request_count", {"outcome": "error"}, figures.errors),
        ("request_latencies", {}, figures.request_latencies),
        ("isolation_checks", {"outcome": "isolated"}, figures.isolated),
        ("isolation_checks", {"outcome": "violated"}, figures.violated),
        ("cascade_failures", {}, figures.cascades),
        ("websocket_event_latencies", {}, figures.event_latencies),
        ("legacy_path_requests", {}, figures.legacy),
        ("users_affected", {}, len(figures.affected)),
    ]


def _cohort_figures(figures: CohortMeasurements) -> list[tuple[str, dict[str, str], _Value]]:
    return [
        ("cohort_request_count", {"outcome": "ok"}, figures.ok),
        ("cohort_request_count", {"outcome": "error"}, figures.errors),
        ("cohort_request_latencies", {}, figures.request_latencies),
    ]


def _activity(figures: GroupMeasurements) -> int:
    return figures.ok + figures.errors + figures.event_latencies.count


def _typed(value: _Value) -> dict[str, Any]:
    if isinstance(value, int):
        return {"int64_value": value}
    count = value.count
    mean = value.total / count
    return {
        "distribution_value": {
            "count": count,
            "mean": mean,
            "sum_of_squared_deviation": max(0.0, value.squares - count * mean * mean),
            "bucket_options": {
                "exponential_buckets": {"num_finite_buckets": BUCKETS, "growth_factor": GROWTH, "scale": SCALE_MS}
            },
            "bucket_counts": value.counts,
        }
    }
