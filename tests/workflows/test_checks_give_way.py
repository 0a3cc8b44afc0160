"""A stage that has its credit is checked before it passes: what is asked for meanwhile is not put off by it."""

from pathlib import Path

from rollout.progress import RolloutStatus
from tests.workflows.answers_kept_back import CHECKED, answered_again, checked_without_an_answer
from tests.workflows.commanding import extend, step_back
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.small_plans import plan_of


async def test_a_step_back_does_not_wait_for_the_check_of_the_stage_that_it_leaves(tmp_path: Path) -> None:
    async with one_rollout(plan_of("stepping", CHECKED), tmp_path) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await step_back(handle)

        stands = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)

        assert stands.rollback is None
        assert [stage.state for stage in stands.stages] == ["passed", "entering", "pending"]
        assert {shown.in_words() for shown in (await world.flags()).flags.values()} == {"off"}


async def test_who_extends_a_stage_while_it_is_checked_has_the_soak_go_on(tmp_path: Path) -> None:
    async with one_rollout(plan_of("extending", CHECKED), tmp_path) as (land, world):
        handle = await checked_without_an_answer(land, world)
        await extend(handle)
        answered_again(land)

        await world.until_under_way(handle, "watch_gates", 1)

        progress = await world.progress(handle)
        assert (progress.current.name, progress.status) == ("canary", RolloutStatus.SOAKING)
        assert progress.next.startswith("1 h of credit, then staged"), progress.next
