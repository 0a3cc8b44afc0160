"""The plan: what to roll out, to whom, for how long, under which gates. Data, no code.

A plan that breaks a rule cannot be built, so a wrong plan is refused before anything is touched. Rules between its
parts are in `plan_rules`; all that are broken are reported at once.
"""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rollout.gates import Gate
from rollout.measurement import Metric
from rollout.plan_parts import (
    AudienceSpec,
    Baseline,
    Check,
    Deadman,
    FlagName,
    Name,
    Notifications,
    Part,
    Service,
    Stage,
)
from rollout.plan_rules import broken_rules
from rollout.quantity import Duration
from rollout.sample_ratio import ASSUMED_USERS
from rollout.traffic import ServiceRef
from rollout.windows import Windows

PLAN_RULE = "plan_rule"
"""The type of the validation error for rules between parts; its context holds `broken`: pairs of place and problem."""


class RolloutPlan(Part):
    """A rollout plan as its YAML file says it."""

    name: Name = Field(description="also the rollout's name, and the name of its group of flags")
    description: str = Field(min_length=1, description="a sentence for the people who see the rollout")
    environment: Name = Field(description="where the flags live, such as production")
    services: dict[str, Service] = Field(min_length=1, description="what is rolled out together, by names of your own")
    flags: tuple[FlagName, ...] = Field(
        default=(), description="the feature flags that carry the exposure; without any, the traffic split carries it"
    )
    cohort: FlagName | None = Field(default=None, description="the hash key of all flags; each flag's own without it")
    users: int | None = Field(
        default=None,
        ge=1,
        description="about how many people make the requests that are compared; of fewer, groups of another size than "
        f"planned are likelier by chance. {ASSUMED_USERS} are assumed unless said",
    )
    audiences: dict[str, AudienceSpec] = Field(
        default_factory=dict, description="named groups of people that a stage can expose the features to"
    )
    metrics: dict[str, Metric] = Field(default_factory=dict, description="what is measured, by names of your own")
    gates: dict[str, Gate] = Field(min_length=1, description="how measurements are judged, by names of your own")
    stages: tuple[Stage, ...] = Field(min_length=1, description="the steps, in order; exposure and traffic only rise")
    windows: Windows | None = Field(default=None, description="when a stage may begin; at any time without it")
    deadman: Deadman | None = Field(default=None, description="what happens when nobody looks any more")
    baseline: Baseline = Field(description="what stands for before, where there is nobody to compare with")
    check_interval: Duration = Field(description="how often gates are judged; at least 60s against Google itself")
    guard: Duration = Field(description="how long flags and traffic are watched after a rollback for late writes")
    watch: Duration | None = Field(
        default=None, description="how long gates go on being judged after the last stage has passed; not without it"
    )
    notifications: Notifications = Field(description="where notices go")

    @property
    def workflow_id(self) -> str:
        return f"rollout/{self.name}"

    @property
    def soak(self) -> timedelta:
        return sum((stage.soak for stage in self.stages), timedelta())

    @property
    def checks(self) -> list[Check]:
        """Of all stages."""
        return [check for stage in self.stages for _, check in stage.checks.placed()]

    def service_ref(self, key: str) -> ServiceRef:
        spec = self.services[key]
        return ServiceRef(key=key, project=spec.project, region=spec.region, service=spec.service)

    @model_validator(mode="after")
    def _keeps_the_rules_between_its_parts(self) -> Self:
        broken = list(broken_rules(self))
        if broken:
            problems = "; ".join(f"{'.'.join(map(str, place))}: {problem}" for place, problem in broken)
            raise PydanticCustomError(PLAN_RULE, "{problems}", {"problems": problems, "broken": broken})
        return self
