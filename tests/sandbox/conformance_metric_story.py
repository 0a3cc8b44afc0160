"""Series with known values, written by one of Google's clients, and questions about them asked by the same one."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

import grpc
from google.api import distribution_pb2, metric_pb2  # type: ignore[import-untyped]
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcAsyncIOTransport,
    MetricServiceGrpcTransport,
)

from sandbox.options import SandboxOptions
from sandbox.server import Sandbox
from tests.sandbox.both_clients import ClientKind
from tests.sandbox.google import INSTALLED, PROJECT
from tests.sandbox.moving_clock import START, MovingClock

PARENT = f"projects/{PROJECT}"
OWN = "custom.googleapis.com/shop"
REQUESTS, DEPTH, QUEUES, LATENCY, LAYOUTS, PLACES = (
    f"{OWN}/{name}" for name in ("requests", "depth", "queues", "latency", "layouts", "places")
)
MINUTE = timedelta(minutes=1)
END = START + 3 * MINUTE
"""When everything is written, and what time it is when the questions are asked."""

GAUGE, CUMULATIVE = metric_pb2.MetricDescriptor.GAUGE, metric_pb2.MetricDescriptor.CUMULATIVE
BOUNDS = (10.0, 20.0, 50.0, 100.0)
OF_A, OF_B = (12.0, 18.0, 33.0), (250.0, 71.0)
Descriptor = metric_pb2.MetricDescriptor


@dataclass
class Metrics:
    """Calls of the monitoring client by the name of its method."""

    client: Any
    kind: ClientKind

    async def call(self, method: str, request: Any) -> Any:
        """What it answers; of a list, its pages as plain protobuf."""
        asked = getattr(self.client, method)
        if self.kind == "sync":
            answer = await asyncio.to_thread(asked, request=request)
            return await asyncio.to_thread(lambda: list(answer.pages)) if hasattr(answer, "pages") else answer
        answer = await asked(request=request)
        return [page async for page in answer.pages] if hasattr(answer, "pages") else answer

    async def refusal(self, method: str, request: Any) -> GoogleAPICallError | None:
        """How a request was turned away; None where it was taken."""
        try:
            await self.call(method, request)
        except GoogleAPICallError as error:
            return error
        return None

    async def write(self, *series: monitoring_v3.TimeSeries) -> None:
        await self.call("create_time_series", {"name": PARENT, "time_series": list(series)})


@asynccontextmanager
async def told(kind: ClientKind) -> AsyncIterator[Metrics]:
    clock = MovingClock()
    options = SandboxOptions(services=(INSTALLED,), seed=7, clock=clock)
    async with Sandbox.started(options) as sandbox, _client(kind, sandbox.grpc_target) as client:
        metrics = Metrics(client, kind)
        for minute in (1, 2, 3):
            end = clock.skip(minutes=1)
            await metrics.write(*_of_minute(minute, end))
        yield metrics


@asynccontextmanager
async def _client(kind: ClientKind, target: str) -> AsyncIterator[Any]:
    if kind == "sync":
        with grpc.insecure_channel(target) as blocking:
            yield monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=blocking))
        return
    async with grpc.aio.insecure_channel(target) as channel:
        yield monitoring_v3.MetricServiceAsyncClient(transport=MetricServiceGrpcAsyncIOTransport(channel=channel))


def _of_minute(minute: int, end: datetime) -> Sequence[monitoring_v3.TimeSeries]:
    counted = [counter({1: 5, 2: 12, 3: 12}[minute], end, group="treated", outcome="ok")]
    restarted = START if minute == 1 else START + MINUTE
    errors = {1: 1, 2: 2, 3: 2}[minute]
    counted.append(counter(errors, end, start=restarted, group="treated", outcome="error"))
    if minute < 3:
        return counted
    return [
        *counted,
        counter(100, end, group="control", outcome="ok"),
        gauge(DEPTH, 9, end),
        *(gauge(QUEUES, size, end, queue=name) for name, size in (("a", 10), ("b", 20), ("c", 30))),
        distribution(LATENCY, OF_A, end, instance="a"),
        distribution(LATENCY, OF_B, end, instance="b"),
        distribution(LAYOUTS, OF_A, end, instance="a"),
        distribution(LAYOUTS, OF_B, end, bounds=(1.0, 300.0), instance="b"),
        gauge(PLACES, 1, end),
        series(PLACES, {"int64_value": 2}, end, resource={"type": "generic_task", "labels": {"job": "backend"}}),
    ]


def series(
    metric: str,
    value: dict[str, Any],
    end: datetime,
    *,
    labels: Mapping[str, str] | None = None,
    start: datetime | None = None,
    resource: dict[str, Any] | None = None,
    unit: str = "1",
) -> monitoring_v3.TimeSeries:
    """One series with one point; with a start it is cumulative, else a gauge."""
    return monitoring_v3.TimeSeries(
        metric={"type": metric, "labels": labels or {}},
        resource=resource or {"type": "global"},
        metric_kind=CUMULATIVE if start else GAUGE,
        unit=unit,
        points=[{"interval": {"start_time": start or end, "end_time": end}, "value": value}],
    )


def gauge(metric: str, value: int, end: datetime, **labels: str) -> monitoring_v3.TimeSeries:
    return series(metric, {"int64_value": value}, end, labels=labels)


def counter(value: int, end: datetime, *, start: datetime = START, **labels: str) -> monitoring_v3.TimeSeries:
    return series(REQUESTS, {"int64_value": value}, end, start=start, labels=labels)


def distribution(
    metric: str, values: Sequence[float], end: datetime, *, bounds: Sequence[float] = BOUNDS, **labels: str
) -> monitoring_v3.TimeSeries:
    value = {"distribution_value": observed(values, bounds)}
    return series(metric, value, end, start=end - MINUTE, unit="ms", labels=labels)


def observed(values: Sequence[float], bounds: Sequence[float] = BOUNDS) -> Any:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(bound <= value for bound in bounds)] += 1
    mean = fmean(values)
    return distribution_pb2.Distribution(
        count=len(values),
        mean=mean,
        sum_of_squared_deviation=sum((value - mean) ** 2 for value in values),
        bucket_options={"explicit_buckets": {"bounds": bounds}},
        bucket_counts=counts,
    )
