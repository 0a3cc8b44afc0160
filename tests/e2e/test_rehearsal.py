"""The rehearsal through the command line on real parts: Temporal's server, Redis, the sandbox, a worker process."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import inherited_environment
from local.stack import LocalStack
from rollout import exposure as exposures
from rollout.progress import RolloutProgress, RolloutStatus
from starter.plan_file import load_plan
from tests.checkout import CHECKOUT
from tests.e2e.observer import Observer, observing

PLAN_FILE = CHECKOUT / "plans" / "rehearsal.yaml"
PLAN = load_plan(PLAN_FILE)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path) as running:
        yield running


def start_and_watch(stack: LocalStack) -> "subprocess.CompletedProcess[str]":
    images = ("--image", "backend=shop/backend:2", "--image", "auth=shop/auth:2")
    return subprocess.run(
        [sys.executable, "-m", "starter", "start", PLAN_FILE, *images, "--watch"],
        cwd=CHECKOUT,
        env=inherited_environment(stack.environment),
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Seen:
    """What was read from Redis and Cloud Run while a stage soaked, and the candidate's share it then had."""

    shown: set[str]
    candidate_shares: set[int]


def soaking_in(stage: str, progress: RolloutProgress) -> bool:
    at_last_step = (
        progress.current.step_entered == max(len([p for p in PLAN.stages[progress.stage].percents if p]), 1) - 1
    )
    return progress.current.name == stage and progress.status is RolloutStatus.SOAKING and at_last_step


async def seen_in_every_stage(observer: Observer) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    for stage in PLAN.stages:
        name = stage.name
        progress = await observer.once(lambda found, name=name: soaking_in(name, found))  # type: ignore[misc]
        splits = await observer.splits()
        shares = {splits[key].share_of(candidate.revision) for key, candidate in progress.candidates.items()}
        seen[name] = Seen(await observer.shown(), shares)
    return seen


async def test_the_rehearsal_completes_and_every_stage_is_what_it_asked_for(stack: LocalStack) -> None:
    async with observing(stack, PLAN) as observer:
        watched, seen = await asyncio.gather(asyncio.to_thread(start_and_watch, stack), seen_in_every_stage(observer))
        result = await observer.once_closed()

    assert watched.returncode == 0, watched.stderr
    assert result.status is RolloutStatus.COMPLETED
    assert [stage.credit for stage in result.stages] == [stage.soak for stage in PLAN.stages]
    assert seen == {stage.name: Seen({exposures.in_words(stage.exposure)}, {100}) for stage in PLAN.stages}
    assert "finished all 5 stages passed" in watched.stdout


async def test_a_killed_worker_costs_nothing_the_rollout_goes_on_and_the_credit_is_right(stack: LocalStack) -> None:
    async with observing(stack, PLAN) as observer:
        watching = asyncio.create_task(asyncio.to_thread(start_and_watch, stack))
        before = await observer.once(lambda found: soaking_in("canary", found))
        assert stack.worker is not None

        await asyncio.to_thread(stack.worker.kill)
        assert await observer.shown() == {"10%"}
        await asyncio.to_thread(stack.start_worker)

        watched, result = await watching, await observer.once_closed()

    canary = result.stages[2]
    assert watched.returncode == 0, watched.stderr
    assert result.status is RolloutStatus.COMPLETED
    assert canary.credit == PLAN.stages[2].soak
    assert canary.soak_state is not None
    assert before.current.soak_state is not None
    assert canary.soak_state.since == before.current.soak_state.since, "the soak was begun anew"
    assert canary.soak_state.gaps == (), "the outage lost data that were there"
    assert canary.passed_at is not None
    assert canary.entered_at is not None
    assert canary.passed_at - canary.entered_at >= PLAN.stages[2].soak - timedelta(seconds=1)
