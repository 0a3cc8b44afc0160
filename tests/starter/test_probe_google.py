"""`rollout probe-google` against sandboxes that behave in each of the ways it is to find out."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from starter.outcome import CommandEnds
from starter.probe_report import PointName, State
from tests.sandbox.google import OLD_IMAGE, PROJECT, REGION, Google
from tests.starter.command_line import Run
from tests.starter.probed_google import (
    SCRATCH,
    SCRATCH_NAME,
    TIMING,
    WHERE,
    bytes_of,
    found,
    is_gone,
    labelled,
    probed,
    typed,
)


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(**TIMING) as started:
        yield started


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
