"""How the image behaves that serves them shows in what synthetic users leave behind: errors, latencies, violations."""

from datetime import timedelta

import pytest

from local.redis_server import RedisServer
from sandbox.behaviours import Behaviour
from tests.sandbox.flag_documents import percent, snapshot
from tests.sandbox.google import (
    CANDIDATE,
    NEW_IMAGE,
    OLD_IMAGE,
    Google,
)
from tests.sandbox.moving_clock import MovingClock
from tests.sandbox.synthetic_hour import (
    GROUP_LABEL,
    OWN,
    REQUESTS_PER_HOUR,
    REVISION_LABEL,
    RUN,
    by_label,
    counts,
    expose,
    hour_of,
    p95s,
)


async def test_healthy_users_of_both_groups_fare_alike(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(50)
    end = await hour_of(unflagged, clock)
    requests = await counts(unflagged, f"{OWN}/request_count", end, GROUP_LABEL)
    errors = await counts(unflagged, f"{OWN}/request_count", end, GROUP_LABEL, 'AND metric.labels.outcome = "error"')
    latencies = await p95s(unflagged, f"{OWN}/request_latencies", end, GROUP_LABEL)

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
    unflagged: Google, clock: MovingClock
) -> None:
    first = await hour_of(unflagged, clock)
    await unflagged.sandbox.set_behaviour(OLD_IMAGE, Behaviour(error_rate=0.5))
    second = await hour_of(unflagged, clock)
    await unflagged.sandbox.set_behaviour(OLD_IMAGE, Behaviour())
    third = await hour_of(unflagged, clock)
    third_clean = third - timedelta(minutes=1)
    only = 'AND metric.labels.outcome = "error"'

    failed = [
        (await counts(unflagged, f"{OWN}/request_count", end, GROUP_LABEL, only))["control"]
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
    unflagged: Google, clock: MovingClock, behaviour: Behaviour, metric: str, healthy: float
) -> None:
    await unflagged.sandbox.set_behaviour(NEW_IMAGE, behaviour)
    await unflagged.deploy(50)
    found = await p95s(unflagged, metric, await hour_of(unflagged, clock), GROUP_LABEL)

    assert found["control"] == pytest.approx(healthy, rel=0.08)
    assert found["treated"] == pytest.approx(healthy * 1.3, rel=0.08)


@pytest.mark.parametrize(("kind", "healthy"), [("cpu", 0.35), ("memory", 0.55)])
async def test_utilisation_factors_show_on_the_candidates_containers(
    unflagged: Google, clock: MovingClock, kind: str, healthy: float
) -> None:
    await unflagged.sandbox.set_behaviour(NEW_IMAGE, Behaviour(cpu_factor=1.2, memory_factor=1.2))
    await unflagged.deploy(50)
    values = await by_label(
        unflagged, f"{RUN}/container/{kind}/utilizations", await hour_of(unflagged, clock), REVISION_LABEL
    )

    assert values[await unflagged.stable()].distribution_value.mean == pytest.approx(healthy, rel=0.03)
    assert values[CANDIDATE].distribution_value.mean == pytest.approx(healthy * 1.2, rel=0.03)


async def test_violations_of_isolation_are_counted_among_the_checks(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.sandbox.set_behaviour(NEW_IMAGE, Behaviour(isolation_violation_rate=0.01))
    await unflagged.deploy(50)
    end = await hour_of(unflagged, clock)
    checks = await counts(unflagged, f"{OWN}/isolation_checks", end, GROUP_LABEL)
    violated = await counts(
        unflagged, f"{OWN}/isolation_checks", end, GROUP_LABEL, 'AND metric.labels.outcome = "violated"'
    )

    assert violated["control"] == 0
    assert violated["treated"] / checks["treated"] == pytest.approx(0.01, rel=0.2)


async def test_cascade_failures_are_zero_and_present_until_there_are_some(
    unflagged: Google, clock: MovingClock
) -> None:
    await unflagged.deploy(50)
    healthy = await counts(unflagged, f"{OWN}/cascade_failures", await hour_of(unflagged, clock), GROUP_LABEL)
    await unflagged.sandbox.set_behaviour(NEW_IMAGE, Behaviour(cascade_failures_per_minute=2.0))
    failing = await counts(unflagged, f"{OWN}/cascade_failures", await hour_of(unflagged, clock), GROUP_LABEL)

    assert healthy == {"treated": 0, "control": 0}
    assert failing["treated"] == pytest.approx(120, abs=55)
    assert failing["control"] == 0


async def test_users_are_affected_as_often_as_their_requests_fail(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(50)
    end = await hour_of(unflagged, clock)
    affected = await counts(unflagged, f"{OWN}/users_affected", end, GROUP_LABEL)
    outcomes = await counts(unflagged, f"{OWN}/request_count", end, "metric.labels.outcome")

    assert affected.keys() == {"treated", "control"}
    assert sum(affected.values()) == outcomes["error"] > 0


async def test_only_control_users_take_the_legacy_path(unflagged: Google, clock: MovingClock) -> None:
    await unflagged.deploy(50)
    end = await hour_of(unflagged, clock)
    legacy = await counts(unflagged, f"{OWN}/legacy_path_requests", end, GROUP_LABEL)
    requests = await counts(unflagged, f"{OWN}/request_count", end, GROUP_LABEL)

    assert legacy == {"treated": 0, "control": requests["control"]}
