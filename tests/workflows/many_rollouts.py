"""Many rollouts beside each other in one world on the real development server, each of a plan of its own.

The plans are alike: `dark` deploys, `canary` shows one flag to a tenth of the users, `staged` to half of them.
Services, flags and metrics carry the plan's name, so that no rollout is another one's business.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.cloud_run import CloudRunActivities
from activities.google_clients import google_clients
from activities.secrets import SecretActivities
from config.data_converter import DATA_CONVERTER
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from rollout.measurement import Group, Histogram, IntervalMeasurement, Sample, TimeSeriesQuery
from rollout.messages import Notice
from rollout.plan import RolloutPlan
from sandbox.options import InstalledSecret, InstalledService, SandboxOptions
from sandbox.server import Sandbox
from starter.plan_file import load_plan
from tests.binaries import TEMPORAL
from tests.flagstore.faulty_wire import FaultyWire, wire_to
from tests.workflows.traffic_source import TrafficSource
from tests.workflows.world import POLL_SECONDS, STABLE_IMAGE, RememberingChannel, World
from worker.wiring import OutsideWorld, workers

PROJECT, REGION = "example-shop", "europe-west1"
SECRET = InstalledSecret(project=PROJECT, name="matrix", value=SecretStr("made up"))
TREATED = 0.1
A_MOMENT, AN_HOUR = "2s", "1h"
A_BUSY_MACHINE = timedelta(minutes=1)
"""How long the tests' own reading may take; what they read for is the rollout's patience, not theirs."""
BUSY = Histogram(bounds=(0.2, 0.4, 0.6, 0.8), counts=(0, 0, 0, 2, 8), sum=9.0)

_PLAN = """\
name: {name}
description: A service, a flag, three stages
environment: matrix
services:
  backend: {{project: example-shop, region: europe-west1, service: {name}}}
flags: ["{flag}"]
check_interval: 1s
baseline: {{window: 5s}}
guard: 1h
notifications: {{channels: [log]}}
metrics:
  cascades:
    type: custom.googleapis.com/{name}/cascade_failures
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: count
  smoke:
    type: custom.googleapis.com/{name}/smoke
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: count
  cpu:
    type: custom.googleapis.com/{name}/utilizations
    filter: resource.type = "generic_task" AND resource.labels.job = "{name}"
    value: distribution
gates:
  cascades: {{kind: zero_tolerance, title: Cascades, metric: cascades, group: all, action: rollback, page_after: 1h}}
  cpu: {{kind: versus_baseline, title: CPU, metric: cpu, statistic: mean, group: all, max_increase: 10%, window: 2s,
         minimum_sample: 1, action: hold, page_after: 1h}}
{windows}{watch}{deadman}
stages:
  - {{name: dark, deploy: true, traffic: [0%, 100%], traffic_hold: 1s, exposure: off, soak: 2s, gates: [cascades]}}
  - {{name: canary, exposure: 10%, soak: {canary_soak}, gates: [cascades, cpu],
     checks: {{after: [{check_after}]}}}}
  - {{name: staged, exposure: 50%, soak: {staged_soak}, gates: [cascades], approval: {approval},
     checks: {{before: [{check}]}}}}
"""

_FROZEN = """\
windows: {time_zone: UTC, freezes: [{first: "2000-01-01", last: "2100-01-01", why: nobody is here}]}
"""


@dataclass(frozen=True)
class Shape:
    """Where a rollout of the plan comes to stand by itself."""

    canary_soak: str = A_MOMENT
    staged_soak: str = AN_HOUR
    approval: bool = False
    check: str = ""
    check_after: str = ""
    frozen: bool = False
    watched: bool = False
    deadman: bool = False


SMOKE_TEST = "{kind: monitoring, metric: smoke}"
"""A check before `staged`; those of other kinds, there and after `canary`, are in `matrix_checks`."""


def plan_of(name: str, shape: Shape, directory: Path) -> RolloutPlan:
    path = directory / f"{name}.yaml"
    path.write_text(
        _PLAN.format(
            name=name,
            flag=name.replace("-", "_"),
            canary_soak=shape.canary_soak,
            approval=str(shape.approval).lower(),
            check=shape.check,
            check_after=shape.check_after,
            staged_soak=shape.staged_soak,
            windows=_FROZEN if shape.frozen else "",
            watch="watch: 1h\n" if shape.watched else "",
            deadman="deadman: {page_after: 5s, flags_off_after: 10s}\n" if shape.deadman else "",
        )
    )
    return load_plan(path)


class SourceOfMany(TrafficSource):
    """Measurements whose metrics can be silent or busy for one plan and healthy for all others.

    While it is not `answering`, questions are taken, and answered when it is again.
    """

    def __init__(self) -> None:
        super().__init__(self._tenth, self._busy)
        self.silent_metrics: set[str] = set()
        self.busy_plans: set[str] = set()
        self.answering = asyncio.Event()
        self.answering.set()
        self.delay = timedelta()

    async def _tenth(self) -> float:
        return TREATED

    def _busy(self, metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
        _, plan, kind = metric.split("/")
        return BUSY if kind == "utilizations" and plan in self.busy_plans else healthy

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        if query.metric.type in self.silent_metrics:
            await asyncio.Event().wait()
        await self.answering.wait()
        return await super().measure(query, start=start, end=end, interval=interval)


class FaultyChannel(RememberingChannel):
    """Delivers nothing while it is out of order: it refuses, or takes a notice and never comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.refusing = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def deliver(self, notice: Notice) -> None:
        await self.answering.wait()
        if self.refusing:
            raise ConnectionError("the channel is out of order")
        await super().deliver(notice)


@dataclass(frozen=True)
class Land:
    """What all the rollouts share.

    Their worker reaches the flag store by `wire` and asks endpoints of candidates by `endpoint_wire`; load tests are
    made at `load_wire`. The tests reach what is behind them directly.
    """

    environment: WorkflowEnvironment
    redis: RedisServer
    wire: FaultyWire
    endpoint_wire: FaultyWire
    load_wire: FaultyWire
    sandbox: Sandbox
    source: SourceOfMany
    channel: FaultyChannel
    outside: OutsideWorld
    reading: Redis

    @property
    def answering_http(self) -> int:
        """The port behind the wires that endpoints and load tests are asked by."""
        return port_of(self.sandbox)

    def world(self, plan: RolloutPlan) -> World:
        """The part of it that one plan is about."""
        return World(
            environment=self.environment,
            plan=plan,
            store=FlagStore(self.reading, plan.environment, plan.name),
            source=self.source,
            sandbox=self.sandbox,
            cloud_run=self.outside.cloud_run,
            channel=self.channel,
            redis=self.redis,
            outside=self.outside,
        )


def port_of(sandbox: Sandbox) -> int:
    """The one it answers HTTP at."""
    port = httpx.URL(sandbox.http_url).port
    assert port is not None
    return port


def nobody(_client: Client, _outside: OutsideWorld) -> Sequence[Worker]:
    """For a land whose workers are started, and die, later."""
    return ()


@asynccontextmanager
async def land_for(
    names: Collection[str],
    directory: Path,
    *server_options: str,
    worked_by: Callable[[Client, OutsideWorld], Sequence[Worker]] = workers,
) -> AsyncIterator[Land]:
    """A land with one service for each name, which serves its stable image; options are Temporal's."""
    async with AsyncExitStack() as stack:
        environment = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(TEMPORAL),
                dev_server_extra_args=list(server_options),
                data_converter=DATA_CONVERTER,
            )
        )
        server = RedisServer.start(directory / "redis")
        stack.callback(server.stop)
        wire = stack.enter_context(wire_to(server.port))
        redis, reading = connect(wire.url), connect(server.url, answer_within=A_BUSY_MACHINE)
        stack.push_async_callback(reading.aclose)
        stack.push_async_callback(redis.aclose)
        services = tuple(
            InstalledService(project=PROJECT, region=REGION, service=name, image=STABLE_IMAGE.format("backend"))
            for name in names
        )
        sandbox = await stack.enter_async_context(
            Sandbox.started(SandboxOptions(services=services, secrets=(SECRET,), reconcile_seconds=POLL_SECONDS))
        )
        asked = port_of(sandbox)
        endpoint_wire, load_wire = (stack.enter_context(wire_to(asked, writes=b"GET ")) for _ in range(2))
        google = google_clients(sandbox.grpc_target)
        stack.push_async_callback(google.close)
        source, channel = SourceOfMany(), FaultyChannel()
        outside = OutsideWorld(
            redis=redis,
            cloud_run=CloudRunActivities(google.services, google.revisions, poll=POLL_SECONDS),
            secrets=SecretActivities(google.secrets),
            source=source,
            http=await stack.enter_async_context(httpx.AsyncClient(proxy=endpoint_wire.http_url)),
            channels={"log": channel},
            clock=environment.get_current_time,
        )
        for worker in worked_by(environment.client, outside):
            await stack.enter_async_context(worker)
        yield Land(environment, server, wire, endpoint_wire, load_wire, sandbox, source, channel, outside, reading)
