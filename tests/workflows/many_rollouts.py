"""Many rollouts beside each other in one world on the real development server, each of a plan of `small_plans`."""

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
from tests.binaries import TEMPORAL
from tests.flagstore.faulty_wire import FaultyWire, wire_to
from tests.workflows.traffic_source import TrafficSource
from tests.workflows.world import POLL_SECONDS, STABLE_IMAGE, TRUSTED, RememberingChannel, World
from worker.wiring import OutsideWorld, workers

PROJECT, REGION = "example-shop", "europe-west1"
SECRET = InstalledSecret(project=PROJECT, name="matrix", value=SecretStr("made up"))
TREATED = 0.1
SOON = timedelta(milliseconds=200)
"""Between two looks at a rollout that is waited for."""
EVENTS_BEFORE_CONTINUING = 40
SHORTLY = ("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}")
"""An option of Temporal's: a history grows long after so many events."""
A_BUSY_MACHINE = timedelta(minutes=1)
"""How long the tests' own reading may take; what they read for is the rollout's patience, not theirs."""
BUSY = Histogram(bounds=(0.2, 0.4, 0.6, 0.8), counts=(0, 0, 0, 2, 8), sum=9.0)


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
            http=await stack.enter_async_context(httpx.AsyncClient(proxy=endpoint_wire.http_url, verify=TRUSTED)),
            channels={"log": channel},
            clock=environment.get_current_time,
        )
        for worker in worked_by(environment.client, outside):
            await stack.enter_async_context(worker)
        yield Land(environment, server, wire, endpoint_wire, load_wire, sandbox, source, channel, outside, reading)


@asynccontextmanager
async def one_rollout(
    plan: RolloutPlan,
    directory: Path,
    *server_options: str,
    worked_by: Callable[[Client, OutsideWorld], Sequence[Worker]] = workers,
) -> AsyncIterator[tuple[Land, World]]:
    """A land with the service of one plan alone, and the part of it that the plan is about, which is all of it."""
    async with land_for([plan.name], directory, *server_options, worked_by=worked_by) as land:
        yield land, land.world(plan)
