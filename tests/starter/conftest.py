import asyncio
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config.temporal import connect
from local.sandbox_server import SandboxTiming
from local.stack import LocalStack
from starter.__main__ import run_command_line
from starter.rollouts import Rollouts
from tests.starter.command_line import QUICK_PLAN, Look, Ran, Rollout, Run
from tests.starter.played_metrics import PLAN
from tests.starter.quick_rollout import closed, is_open, it_waits_for_approval
from tests.starter.shop import Shop


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Temporal, Redis, the sandbox with the quick plan's service, and a worker; all real.

    Gone with the last test of this directory: servers that nobody asks anything go on taking time from other tests.
    """
    timing = SandboxTiming(sample_seconds=0.5, ingest_delay_seconds=0.2, reconcile_seconds=0.1)
    with LocalStack(tmp_path_factory.mktemp("stack"), plans=[QUICK_PLAN], timing=timing) as running:
        yield running


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The whole command line in this process, with the product's variables exactly as given."""

    def in_this_process(environment: Mapping[str, str], *arguments: object) -> Ran:
        for name in [name for name in os.environ if name.startswith(("ROLLOUT_", "TEMPORAL_"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["rollout", *map(str, arguments)])
        capsys.readouterr()
        code = run_command_line()
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return in_this_process


@pytest.fixture
def command(stack: LocalStack, run: Run) -> Rollout:
    """`rollout` with the stack's variables."""
    return partial(run, stack.environment)


@pytest.fixture
def look(stack: LocalStack) -> Look:
    """Ask the rollouts of the stack something, over a connection of one's own."""

    def ask(question: Callable[[Rollouts], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            return await question(Rollouts(await connect(stack.environment)))

        return asyncio.run(asked())

    return ask


@pytest.fixture
def image() -> str:
    """A candidate that no test has rolled back yet."""
    return f"example/backend:{uuid.uuid4().hex[:8]}"


@pytest.fixture
def quick(command: Rollout, look: Look, image: str) -> Iterator[None]:
    """A rollout that waits for an approval, with all traffic at its dark candidate."""
    started = command("start", QUICK_PLAN, "--image", f"backend={image}")
    assert started.code == 0, started.err
    look(it_waits_for_approval)
    yield
    if look(is_open):
        command("emergency-rollback", "quick", "--reason", "the test is over")
    look(closed)
    command("rearm", "quick", "--reason", "the next test", "--environment", "test")


@pytest.fixture
def shop(stack: LocalStack) -> Shop:
    shop = Shop(f"test-{uuid.uuid4().hex[:8]}", stack.redis.url)
    shop.owned_by(None)
    return shop


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A file of a plan whose one gate compares revisions."""
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file
