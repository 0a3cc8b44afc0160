"""The applications a sandbox has started end with it, however it ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.sandbox_server import SAMPLE_APP, SandboxOptions, SandboxServer

PATIENCE_SECONDS = 20.0
SERVICE = "example-shop/europe-west1/backend=example/backend:1"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxServer]:
    server = SandboxServer.start(tmp_path, SandboxOptions("redis://127.0.0.1:1", [SERVICE], app_command=SAMPLE_APP))
    yield server
    server.stop()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_application_outlives_its_sandbox(sandbox: SandboxServer, told: signal.Signals) -> None:
    (url,) = sandbox.service_urls()
    assert httpx.get(f"{url}/health/overall").json()["status"] == "ok"
    (application,) = children_of(sandbox.pid)

    os.kill(sandbox.pid, told)

    wait_until_ended(application)
