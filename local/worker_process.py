"""A worker as a child process: `python -m worker`, waited for until the server sees it poll both task queues."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from config.settings import inherited_environment
from local.checkout import CHECKOUT
from local.child_process import ChildProcess
from local.part import Part
from local.temporal_frontend import TemporalFrontend
from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE


class WorkerProcess(Part):
    """`start` one, or several beside each other."""

    @classmethod
    def start(cls, directory: Path, frontend: TemporalFrontend, environment: Mapping[str, str]) -> "WorkerProcess":
        """Start with the variables that say where everything is, and wait until it polls both queues.

        Raises:
            ChildFailed: it ended first, for example because a variable is wrong.
        """
        directory.mkdir(parents=True, exist_ok=True)
        process = ChildProcess.start(
            "worker",
            [sys.executable, "-m", "worker"],
            log=directory / "worker.log",
            ready=lambda child: _polls(frontend, child.pid),
            environment=inherited_environment(environment),
            cwd=CHECKOUT,
        )
        return cls(process)

    @property
    def log(self) -> Path:
        return self._process.log


def _polls(frontend: TemporalFrontend, pid: int) -> bool:
    # The server remembers pollers for minutes; only this process's own identity proves that it is there.
    identity = f"{pid}@{socket.gethostname()}"
    return all(identity in frontend.pollers(queue) for queue in (TASK_QUEUE, EMERGENCY_TASK_QUEUE))
