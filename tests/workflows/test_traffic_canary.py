"""A service without feature flags: the split of its traffic is the exposure, up and back."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rollout.measurement import Counts, Group, Sample
from rollout.progress import RolloutStatus
from tests.workflows.changed_plans import seldom_looked_at
from tests.workflows.shipped_plans import shipped
from tests.workflows.world import World, laid_out

SERVICE = "storefront"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out(seldom_looked_at(shipped("traffic-canary.yaml")), tmp_path) as laid:
        yield laid


def errors_of_the_candidate(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    if metric.endswith("request_count") and group == "treated" and isinstance(healthy, Counts):
        return Counts(total=healthy.total, bad=healthy.total // 10)
    return healthy


async def test_a_service_without_flags_is_taken_to_all_of_its_traffic_step_by_step(world: World) -> None:
    handle = await world.start()
    for stage, percent in [("canary", 10), ("half", 50)]:
        soaking = await world.until(handle, RolloutStatus.SOAKING, stage=stage)
        assert await world.candidate_shares(soaking) == {SERVICE: percent}

    result = await handle.result()

    assert result.status is RolloutStatus.COMPLETED, result.why
    assert [stage.credit for stage in result.stages] == [timedelta(hours=hours) for hours in (2, 4, 18)]
    assert await world.candidate_shares(result) == {SERVICE: 100}
    assert (await world.flags()).flags == {}


async def test_errors_of_the_candidate_take_the_traffic_back_to_where_it_was(world: World) -> None:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="half")
    world.source.fault = errors_of_the_candidate

    result = await handle.result()

    assert result.status is RolloutStatus.ROLLED_BACK, result.why
    assert result.rollback is not None
    assert "Errors against the stable revision" in result.rollback.reason
    assert await world.candidate_shares(result) == {SERVICE: 0}
    assert await world.is_safe(result)
