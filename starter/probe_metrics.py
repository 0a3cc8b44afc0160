"""What a probe reads of Cloud Run's own metrics: what their descriptors say, and how old the newest point is.

The service's own series are read; while it has none, those of every service of the region.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.cloud import monitoring_v3

from rollout.traffic import ServiceRef
from starter.probe_calls import READ_SECONDS, Calls
from starter.probe_report import Point, PointName, State
from starter.probe_scratch import CannotTell

COUNTED = ("run.googleapis.com/request_count", "run.googleapis.com/container/instance_count")
DISTRIBUTIONS = (
    "run.googleapis.com/request_latencies",
    "run.googleapis.com/container/cpu/utilizations",
    "run.googleapis.com/container/memory/utilizations",
)
_LOOKED_BACK = timedelta(minutes=20)
_DELAY_UNLESS_SAID_SECONDS = 240.0
_PERIOD_UNLESS_SAID_SECONDS = 60.0
_LOOKS_PER_PERIOD = 12
_SLACK_SECONDS = 10.0
_POINTS_READ = 1000


class IngestDelay(NamedTuple):
    point: Point
    sample_seconds: float
    delay_seconds: float


class _Sight(NamedTuple):
    """The newest point of a metric, and how old it was when it was seen."""

    end: datetime
    age_seconds: float


class RunMetrics:
    def __init__(self, metrics: monitoring_v3.MetricServiceAsyncClient, ref: ServiceRef, calls: Calls) -> None:
        self._metrics = metrics
        self._ref = ref
        self._calls = calls

    async def ingest_delay(self) -> IngestDelay:
        """How late points become visible: as declared, and as seen the moment that a new point showed.

        Raises:
            CallFailed: something could not be read.
            CannotTell: no point showed.
        """
        declared = [await self._declared(metric) for metric in (*COUNTED, *DISTRIBUTIONS)]
        period = declared[0][0] or _PERIOD_UNLESS_SAID_SECONDS
        delay = declared[0][1]
        seen = [
            f"{metric}: declares {_seconds(said[1])} delay, {_seconds(said[0])} sample period"
            for metric, said in zip((*COUNTED, *DISTRIBUTIONS), declared, strict=True)
        ]
        metric, measured = await self._next_point(
            period, 2 * period + (delay or _DELAY_UNLESS_SAID_SECONDS) + _SLACK_SECONDS
        )
        seen.append(f"{metric}: the newest point was {measured:.1f} s old when it showed")
        found = f"{measured:.1f} s measured, {_seconds(delay)} declared, a point every {period:g} s"
        point = Point(name=PointName.INGEST_DELAY, state=State.SETTLED, found=found, seen=tuple(seen))
        return IngestDelay(point, period, round(measured, 1))

    async def buckets(self) -> Point:
        """How the distributions are divided.

        Raises:
            CallFailed: something could not be read.
            CannotTell: the latencies of requests have no point.
        """
        layouts = {metric: await self._layout(metric) for metric in DISTRIBUTIONS}
        latencies = layouts[DISTRIBUTIONS[0]]
        if latencies is None:
            raise CannotTell(
                f"no service of {self._ref.region} had a request in {_LOOKED_BACK.total_seconds() / 60:g} min that "
                f"{DISTRIBUTIONS[0]} shows: send some to any of them and run this again with --read-only"
            )
        seen = tuple(f"{metric}: {layout or 'no points'}" for metric, layout in layouts.items())
        return Point(name=PointName.BUCKETS, state=State.SETTLED, found=f"of latencies: {latencies}", seen=seen)

    async def _declared(self, metric: str) -> tuple[float | None, float | None]:
        """Sample period and ingest delay in seconds, where the descriptor says them."""
        descriptor = await self._calls.read(
            "GetMetricDescriptor",
            self._metrics.get_metric_descriptor(
                name=f"projects/{self._ref.project}/metricDescriptors/{metric}", retry=None, timeout=READ_SECONDS
            ),
        )
        metadata: Any = descriptor.metadata
        return (
            metadata.sample_period.ToTimedelta().total_seconds() if metadata.HasField("sample_period") else None,
            metadata.ingest_delay.ToTimedelta().total_seconds() if metadata.HasField("ingest_delay") else None,
        )

    async def _next_point(self, period: float, within: float) -> tuple[str, float]:
        """A metric, and the age in seconds of its newest point when that was first seen."""
        before = {metric: await self._newest(metric) for metric in COUNTED}
        end = time.monotonic() + within
        while time.monotonic() < end:
            await asyncio.sleep(period / _LOOKS_PER_PERIOD)
            for metric in COUNTED:
                newest, known = await self._newest(metric), before[metric]
                if newest is not None and (known is None or newest.end > known.end):
                    return metric, newest.age_seconds
        raise CannotTell(
            f"no new point of {' or '.join(COUNTED)} in {self._ref.region} within {within:g} s: run this again with "
            "--read-only while some service there has traffic"
        )

    async def _newest(self, metric: str) -> _Sight | None:
        ends = [series.points[0].interval.end_time.ToDatetime(UTC) for series in await self._series(metric)]
        now = datetime.now(UTC)
        return _Sight(max(ends), (now - max(ends)).total_seconds()) if ends else None

    async def _layout(self, metric: str) -> str | None:
        for series in await self._series(metric):
            return _layout_in_words(series.points[0].value.distribution_value.bucket_options)
        return None

    async def _series(self, metric: str) -> list[Any]:
        """Some series that have points, newest first in each: the service's own, else the region's."""
        own = f' AND resource.labels.service_name = "{self._ref.service}"'
        return await self._listed(metric, own) or await self._listed(metric, "")

    async def _listed(self, metric: str, only: str) -> list[Any]:
        now = datetime.now(UTC)
        pager = await self._calls.read(
            "ListTimeSeries",
            self._metrics.list_time_series(
                request=monitoring_v3.ListTimeSeriesRequest(
                    name=f"projects/{self._ref.project}",
                    filter=f'metric.type = "{metric}" AND resource.type = "cloud_run_revision" AND '
                    f'resource.labels.location = "{self._ref.region}"{only}',
                    interval={"start_time": now - _LOOKED_BACK, "end_time": now},
                    page_size=_POINTS_READ,
                ),
                retry=None,
                timeout=READ_SECONDS,
            ),
        )
        # One page is enough to see a newest point by, and bounded however large the project is.
        async for page in pager.pages:
            return [series for each in page.time_series if (series := monitoring_v3.TimeSeries.pb(each)).points]
        return []


def _seconds(value: float | None) -> str:
    return "no" if value is None else f"{value:g} s"


def _layout_in_words(options: Any) -> str:
    match options.WhichOneof("options"):
        case "exponential_buckets":
            of = options.exponential_buckets
            return (
                f"exponential, scale {of.scale:g}, growth factor {of.growth_factor:g}, {of.num_finite_buckets} buckets"
            )
        case "linear_buckets":
            of = options.linear_buckets
            return f"linear from {of.offset:g} by {of.width:g}, {of.num_finite_buckets} buckets"
        case "explicit_buckets":
            bounds = options.explicit_buckets.bounds
            return f"explicit, {len(bounds)} bounds: {', '.join(f'{bound:g}' for bound in bounds)}"
    return "not said"
