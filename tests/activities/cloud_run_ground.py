"""A Cloud Run service in a sandbox, the activities that change it, and a stranger who changes it too."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.cloud_run import CloudRunActivities, DeployCandidate, RestoreTraffic, ShiftTraffic
from activities.failures import Failure
from activities.google_clients import GoogleClients, google_clients
from rollout.traffic import Candidate, ServiceAnchor, ServiceRef, TrafficSplit
from sandbox.behaviours import Behaviour
from sandbox.clock import Clock, utc_clock
from sandbox.cloud_run import EtagProfile, InflightProfile
from sandbox.faults import Fault
from sandbox.options import InstalledService, SandboxOptions
from sandbox.server import Sandbox

POLL = 0.01
RECONCILE = 0.02
FENCE = 7
BACKEND = ServiceRef(key="backend", project="shop-production", region="us-central1", service="backend")
TAG = "candidate"
OLD_IMAGE, NEW_IMAGE = "shop/backend:1", "shop/backend:2"
_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION

Meanwhile = Callable[[], Awaitable[None]]


class _Wire(grpc.aio.UnaryUnaryClientInterceptor):
    """What the activities send, and what happens just before an update of theirs leaves."""

    def __init__(self) -> None:
        self.updates: list[run_v2.UpdateServiceRequest] = []
        self.before_update: Meanwhile | None = None

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if str(client_call_details.method).endswith("UpdateService'"):
            self.updates.append(run_v2.UpdateServiceRequest(request))
            meanwhile, self.before_update = self.before_update, None
            if meanwhile is not None:
                await meanwhile()
        return await continuation(client_call_details, request)


@dataclass
class Ground:
    sandbox: Sandbox
    activities: CloudRunActivities
    stranger: GoogleClients
    wire: _Wire
    ref: ServiceRef = field(default=BACKEND)

    @classmethod
    @asynccontextmanager
    async def laid(
        cls, *, etag: EtagProfile = "ignore", inflight: InflightProfile = "supersede", clock: Clock = utc_clock
    ) -> AsyncIterator["Ground"]:
        options = SandboxOptions(
            services=(
                InstalledService(
                    project=BACKEND.project, region=BACKEND.region, service=BACKEND.service, image=OLD_IMAGE
                ),
            ),
            etag=etag,
            inflight=inflight,
            reconcile_seconds=RECONCILE,
            clock=clock,
        )
        async with Sandbox.started(options) as sandbox:
            wire = _Wire()
            channel = grpc.aio.insecure_channel(sandbox.grpc_target, interceptors=[wire])
            activities = CloudRunActivities(
                run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel)),
                run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel)),
                poll=POLL,
            )
            stranger = google_clients(sandbox.grpc_target)
            try:
                yield cls(sandbox, activities, stranger, wire)
            finally:
                await stranger.close()
                await channel.close()

    async def service(self) -> run_v2.Service:
        return await self.stranger.services.get_service(request=run_v2.GetServiceRequest(name=self.ref.resource_name))

    async def settled(self) -> run_v2.Service:
        while (service := await self.service()).reconciling:
            continue
        return service

    async def writes(self, paths: list[str], **fields: Any) -> None:
        """The stranger updates the service, and does not wait for it to come about."""
        await self.stranger.services.update_service(
            request=run_v2.UpdateServiceRequest(
                service=run_v2.Service(name=self.ref.resource_name, **fields), update_mask={"paths": paths}
            )
        )

    async def splits(self, shares: dict[str, int], tags: dict[str, str] | None = None) -> None:
        """The stranger sets the traffic: percents by revision, revisions by tag."""
        rows = [
            run_v2.TrafficTarget(type_=_REVISION, revision=revision, percent=percent)
            for revision, percent in shares.items()
        ]
        rows += [run_v2.TrafficTarget(type_=_REVISION, revision=to, tag=tag) for tag, to in (tags or {}).items()]
        await self.writes(["traffic"], traffic=rows)

    def fails(self, method: str, code: str, *, count: int | None = None, after_commit: bool = False) -> None:
        self.sandbox.faults.put(Fault(method=method, code=code, count=count, after_commit=after_commit))

    async def behaves(self, **behaviour: float) -> None:
        """From now on the new image treats its users so."""
        await self.sandbox.set_behaviour(NEW_IMAGE, Behaviour.model_validate(behaviour))

    # What a rollout asks for, in its order.

    async def anchor(self) -> ServiceAnchor:
        return await ActivityEnvironment().run(self.activities.read_anchor, self.ref)

    async def deploy(self, anchor: ServiceAnchor, *, fence: int = FENCE, image: str = NEW_IMAGE) -> Candidate:
        request = DeployCandidate(anchor=anchor, image=image, tag=TAG, rollout_id="rollout/shop/1", fence=fence)
        return await ActivityEnvironment().run(self.activities.deploy_candidate, request)

    async def shift(
        self,
        anchor: ServiceAnchor,
        candidate: Candidate,
        percent: int,
        *,
        fence: int = FENCE,
        instead_of: TrafficSplit | None = None,
    ) -> TrafficSplit:
        request = ShiftTraffic(anchor=anchor, candidate=candidate, percent=percent, fence=fence, instead_of=instead_of)
        return await ActivityEnvironment().run(self.activities.shift_traffic, request)

    async def restore(
        self, anchor: ServiceAnchor, candidate: Candidate | None, *, fence: int = FENCE + 1
    ) -> TrafficSplit:
        request = RestoreTraffic(anchor=anchor, candidate=candidate, fence=fence)
        return await ActivityEnvironment().run(self.activities.restore_traffic, request)


def failure_type(outcome: object) -> str | None:
    return outcome.type if isinstance(outcome, ApplicationError) else None


def is_final(raised: pytest.ExceptionInfo[ApplicationError], failure: Failure) -> bool:
    return raised.value.non_retryable and raised.value.type == failure


async def exposed(ground: Ground, percent: int = 30) -> tuple[ServiceAnchor, Candidate]:
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.shift(anchor, candidate, percent)
    return anchor, candidate
