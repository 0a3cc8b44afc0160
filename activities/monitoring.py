"""Cloud Monitoring: what a metric says, interval by interval, and what it said before the first change."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.api_core.exceptions import GoogleAPIError
from google.cloud import monitoring_v3
from pydantic import BaseModel, ConfigDict, Field
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.clock import Clock
from activities.failures import Failure, Reaction, classify, in_words
from activities.time_series import GroupBy, TimeSeries, Window, groupings, list_request, measurements
from rollout.measurement import IntervalMeasurement, MeasurementSource, Sample, SourceFailure, TimeSeriesQuery
from rollout.sample_sums import merge
from rollout.wording import duration_in_words

ANSWER_SECONDS = 10.0
"""How long one question may take, all its pages and attempts included: a gate rather has no answer than waits."""
ATTEMPTS = 3
PAUSE_SECONDS = 0.3
"""Between attempts, times the number of the attempt."""

BUILT_IN_INGEST_DELAY = timedelta(seconds=240)
USER_METRIC_INGEST_DELAY = timedelta(seconds=5)
"""Where a descriptor does not say: what the platform collects is visible after minutes, what is written to it soon."""
USER_METRIC_DOMAINS = ("custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/")

MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class SourceRefusal(SourceFailure):
    """The monitoring system understood and said no: trying again changes nothing."""


class CloudMonitoring:
    """Answers queries from Cloud Monitoring; a `rollout.measurement.MeasurementSource`."""

    def __init__(self, metrics: monitoring_v3.MetricServiceAsyncClient) -> None:
        self._metrics = metrics
        self._ingest_delays: dict[tuple[str, str], timedelta] = {}

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        """Closed intervals within `(start, end]`, ascending by end; intervals without any point are left out.

        A group without points is absent from its interval, for silence is not zero. `all` sums over every value of
        the group's label; for a level it is the mean over every series.

        Raises:
            SourceFailure: the source could not be read, or answered what does not fit the plan.
        """
        window = Window(start=start, end=end, interval=interval)
        answers = [(group_by, await self._list(query, window, group_by)) for group_by in groupings(query.metric)]
        return measurements(query, window, answers)

    async def ingest_delay(self, query: TimeSeriesQuery) -> timedelta:
        """How long after the end of an interval its points may still be invisible: as the plan says, or the metric.

        Raises:
            SourceFailure: the metric's descriptor could not be read.
        """
        if query.metric.ingest_delay is not None:
            return query.metric.ingest_delay
        key = (query.project, query.metric.type)
        if key not in self._ingest_delays:
            self._ingest_delays[key] = await self._described_delay(*key)
        return self._ingest_delays[key]

    async def _described_delay(self, project: str, metric_type: str) -> timedelta:
        request = monitoring_v3.GetMetricDescriptorRequest(name=f"projects/{project}/metricDescriptors/{metric_type}")
        descriptor = await _answer(
            lambda: self._metrics.get_metric_descriptor(request=request, retry=None, timeout=ANSWER_SECONDS),
            f"the descriptor of {metric_type}",
        )
        if descriptor.metadata.HasField("ingest_delay"):
            delay: timedelta = descriptor.metadata.ingest_delay.ToTimedelta()
            return delay
        return USER_METRIC_INGEST_DELAY if metric_type.startswith(USER_METRIC_DOMAINS) else BUILT_IN_INGEST_DELAY

    async def _list(self, query: TimeSeriesQuery, window: Window, group_by: GroupBy) -> list[TimeSeries]:
        request = list_request(query, window, group_by)

        async def all_pages() -> list[TimeSeries]:
            listed: list[TimeSeries] = []
            pager = await self._metrics.list_time_series(request=request, retry=None, timeout=ANSWER_SECONDS)
            async for page in pager.pages:
                plain = monitoring_v3.ListTimeSeriesResponse.pb(page)
                if plain.execution_errors:
                    reasons = "; ".join(error.message for error in plain.execution_errors)
                    raise SourceFailure(f"{query.metric.type}: the answer is incomplete: {reasons}")
                listed.extend(plain.time_series)
            return listed

        return await _answer(all_pages, query.metric.type)


async def _answer(ask: Callable[[], Awaitable[T]], what: str) -> T:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _asked_again(ask)
    except TimeoutError as error:
        raise SourceFailure(f"Cloud Monitoring did not answer for {what} within {ANSWER_SECONDS:g} s") from error
    except GoogleAPIError as error:
        if classify(error) is Reaction.FATAL:
            raise SourceRefusal(f"Cloud Monitoring refused {what}: {in_words(error)}") from error
        raise SourceFailure(f"Cloud Monitoring failed on {what}: {in_words(error)}") from error


async def _asked_again(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer; asked again after an error that may pass, `ATTEMPTS` times in all."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await ask()
        except GoogleAPIError as error:
            if classify(error) is Reaction.FATAL:
                raise
        await asyncio.sleep(PAUSE_SECONDS * attempt)
    return await ask()


class CaptureBaseline(BaseModel):
    """What to measure before the first change, by the metric's name, and how much of the past to take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queries: dict[str, TimeSeriesQuery]
    window: timedelta = Field(gt=timedelta())


class MonitoringActivities:
    def __init__(self, source: MeasurementSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    @activity.defn
    async def capture_baseline(self, request: CaptureBaseline) -> dict[str, Sample]:
        """What each metric said over the window that ends where its data are complete, over all groups.

        Raises:
            ApplicationError: NoData (not retryable) names the metrics that said nothing; SourceFailure (not retryable
                where the source refused) says why it could not be read.
        """
        now = await self._clock()
        captured: dict[str, Sample] = {}
        silent: list[str] = []
        try:
            for name, query in request.queries.items():
                sample = await self._capture(query, request.window, now)
                if sample is None:
                    silent.append(f"{name} ({query.metric.type})")
                else:
                    captured[name] = sample
        except SourceFailure as failure:
            raise ApplicationError(
                str(failure), type=Failure.SOURCE_FAILURE, non_retryable=isinstance(failure, SourceRefusal)
            ) from failure
        if silent:
            lately = f"no data in the last {duration_in_words(request.window)}"
            raise ApplicationError(
                f"{lately}, and so nothing that stands for before: {', '.join(silent)}",
                type=Failure.NO_DATA,
                non_retryable=True,
            )
        return captured

    async def _capture(self, query: TimeSeriesQuery, window: timedelta, now: datetime) -> Sample | None:
        end = now - await self._source.ingest_delay(query)
        end -= (end - _EPOCH) % min(MINUTE, window)
        measured = await self._source.measure(query, start=end - window, end=end, interval=window)
        return merge(interval.groups["all"] for interval in measured if "all" in interval.groups)
