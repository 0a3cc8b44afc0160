"""The applications a sandbox has started end with it, however it ends, and run again when it is started again."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

from local.sandbox_server import SAMPLE_APP, SandboxOptions, SandboxServer
from tests import patient_http
from tests.loadtest.processes import ends

PATIENCE_SECONDS = 20.0
SERVICE = "example-shop/europe-west1/backend=example/backend:1"


OPTIONS = SandboxOptions("redis://127.0.0.1:1", [SERVICE], app_command=SAMPLE_APP)
USERS = 5


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxServer]:
    server = SandboxServer.start(tmp_path, OPTIONS)
    yield server
    server.stop()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_application_outlives_its_sandbox(sandbox: SandboxServer, told: signal.Signals) -> None:
    (url,) = sandbox.service_urls()
    assert patient_http.get(f"{url}/health/overall").json()["status"] == "ok"
    (application,) = children_of(sandbox.pid)

    os.kill(sandbox.pid, told)

    assert ends(application)


def test_after_a_kill_the_same_address_is_answered_by_a_new_process_and_what_was_served_is_known(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    (url,) = sandbox.service_urls()
    for _ in range(USERS):
        assert patient_http.get(f"{url}/health/overall").status_code == httpx.codes.OK
    until_counted(sandbox, USERS)
    (application,) = children_of(sandbox.pid)

    os.kill(sandbox.pid, signal.SIGKILL)
    again = SandboxServer.start(tmp_path, OPTIONS, google_port=sandbox.google_port, http_port=sandbox.http_port)
    try:
        assert again.service_urls() == [url]
        assert patient_http.get(f"{url}/health/overall").json()["status"] == "ok"
        assert children_of(again.pid) != [application]
        until_counted(again, USERS + 1)
    finally:
        again.stop()
    assert ends(application)


def until_counted(sandbox: SandboxServer, requests: int) -> None:
    """Wait until Cloud Monitoring knows of exactly so many requests in the last minutes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with grpc.insecure_channel(sandbox.google_endpoint) as channel:
        metrics = monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))
        counted = -1
        while counted != requests:
            assert time.monotonic() < deadline, f"{counted} requests are known, not {requests}"
            now = datetime.now(UTC)
            found = metrics.list_time_series(
                request=monitoring_v3.ListTimeSeriesRequest(
                    name="projects/example-shop",
                    filter='metric.type = "run.googleapis.com/request_count"',
                    interval={"start_time": now - timedelta(minutes=5), "end_time": now},
                )
            )
            counted = sum(point.value.int64_value for series in found for point in series.points)
