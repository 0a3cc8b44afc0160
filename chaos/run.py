"""One run: a whole stack, one rollout, the blows and commands of its scenario, and what is wrong afterwards."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos.asking import Person
from chaos.blows import strike_all
from chaos.evidence import (
    lost_commands,
    notices_of,
    traffic_of,
    wrong_with_flags,
    wrong_with_notices,
    wrong_with_traffic,
)
from chaos.scenario import Scenario
from config.settings import Settings, inherited_environment
from config.temporal import connect
from local.checkout import CHECKOUT
from local.child_process import ChildFailed
from local.sandbox_server import SandboxTiming
from local.stack import LocalStack
from rollout.progress import RolloutProgress, RolloutStatus
from starter.plan_file import load_plan
from starter.rollouts import ID_PREFIX, Rollouts

PLAN = Path(__file__).with_name("plan.yaml")
IMAGE = "backend=example/backend:2"
TIMING = SandboxTiming(sample_seconds=0.5, ingest_delay_seconds=0.2, reconcile_seconds=0.1)
ENDED_WITHIN_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """`problems` is empty where everything held."""

    ended_as: str
    seconds: float
    problems: tuple[str, ...]


async def run(scenario: Scenario, directory: Path) -> Outcome:
    """Carry a scenario out on a stack of its own in `directory`.

    A part that does not start is a problem like any other: other runs go on.
    """
    stack = LocalStack(directory, fresh=True, plans=[PLAN], timing=TIMING)
    began = time.monotonic()
    try:
        await asyncio.to_thread(stack.__enter__)
        try:
            return await _struck(stack, scenario)
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
    except* (ChildFailed, subprocess.CalledProcessError) as failures:
        problems = tuple(_in_words(failure) for failure in _single(failures))
    return Outcome("broken off", time.monotonic() - began, problems)


async def _struck(stack: LocalStack, scenario: Scenario) -> Outcome:
    plan = load_plan(PLAN)
    settings = Settings.from_environment(stack.environment)
    before = await traffic_of(plan, settings)
    client = await connect(stack.environment)
    await asyncio.to_thread(_start, stack)
    began = time.monotonic()
    person = Person(Rollouts(client), f"{ID_PREFIX}{plan.name}")
    try:
        async with asyncio.timeout(ENDED_WITHIN_SECONDS), asyncio.TaskGroup() as happening:
            happening.create_task(strike_all(stack, scenario))
            happening.create_task(person.pause_and_resume(scenario.pause_at, scenario.resume_at))
            happening.create_task(person.approve())
            if scenario.emergency_at is not None:
                happening.create_task(person.emergency(scenario.emergency_at))
            happening.create_task(person.until_closed())
    except TimeoutError:
        return Outcome("still open", time.monotonic() - began, (f"not ended after {ENDED_WITHIN_SECONDS:g} s",))
    seconds = time.monotonic() - began
    handle = client.get_workflow_handle(f"{ID_PREFIX}{plan.name}", result_type=RolloutProgress)
    progress = await handle.result()
    history = await handle.fetch_history()
    rolled_back = person.acknowledged.emergency
    wanted = RolloutStatus.ROLLED_BACK if rolled_back else RolloutStatus.COMPLETED
    problems = [
        *([] if progress.status is wanted else [f"ended as {progress.status}, not {wanted}: {progress.why}"]),
        *await wrong_with_flags(plan, settings, rolled_back=rolled_back),
        *wrong_with_traffic(before, await traffic_of(plan, settings), rolled_back=rolled_back),
        *lost_commands(history, person.acknowledged),
        *wrong_with_notices(
            await notices_of(history), stack.directory / "worker" / "worker.log", interruptions=len(scenario.blows)
        ),
    ]
    return Outcome(progress.status.value, seconds, tuple(problems))


def _single(failures: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for failure in failures.exceptions:
        if isinstance(failure, ExceptionGroup):
            yield from _single(failure)
        else:
            yield failure


def _in_words(failure: Exception) -> str:
    output = failure.stderr.decode(errors="replace") if isinstance(failure, subprocess.CalledProcessError) else ""
    return f"{failure}\n{output}".strip()


def _start(stack: LocalStack) -> None:
    subprocess.run(  # noqa: S603  (the product's own command)
        [sys.executable, "-m", "starter", "start", str(PLAN), "--image", IMAGE],
        cwd=CHECKOUT,
        env=inherited_environment(stack.environment),
        check=True,
        capture_output=True,
    )
