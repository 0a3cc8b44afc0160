"""A rollback that somebody overtakes by `emergency-rollback --direct`, while the worker that carried it out is dead."""

from pathlib import Path

from rollout.progress import RolloutStatus
from tests.workflows.emergencies_met import rollback_overtaken_while_its_worker_was_dead
from tests.workflows.many_rollouts import one_rollout
from tests.workflows.partial_workers import the_way_back, without_the_way_back
from tests.workflows.small_plans import IN_CANARY, plan_of

NAME = "overtaken"


async def test_the_worker_that_comes_back_finds_everything_done_and_pages_no_refusal(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=without_the_way_back) as (land, world):
        handle = await rollback_overtaken_while_its_worker_was_dead(land, world)
        fence = (await world.flags()).epoch

        async with the_way_back(land):
            await world.until_under_way(handle, "guard_rollback", 1)

            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert progress.fence == fence
            assert await world.is_safe(progress)
            assert [notice.title for notice in land.channel.notices if "refused" in notice.title] == []
            assert [event.text for event in progress.timeline if event.kind == "failure"] == []
