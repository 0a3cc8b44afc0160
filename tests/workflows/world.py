"""A rollout's whole world in one process: a Temporal server that skips time, a real Redis, Google on loopback.

Nothing of the product is replaced. Time is the test server's; measurements come from `TrafficSource`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.cloud_run import CloudRunActivities
from activities.google_clients import google_clients
from activities.secrets import SecretActivities
from config.data_converter import DATA_CONVERTER
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from local.sandbox_secrets import secrets_of
from rollout.commands import CommandName
from rollout.flags import FlagSnapshot
from rollout.messages import QUERY_PROGRESS, TASK_QUEUE, Answer, Command, Notice, RolloutRequest
from rollout.plan import RolloutPlan
from rollout.plan_parts import Check, Checks, LoadTestCheck
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.traffic import TrafficSplit
from sandbox.options import InstalledService, SandboxOptions
from sandbox.server import Sandbox
from tests.binaries import TEMPORAL, TEMPORAL_TEST_SERVER
from tests.workflows.patience import GIVEN_UP, patiently
from tests.workflows.shipped_plans import shipped
from tests.workflows.traffic_source import TrafficSource
from worker.wiring import OutsideWorld, workers
from workflows.canary_rollout import CanaryRolloutWorkflow

POLL_SECONDS = 0.02
REAL_SECONDS = 30.0
STABLE_IMAGE = "registry.example/{}:stable"
CANDIDATE_IMAGE = "registry.example/{}:candidate"
INTERNAL_SHARE = 0.02
BRIEFLY = {"concurrent_users": 4, "duration": "2s", "pace": "100ms"}
BETWEEN_LOOKS = timedelta(minutes=10)
NO_TIME = timedelta()
TRUSTED = ssl.create_default_context()
"""By all clients: the authorities take as long to read as many a test."""

Handle = WorkflowHandle[CanaryRolloutWorkflow, RolloutProgress]


class RememberingChannel:
    """The log channel's place, keeping what was delivered."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def deliver(self, notice: Notice) -> None:
        self.notices.append(notice)


async def answered(handle: Handle, update: str, command: Command) -> Answer:
    """It is one question, by its id, however often it is asked."""
    ask = partial(handle.execute_update, update, command, id=str(uuid4()), result_type=Answer)
    answer: Answer = await patiently(ask, GIVEN_UP)
    return answer


@dataclass
class World:
    environment: WorkflowEnvironment
    plan: RolloutPlan
    store: FlagStore
    source: TrafficSource
    sandbox: Sandbox
    cloud_run: CloudRunActivities
    channel: RememberingChannel
    redis: RedisServer
    outside: OutsideWorld

    @property
    def client(self) -> Client:
        return self.environment.client

    async def now(self) -> datetime:
        return await self.environment.get_current_time()

    async def sleep(self, duration: timedelta) -> None:
        """Let time pass. What a busy machine's server has not come to within one call, it passes in the next."""
        ends = await self.now() + duration

        async def rest() -> None:
            while (left := ends - await self.now()) > NO_TIME:
                await self.environment.sleep(left)

        await patiently(rest)

    async def start(self, *, again: str | None = None) -> Handle:
        images = {key: CANDIDATE_IMAGE.format(key) for key in self.plan.services}
        return await self.client.start_workflow(
            CanaryRolloutWorkflow.run,
            RolloutRequest(plan=self.plan, images=images, by="kim", again=again),
            id=self.plan.workflow_id,
            task_queue=TASK_QUEUE,
        )

    async def progress(self, handle: Handle) -> RolloutProgress:
        progress: RolloutProgress = await patiently(partial(handle.query, QUERY_PROGRESS, result_type=RolloutProgress))
        return progress

    async def until(
        self,
        handle: Handle,
        *statuses: RolloutStatus,
        stage: str | None = None,
        step: timedelta = BETWEEN_LOOKS,
    ) -> RolloutProgress:
        """Wait, letting time pass in steps, until the rollout stands at one of `statuses` (in `stage`, if given)."""
        while True:
            progress = await self.progress(handle)
            if progress.status in statuses and stage in (None, progress.current.name):
                return progress
            if progress.status.is_final:
                raise AssertionError(f"ended as {progress.status}: {progress.why}")
            await self.sleep(step)

    async def passes(self, duration: timedelta) -> None:
        """Let time pass in steps: one call of the server that skips it must not take long."""
        for _ in range(duration // BETWEEN_LOOKS):
            await self.sleep(BETWEEN_LOOKS)

    async def approve(self, handle: Handle) -> Answer:
        """Approve the stage that waits, once nothing is under way but the look at the kill switch each interval.

        The time-skipping server loses a workflow task whose update arrives together with an activity's completion.
        """
        await self.until(handle, RolloutStatus.AWAITING_APPROVAL)
        while set(await self.under_way(handle)) - {"watch_store"}:
            await self.sleep(self.plan.check_interval)
        return await answered(handle, CommandName.APPROVE, Command(by="alex", reason="checked"))

    async def until_under_way(self, handle: Handle, activity: str, count: int) -> None:
        """Wait, in real time, until this many activities of a name are scheduled or running."""
        async with asyncio.timeout(REAL_SECONDS):
            while (await self.under_way(handle)).count(activity) < count:  # noqa: ASYNC110  (the server is asked)
                await asyncio.sleep(POLL_SECONDS)

    async def under_way(self, handle: Handle) -> list[str]:
        """Names of the activities that are scheduled or running now."""
        pending = (await handle.describe()).raw_description.pending_activities
        return [activity.activity_type.name for activity in pending]

    async def fail_to_start(self, key: str) -> None:
        """The candidate of this service will not come up."""
        behaviour = {"image": CANDIDATE_IMAGE.format(key), "fails_to_start": True}
        answer = await self.outside.http.put(f"{self.sandbox.http_url}/behaviours", json=behaviour)
        answer.raise_for_status()

    async def flags(self) -> FlagSnapshot:
        snapshot = await self.store.read()
        assert snapshot is not None
        return snapshot

    async def candidate_shares(self, progress: RolloutProgress) -> dict[str, int]:
        """The percentage each service's candidate serves, read from Cloud Run now."""
        return {
            key: (await self.cloud_run.read_traffic(candidate.service)).share_of(candidate.revision)
            for key, candidate in progress.candidates.items()
        }

    async def is_safe(self, progress: RolloutProgress) -> bool:
        """Flags latched off in Redis and traffic at the anchor at Cloud Run, both read now."""
        snapshot = await self.flags()
        splits = {key: await self.cloud_run.read_traffic(anchor.service) for key, anchor in progress.anchors.items()}
        return snapshot.is_latched_off and all(
            splits[key].shares == anchor.split.shares for key, anchor in progress.anchors.items()
        )


@asynccontextmanager
async def laid_out(
    plan: str | RolloutPlan, directory: Path, *, loaded: str | None = None, secrets: bool = True
) -> AsyncIterator[World]:
    """A world for one plan, or for a shipped one by its file's name, on the server that skips time.

    No server skips an hour of load: load tests are left out, or are made at the address `loaded`, for two seconds.
    Without `secrets` those that the plan checks are not there.
    """
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(TEMPORAL_TEST_SERVER), data_converter=DATA_CONVERTER
    )
    chosen = shipped(plan) if isinstance(plan, str) else plan
    async with environment, _furnished(_briefly_loaded(chosen, loaded), environment, directory, secrets) as world:
        yield world


def _briefly_loaded(plan: RolloutPlan, url: str | None) -> RolloutPlan:
    stages = tuple(
        stage.model_copy(
            update={"checks": Checks(before=_brief(stage.checks.before, url), after=_brief(stage.checks.after, url))}
        )
        for stage in plan.stages
    )
    return plan.model_copy(update={"stages": stages})


def _brief(checks: Sequence[Check], url: str | None) -> tuple[Check, ...]:
    kept: list[Check] = []
    for check in checks:
        if not isinstance(check, LoadTestCheck):
            kept.append(check)
        elif url is not None:
            asked = check.model_dump(mode="json", exclude_none=True, exclude={"service"})
            kept.append(LoadTestCheck.model_validate({**asked, "url": url, **BRIEFLY}))
    return tuple(kept)


@asynccontextmanager
async def laid_out_in_real_time(plan: RolloutPlan, directory: Path, *server_options: str) -> AsyncIterator[World]:
    """A world on the real development server, whose data are visible at once."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL),
        dev_server_extra_args=list(server_options),
        data_converter=DATA_CONVERTER,
    )
    async with environment, _furnished(plan, environment, directory) as world:
        world.source.delay = timedelta()
        yield world


@asynccontextmanager
async def _furnished(
    plan: RolloutPlan, environment: WorkflowEnvironment, directory: Path, secrets: bool = True
) -> AsyncIterator[World]:
    """Redis, Google with the plan's services serving their stable images and its secrets, and a worker."""
    async with AsyncExitStack() as stack:
        server = RedisServer.start(directory / "redis")
        stack.callback(server.stop)
        redis = connect(server.url)
        stack.push_async_callback(redis.aclose)
        services = tuple(
            InstalledService(
                project=spec.project, region=spec.region, service=spec.service, image=STABLE_IMAGE.format(key)
            )
            for key, spec in plan.services.items()
        )
        sandbox = await stack.enter_async_context(
            Sandbox.started(
                SandboxOptions(
                    services=services,
                    secrets=tuple(secrets_of([plan])) if secrets else (),
                    reconcile_seconds=POLL_SECONDS,
                )
            )
        )
        google = google_clients(sandbox.grpc_target)
        stack.push_async_callback(google.close)
        http = await stack.enter_async_context(httpx.AsyncClient(verify=TRUSTED))
        store = FlagStore(redis, plan.environment, plan.name)
        cloud_run = CloudRunActivities(google.services, google.revisions, poll=POLL_SECONDS)
        stable = {key: await cloud_run.read_traffic(plan.service_ref(key)) for key in plan.services}
        channel = RememberingChannel()
        source = TrafficSource(
            (lambda: _treated_share(store)) if plan.flags else (lambda: _moved_share(cloud_run, stable, plan))
        )
        source.flags_clock = environment.get_current_time
        outside = OutsideWorld(
            redis=redis,
            cloud_run=cloud_run,
            secrets=SecretActivities(google.secrets),
            source=source,
            http=http,
            channels={"log": channel},
            clock=environment.get_current_time,
        )
        for worker in workers(environment.client, outside):
            await stack.enter_async_context(worker)
        yield World(environment, plan, store, source, sandbox, cloud_run, channel, server, outside)


async def _treated_share(store: FlagStore) -> float:
    snapshot = await store.read()
    if snapshot is None or snapshot.latch:
        return 0.0
    order = max(exposure.order for exposure in snapshot.flags.values())
    return 0.0 if order < 0 else max(INTERNAL_SHARE, order / 10_000)


async def _moved_share(cloud_run: CloudRunActivities, stable: dict[str, TrafficSplit], plan: RolloutPlan) -> float:
    """The part of the first service's traffic that no longer goes where it went before the rollout."""
    key, before = next(iter(stable.items()))
    now = await cloud_run.read_traffic(plan.service_ref(key))
    return 1 - sum(now.share_of(revision) for revision in before.shares) / 100
