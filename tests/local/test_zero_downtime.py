"""A rollout, an automatic and an emergency rollback while users ask and listen: nothing of theirs is lost.

Everything is a process of its own: Temporal, Redis, the worker, the sandbox, and the sample application per revision.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.google_clients import google_clients
from config.settings import inherited_environment
from local.checkout import CHECKOUT
from local.sandbox_server import SAMPLE_APP, SandboxTiming
from local.simulated_users import SimulatedUsers
from local.stack import LocalStack
from rollout.progress import RolloutProgress, RolloutStatus
from starter.plan_file import load_plan
from tests import patient_http
from tests.e2e.observer import Observer, observing
from tests.local.shares import (
    BY_THE_APPLICATION,
    BY_THE_ROUTER,
    GROUP,
    OWN,
    REVISION,
    RUN,
    Standing,
    Standings,
    counted_within,
    counts,
    instances,
    likely,
    observations,
)

PLAN_FILE = Path(__file__).with_name("real_traffic_plan.yaml")
PLAN = load_plan(PLAN_FILE)
TIMING = SandboxTiming(sample_seconds=0.5, ingest_delay_seconds=0.2, reconcile_seconds=0.1)
USERS = 2000
"""So many that each asks once while the flags stand still: a share of requests is a share of users."""
INTERNAL = USERS // 20
EXPECTED = {
    Standing(10, "off"): 0.0,
    Standing(50, "off"): 0.0,
    Standing(100, "off"): 0.0,
    Standing(100, "internal"): 0.05,
    Standing(100, "10%"): 0.05 + 0.95 * 0.10,
    Standing(100, "50%"): 0.05 + 0.95 * 0.50,
    Standing(100, "full"): 1.0,
}
"""The share of treated users while the plan stands there; internal users stay in at every stage above off."""
ENOUGH = 50

COUNTED_BY_THE_APPLICATION = (
    "request_count",
    "isolation_checks",
    "cascade_failures",
    "legacy_path_requests",
    "users_affected",
)
SPREAD_BY_CLOUD_RUN = ("request_latencies", "container/cpu/utilizations", "container/memory/utilizations")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def profile() -> tuple[str, str]:
    """How Cloud Run treats writers who do not know of each other; the other way is tested by hand."""
    return "ignore", "supersede"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, profile: tuple[str, str]) -> Iterator[LocalStack]:
    directory, (etag, inflight) = tmp_path_factory.mktemp("stack"), profile
    with LocalStack(
        directory, plans=[PLAN_FILE], timing=TIMING, app_command=SAMPLE_APP, etag=etag, inflight=inflight
    ) as running:
        yield running


@pytest.fixture
async def observer(stack: LocalStack) -> AsyncIterator[Observer]:
    async with observing(stack, PLAN) as seeing:
        yield seeing


@pytest.fixture
def url(stack: LocalStack) -> str:
    """Where the plan's service answers its users."""
    address: str = patient_http.get(f"{stack.sandbox.url}/services").json()[0]["uri"]
    return address


@pytest.fixture
async def users(url: str) -> AsyncIterator[SimulatedUsers]:
    """Twelve users, two of them internal, who ask and listen until the test ends."""
    async with SimulatedUsers(url, count=12, requests_per_second=30.0, internal=2).active() as active:
        yield active


async def typed(stack: LocalStack, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A command as a person types it."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "starter", *map(str, arguments)],
        cwd=CHECKOUT,
        env=inherited_environment(stack.environment),
        capture_output=True,
        text=True,
        check=False,
    )


async def start(stack: LocalStack, image: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return await typed(stack, "start", PLAN_FILE, "--image", f"backend={image}", *options)


def soaking_in(stage: str) -> Callable[[RolloutProgress], bool]:
    return lambda found: found.status is RolloutStatus.SOAKING and found.current.name == stage


def nothing_was_lost(users: SimulatedUsers) -> bool:
    tally = users.tally
    assert (tally.lost, tally.first_loss, tally.events_lost) == (0, None, 0)
    return tally.served > 0 and tally.events > 0


async def test_a_rollout_to_everybody_loses_nothing_and_at_every_stage_the_shares_are_what_it_says(
    stack: LocalStack, observer: Observer, url: str
) -> None:
    everybody = SimulatedUsers(url, count=USERS, requests_per_second=100.0, internal=INTERNAL, listening=12)
    stood = Standings()
    async with everybody.active():
        watching = asyncio.create_task(stood.watch(observer, "backend"))
        ran = await start(stack, "example/backend:good", "--watch")
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    progress = await observer.once_closed()

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert nothing_was_lost(everybody)
    assert len(everybody.tally.by_revision) == 2
    await shares_are_as_said(stack, stood, progress.candidates["backend"].revision)


async def shares_are_as_said(stack: LocalStack, stood: Standings, candidate: str) -> None:
    google = google_clients(stack.sandbox.google_endpoint)
    project = PLAN.services["backend"].project
    try:
        for standing, treated in EXPECTED.items():
            start, end = counted_within(stood.of[standing], TIMING.sample_seconds)
            by_revision = await counts(google, BY_THE_ROUTER, project, start, end)
            by_group = await counts(google, BY_THE_APPLICATION, project, start, end)
            requests, users = sum(by_revision.values()), sum(by_group.values())
            assert requests > ENOUGH, (standing, by_revision)
            assert users > ENOUGH, (standing, by_group)
            assert likely(by_revision.get(candidate, 0), requests, standing.percent / 100), (standing, by_revision)
            assert likely(by_group.get("treated", 0), users, treated), (standing, by_group)
    finally:
        await google.close()


async def test_a_rollback_by_a_gate_that_saw_a_real_fault_loses_nothing(
    stack: LocalStack, observer: Observer, users: SimulatedUsers
) -> None:
    fault = {"image": "example/backend:faulty", "cascade_rate": 1.0}
    async with patient_http.async_client(base_url=stack.sandbox.url) as sandbox:
        (await sandbox.put("/application-faults", json=fault)).raise_for_status()
    ran = await start(stack, "example/backend:faulty", "--watch")
    progress = await observer.once_closed()

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert progress.status is RolloutStatus.ROLLED_BACK
    assert "Cascades" in ran.stdout
    assert users.tally.failed > 0
    assert nothing_was_lost(users)
    await everything_is_measured(stack, progress.candidates["backend"].revision)
    rearmed = await typed(stack, "rearm", PLAN.name, "--reason", "the fault is understood")
    assert rearmed.returncode == 0, rearmed.stderr


async def everything_is_measured(stack: LocalStack, candidate: str) -> None:
    """Of both groups, and of a revision that has served: every metric there is, with the fault's traces in them."""
    end = datetime.now(UTC)
    window = (PLAN.services["backend"].project, end - timedelta(minutes=1), end)
    google = google_clients(stack.sandbox.google_endpoint)
    try:
        for metric in COUNTED_BY_THE_APPLICATION:
            assert (await counts(google, (f"{OWN}/{metric}", GROUP), *window)).keys() == {"treated", "control"}, metric
        assert sum((await counts(google, (f"{OWN}/cascade_failures", GROUP), *window)).values()) > 0
        assert (await counts(google, (f"{OWN}/users_affected", GROUP), *window))["treated"] > 0
        assert (await counts(google, (f"{OWN}/legacy_path_requests", GROUP), *window))["treated"] == 0
        for metric in ("request_latencies", "websocket_event_latencies"):
            sizes = await observations(google, (f"{OWN}/{metric}", GROUP), *window)
            assert min(sizes["treated"], sizes["control"]) > 0, metric
        for metric in SPREAD_BY_CLOUD_RUN:
            assert (await observations(google, (f"{RUN}/{metric}", REVISION), *window))[candidate] > 0, metric
        assert (await counts(google, (f"{RUN}/request_count", REVISION), *window))[candidate] > 0
        assert await instances(google, *window) == 1
    finally:
        await google.close()


async def test_an_emergency_rollback_in_the_middle_of_a_traffic_move_loses_nothing(
    stack: LocalStack, observer: Observer, users: SimulatedUsers
) -> None:
    await start(stack, "example/backend:other")
    await observer.once(soaking_in("dark"))
    ran = await typed(stack, "emergency-rollback", PLAN.name, "--reason", "a customer called")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert await observer.is_safe(await observer.once_closed())
    assert nothing_was_lost(users)
