"""A traffic step overwrites nothing that somebody else made of the split since it was looked at last: it holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rollout.commands import CommandName
from rollout.messages import Promote
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.changed_plans import SPLIT_BEFORE_STAGED, rising_in_two_steps
from tests.workflows.commanding import adopt, ask, emergency, refusal
from tests.workflows.foreign_changes import (
    CHECKED_BEFORE_STAGED,
    SET_BY_ROBIN,
    split_by_hand,
    split_by_hand_just_before_a_step,
)
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.small_plans import plan_of
from tests.workflows.standing import until_told
from tests.workflows.world import Handle, World


@asynccontextmanager
async def split_meanwhile(
    name: str, directory: Path, percent: int = SET_BY_ROBIN
) -> AsyncIterator[tuple[World, Handle]]:
    plan = rising_in_two_steps(plan_of(name, CHECKED_BEFORE_STAGED))
    async with one_rollout(plan, directory) as (land, world):
        yield world, await split_by_hand_just_before_a_step(land, world, percent)


async def held_with_the_split_of_others(world: World, handle: Handle) -> RolloutProgress:
    held = await world.until(handle, RolloutStatus.HOLDING, stage="staged", step=SOON)
    assert held.rollback is None
    assert f"{SET_BY_ROBIN} %" in held.why
    assert "`rollout resolve-hold adopt" in held.next
    assert set((await world.candidate_shares(held)).values()) == {SET_BY_ROBIN}
    assert {shown.in_words() for shown in (await world.flags()).flags.values()} == {"10%"}
    assert [notice.severity for notice in await until_told(world, "is holding")] == ["warning"]
    return held


async def test_it_holds_and_goes_on_once_the_split_is_what_it_was(tmp_path: Path) -> None:
    async with split_meanwhile("put-back", tmp_path) as (world, handle):
        held = await held_with_the_split_of_others(world, handle)
        forced = Promote(by="kim", reason="I know why", force=True)
        assert "staged has not been entered" in await refusal(handle, CommandName.PROMOTE, forced)

        await split_by_hand(world, held, SPLIT_BEFORE_STAGED)

        result = await handle.result()
        assert result.status is RolloutStatus.COMPLETED, result.why
        assert await world.candidate_shares(result) == {"backend": 100}


async def test_paused_while_it_holds_it_does_not_rise_as_the_hold_ends(tmp_path: Path) -> None:
    async with split_meanwhile("paused", tmp_path) as (world, handle):
        held = await held_with_the_split_of_others(world, handle)
        await ask(handle, CommandName.PAUSE)

        await split_by_hand(world, held, SPLIT_BEFORE_STAGED)

        await until_told(world, "canary goes on")
        await world.until_under_way(handle, "watch_gates", 1)
        paused = await world.progress(handle)
        assert (paused.status, paused.current.name) == (RolloutStatus.PAUSED, "staged")
        assert await world.candidate_shares(paused) == {"backend": SPLIT_BEFORE_STAGED}
        await ask(handle, CommandName.RESUME)
        result = await handle.result()
        assert result.status is RolloutStatus.COMPLETED, result.why


async def test_it_goes_on_from_the_split_that_a_person_adopts(tmp_path: Path) -> None:
    async with split_meanwhile("adopted", tmp_path) as (world, handle):
        await held_with_the_split_of_others(world, handle)

        await adopt(handle)

        result = await handle.result()
        assert result.status is RolloutStatus.COMPLETED, result.why


async def test_an_emergency_does_not_ask_whose_split_it_takes_back(tmp_path: Path) -> None:
    async with split_meanwhile("urgent", tmp_path) as (world, handle):
        await held_with_the_split_of_others(world, handle)

        await emergency(handle)

        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        assert await world.is_safe(back)


async def test_traffic_that_somebody_took_back_by_hand_takes_back_the_rest(tmp_path: Path) -> None:
    async with split_meanwhile("by-hand", tmp_path, 0) as (world, handle):
        back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)

        assert back.rollback is not None
        assert "somebody else took the rollout back by hand" in back.rollback.reason
        assert await world.is_safe(back)
