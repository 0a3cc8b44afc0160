"""`rollout probe-google` against sandboxes that behave in each of the ways it is to find out."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import run_v2

from config.settings import Settings, inherited_environment
from rollout.traffic import ServiceRef
from sandbox.faults import Fault
from starter.outcome import CommandEnds
from starter.probe_report import PointName, Report, State
from starter.probe_run import Wanted, probe
from tests.checkout import CHECKOUT
from tests.sandbox.google import NAME, OLD_IMAGE, PARENT, PROJECT, REGION, Google, result_of, template_of, to_latest
from tests.starter.command_line import Ran, rollout
from tests.starter.conftest import Run

SCRATCH = "scratch"
SCRATCH_NAME = f"{PARENT}/services/{SCRATCH}"
TIMING: dict[str, Any] = {
    "sample_seconds": 0.2,
    "ingest_delay_seconds": 0.1,
    "reconcile_seconds": 0.1,
    "past_traffic_seconds": 3.0,  # what is read back is drawn point by point
}
WHERE = ("--project", PROJECT, "--region", REGION)


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(**TIMING) as started:
        yield started


def environment_of(google: Google) -> dict[str, str]:
    return {"ROLLOUT_GOOGLE_ENDPOINT": google.sandbox.grpc_target}


async def typed(google: Google, *arguments: object, stdin: str | None = None) -> Ran:
    return await asyncio.to_thread(
        rollout, "probe-google", *WHERE, *arguments, environment=environment_of(google), stdin=stdin
    )


async def probed(
    google: Google,
    *,
    service: str = SCRATCH,
    image: str | None = OLD_IMAGE,
    keep: bool = False,
    within_seconds: float = 60.0,
    tell: Any = lambda _: None,
) -> Report:
    """A probe in this process, of a service it creates unless `image` is None."""
    wanted = Wanted(
        ref=ServiceRef(key=service, project=PROJECT, region=REGION, service=service),
        image=image,
        keep=keep,
        read_only=False,
        within_seconds=within_seconds,
    )
    return await probe(wanted, Settings.from_environment(environment_of(google)), tell)


async def bytes_of(google: Google, name: str = NAME) -> bytes:
    return bytes(run_v2.Service.serialize(await google.service(name)))


async def is_gone(google: Google, name: str = SCRATCH_NAME) -> bool:
    try:
        await google.service(name)
    except NotFound:
        return True
    return False


async def labelled(google: Google) -> run_v2.Service:
    """A scratch service of the user's own, that follows its latest revision."""
    service = run_v2.Service(
        labels={"rollout-probe": "scratch", "team": "shop"},
        template=template_of(OLD_IMAGE),
        traffic=[to_latest(100)],
    )
    await result_of(await google.services.create_service(parent=PARENT, service_id=SCRATCH, service=service))
    return await google.service(SCRATCH_NAME)


def found(report: Report, name: PointName) -> str:
    return next(point.found for point in report.points if point.name is name)


@pytest.mark.parametrize("etag", ["enforce", "ignore"])
@pytest.mark.parametrize("inflight", ["supersede", "abort"])
async def test_it_reports_the_profile_that_the_sandbox_was_started_with_and_leaves_nothing(
    etag: str, inflight: str
) -> None:
    async with Google.started(**TIMING, etag=etag, inflight=inflight) as google:
        other = await bytes_of(google)
        report = await probed(google)

        assert report.complete, report.open_points
        profile = report.profile
        assert (profile.etag, profile.inflight) == (etag, inflight)
        assert profile.reconcile_seconds is not None
        assert profile.reconcile_seconds >= 0.1
        assert profile.sample_seconds == 0.2
        assert profile.ingest_delay_seconds is not None
        assert profile.ingest_delay_seconds >= 0.1
        assert profile.sandbox_arguments[:4] == ["--etag", etag, "--inflight", inflight]
        assert await is_gone(google)
        assert await bytes_of(google) == other


async def test_as_typed_it_prints_json_and_writes_the_same_to_a_file(google: Google, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    ran = await typed(google, "--service", SCRATCH, "--create", "--yes", "--json", "--out", out)

    assert ran.code == 0, ran.err
    assert ran.json["complete"]
    assert ran.json["open"] == []
    assert json.loads(out.read_text()) == ran.json
    assert [path.name for path in out.parent.glob("*")] == [out.name]
    assert await is_gone(google)


async def test_the_refusals_are_told_in_googles_own_words(google: Google) -> None:
    report = await probed(google)

    seen = {point.name: " ".join(point.seen) for point in report.points}
    assert "Traffic targets sum to 99, want 100." in seen[PointName.TEXT_SUM]
    assert "Multiple definitions for tag 'twice'." in seen[PointName.TEXT_DUPLICATE_TAG]
    assert "cannot exceed 46 characters." in seen[PointName.TEXT_LONG_TAG]
    assert "'scratch-probe-missing' does not exist or is deleted" in seen[PointName.TEXT_UNKNOWN_REVISION]
    assert found(report, PointName.TEXT_UNKNOWN_REVISION) == "accepted, and failed while it was carried out"
    assert "exponential, scale 1" in found(report, PointName.BUCKETS)


async def test_a_labelled_service_has_its_traffic_as_before_and_no_new_revision(google: Google) -> None:
    before = await labelled(google)
    report = await probed(google, image=None)

    after = await google.settled(SCRATCH_NAME)
    assert report.complete, report.open_points
    assert report.profile.etag == "ignore"
    assert report.profile.inflight == "supersede"
    assert list(after.traffic) == list(before.traffic)
    assert list(after.traffic_statuses) == list(before.traffic_statuses)
    assert after.template == before.template
    assert after.labels == before.labels
    assert after.latest_created_revision == before.latest_created_revision


async def test_a_service_without_the_label_is_refused_and_stays_byte_for_byte(google: Google) -> None:
    before = await bytes_of(google)
    ran = await typed(google, "--service", "backend", "--yes")

    assert ran.code == 2
    assert "backend exists and has no label rollout-probe=scratch: it is not touched" in ran.err
    assert await bytes_of(google) == before


@pytest.mark.parametrize("image", [None, OLD_IMAGE])
@pytest.mark.parametrize("keep", [False, True])
async def test_neither_creating_nor_keeping_gives_a_right_to_a_service_without_the_label(
    google: Google, image: str | None, keep: bool
) -> None:
    before = await bytes_of(google)
    with pytest.raises(CommandEnds, match="it is not touched"):
        await probed(google, service="backend", image=image, keep=keep)

    assert await bytes_of(google) == before


async def test_a_labelled_service_is_not_made_anew(google: Google) -> None:
    await labelled(google)
    before = await bytes_of(google, SCRATCH_NAME)
    with pytest.raises(CommandEnds, match="exists already, with the label"):
        await probed(google)

    assert await bytes_of(google, SCRATCH_NAME) == before


async def test_a_service_that_loses_its_label_midway_is_left_alone_from_then_on(google: Google) -> None:
    await labelled(google)
    record = next(each for each in google.sandbox.services if each.name.service == SCRATCH)
    generations = []

    def take_label(said: str) -> None:
        if said.startswith(PointName.ETAG):
            record.message.labels.clear()
            generations.append(record.message.generation)

    report = await probed(google, image=None, tell=take_label)

    assert "has no label" in found(report, PointName.ETAG)
    assert not report.cleanup.done
    assert "it is left alone" in report.cleanup.text
    assert [record.message.generation] == generations


async def test_what_is_not_confirmed_is_not_done(google: Google) -> None:
    ran = await typed(google, "--service", SCRATCH, "--create", stdin="n\n")

    assert ran.code == 2
    assert "creates it from us-docker.pkg.dev/cloudrun/container/hello" in ran.err
    assert "nothing was done" in ran.err
    assert await is_gone(google)


async def test_read_only_asks_nothing_and_changes_nothing(google: Google) -> None:
    before = await bytes_of(google)
    ran = await typed(google, "--service", "backend", "--read-only", "--json")

    assert ran.code == 0, ran.err
    states = {point["name"]: point["state"] for point in ran.json["points"]}
    assert states["etag"] == states["refusal: tag too long"] == "not asked"
    assert states["ingest delay"] == states["bucket layout"] == "settled"
    assert ran.json["cleanup"]["text"] == "Nothing was changed."
    assert await bytes_of(google) == before


@pytest.mark.parametrize(
    ("line", "told"),
    [("Creating", signal.SIGINT), (PointName.ETAG, signal.SIGINT), (PointName.TEXT_UNKNOWN_REVISION, signal.SIGTERM)],
)
async def test_a_signal_ends_it_with_nothing_left_behind_and_a_second_one_ends_no_cleaning_up(
    google: Google, line: str, told: signal.Signals
) -> None:
    arguments = [*WHERE, "--service", SCRATCH, "--create", "--yes"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter", "probe-google", *arguments),
        cwd=CHECKOUT,
        env=inherited_environment(environment_of(google)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
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


async def test_a_kept_service_has_all_traffic_at_its_first_revision_and_can_be_used_again(google: Google) -> None:
    assert (await probed(google, keep=True)).complete
    kept = await google.service(SCRATCH_NAME)
    assert [row.percent for row in kept.traffic_statuses if row.percent] == [100]

    report = await probed(google, image=None)
    assert {point.state for point in report.points} == {State.SETTLED, State.REPORTED}
    assert list((await google.service(SCRATCH_NAME)).traffic) == list(kept.traffic)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--region", REGION, "--service", "s"), "Missing option '--project'"),
        (("--project", PROJECT, "--service", "s"), "Missing option '--region'"),
        (("--project", PROJECT, "--region", REGION), "Missing option '--service'"),
        (("--project", "Shop", "--region", REGION, "--service", "s"), "'Shop' is not the id of a project"),
        (("--project", PROJECT, "--region", "europe", "--service", "s"), "'europe' is not a region"),
        ((*WHERE, "--service", "s" * 41), "at most 40 lower-case letters"),
        ((*WHERE, "--service", "s", "--keep"), "--keep is about the service that --create makes"),
        ((*WHERE, "--service", "s", "--image", "i"), "--image is about the service that --create makes"),
        ((*WHERE, "--service", "s", "--create", "--image", " "), "the name of a container image"),
        ((*WHERE, "--service", "s", "--create", "--read-only"), "leave one of them out"),
        ((*WHERE, "--service", "s", "--within", "0"), "0: expected at least 1"),
        ((*WHERE, "--service", "s", "--out", "missing/found.json"), "not a file in a directory that exists"),
    ],
)
def test_wrong_input_ends_with_code_2_before_google_is_asked(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run({"ROLLOUT_GOOGLE_ENDPOINT": "127.0.0.1:1", "COLUMNS": "400"}, "probe-google", *arguments)

    assert ran.code == 2
    assert said in ran.err


async def test_a_service_that_is_not_there_is_made_only_when_that_is_asked_for(google: Google) -> None:
    ran = await typed(google, "--service", SCRATCH, "--yes")

    assert ran.code == 2
    assert "scratch does not exist in shop-production, us-central1; --create makes" in ran.err
    assert await is_gone(google)
