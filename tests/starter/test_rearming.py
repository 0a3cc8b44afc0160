"""Clearing the kill switch beside a workflow that is open and guards nothing: it only has something left to tell."""

from pathlib import Path

import pytest

from config.settings import Settings
from rollout.progress import RolloutStatus
from starter.rearming import rearm
from tests.starter.test_superseding import SOON
from tests.workflows.many_rollouts import Shape, land_for, plan_of
from tests.workflows.outside_faults import HUNG

NAME = "telling"
UNTOLD = HUNG["telling somebody never ends"]


async def test_a_start_that_was_refused_and_cannot_tell_anybody_keeps_no_kill_switch_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with land_for([NAME], tmp_path) as land:
        world = land.world(plan_of(NAME, Shape(), tmp_path))
        assert (await world.store.emergency(by="kim", reason="checkout is down")).accepted
        UNTOLD.strike(land)
        handle = await world.start()
        refused = await world.until(handle, RolloutStatus.REFUSED, step=SOON)
        monkeypatch.setenv("TEMPORAL_ADDRESS", world.client.service_client.config.target_host)

        settings = Settings.from_environment({"ROLLOUT_REDIS_URL": land.redis.url})
        await rearm(settings, NAME, world.plan.environment, by="kim", reason="understood", restore=False)

        assert "the kill switch of telling is set" in refused.why
        assert await world.under_way(handle) == ["notify"]
        assert not (await world.flags()).latch
