"""The blocking clients speak to the sandbox as the asynchronous ones do; it runs in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from json import loads
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.api_core.operation import Operation
from google.cloud import monitoring_v3, run_v2
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, question, short, template_of, to


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    command = (sys.executable, "-m", "sandbox", "--service", "shop-production/us-central1/backend=shop/backend:1")
    with subprocess.Popen([*command, "--reconcile-seconds", "0.05"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(loads(process.stdout.readline())["grpc"]) as opened:
                yield opened
        finally:
            process.terminate()


def finished(operation: Operation) -> Any:
    return operation.result(timeout=20)  # type: ignore[no-untyped-call]


def test_a_deployment_is_waited_for_and_its_failure_raised_as_its_class(channel: grpc.Channel) -> None:
    services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
    revisions = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))
    stable = short(services.get_service(name=NAME).latest_ready_revision)
    deployment = services.update_service(
        service=run_v2.Service(
            name=NAME,
            template=template_of(NEW_IMAGE, CANDIDATE),
            traffic=[to(stable, 90), to(CANDIDATE, 10, "canary")],
        )
    )
    done = finished(deployment)
    assert [(row.revision, row.percent) for row in done.traffic_statuses] == [(stable, 90), (CANDIDATE, 10)]
    assert [short(revision.name) for revision in revisions.list_revisions(parent=NAME)] == [CANDIDATE, stable]

    lost = services.update_service(service=run_v2.Service(name=NAME, traffic=[to("backend-gone", 100)]))
    with pytest.raises(exceptions.InternalServerError, match="does not exist or is deleted"):
        finished(lost)


def test_time_series_are_paged_through(channel: grpc.Channel) -> None:
    metrics = monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    request = question(
        "custom.googleapis.com/rollout/request_count",
        end,
        window=timedelta(minutes=10),
        period=timedelta(minutes=1),
        page_size=4,
    )
    points = [point for series in metrics.list_time_series(request=request) for point in series.points]

    assert len(points) == 10
