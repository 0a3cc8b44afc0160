"""A rollout whose gates could not do their work is refused before it changes anything."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from rollout.measurement import Counts, Group, Histogram, Sample
from rollout.progress import RolloutStatus
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
