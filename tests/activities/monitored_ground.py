"""A service in a sandbox whose users leave metrics behind, and Cloud Monitoring as a rollout reads them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from activities.monitoring import CloudMonitoring
from rollout.measurement import (
    BadLabel,
    Counts,
    GroupsByLabel,
    GroupsByRevision,
    IntervalMeasurement,
    Metric,
    Sample,
    TimeSeriesQuery,
)
from tests.activities.cloud_run_ground import BACKEND, Ground

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
INGEST_DELAY = timedelta(minutes=2)
REQUESTS_PER_MINUTE = 200 * 60
OWN = "custom.googleapis.com/rollout"
COHORT = GroupsByLabel(label="metric.labels.group", treated="treated", control="control")
OF_BACKEND = 'resource.labels.job = "backend"'
REQUESTS = Metric(
    type=f"{OWN}/request_count",
    filter=OF_BACKEND,
    value="count",
    bad=BadLabel(label="metric.labels.outcome", values=("error",)),
    groups=COHORT,
)
LATENCIES = Metric(type=f"{OWN}/request_latencies", filter=OF_BACKEND, value="distribution", groups=COHORT)
REQUESTS_BY_REVISION = Metric(
    type="run.googleapis.com/request_count",
    filter='resource.labels.service_name = "backend"',
    value="count",
    bad=BadLabel(label="metric.labels.response_code_class", values=("5xx",)),
    groups=GroupsByRevision(service="backend"),
)


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    async def read(self) -> datetime:
        return self.now


def query(metric: Metric, **values: str | None) -> TimeSeriesQuery:
    return TimeSeriesQuery(project=BACKEND.project, metric=metric, **values)


@asynccontextmanager
async def monitored(clock: Watch) -> AsyncIterator[tuple[Ground, CloudMonitoring]]:
    async with Ground.laid(clock=clock.read) as ground:
        yield ground, CloudMonitoring(ground.stranger.metrics)


Monitored = tuple[Ground, CloudMonitoring]


async def minutes(
    source: CloudMonitoring, asked: TimeSeriesQuery, count: int, end: datetime = NOON - INGEST_DELAY
) -> list[IntervalMeasurement]:
    return await source.measure(asked, start=end - count * MINUTE, end=end, interval=MINUTE)


def counts(sample: Sample) -> Counts:
    assert isinstance(sample, Counts)
    return sample
