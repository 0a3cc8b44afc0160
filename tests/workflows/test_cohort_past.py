"""A whole rollout whose cohort was worse from the start: that much is allowed, at each percentage."""

from datetime import datetime, timedelta
from pathlib import Path

from rollout.measurement import Counts, Group, Sample
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.changed_plans import SOAK, hurried
from tests.workflows.standing import in_stage
from tests.workflows.world import laid_out


def worse_from_the_start(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    """Whoever is in the cohort has 3 % errors, everybody else 1 %."""
    if metric.endswith("cohort_request_count") and isinstance(healthy, Counts) and group != "all":
        return Counts(total=healthy.total, bad=healthy.total * (3 if group == "treated" else 1) // 100)
    return healthy


async def test_a_cohort_that_was_worse_before_passes_both_stages_and_each_knows_its_own_past(tmp_path: Path) -> None:
    async with laid_out(hurried(), tmp_path) as world:
        world.source.fault = worse_from_the_start
        # The fault is the cohort's own here: it is there before anybody is exposed.
        world.source.flags_clock = None
        handle = await in_stage(world, "staged")
        staged = await world.until(handle, RolloutStatus.SOAKING, stage="full")

        canary = next(stage for stage in staged.stages if stage.name == "canary")
        assert staged.exposed_at is not None
        assert staged.flags_off_since is not None
        assert canary.entered_at is not None
        assert timedelta() <= staged.exposed_at - canary.entered_at < timedelta(minutes=1)
        assert staged.exposed_at - staged.flags_off_since > 2 * SOAK
        said = _reason_of(staged, "staged")
        assert "the cohort had 3.00 times control's share before" in said
        bad = int(said.partition(", on ")[2].partition(" bad events")[0].replace(",", ""))
        # Half of 12,000 requests a minute at 3 %, for as long as nobody was exposed.
        minutes = (staged.exposed_at - staged.flags_off_since) / timedelta(minutes=1)
        assert abs(bad - 180 * minutes) <= 3 * 180


def _reason_of(progress: RolloutProgress, stage: str) -> str:
    judged = next(one for one in progress.stages if one.name == stage).judgements
    return next(judgement.reason for judgement in judged if judgement.gate == "backend_errors")
