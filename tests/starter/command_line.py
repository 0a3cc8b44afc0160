"""Running `rollout`: its exit code, and what it printed where."""

import asyncio
import json
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import inherited_environment
from starter.rollouts import Rollouts
from tests.checkout import CHECKOUT

LONGEST_COMMAND_SECONDS = 90.0


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


QUICK_PLAN = Path(__file__).with_name("quick_plan.yaml")
Rollout = Callable[..., Ran]
"""With the variables of the stack."""
Run = Callable[..., Ran]
"""With the variables that it is given first."""
Look = Callable[[Callable[[Rollouts], Awaitable[Any]]], Any]


def rollout(*arguments: object, environment: Mapping[str, str] | None = None, stdin: str | None = None) -> Ran:
    """Run a command as a person does, in a process of its own, with the product's variables exactly as given."""
    completed = subprocess.run(
        [sys.executable, "-m", "starter", *map(str, arguments)],
        env=inherited_environment(environment or {}),
        cwd=CHECKOUT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND_SECONDS,
        check=False,
    )
    return Ran(completed.returncode, completed.stdout, completed.stderr)


async def rollout_under_way(*arguments: str, environment: Mapping[str, str]) -> Process:
    """As `rollout`, to be read and signalled while it goes on."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter", *arguments),
        env=inherited_environment(environment),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
