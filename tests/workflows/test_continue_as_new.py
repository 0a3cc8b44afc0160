"""A history that grows long is continued as new, and nothing of the rollout is lost on the way."""

from datetime import timedelta
from pathlib import Path

from rollout.progress import RolloutStatus
from starter.plan_file import load_plan
from tests.workflows.world import PLANS, laid_out_in_real_time

EVENTS_BEFORE_CONTINUING = 40
SHORT = timedelta(seconds=3)


async def test_a_rollout_continued_as_new_keeps_credit_anchors_and_story(tmp_path: Path) -> None:
    whole = load_plan(PLANS / "rehearsal.yaml")
    first, *others = whole.stages
    short = [stage.model_copy(update={"soak": SHORT}) for stage in others]
    plan = whole.model_copy(update={"stages": (first, *short)})
    limit = f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}"
    async with laid_out_in_real_time(plan, tmp_path, "--dynamic-config-value", limit) as world:
        handle = await world.start()

        result = await handle.result()

        assert result.status is RolloutStatus.COMPLETED, result.why
        assert result.run_id != handle.first_execution_run_id
        assert [stage.credit for stage in result.stages] == [first.soak, *[SHORT] * len(others)]
        assert [event.text for event in result.timeline].count("entered stage 3 of 5, canary") == 1
        assert await world.candidate_shares(result) == {"backend": 100, "auth": 100}
        assert (await world.store.read_safety()).owner is None
