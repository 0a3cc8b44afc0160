"""Plans with something changed: shorter, frozen, with other actions, approved first, looked after."""

from datetime import datetime, timedelta

from rollout.gates import Gate
from rollout.plan import RolloutPlan
from rollout.plan_parts import Deadman
from rollout.verdict import Action
from rollout.windows import Freeze, Windows
from tests.workflows.shipped_plans import shipped

SPLIT_BEFORE_STAGED = 10
SOAK = timedelta(minutes=20)
LOOKED_AT_EVERY = timedelta(minutes=2)
"""Of stages whose length proves nothing, and there are many such stages: what they take is their looks."""
SOAK_WHILE_TRAFFIC_RISES = timedelta(minutes=30)
"""Of the first stage, whose traffic is held on its way for longer than that."""


def hurried(soak: timedelta = SOAK) -> RolloutPlan:
    """The shipped plan with stages that soak this long each, for what does not need its days."""
    first, *others = shipped("request-isolation.yaml").stages
    rising = first.model_copy(update={"soak": max(soak, SOAK_WHILE_TRAFFIC_RISES)})
    stages = (rising, *(stage.model_copy(update={"soak": soak}) for stage in others))
    return shipped("request-isolation.yaml").model_copy(update={"stages": stages, "check_interval": LOOKED_AT_EVERY})


def seldom_looked_at(plan: RolloutPlan) -> RolloutPlan:
    """Every ten minutes: for plans that take days, in which little happens."""
    return plan.model_copy(update={"check_interval": timedelta(minutes=10)})


def frozen_today(time: datetime) -> Windows:
    return Windows(time_zone="UTC", freezes=(Freeze(first=time.date(), last=time.date(), why="the big sale"),))


def leading_one_stage_down(plan: RolloutPlan, *names: str) -> RolloutPlan:
    """The plan with the action `step_back` in these gates."""
    return acting("step_back", plan, *names)


def acting(action: Action, plan: RolloutPlan, *names: str) -> RolloutPlan:
    """The plan with another action in these gates."""
    gates: dict[str, Gate] = {
        name: gate.model_copy(update={"action": action}) if name in names else gate for name, gate in plan.gates.items()
    }
    return plan.model_copy(update={"gates": gates})


def approved_first(plan: RolloutPlan) -> RolloutPlan:
    """The first stage needs a person's approval."""
    first, *others = plan.stages
    return plan.model_copy(update={"stages": [first.model_copy(update={"approval": True}), *others]})


def rising_in_two_steps(plan: RolloutPlan) -> RolloutPlan:
    """The small plan with all traffic only in `staged`, and with `SPLIT_BEFORE_STAGED` percent of it before."""
    dark, canary, staged = plan.stages
    before = dark.model_copy(update={"traffic": (0.0, SPLIT_BEFORE_STAGED / 100)})
    after = staged.model_copy(update={"traffic": (1.0,)})
    return plan.model_copy(update={"stages": (before, canary, after)})


def looked_after(plan: RolloutPlan) -> RolloutPlan:
    """The dead-man pages after three seconds."""
    return plan.model_copy(update={"deadman": Deadman(page_after=timedelta(seconds=3))})
