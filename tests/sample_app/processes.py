"""The sample application as the process it is in production, with its variables in its environment."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.child_process import ChildProcess
from local.ports import answers, free_port
from tests.checkout import CHECKOUT

TOKEN = "only-the-test-knows"  # noqa: S105
TREATED = {"X-User": "ann", "X-Email": "ann@netrasystems.ai"}
CONTROL = {"X-User": "bob", "X-Email": "bob@example.com"}


@contextmanager
def application(directory: Path, **variables: str) -> Iterator[tuple[str, ChildProcess]]:
    """Its address as HOST:PORT, and its process."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "SAMPLE_APP_FAULTS_TOKEN": TOKEN, **variables}
    command = [sys.executable, "-m", "sample_app"]
    process = ChildProcess.start(
        "sample-app",
        command,
        log=directory / "sample_app.log",
        ready=lambda _: answers(port),
        environment=environment,
        cwd=CHECKOUT,
    )
    try:
        yield f"127.0.0.1:{port}", process
    finally:
        process.stop()
