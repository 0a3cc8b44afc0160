"""A rollout whose gates could not do their work is refused before it changes anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from activities.google_clients import google_clients
from activities.monitoring import CloudMonitoring
from rollout.measurement import Counts, Group, Histogram, Sample
from rollout.progress import RolloutStatus
from sandbox.faults import Fault
from starter.outcome import ExitCode
from starter.rollouts import Rollouts
from starter.start_command import told
from tests.workflows.many_rollouts import land_for
from tests.workflows.partial_workers import nobody
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.world import REAL_SECONDS, World, laid_out
from worker.wiring import workers

OVER_QUOTA = (
    "Quota exceeded for quota metric 'Time series queries' and limit 'Time series queries per minute' of service "
    "'monitoring.googleapis.com' for consumer 'project_number:123456789012'."
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out("request-isolation.yaml", tmp_path) as laid:
        yield laid


def latencies_that_are_counts(metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
    replaced = metric.endswith("websocket_event_latencies") and isinstance(healthy, Histogram)
    return Counts(total=1_000) if replaced else healthy


async def test_a_gate_that_cannot_be_taken_from_its_metric_refuses_the_start_and_nothing_was_changed(
    world: World,
) -> None:
    world.source.fault = latencies_that_are_counts
    handle = await world.start()

    result = await handle.result()

    assert result.status is RolloutStatus.REFUSED
    assert "websocket_events: " in result.why
    assert "p95 cannot be taken from counts" in result.why
    assert await world.store.read() is None
    assert result.candidates == {}


async def test_gates_that_have_data_and_fire_are_said_to(world: World) -> None:
    handle = await world.start()
    progress = await world.until(handle, RolloutStatus.AWAITING_APPROVAL)

    assert "every gate has data and fires" in [event.text for event in progress.timeline]


def a_request_a_second(_metric: str, _group: Group, end: datetime, healthy: Sample) -> Sample:
    """Half a percent of them fails; what they take is as ever."""
    few = Counts(total=healthy.total // 200, bad=int(end.minute % 3 == 0)) if isinstance(healthy, Counts) else None
    return few or healthy


async def test_a_soak_too_short_for_its_traffic_is_warned_of_by_the_start_and_the_rollout_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with laid_out("traffic-canary.yaml", tmp_path) as world:
        world.source.fault = a_request_a_second
        handle = await world.start()
        progress = await world.until(handle, RolloutStatus.SOAKING)
        observed = await Rollouts(world.client).observe(handle.id)
        code = told(observed, None, json=False)

    said = capsys.readouterr()
    warning = "a regression of twice the limit would pass unseen, at this traffic, within the soak of a stage: "
    assert any(event.text.startswith(warning) for event in progress.timeline if event.kind == "gate")
    assert code is ExitCode.DONE
    assert f"Warning: {warning}errors_against_stable" in " ".join(said.err.split())
    assert "`rollout plan check` says when it would be found, and what would do" in " ".join(said.err.split())


async def test_while_monitoring_fails_the_server_shows_what_it_said_and_not_that_a_failure_was_too_large(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        land = await stack.enter_async_context(land_for(["tried"], tmp_path, worked_by=nobody))
        google = google_clients(land.sandbox.grpc_target)
        stack.push_async_callback(google.close)
        land.sandbox.faults.put(Fault(method="GetMetricDescriptor", code="RESOURCE_EXHAUSTED", message=OVER_QUOTA))
        for worker in workers(land.environment.client, replace(land.outside, source=CloudMonitoring(google.metrics))):
            await stack.enter_async_context(worker)
        world = land.world(plan_of("tried", Shape()))

        handle = await world.start()
        async with asyncio.timeout(REAL_SECONDS):
            observed = await Rollouts(world.client).observe(handle.id)
            while not any(call.last_failure for call in observed.pending):
                observed = await Rollouts(world.client).observe(handle.id)

    why = "Cloud Monitoring failed on the descriptor of custom.googleapis.com/tried/cascade_failures: "
    assert [(call.activity, call.last_failure) for call in observed.pending] == [
        ("try_gates", f"{why}RESOURCE_EXHAUSTED: {OVER_QUOTA}")
    ]
