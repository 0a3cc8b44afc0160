"""A stage that has its credit is checked before it passes: what is asked for meanwhile is not put off by it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from rollout.messages import UPDATE_EXTEND, UPDATE_STEP_BACK, Answer, Command, Extend
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import A_MOMENT, Land, Shape, land_for, plan_of
from tests.workflows.matrix_checks import AN_ENDPOINT
from tests.workflows.world import Handle, World

SOON = timedelta(milliseconds=200)


@asynccontextmanager
async def checked_without_an_answer(name: str, directory: Path) -> AsyncIterator[tuple[Land, World, Handle]]:
    """`canary` has its credit, and the endpoint that is asked before it passes is silent."""
    async with land_for([name], directory) as land:
        world = land.world(plan_of(name, Shape(check_after=AN_ENDPOINT, canary_soak=A_MOMENT), directory))
        land.endpoint_wire.silence()
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        await world.until_under_way(handle, "check_endpoint", 1)
        yield land, world, handle


async def step_back(handle: Handle) -> None:
    await handle.execute_update(UPDATE_STEP_BACK, Command(by="kim", reason="slow"), result_type=Answer)


async def extend(handle: Handle) -> None:
    more = Extend(by="kim", reason="one more look", more=timedelta(hours=1))
    await handle.execute_update(UPDATE_EXTEND, more, result_type=Answer)


def answered_again(land: Land) -> None:
    land.endpoint_wire.speak()
    land.endpoint_wire.cut()


async def test_a_step_back_does_not_wait_for_the_check_of_the_stage_that_it_leaves(tmp_path: Path) -> None:
    async with checked_without_an_answer("stepping", tmp_path) as (_, world, handle):
        await step_back(handle)

        stands = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)

        assert stands.rollback is None
        assert [stage.state for stage in stands.stages] == ["passed", "entering", "pending"]
        assert {shown.in_words() for shown in (await world.flags()).flags.values()} == {"off"}


async def test_who_extends_a_stage_while_it_is_checked_has_the_soak_go_on(tmp_path: Path) -> None:
    async with checked_without_an_answer("extending", tmp_path) as (land, world, handle):
        await extend(handle)
        answered_again(land)

        await world.until_under_way(handle, "watch_gates", 1)

        progress = await world.progress(handle)
        assert (progress.current.name, progress.status) == ("canary", RolloutStatus.SOAKING)
        assert progress.next.startswith("1 h of credit, then staged"), progress.next
