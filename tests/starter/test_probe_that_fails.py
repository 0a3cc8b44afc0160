"""A probe that is ended, or meets faults and missing rights, leaves nothing behind and says what it did not settle."""

import signal
from collections.abc import AsyncIterator

import pytest

from sandbox.faults import Fault
from starter.probe_report import PointName
from tests.sandbox.google import PROJECT, REGION, Google
from tests.starter.command_line import rollout_under_way
from tests.starter.probed_google import SCRATCH, TIMING, WHERE, environment_of, found, is_gone, probed, typed


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(**TIMING) as started:
        yield started


@pytest.mark.parametrize(
    ("line", "told"),
    [("Creating", signal.SIGINT), (PointName.ETAG, signal.SIGINT), (PointName.TEXT_UNKNOWN_REVISION, signal.SIGTERM)],
)
async def test_a_signal_ends_it_with_nothing_left_behind_and_a_second_one_ends_no_cleaning_up(
    google: Google, line: str, told: signal.Signals
) -> None:
    arguments = [*WHERE, "--service", SCRATCH, "--create", "--yes"]
    process = await rollout_under_way("probe-google", *arguments, environment=environment_of(google))
    assert process.stderr is not None
    async for said in process.stderr:
        if said.decode().startswith(line):
            break
    google.sandbox.faults.put(Fault(method="DeleteService", delay_seconds=1.5, count=1))
    process.send_signal(told)
    async for said in process.stderr:
        if "what was changed is put back first" in said.decode():
            break
    process.send_signal(told)
    out, err = await process.communicate()

    assert process.returncode == 130, err
    assert "Still putting back what was changed" in err.decode()
    assert "Stopped early: told to stop." in out.decode()
    assert await is_gone(google)


async def test_it_ends_when_its_time_is_over_and_cleans_up_after_that(google: Google) -> None:
    report = await probed(google, within_seconds=0.5)

    assert report.stopped == "0.5 s are over"
    assert found(report, PointName.TEXT_LONG_TAG) == "0.5 s are over"
    assert await is_gone(google)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="CreateService", code="DEADLINE_EXCEEDED", after_commit=True, count=1),
        Fault(method="UpdateService", code="UNAVAILABLE"),
        Fault(method="UpdateService", code="DEADLINE_EXCEEDED", after_commit=True),
        Fault(method="UpdateService", code="INTERNAL", count=4),
    ],
    ids=["the answer to the creation is lost", "no update", "every answer is lost", "some updates fail"],
)
async def test_a_fault_midway_leaves_points_open_and_no_service(google: Google, fault: Fault) -> None:
    google.sandbox.faults.put(fault)
    report = await probed(google)

    assert report.cleanup.done, report.cleanup.text
    assert report.open_points
    assert all(fault.code in point.found for point in report.open_points if fault.code)
    assert await is_gone(google)


async def test_a_deletion_that_fails_at_first_is_tried_again(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="DeleteService", code="UNAVAILABLE", count=2))
    report = await probed(google)

    assert report.complete, report
    assert await is_gone(google)


@pytest.mark.parametrize(
    ("method", "message", "permission", "open_points"),
    [
        ("UpdateService", "no", "run.services.update", {PointName.ETAG, PointName.INFLIGHT, PointName.TEXT_SUM}),
        (
            "UpdateService",
            "Permission 'iam.serviceaccounts.actAs' denied on service account x",
            "iam.serviceaccounts.actAs",
            {PointName.ETAG},
        ),
        ("CreateService", "no", "run.services.create", {PointName.ETAG, PointName.RECONCILE, PointName.TEXT_SUM}),
        ("GetMetricDescriptor", "no", "monitoring.metricDescriptors.get", {PointName.INGEST_DELAY}),
        ("ListTimeSeries", "no", "monitoring.timeSeries.list", {PointName.INGEST_DELAY, PointName.BUCKETS}),
    ],
)
async def test_a_missing_permission_is_named_at_the_points_it_leaves_open(
    google: Google, method: str, message: str, permission: str, open_points: set[PointName]
) -> None:
    google.sandbox.faults.put(Fault(method=method, code="PERMISSION_DENIED", message=message))
    report = await probed(google)

    assert open_points <= {point.name for point in report.open_points}
    assert all(f"the missing permission is {permission}" in point.found for point in report.open_points)
    assert report.cleanup.done
    assert await is_gone(google)


async def test_without_the_right_to_look_nothing_is_begun(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="GetService", code="PERMISSION_DENIED"))
    ran = await typed(google, "--service", SCRATCH, "--create", "--yes")

    assert ran.code == 1
    assert "Nothing was changed." in ran.err
    assert "the missing permission is run.services.get" in ran.err
    google.sandbox.faults.clear()
    assert await is_gone(google)


async def test_a_service_that_cannot_be_deleted_is_named_with_the_command_that_does_it(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="DeleteService", code="PERMISSION_DENIED"))
    report = await probed(google)

    assert not report.complete
    assert "the missing permission is run.services.delete" in report.cleanup.text
    assert f"gcloud run services delete {SCRATCH} --project={PROJECT} --region={REGION}" in report.cleanup.text
