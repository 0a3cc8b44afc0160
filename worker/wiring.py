"""The one place where clients are built and given to activities, and where everything is registered.

Two task queues, each with slots of its own: whatever keeps the normal one busy, a rollback finds the other one free.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from redis.asyncio import Redis
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.clock import Clock, wall_clock
from activities.cloud_run import CloudRunActivities
from activities.deadman import DeadmanActivities
from activities.feature_flags import FeatureFlagActivities
from activities.gate_trial import GateTrialActivities
from activities.gate_watch import GateWatchActivities
from activities.google_clients import google_clients
from activities.health import HealthActivities
from activities.load_test import run_load_test
from activities.monitoring import CloudMonitoring, MonitoringActivities
from activities.notifications import Channel, LogChannel, NotificationActivities
from activities.promotion_windows import ask_window
from activities.rollback_guard import RollbackGuardActivities
from activities.secrets import SecretActivities
from config.garbage_collection import nothing_collected
from config.settings import Settings
from flagstore import store
from rollout.measurement import MeasurementSource
from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE
from workflows.canary_rollout import CanaryRolloutWorkflow

NORMAL_SLOTS = 100
EMERGENCY_SLOTS = 50
KEPT_ROLLOUTS = 200
"""Rollouts whose workflow stays in memory, a quarter to half a megabyte each. Any other, of which a soak is only a few
hundred events, is told again from its history when something happens to it: the worker's memory does not grow with the
number of rollouts."""
GRACEFUL_SHUTDOWN = timedelta(seconds=10)
"""How long calls that are under way may take to finish once the worker is told to stop."""

_ONE_IMPORT_FOR_ALL = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows")
)
"""Rollouts share the modules of their workflow, which keep nothing that changes.

Imported anew for each rollout, as the SDK does by itself, they are most of the memory that a rollout takes in a worker.
"""


@dataclass(frozen=True)
class OutsideWorld:
    """Everything a worker talks to. Tests give other clocks and sources; production builds it from settings."""

    redis: Redis
    cloud_run: CloudRunActivities
    secrets: SecretActivities
    source: MeasurementSource
    http: httpx.AsyncClient
    channels: Mapping[str, Channel]
    clock: Clock = wall_clock


@asynccontextmanager
async def outside_world(settings: Settings) -> AsyncIterator[OutsideWorld]:
    """Clients as the settings say, closed on leaving.

    Raises:
        SettingsError: the flag store's address is missing.
    """
    async with AsyncExitStack() as open_clients:
        redis = store.connect(settings.needed_redis_url)
        open_clients.push_async_callback(redis.aclose)
        google = google_clients(settings.google_endpoint)
        open_clients.push_async_callback(google.close)
        http = await open_clients.enter_async_context(httpx.AsyncClient(follow_redirects=False))
        yield OutsideWorld(
            redis=redis,
            cloud_run=CloudRunActivities(google.services, google.revisions),
            secrets=SecretActivities(google.secrets),
            source=CloudMonitoring(google.metrics),
            http=http,
            channels={"log": LogChannel(logging.getLogger("rollout.notices"))},
        )


def workers(client: Client, world: OutsideWorld) -> tuple[Worker, Worker]:
    """The worker of the normal queue, with the workflow, and the worker of the emergency queue."""
    normal, emergency = activities_of(client, world)
    # A finaliser that imports something in the midst of an import in the SDK's sandbox makes that one fail with a
    # KeyError on Python 3.11 (python/cpython issue 106176).
    with nothing_collected():
        forward = Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[CanaryRolloutWorkflow],
            activities=normal,
            workflow_runner=_ONE_IMPORT_FOR_ALL,
            max_cached_workflows=KEPT_ROLLOUTS,
            max_concurrent_activities=NORMAL_SLOTS,
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        )
    return (
        forward,
        Worker(
            client,
            task_queue=EMERGENCY_TASK_QUEUE,
            activities=emergency,
            max_concurrent_activities=EMERGENCY_SLOTS,
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        ),
    )


def activities_of(
    client: Client, world: OutsideWorld
) -> tuple[Sequence[Callable[..., Any]], Sequence[Callable[..., Any]]]:
    flags = FeatureFlagActivities(world.redis)
    cloud_run = world.cloud_run
    health = HealthActivities(world.http)
    monitoring = MonitoringActivities(world.source, world.clock)
    notifications = NotificationActivities(world.channels)
    watch = GateWatchActivities(source=world.source, flags=flags, traffic=cloud_run, prober=health, clock=world.clock)
    deadman = DeadmanActivities(client=client, lease=flags, clock=world.clock)
    guard = RollbackGuardActivities(flags=flags, traffic=cloud_run, clock=world.clock)
    normal = (
        flags.begin_rollout,
        flags.record_anchors,
        flags.set_exposures,
        flags.check_store,
        flags.check_candidates,
        flags.read_flags,
        flags.settle,
        cloud_run.read_anchor,
        cloud_run.read_traffic,
        cloud_run.deploy_candidate,
        cloud_run.shift_traffic,
        monitoring.capture_baseline,
        GateTrialActivities(world.source, world.clock).try_gates,
        health.check_endpoint,
        world.secrets.check_secret,
        notifications.notify,
        ask_window,
        run_load_test,
        watch.watch_gates,
        watch.watch_store,
    )
    emergency = (
        flags.latch_off,
        flags.settle,
        cloud_run.restore_traffic,
        guard.guard_rollback,
        deadman.look_after_the_watch,
    )
    return normal, emergency
