"""A rollout whose gates could not do their work is refused before it changes anything."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from rollout.measurement import Counts, Group, Histogram, Sample
from rollout.progress import RolloutStatus
from starter.outcome import ExitCode
from starter.rollouts import Rollouts
from starter.start_command import _tell
from tests.workflows.world import World, laid_out


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
        code = _tell(observed, None, json=False)

    said = capsys.readouterr()
    warning = "a regression of twice the limit would pass unseen, at this traffic, within the soak of a stage: "
    assert any(event.text.startswith(warning) for event in progress.timeline if event.kind == "gate")
    assert code is ExitCode.DONE
    assert f"Warning: {warning}errors_against_stable" in " ".join(said.err.split())
    assert "`rollout plan check` says when it would be found, and what would do" in " ".join(said.err.split())
