"""What an on-call person may type at 3 a.m. with Temporal's own command line: every shape of it is believed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import LocalStack
from rollout.progress import RolloutStatus
from starter.plan_file import load_plan
from tests.binaries import TEMPORAL
from tests.checkout import CHECKOUT
from tests.e2e.observer import observing
from tests.starter.command_line import rollout

NAME = "emergency_rollback"
SHAPES = {
    "no input": ("--name", NAME),
    "a text": ("--name", NAME, "--input", '"checkout is down"'),
    "an empty object": ("--name", NAME, "--input", "{}"),
    "unknown keys": ("--name", NAME, "--input", '{"severity": 1, "who": ["kim"]}'),
    "two inputs": ("--name", NAME, "--input", '"one"', "--input", "2"),
    "bytes that are not JSON": ("--name", NAME, "--input", "{oh no", "--input-meta", "encoding=binary/plain"),
    "the name with a hyphen": ("--name", "emergency-rollback"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rehearsal with a guard of one second: only the way back is of interest here."""
    written = (CHECKOUT / "plans" / "rehearsal.yaml").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("plan") / "rehearsal.yaml"
    path.write_text(written.replace("guard: 5s", "guard: 1s"), encoding="utf-8")
    return path


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_emergency_signal_of_any_shape_ends_in_verified_safety(
    stack: LocalStack, plan_file: Path, shape: str
) -> None:
    plan, version = load_plan(plan_file), list(SHAPES).index(shape)
    images = ("--image", f"backend=shop/backend:{version}", "--image", f"auth=shop/auth:{version}")
    started = rollout("start", plan_file, *images, environment=stack.environment)
    assert started.code == 0, started.err
    async with observing(stack, plan) as observer:
        await observer.once(lambda progress: progress.status is RolloutStatus.SOAKING)

        signalled = await asyncio.create_subprocess_exec(
            *(TEMPORAL, "workflow", "signal", "--address", stack.temporal.address),
            *("--workflow-id", plan.workflow_id),
            *SHAPES[shape],
        )

        assert await signalled.wait() == 0
        result = await observer.once_closed()
        assert result.status is RolloutStatus.ROLLED_BACK
        assert result.rollback is not None
        assert result.rollback.cause == "emergency"
        assert await observer.is_safe(result)
    rearmed = rollout("rearm", plan.name, "--reason", "next shape", environment=stack.environment)
    assert rearmed.code == 0, rearmed.err
