"""Google's unmodified clients against a sandbox, and requests as the tests word them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.api_core.operation_async import AsyncOperation
from google.cloud import monitoring_v3, run_v2
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcAsyncIOTransport
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.protobuf.timestamp_pb2 import Timestamp

from sandbox.options import InstalledService, SandboxOptions
from sandbox.server import Sandbox

PROJECT, REGION, SERVICE = "shop-production", "us-central1", "backend"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
NAME = f"{PARENT}/services/{SERVICE}"
OLD_IMAGE, NEW_IMAGE = "shop/backend:1", "shop/backend:2"
CANDIDATE = "backend-c2"
INSTALLED = InstalledService(project=PROJECT, region=REGION, service=SERVICE, image=OLD_IMAGE)
RECONCILE_SECONDS = 0.02

Aligner = monitoring_v3.Aggregation.Aligner
Reducer = monitoring_v3.Aggregation.Reducer
_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST


def to(revision: str, percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    """A traffic row for a named revision."""
    return run_v2.TrafficTarget(type_=_REVISION, revision=revision, percent=percent, tag=tag)


def to_latest(percent: int) -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=_LATEST, percent=percent)


def template_of(image: str, revision: str = "") -> run_v2.RevisionTemplate:
    return run_v2.RevisionTemplate(revision=revision, containers=[run_v2.Container(image=image)])


def short(revision: str) -> str:
    return revision.rpartition("/")[2]


def updated_at(service: run_v2.Service) -> Timestamp:
    """The update time in full precision; the wrapper's own type for it is not what its annotation says."""
    stamp: Timestamp = run_v2.Service.pb(service).update_time
    return stamp


async def result_of(operation: AsyncOperation) -> Any:
    """What an operation ends with; raises what it failed with."""
    return await operation.result()  # type: ignore[no-untyped-call]


@dataclass
class Google:
    """A sandbox with one installed service, `backend`, and the clients that talk to it."""

    sandbox: Sandbox
    channel: grpc.aio.Channel
    services: run_v2.ServicesAsyncClient
    revisions: run_v2.RevisionsAsyncClient
    metrics: monitoring_v3.MetricServiceAsyncClient

    @classmethod
    @asynccontextmanager
    async def started(cls, **options: Any) -> AsyncIterator["Google"]:
        settings = {"services": (INSTALLED,), "reconcile_seconds": RECONCILE_SECONDS, **options}
        async with Sandbox.started(SandboxOptions(**settings)) as sandbox:
            channel = grpc.aio.insecure_channel(sandbox.grpc_target)
            try:
                yield cls(
                    sandbox,
                    channel,
                    run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel)),
                    run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel)),
                    monitoring_v3.MetricServiceAsyncClient(
                        transport=MetricServiceGrpcAsyncIOTransport(channel=channel)
                    ),
                )
            finally:
                await channel.close()

    async def service(self, name: str = NAME) -> run_v2.Service:
        return await self.services.get_service(name=name)

    async def stable(self) -> str:
        """The short name of the revision the service was installed with."""
        first = [each async for each in await self.revisions.list_revisions(parent=NAME)][-1]
        return short(first.name)

    async def update(
        self, paths: Sequence[str] | None, *, validate_only: bool = False, **fields: Any
    ) -> AsyncOperation:
        """Send an update of `backend`; `paths` is the mask, None for no mask."""
        request = run_v2.UpdateServiceRequest(
            service=run_v2.Service(name=NAME, **fields),
            update_mask={"paths": paths} if paths is not None else None,
            validate_only=validate_only,
        )
        return await self.services.update_service(request=request)

    async def settled(self, name: str = NAME) -> run_v2.Service:
        """The service once nothing is on its way any more."""
        while (service := await self.service(name)).reconciling:
            continue
        return service

    async def deploy(self, percent: int, *, image: str = NEW_IMAGE, tag: str = "") -> run_v2.Service:
        """A candidate beside the stable revision with `percent` of the traffic, waited for."""
        rows = [to(await self.stable(), 100 - percent), to(CANDIDATE, percent, tag)]
        await self.update(["template", "traffic"], template=template_of(image, CANDIDATE), traffic=rows)
        return await self.settled()

    async def series(self, metric: str, end: datetime, **asked: Any) -> list[Any]:
        """The time series of one question, all pages, as plain protobuf."""
        pager = await self.metrics.list_time_series(request=question(metric, end, **asked))
        return [monitoring_v3.TimeSeries.pb(each) async for each in pager]


def question(
    metric: str,
    end: datetime,
    *,
    window: timedelta = timedelta(minutes=1),
    period: timedelta | None = None,
    aligner: int = Aligner.ALIGN_DELTA,
    reducer: int = Reducer.REDUCE_SUM,
    by: Sequence[str] = (),
    only: str = "",
    page_size: int = 0,
    project: str = PROJECT,
) -> monitoring_v3.ListTimeSeriesRequest:
    """ListTimeSeries for the window that ends at `end`, by default as one period."""
    return monitoring_v3.ListTimeSeriesRequest(
        name=f"projects/{project}",
        filter=f'metric.type = "{metric}" {only}',
        interval={"start_time": end - window, "end_time": end},
        aggregation={
            "alignment_period": window if period is None else period,
            "per_series_aligner": aligner,
            "cross_series_reducer": reducer,
            "group_by_fields": list(by),
        },
        page_size=page_size,
    )
