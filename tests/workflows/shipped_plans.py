"""The plans that are shipped. A plan never changes, so each is read once: many tests begin with one of them."""

from functools import cache

from rollout.plan import RolloutPlan
from starter.plan_file import load_plan
from tests.checkout import PLANS


@cache
def shipped(file: str) -> RolloutPlan:
    return load_plan(PLANS / file)
