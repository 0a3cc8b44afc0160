"""A start with --supersede beside a silent worker, a rollout that closes by itself, an emergency, or its own images."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from rollout.messages import SIGNAL_EMERGENCY, RolloutRequest
from rollout.progress import RolloutStatus
from starter import rollouts, superseding
from starter.outcome import CommandEnds, ExitCode
from starter.rollouts import Rollouts
from starter.superseding import supersede
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.outside_faults import FAILING, HUNG
from tests.workflows.partial_workers import without_the_workflow
from tests.workflows.small_plans import TO_THE_END, Shape, plan_of
from tests.workflows.world import World

SHORT = timedelta(seconds=0.4)
UNTOLD = HUNG["telling somebody never ends"]
UNCHANGED = FAILING["Cloud Run refuses changes"]


def asked(world: World, image: str = "shop/backend:3", by: str = "kim") -> RolloutRequest:
    images = dict.fromkeys(world.plan.services, image)
    return RolloutRequest(plan=world.plan, images=images, by=by, reason="a fix")


def never_told(text: str) -> None:
    raise AssertionError(f"nothing has happened, but was told: {text}")


async def test_what_no_worker_answers_for_is_not_signalled_behind_everybodys_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "WORKER_ANSWERS_WITHIN", SHORT)
    plan = plan_of("silent", Shape(watched=True))
    async with one_rollout(plan, tmp_path, worked_by=without_the_workflow) as (_, world):
        handle = await world.start()

        with pytest.raises(CommandEnds) as ends:
            await supersede(Settings(), Rollouts(world.client), asked(world), tell=never_told)

        assert ends.value.code is ExitCode.FAILED
        assert "nobody can say how far its rollout is, so it is not superseded: no worker answered" in ends.value.text
        assert ends.value.text.endswith("Nothing was changed")
        history = await handle.fetch_history()
        assert not any(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def test_a_rollout_that_is_complete_and_only_has_something_to_tell_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superseding, "CLOSES_WITHIN", SHORT)
    async with one_rollout(plan_of("telling", TO_THE_END), tmp_path) as (land, world):
        UNTOLD.strike(land)
        handle = await world.start()
        await world.until(handle, RolloutStatus.COMPLETED, step=SOON)
        made_room = (Settings(), Rollouts(world.client), asked(world))

        with pytest.raises(CommandEnds) as ends:
            await supersede(*made_room, tell=never_told)

        assert ends.value.text == (
            "telling: it has ended, and closes once its last notices are sent: start again in a moment"
        )
        UNTOLD.lift(land)
        await supersede(*made_room, tell=never_told)
        assert (await handle.result()).status is RolloutStatus.COMPLETED


async def test_an_emergency_beside_it_keeps_the_kill_switch_set_and_nothing_is_started(tmp_path: Path) -> None:
    """Whoever sent it was told that everything is off and stays off."""
    async with one_rollout(plan_of("busy", Shape()), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        UNCHANGED.strike(land)
        settings, told = Settings(ROLLOUT_REDIS_URL=land.redis.url), list[str]()
        making_room = asyncio.create_task(supersede(settings, Rollouts(world.client), asked(world), tell=told.append))
        await world.until(handle, RolloutStatus.ROLLING_BACK, step=SOON)
        await handle.signal(SIGNAL_EMERGENCY, {"by": "robin", "reason": "checkout is down"})
        UNCHANGED.lift(land)

        with pytest.raises(CommandEnds) as ends:
            await making_room

        assert ends.value.code is ExitCode.FAILED
        assert "not only for the next rollout (robin: checkout is down)" in ends.value.text
        assert "`rollout rearm busy --reason …`" in ends.value.text
        assert (await world.flags()).is_latched_off


async def test_the_very_images_that_would_be_refused_after_it_end_nothing(tmp_path: Path) -> None:
    async with one_rollout(plan_of("same", Shape()), tmp_path) as (_, world):
        handle = await world.start()
        progress = await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        request = asked(world).model_copy(update={"images": progress.images})

        with pytest.raises(CommandEnds) as ends:
            await supersede(Settings(), Rollouts(world.client), request, tell=never_told)

        assert ends.value.code is ExitCode.REFUSED
        assert "same: its rollout has these very images" in ends.value.text
        assert (await world.progress(handle)).status is RolloutStatus.SOAKING


async def test_a_name_with_a_space_after_it_is_nobody_else(tmp_path: Path) -> None:
    async with one_rollout(plan_of("spaced", Shape()), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        settings, told = Settings(ROLLOUT_REDIS_URL=land.redis.url), list[str]()

        await supersede(settings, Rollouts(world.client), asked(world, by="kim "), tell=told.append)

        assert told[-1].endswith("its kill switch is cleared for the one that follows")
