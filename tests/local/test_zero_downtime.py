"""A rollout, an automatic and an emergency rollback while users ask and listen: nothing of theirs is lost.

Everything is a process of its own: Temporal, Redis, the worker, the sandbox, and the sample application per revision.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from math import sqrt
from pathlib import Path

import httpx
import pytest

from config.settings import inherited_environment
from local.sandbox_server import CHECKOUT, SAMPLE_APP, SandboxTiming
from local.simulated_users import SimulatedUsers
from local.stack import LocalStack
from rollout.progress import RolloutProgress, RolloutStatus
from starter.plan_file import load_plan
from tests.e2e.observer import Observer, observing

PLAN_FILE = Path(__file__).with_name("real_traffic_plan.yaml")
PLAN = load_plan(PLAN_FILE)
TIMING = SandboxTiming(sample_seconds=0.5, ingest_delay_seconds=0.2, reconcile_seconds=0.1)
ASKED = 300
DEVIATIONS = 4.4
"""Beyond so many standard deviations chance takes a binomial count once in a hundred thousand runs."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    directory = tmp_path_factory.mktemp("stack")
    with LocalStack(directory, plans=[PLAN_FILE], timing=TIMING, app_command=SAMPLE_APP) as running:
        yield running


@pytest.fixture
async def observer(stack: LocalStack) -> AsyncIterator[Observer]:
    async with observing(stack, PLAN) as seeing:
        yield seeing


@pytest.fixture
def url(stack: LocalStack) -> str:
    """Where the plan's service answers its users."""
    address: str = httpx.get(f"{stack.sandbox.url}/services").json()[0]["uri"]
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


async def treated_share(url: str) -> float:
    """How many of many users, each asking once, are served as treated."""
    async with httpx.AsyncClient() as client:
        answers = [
            (await client.get(f"{url}/work", headers={"X-User": f"passer-by-{number}"})).json()
            for number in range(ASKED)
        ]
    return [answer["group"] for answer in answers].count("treated") / ASKED


async def test_a_rollout_to_everybody_loses_nothing_and_treats_the_share_of_users_it_says(
    stack: LocalStack, observer: Observer, users: SimulatedUsers, url: str
) -> None:
    starting = asyncio.create_task(start(stack, "example/backend:good", "--watch"))
    await observer.once(soaking_in("half"))
    share = await treated_share(url)
    assert await observer.shown() == {"50%"}, "the stage was over before everybody had asked"
    ran = await starting

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert abs(share - 0.5) <= DEVIATIONS * sqrt(0.25 / ASKED)
    assert await treated_share(url) == 1.0
    assert nothing_was_lost(users)
    assert len(users.tally.by_revision) == 2


async def test_a_rollback_by_a_gate_that_saw_a_real_fault_loses_nothing(
    stack: LocalStack, observer: Observer, users: SimulatedUsers
) -> None:
    fault = {"image": "example/backend:faulty", "cascade_rate": 1.0}
    async with httpx.AsyncClient(base_url=stack.sandbox.url) as sandbox:
        (await sandbox.put("/application-faults", json=fault)).raise_for_status()
    ran = await start(stack, "example/backend:faulty", "--watch")
    progress = await observer.once_closed()

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert progress.status is RolloutStatus.ROLLED_BACK
    assert "Cascades" in ran.stdout
    assert users.tally.failed > 0
    assert nothing_was_lost(users)
    rearmed = await typed(stack, "rearm", PLAN.name, "--reason", "the fault is understood")
    assert rearmed.returncode == 0, rearmed.stderr


async def test_an_emergency_rollback_in_the_middle_of_a_traffic_move_loses_nothing(
    stack: LocalStack, observer: Observer, users: SimulatedUsers
) -> None:
    await start(stack, "example/backend:other")
    await observer.once(soaking_in("dark"))
    ran = await typed(stack, "emergency-rollback", PLAN.name, "--reason", "a customer called")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert await observer.is_safe(await observer.once_closed())
    assert nothing_was_lost(users)
