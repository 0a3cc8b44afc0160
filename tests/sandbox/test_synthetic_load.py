"""What the synthetic users leave behind: numbers that follow the split, the flags and the behaviour of the image."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.cloud import run_v2

from local.redis_server import RedisServer
from sandbox.behaviours import Behaviour
from sandbox.flag_watch import INTERNAL_SHARE
from sandbox.options import InstalledService
from tests.sandbox.flag_documents import AUDIENCE, GROUP, percent, put, remove, snapshot, until
from tests.sandbox.google import (
    CANDIDATE,
    INSTALLED,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    Aligner,
    Google,
    Reducer,
    result_of,
    short,
    template_of,
    to,
)
from tests.sandbox.moving_clock import START, MovingClock

OWN, RUN = "custom.googleapis.com/rollout", "run.googleapis.com"
GROUP_LABEL = "metric.labels.group"
REVISION_LABEL = "resource.labels.revision_name"
HOUR = timedelta(hours=1)
FLAGGED = InstalledService(**{**INSTALLED.model_dump(), "flag_group": GROUP})
REQUESTS_PER_HOUR = 200 * 3600


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def google(clock: MovingClock) -> AsyncIterator[Google]:
    """A service whose users belong to no flag group: treated is whom the candidate serves."""
    async with Google.started(clock=clock) as started:
        yield started


@pytest.fixture
async def flagged(clock: MovingClock, redis_server: RedisServer) -> AsyncIterator[Google]:
    """A service whose users are treated by the flags of `GROUP`."""
    await remove(redis_server.url)
    async with Google.started(clock=clock, services=(FLAGGED,), redis_url=redis_server.url) as started:
        yield started


async def hour_of(google: Google, clock: MovingClock) -> datetime:
    """Let an hour pass, and as much time as its points need to become visible; answers the hour's end."""
    end = clock.skip(hours=1)
    clock.skip(minutes=2)
    return end


async def expose(google: Google, redis_server: RedisServer, text: str, share: float) -> None:
    await put(redis_server.url, text)
    shares = await google.sandbox.follow_flags(GROUP)
    await until(lambda: shares.latest == share)


async def by_label(google: Google, metric: str, end: datetime, label: str, **asked: Any) -> dict[str, Any]:
    """The values of the last hour before `end`, by one label."""
    found = await google.series(metric, end, window=HOUR, by=[label], **asked)
    owner, _, name = label.split(".")
    return {getattr(each, owner).labels[name]: each.points[0].value for each in found}


async def counts(google: Google, metric: str, end: datetime, label: str, only: str = "") -> dict[str, int]:
    return {key: value.int64_value for key, value in (await by_label(google, metric, end, label, only=only)).items()}


async def p95s(google: Google, metric: str, end: datetime, label: str) -> dict[str, float]:
    values = await by_label(google, metric, end, label, reducer=Reducer.REDUCE_PERCENTILE_95)
    return {key: value.double_value for key, value in values.items()}


def near(share: float) -> Any:
    """Five standard deviations around a share of an hour's requests."""
    deviation = (share * (1 - share) / REQUESTS_PER_HOUR) ** 0.5
    return pytest.approx(share, abs=5 * deviation)


async def test_requests_are_split_as_observed(google: Google, clock: MovingClock) -> None:
    await google.deploy(10)
    end = await hour_of(google, clock)
    served = await counts(google, f"{RUN}/request_count", end, REVISION_LABEL)

    assert set(served) == {await google.stable(), CANDIDATE}
    assert served[CANDIDATE] / sum(served.values()) == near(0.1)


async def test_the_desired_split_moves_nobody_before_it_is_observed(google: Google, clock: MovingClock) -> None:
    google.sandbox.faults.reconcile_seconds = 60
    await google.update(
        ["template", "traffic"], template=template_of(NEW_IMAGE, CANDIDATE), traffic=[to(CANDIDATE, 100)]
    )
    end = await hour_of(google, clock)

    assert list(await counts(google, f"{RUN}/request_count", end, REVISION_LABEL)) == [await google.stable()]


async def test_without_flags_the_candidates_users_are_treated(google: Google, clock: MovingClock) -> None:
    await google.deploy(25)
    end = await hour_of(google, clock)
    groups = await counts(google, f"{OWN}/request_count", end, GROUP_LABEL)
    served = await counts(google, f"{RUN}/request_count", end, REVISION_LABEL)

    assert groups == {"treated": served[CANDIDATE], "control": served[await google.stable()]}


async def test_while_there_was_only_ever_one_revision_nobody_is_treated(google: Google) -> None:
    groups = await counts(google, f"{OWN}/request_count", START - timedelta(minutes=2), GROUP_LABEL)

    assert list(groups) == ["control"]


async def test_after_a_rollback_no_series_of_the_candidate_has_points(google: Google, clock: MovingClock) -> None:
    await google.deploy(50)
    clock.skip(minutes=10)
    await google.update(["traffic"], traffic=[to(await google.stable(), 100)])
    await google.settled()
    end = clock.skip(minutes=10)
    clock.skip(minutes=2)
    last_minutes = await google.series(f"{RUN}/request_count", end, window=timedelta(minutes=5), by=[REVISION_LABEL])

    assert [each.resource.labels["revision_name"] for each in last_minutes] == [await google.stable()]


async def test_a_clock_that_jumps_leaves_the_past_as_it_was(google: Google, clock: MovingClock) -> None:
    await google.deploy(10)
    clock.skip(hours=30)
    await google.update(["traffic"], traffic=[to(await google.stable(), 50), to(CANDIDATE, 50)])
    await google.settled()
    changed = clock.instant
    clock.skip(hours=100)

    for end, share in ((START + 20 * HOUR, 0.1), (changed, 0.1), (changed + HOUR, 0.5), (changed + 90 * HOUR, 0.5)):
        served = await counts(google, f"{RUN}/request_count", end, REVISION_LABEL)
        assert served[CANDIDATE] / sum(served.values()) == near(share)


async def test_a_change_in_the_middle_of_an_interval_counts_from_its_instant(
    google: Google, clock: MovingClock
) -> None:
    clock.skip(seconds=45)
    await google.deploy(100)
    clock.skip(minutes=10)
    minute = await google.series(f"{RUN}/request_count", START + timedelta(minutes=1), by=[REVISION_LABEL])
    served = {each.resource.labels["revision_name"]: each.points[0].value.int64_value for each in minute}

    assert served[CANDIDATE] == pytest.approx(200 * 15, rel=0.1)
    assert served[await google.stable()] == pytest.approx(200 * 45, rel=0.1)


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


async def test_healthy_users_of_both_groups_fare_alike(google: Google, clock: MovingClock) -> None:
    await google.deploy(50)
    end = await hour_of(google, clock)
    requests = await counts(google, f"{OWN}/request_count", end, GROUP_LABEL)
    errors = await counts(google, f"{OWN}/request_count", end, GROUP_LABEL, 'AND metric.labels.outcome = "error"')
    latencies = await p95s(google, f"{OWN}/request_latencies", end, GROUP_LABEL)

    for group in ("treated", "control"):
        assert errors[group] / requests[group] == pytest.approx(0.0002, abs=0.0002)
        assert latencies[group] == pytest.approx(180, rel=0.05)


async def test_treated_errors_hit_treated_users_on_that_image_alone(
    flagged: Google, clock: MovingClock, redis_server: RedisServer
) -> None:
    await flagged.deploy(50)
    await expose(flagged, redis_server, snapshot(percent(5000)), 0.5)
    await flagged.sandbox.set_behaviour(NEW_IMAGE, Behaviour(treated_error_rate=0.06))
    end = await hour_of(flagged, clock)
    requests = await counts(flagged, f"{OWN}/request_count", end, GROUP_LABEL)
    errors = await counts(flagged, f"{OWN}/request_count", end, GROUP_LABEL, 'AND metric.labels.outcome = "error"')
    by_revision = await counts(
        flagged, f"{RUN}/request_count", end, REVISION_LABEL, 'AND metric.labels.response_code_class = "5xx"'
    )

    assert errors["treated"] / requests["treated"] == pytest.approx(0.03, abs=0.002)
    assert errors["control"] / requests["control"] < 0.001
    assert by_revision[CANDIDATE] > 50 * by_revision[await flagged.stable()]


async def test_a_behaviour_begins_when_it_is_set_and_ends_when_it_is_cleared(
    google: Google, clock: MovingClock
) -> None:
    first = await hour_of(google, clock)
    await google.sandbox.set_behaviour(OLD_IMAGE, Behaviour(error_rate=0.5))
    second = await hour_of(google, clock)
    await google.sandbox.set_behaviour(OLD_IMAGE, Behaviour())
    third = await hour_of(google, clock)
    third_clean = third - timedelta(minutes=1)
    only = 'AND metric.labels.outcome = "error"'

    failed = [
        (await counts(google, f"{OWN}/request_count", end, GROUP_LABEL, only))["control"]
        for end in (first, second, third_clean)
    ]
    assert failed[1] == pytest.approx(REQUESTS_PER_HOUR / 2, rel=0.05)
    assert failed[0] < 1000
    assert failed[2] < 20_000


@pytest.mark.parametrize(
    ("behaviour", "metric", "healthy"),
    [
        (Behaviour(latency_factor=1.3), f"{OWN}/request_latencies", 180.0),
        (Behaviour(treated_latency_factor=1.3), f"{OWN}/request_latencies", 180.0),
        (Behaviour(websocket_latency_factor=1.3), f"{OWN}/websocket_event_latencies", 45.0),
    ],
    ids=["latency", "treated latency", "websocket"],
)
async def test_latency_factors_stretch_the_treated_groups_latencies(
    google: Google, clock: MovingClock, behaviour: Behaviour, metric: str, healthy: float
) -> None:
    await google.sandbox.set_behaviour(NEW_IMAGE, behaviour)
    await google.deploy(50)
    found = await p95s(google, metric, await hour_of(google, clock), GROUP_LABEL)

    assert found["control"] == pytest.approx(healthy, rel=0.08)
    assert found["treated"] == pytest.approx(healthy * 1.3, rel=0.08)


@pytest.mark.parametrize(("kind", "healthy"), [("cpu", 0.35), ("memory", 0.55)])
async def test_utilisation_factors_show_on_the_candidates_containers(
    google: Google, clock: MovingClock, kind: str, healthy: float
) -> None:
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(cpu_factor=1.2, memory_factor=1.2))
    await google.deploy(50)
    values = await by_label(
        google, f"{RUN}/container/{kind}/utilizations", await hour_of(google, clock), REVISION_LABEL
    )

    assert values[await google.stable()].distribution_value.mean == pytest.approx(healthy, rel=0.03)
    assert values[CANDIDATE].distribution_value.mean == pytest.approx(healthy * 1.2, rel=0.03)


async def test_violations_of_isolation_are_counted_among_the_checks(google: Google, clock: MovingClock) -> None:
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(isolation_violation_rate=0.01))
    await google.deploy(50)
    end = await hour_of(google, clock)
    checks = await counts(google, f"{OWN}/isolation_checks", end, GROUP_LABEL)
    violated = await counts(
        google, f"{OWN}/isolation_checks", end, GROUP_LABEL, 'AND metric.labels.outcome = "violated"'
    )

    assert violated["control"] == 0
    assert violated["treated"] / checks["treated"] == pytest.approx(0.01, rel=0.2)


async def test_cascade_failures_are_zero_and_present_until_there_are_some(google: Google, clock: MovingClock) -> None:
    await google.deploy(50)
    healthy = await counts(google, f"{OWN}/cascade_failures", await hour_of(google, clock), GROUP_LABEL)
    await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(cascade_failures_per_minute=2.0))
    failing = await counts(google, f"{OWN}/cascade_failures", await hour_of(google, clock), GROUP_LABEL)

    assert healthy == {"treated": 0, "control": 0}
    assert failing["treated"] == pytest.approx(120, abs=55)
    assert failing["control"] == 0


async def test_users_are_affected_as_often_as_their_requests_fail(google: Google, clock: MovingClock) -> None:
    await google.deploy(50)
    end = await hour_of(google, clock)
    affected = await counts(google, f"{OWN}/users_affected", end, GROUP_LABEL)
    outcomes = await counts(google, f"{OWN}/request_count", end, "metric.labels.outcome")

    assert affected.keys() == {"treated", "control"}
    assert sum(affected.values()) == outcomes["error"] > 0


async def test_only_control_users_take_the_legacy_path(google: Google, clock: MovingClock) -> None:
    await google.deploy(50)
    end = await hour_of(google, clock)
    legacy = await counts(google, f"{OWN}/legacy_path_requests", end, GROUP_LABEL)
    requests = await counts(google, f"{OWN}/request_count", end, GROUP_LABEL)

    assert legacy == {"treated": 0, "control": requests["control"]}


async def test_a_response_code_that_did_not_occur_has_no_series_and_an_outcome_has_a_zero(clock: MovingClock) -> None:
    end = START - timedelta(minutes=2)
    async with Google.started(clock=clock, requests_per_second=0.05) as google:
        codes = await counts(google, f"{RUN}/request_count", end, "metric.labels.response_code")
        outcomes = await counts(google, f"{OWN}/request_count", end, "metric.labels.outcome")

    assert list(codes) == ["200"]
    assert outcomes == {"ok": codes["200"], "error": 0}


async def test_without_requests_there_is_nothing_at_all(clock: MovingClock) -> None:
    async with Google.started(clock=clock, requests_per_second=0) as google:
        for metric in (f"{OWN}/request_count", f"{OWN}/cascade_failures", f"{RUN}/request_latencies"):
            assert await google.series(metric, START - timedelta(minutes=2)) == []


async def test_every_metric_counts_the_same_requests(google: Google, clock: MovingClock) -> None:
    await google.deploy(30)
    end = await hour_of(google, clock)
    counted = {
        await total(google, f"{owner}/{metric}", end)
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


async def total(google: Google, metric: str, end: datetime) -> int:
    (series,) = await google.series(metric, end, window=HOUR)
    value = series.points[0].value
    return int(value.distribution_value.count if value.HasField("distribution_value") else value.int64_value)


async def test_instances_grow_with_the_share(google: Google, clock: MovingClock) -> None:
    await google.deploy(10)
    end = await hour_of(google, clock)
    values = await by_label(google, f"{RUN}/container/instance_count", end, REVISION_LABEL, aligner=Aligner.ALIGN_MEAN)

    assert values[await google.stable()].double_value == pytest.approx(9.5, abs=0.6)
    assert values[CANDIDATE].double_value == pytest.approx(1.5, abs=0.6)


async def test_a_deleted_service_has_no_more_users(google: Google, clock: MovingClock) -> None:
    operation = await google.services.delete_service(name=NAME)
    await result_of(operation)
    end = await hour_of(google, clock)

    assert await google.series(f"{RUN}/request_count", end) == []


async def test_a_service_created_over_the_api_is_used_from_the_moment_it_is_ready(
    google: Google, clock: MovingClock
) -> None:
    await google.services.create_service(
        parent=NAME.partition("/services/")[0],
        service_id="late",
        service=run_v2.Service(template=template_of(OLD_IMAGE)),
    )
    await google.settled(NAME.replace("backend", "late"))
    end = await hour_of(google, clock)
    jobs = await counts(google, f"{OWN}/request_count", end, "resource.labels.job")
    before = await counts(google, f"{OWN}/request_count", START - timedelta(minutes=1), "resource.labels.job")

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
