"""A stage may end before its soak, where the plan says so and the evidence is conclusive."""

from datetime import timedelta
from pathlib import Path

from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from tests.workflows.standing import in_stage
from tests.workflows.world import laid_out


def accelerated(plan: RolloutPlan, stage: str, minimum_soak: str) -> RolloutPlan:
    """The stage may end early; the day of internal users before it is an hour."""
    written = plan.model_dump(mode="json", exclude_none=True)
    for each in written["stages"]:
        if each["name"] == "internal":
            each["soak"] = "1h"
        if each["name"] == stage:
            each["accelerate"] = {"minimum_soak": minimum_soak}
    return RolloutPlan.model_validate(written)


async def test_conclusive_evidence_ends_the_canary_at_its_minimum_soak_and_says_so(tmp_path: Path) -> None:
    async with laid_out("request-isolation.yaml", tmp_path) as world:
        world.plan = accelerated(world.plan, "canary", "3h")
        handle = await in_stage(world, "canary")

        after = await world.until(handle, RolloutStatus.SOAKING, stage="staged")

    internal, canary = after.stages[1:3]
    assert internal.credit == internal.soak
    assert canary.credit == timedelta(hours=3)
    assert any("canary ends early: every comparison passes" in event.text for event in after.timeline)
