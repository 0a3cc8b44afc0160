"""Holding one flag below the others: what a person may ask of a rollout that is under way."""

from rollout import exposure as exposures
from rollout.flags import Exposure
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.progress import RolloutProgress


def why_no_limit(plan: RolloutPlan, progress: RolloutProgress, flag: str, stage_name: str) -> str | None:
    """Why a flag cannot be held at a stage of the plan, or at `off`; None where it can."""
    if flag not in plan.flags:
        return f"flag {flag!r} does not belong to the plan; there are {', '.join(plan.flags)}"
    names = [stage.name for stage in plan.stages]
    if stage_name not in (exposures.OFF, *names):
        return f"stage {stage_name!r}: the plan has {', '.join(names)}, and off"
    if progress.exposed_stage is None:
        return "the rollout has written no flag yet: all are off"
    reached = progress.exposed_stage
    if stage_name in names and names.index(stage_name) > names.index(reached):
        return (
            f"the rollout has reached {reached}: its gates decide when {flag} rises to {stage_name}. "
            f"By hand it can be set to {', '.join(reversed(names[: names.index(reached) + 1]))} or off"
        )
    if progress.limits.get(flag, reached) == stage_name:
        return f"{flag} is at {stage_name} already"
    return None


def undecided(plan: RolloutPlan, progress: RolloutProgress, stage: Stage) -> list[str]:
    """Flags that a gate turned off alone, that the stage shows to somebody, and that no person has decided about."""
    return [
        flag
        for flag in plan.flags
        if flag in progress.switched_off
        and not progress.switched_off[flag].decided
        and exposures.exposure_of(stage.exposure, flag) != exposures.OFF
    ]


def stage_that_shows(plan: RolloutPlan, flag: str, shown: Exposure) -> str | None:
    """The first stage of the plan in which a flag shows just that, or `off`; None where there is none."""
    if shown.exposure == "off":
        return exposures.OFF
    return next(
        (
            stage.name
            for stage in plan.stages
            if exposures.document_of(exposures.exposure_of(stage.exposure, flag), stage.name).shows_the_same(shown)
        ),
        None,
    )
