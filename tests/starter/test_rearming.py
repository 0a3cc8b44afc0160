"""Typing the next command beside a start that was refused, and whose workflow only has something left to tell."""

import asyncio
from pathlib import Path

import pytest

from config.settings import Settings
from rollout.progress import RolloutStatus
from starter.outcome import CommandEnds, ExitCode
from starter.rearming import clear_latch, rearm
from starter.rollouts import Rollouts
from starter.starting import first_word
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.outside_faults import HUNG
from tests.workflows.small_plans import Shape, plan_of

NAME = "telling"
A_FEW_LOOKS = 1.0
UNTOLD = HUNG["telling somebody never ends"]


async def test_a_start_that_was_refused_and_cannot_tell_anybody_keeps_no_kill_switch_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
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


async def test_a_start_says_that_it_was_refused_once_nothing_stands_in_the_way_of_the_next_one(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
        assert (await world.store.emergency(by="kim", reason="checkout is down")).accepted
        UNTOLD.strike(land)
        handle = await world.start()
        await world.until(handle, RolloutStatus.REFUSED, step=SOON)

        word = asyncio.create_task(first_word(Rollouts(world.client), handle.id))
        said, _ = await asyncio.wait({word}, timeout=A_FEW_LOOKS)
        assert not said, "it is open yet"
        UNTOLD.lift(land)

        observation = await word
        assert observation.progress is not None
        assert (observation.progress.status, observation.is_open) == (RolloutStatus.REFUSED, False)


async def test_flags_that_cannot_be_read_are_not_rearmed_and_an_emergency_is_said_to_repair_them(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
        await land.reading.set(world.store.keys.snapshot, "{}")
        settings = Settings.from_environment({"ROLLOUT_REDIS_URL": land.redis.url})

        with pytest.raises(CommandEnds, match="an emergency of telling repairs it, with every flag off") as ended:
            await clear_latch(settings, world.plan.environment, NAME, by="kim", reason="understood", restore=False)

        assert ended.value.code is ExitCode.FAILED
