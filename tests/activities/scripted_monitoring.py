"""A Monitoring API on loopback whose answers a test writes down: what no healthy sandbox would say."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.api.metric_pb2 import MetricDescriptor  # type: ignore[import-untyped]
from google.cloud import monitoring_v3

from activities.google_clients import google_clients
from activities.monitoring import CloudMonitoring

Listed = monitoring_v3.ListTimeSeriesResponse | grpc.StatusCode


@dataclass
class Script:
    """Answers are given in order; the last one is repeated. `requests` is what was asked."""

    listed: list[Listed] = field(default_factory=list)
    described: list[Any] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)


def _next(answers: list[Any]) -> Any:
    return answers.pop(0) if len(answers) > 1 else answers[0]


async def _give(answer: Any, context: Any) -> Any:
    if isinstance(answer, grpc.StatusCode):
        await context.abort(answer, "the script says so")
    return answer


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[CloudMonitoring]:
    async def list_time_series(request: Any, context: Any) -> Any:
        script.requests.append(request)
        return await _give(_next(script.listed), context)

    async def get_metric_descriptor(request: Any, context: Any) -> Any:
        script.requests.append(request)
        return await _give(_next(script.described), context)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "google.monitoring.v3.MetricService",
                {
                    "ListTimeSeries": grpc.unary_unary_rpc_method_handler(
                        list_time_series,
                        monitoring_v3.ListTimeSeriesRequest.deserialize,
                        monitoring_v3.ListTimeSeriesResponse.serialize,
                    ),
                    "GetMetricDescriptor": grpc.unary_unary_rpc_method_handler(
                        get_metric_descriptor,
                        monitoring_v3.GetMetricDescriptorRequest.deserialize,
                        MetricDescriptor.SerializeToString,
                    ),
                },
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    clients = google_clients(f"127.0.0.1:{port}")
    try:
        yield CloudMonitoring(clients.metrics)
    finally:
        await clients.close()
        await server.stop(None)


def page(series: Iterable[dict[str, Any]], following: str = "") -> monitoring_v3.ListTimeSeriesResponse:
    return monitoring_v3.ListTimeSeriesResponse(time_series=list(series), next_page_token=following)


def described(*, ingest_delay: timedelta | None = None) -> Any:
    descriptor = MetricDescriptor()
    if ingest_delay is not None:
        descriptor.metadata.ingest_delay.FromTimedelta(ingest_delay)
    return descriptor
