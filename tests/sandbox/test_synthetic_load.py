"""What the synthetic users leave behind: numbers that follow the split, the flags and the behaviour of the image."""

from datetime import timedelta

import pytest
from google.cloud import run_v2

from local.redis_server import RedisServer
from sandbox.behaviours import Behaviour
from sandbox.flag_watch import INTERNAL_SHARE
from tests.sandbox.flag_documents import AUDIENCE, percent, snapshot
from tests.sandbox.google import (
    CANDIDATE,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    Aligner,
    Google,
    result_of,
    short,
    template_of,
    to,
)
from tests.sandbox.moving_clock import START, MovingClock
from tests.sandbox.synthetic_hour import (
    GROUP_LABEL,
    HOUR,
    OWN,
    REQUESTS_PER_HOUR,
    REVISION_LABEL,
    RUN,
    by_label,
    counts,
    expose,
    hour_of,
    near,
    total,
)


async def test_requests_are_split_as_observed(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(10)
    end = await hour_of(unflagged, clock)
    served = await counts(unflagged, f"{RUN}/request_count", end, REVISION_LABEL)

    assert set(served) == {await unflagged.stable(), CANDIDATE}
    assert served[CANDIDATE] / sum(served.values()) == near(0.1)


async def test_the_desired_split_moves_nobody_before_it_is_observed(unflagged: Google, clock: MovingClock) -> None:
    unflagged.sandbox.faults.reconcile_seconds = 60
    await unflagged.update(
        ["template", "traffic"], template=template_of(NEW_IMAGE, CANDIDATE), traffic=[to(CANDIDATE, 100)]
    )
    end = await hour_of(unflagged, clock)

    assert list(await counts(unflagged, f"{RUN}/request_count", end, REVISION_LABEL)) == [await unflagged.stable()]


async def test_without_flags_the_candidates_users_are_treated(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(25)
    end = await hour_of(unflagged, clock)
    groups = await counts(unflagged, f"{OWN}/request_count", end, GROUP_LABEL)
    served = await counts(unflagged, f"{RUN}/request_count", end, REVISION_LABEL)

    assert groups == {"treated": served[CANDIDATE], "control": served[await unflagged.stable()]}


async def test_while_there_was_only_ever_one_revision_nobody_is_treated(unflagged: Google) -> None:
    groups = await counts(unflagged, f"{OWN}/request_count", START - timedelta(minutes=2), GROUP_LABEL)

    assert list(groups) == ["control"]


async def test_after_a_rollback_no_series_of_the_candidate_has_points(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(50)
    clock.skip(minutes=10)
    await unflagged.update(["traffic"], traffic=[to(await unflagged.stable(), 100)])
    await unflagged.settled()
    end = clock.skip(minutes=10)
    clock.skip(minutes=2)
    last_minutes = await unflagged.series(f"{RUN}/request_count", end, window=timedelta(minutes=5), by=[REVISION_LABEL])

    assert [each.resource.labels["revision_name"] for each in last_minutes] == [await unflagged.stable()]


async def test_a_clock_that_jumps_leaves_the_past_as_it_was(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(10)
    clock.skip(hours=30)
    await unflagged.update(["traffic"], traffic=[to(await unflagged.stable(), 50), to(CANDIDATE, 50)])
    await unflagged.settled()
    changed = clock.instant
    clock.skip(hours=100)

    for end, share in ((START + 20 * HOUR, 0.1), (changed, 0.1), (changed + HOUR, 0.5), (changed + 90 * HOUR, 0.5)):
        served = await counts(unflagged, f"{RUN}/request_count", end, REVISION_LABEL)
        assert served[CANDIDATE] / sum(served.values()) == near(share)


async def test_a_change_in_the_middle_of_an_interval_counts_from_its_instant(
    unflagged: Google, clock: MovingClock
) -> None:
    clock.skip(seconds=45)
    await unflagged.deploy(100)
    clock.skip(minutes=10)
    minute = await unflagged.series(f"{RUN}/request_count", START + timedelta(minutes=1), by=[REVISION_LABEL])
    served = {each.resource.labels["revision_name"]: each.points[0].value.int64_value for each in minute}

    assert served[CANDIDATE] == pytest.approx(200 * 15, rel=0.1)
    assert served[await unflagged.stable()] == pytest.approx(200 * 45, rel=0.1)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        pytest.param(snapshot(AUDIENCE), INTERNAL_SHARE, id="audience"),
        pytest.param(snapshot(percent(1000)), 0.1, id="10 %"),
        pytest.param(snapshot(percent(5000), percent(1000)), 0.5, id="the widest of two"),
    ],
)
async def test_with_flags_their_share_is_treated_whatever_the_split(
    flagged: Google, clock: MovingClock, redis_server: RedisServer, text: str, share: float
) -> None:
    await expose(flagged, redis_server, text, share)
    end = await hour_of(flagged, clock)
    groups = await counts(flagged, f"{OWN}/request_count", end, GROUP_LABEL)

    assert groups["treated"] / sum(groups.values()) == near(share)


async def test_at_full_exposure_there_is_no_control_group(
    flagged: Google, clock: MovingClock, redis_server: RedisServer
) -> None:
    await expose(flagged, redis_server, snapshot(percent(10_000)), 1.0)
    end = await hour_of(flagged, clock)

    assert list(await counts(flagged, f"{OWN}/request_count", end, GROUP_LABEL)) == ["treated"]


async def test_a_pulled_latch_ends_the_treatment(
    flagged: Google, clock: MovingClock, redis_server: RedisServer
) -> None:
    await expose(flagged, redis_server, snapshot(percent(5000)), 0.5)
    clock.skip(hours=1)
    await expose(flagged, redis_server, snapshot(percent(5000), latch=True), 0.0)
    end = await hour_of(flagged, clock)

    assert list(await counts(flagged, f"{OWN}/request_count", end, GROUP_LABEL)) == ["control"]


async def test_a_response_code_that_did_not_occur_has_no_series_and_an_outcome_has_a_zero(clock: MovingClock) -> None:
    end = START - timedelta(minutes=2)
    async with Google.started(clock=clock, requests_per_second=0.05) as unflagged:
        codes = await counts(unflagged, f"{RUN}/request_count", end, "metric.labels.response_code")
        outcomes = await counts(unflagged, f"{OWN}/request_count", end, "metric.labels.outcome")

    assert list(codes) == ["200"]
    assert outcomes == {"ok": codes["200"], "error": 0}


async def test_without_requests_there_is_nothing_at_all(clock: MovingClock) -> None:
    async with Google.started(clock=clock, requests_per_second=0) as unflagged:
        for metric in (f"{OWN}/request_count", f"{OWN}/cascade_failures", f"{RUN}/request_latencies"):
            assert await unflagged.series(metric, START - timedelta(minutes=2)) == []


async def test_every_metric_counts_the_same_requests(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(30)
    end = await hour_of(unflagged, clock)
    counted = {
        await total(unflagged, f"{owner}/{metric}", end)
        for owner, metric in (
            (OWN, "request_count"),
            (OWN, "request_latencies"),
            (OWN, "websocket_event_latencies"),
            (OWN, "isolation_checks"),
            (RUN, "request_count"),
            (RUN, "request_latencies"),
        )
    }

    assert len(counted) == 1


async def test_instances_grow_with_the_share(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(10)
    end = await hour_of(unflagged, clock)
    values = await by_label(
        unflagged, f"{RUN}/container/instance_count", end, REVISION_LABEL, aligner=Aligner.ALIGN_MEAN
    )

    assert values[await unflagged.stable()].double_value == pytest.approx(9.5, abs=0.6)
    assert values[CANDIDATE].double_value == pytest.approx(1.5, abs=0.6)


async def test_a_deleted_service_has_no_more_users(unflagged: Google, clock: MovingClock) -> None:
    operation = await unflagged.services.delete_service(name=NAME)
    await result_of(operation)
    end = await hour_of(unflagged, clock)

    assert await unflagged.series(f"{RUN}/request_count", end) == []


async def test_a_service_created_over_the_api_is_used_from_the_moment_it_is_ready(
    unflagged: Google, clock: MovingClock
) -> None:
    await unflagged.services.create_service(
        parent=NAME.partition("/services/")[0],
        service_id="late",
        service=run_v2.Service(template=template_of(OLD_IMAGE)),
    )
    await unflagged.settled(NAME.replace("backend", "late"))
    end = await hour_of(unflagged, clock)
    jobs = await counts(unflagged, f"{OWN}/request_count", end, "resource.labels.job")
    before = await counts(unflagged, f"{OWN}/request_count", START - timedelta(minutes=1), "resource.labels.job")

    assert jobs["late"] == pytest.approx(REQUESTS_PER_HOUR, rel=0.02)
    assert short(NAME) in before
    assert "late" not in before


async def test_the_parts_of_a_cohort_have_a_past_from_before_anybody_is_exposed_and_keep_their_size(
    flagged: Google, clock: MovingClock, redis_server: RedisServer
) -> None:
    metric, label = f"{OWN}/cohort_request_count", "metric.labels.cohort"
    before = await counts(flagged, metric, await hour_of(flagged, clock), label)
    await expose(flagged, redis_server, snapshot(percent(1_000)), 0.1)
    clock.skip(minutes=1)
    canary = await counts(flagged, metric, await hour_of(flagged, clock), label)

    for found in (before, canary):
        assert sum(found.values()) == pytest.approx(REQUESTS_PER_HOUR, rel=0.02)
        for part, share in (("10", 0.1), ("50", 0.4), ("100", 0.5)):
            assert found[part] == pytest.approx(REQUESTS_PER_HOUR * share, rel=0.03)


async def test_errors_of_treated_users_are_those_of_the_first_part_and_an_audience_is_in_none(
    flagged: Google, clock: MovingClock, redis_server: RedisServer
) -> None:
    metric, label = f"{OWN}/cohort_request_count", "metric.labels.cohort"
    await expose(flagged, redis_server, snapshot(AUDIENCE), INTERNAL_SHARE)
    clock.skip(minutes=1)
    internal = await counts(flagged, metric, await hour_of(flagged, clock), label)
    await flagged.sandbox.set_behaviour(OLD_IMAGE, Behaviour(treated_error_rate=0.3))
    await expose(flagged, redis_server, snapshot(percent(1_000)), 0.1)
    clock.skip(minutes=1)
    end = await hour_of(flagged, clock)
    errors = await counts(flagged, metric, end, label, only='metric.labels.outcome = "error"')

    assert internal["audience"] == pytest.approx(REQUESTS_PER_HOUR * INTERNAL_SHARE, rel=0.1)
    assert errors["10"] == pytest.approx(REQUESTS_PER_HOUR * 0.1 * 0.3, rel=0.05)
    assert errors["50"] + errors["100"] < REQUESTS_PER_HOUR * 0.001


async def test_latencies_by_cohort_are_of_as_many_requests_as_are_counted(flagged: Google, clock: MovingClock) -> None:
    end, label = await hour_of(flagged, clock), "metric.labels.cohort"
    counted = await counts(flagged, f"{OWN}/cohort_request_count", end, label)
    latencies = await by_label(flagged, f"{OWN}/cohort_request_latencies", end, label)

    assert {part: value.distribution_value.count for part, value in latencies.items()} == counted
