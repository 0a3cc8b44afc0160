"""A gate whose action is `step_back` leads one stage down, not all the way, and as far down as it goes on failing."""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from pathlib import Path

from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.changed_plans import SOAK, acting, hurried, leading_one_stage_down
from tests.workflows.foreign_changes import give_traffic_back, raise_a_flag
from tests.workflows.measured_faults import broken_isolation, errors_of_everybody, errors_of_treated_users
from tests.workflows.shipped_plans import shipped
from tests.workflows.standing import in_stage, taken_back, until_told
from tests.workflows.traffic_source import no_fault
from tests.workflows.world import World, laid_out

BACKEND, AUTH = {"backend_requests_by_cohort"}, {"auth_requests_by_cohort"}
"""Metrics of the plan."""


def stepping_back_by(*names: str) -> RolloutPlan:
    """The shipped plan in a hurry."""
    return leading_one_stage_down(hurried(), *names)


def gates_over(metrics: Collection[str]) -> list[str]:
    plan = shipped("request-isolation.yaml")
    return [name for name, gate in plan.gates.items() if getattr(gate, "metric", None) in metrics]


async def test_errors_at_canary_lead_back_to_internal_whose_soak_begins_anew_and_canary_needs_an_approval(
    tmp_path: Path,
) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        handle = await in_stage(world, "canary")
        world.source.fault = errors_of_treated_users

        back = await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(minutes=1))
        assert {exposure.stage for exposure in back.flags.values()} == {"internal"}
        assert {flag.stage for flag in (await world.flags()).flags.values()} == {"internal"}
        assert back.current.credit < SOAK
        await until_told(world, "Stepping back")
        paged = [notice.title for notice in world.channel.notices if notice.severity == "page"]
        assert paged == ["Stepping back from canary"]

        world.source.fault = no_fault
        waiting = await world.until(handle, RolloutStatus.AWAITING_APPROVAL)
        assert waiting.current.name == "canary"


async def test_a_gate_that_goes_on_failing_leads_down_to_features_for_nobody(tmp_path: Path) -> None:
    isolation = gates_over({"isolation"})
    async with laid_out(stepping_back_by(*isolation), tmp_path) as world:
        handle = await in_stage(world, "canary")
        world.source.fault = broken_isolation

        off = await world.until(handle, RolloutStatus.SOAKING, stage="deploy-off", step=timedelta(minutes=1))

        assert {exposure.exposure for exposure in off.flags.values()} == {"off"}
        assert [event.text for event in off.timeline if event.text.startswith("stepped back")] == [
            "stepped back from canary to internal",
            "stepped back from internal to deploy-off",
        ]


async def test_in_the_first_stage_there_is_no_step_back_but_only_the_way_back(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        handle = await in_stage(world, "deploy-off")
        world.source.fault = errors_of_everybody

        await taken_back(world, handle, "gate")


async def test_a_gate_that_would_only_hold_and_fails_beside_it_asks_for_no_more_than_the_step(tmp_path: Path) -> None:
    plan = acting("hold", stepping_back_by(*gates_over(BACKEND)), *gates_over(AUTH))
    async with laid_out(plan, tmp_path) as world:
        handle = await in_stage(world, "canary")
        world.source.fault = errors_of_treated_users

        back = await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(minutes=1))

        assert {flag.stage for flag in (await world.flags()).flags.values()} == {"internal"}
        failed = next(event.text for event in back.timeline if event.text.startswith("canary failed"))
        assert "Backend errors" in failed
        assert "Auth errors" in failed


async def test_a_gate_that_asks_for_the_whole_way_back_beside_it_gets_that(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(AUTH)), tmp_path) as world:
        handle = await in_stage(world, "canary")
        world.source.fault = errors_of_treated_users

        result = await taken_back(world, handle, "gate")

        assert result.rollback is not None
        assert "Auth errors" in result.rollback.reason


async def failing_beside(
    world: World, somebody_else: Callable[[World, RolloutProgress], Awaitable[None]]
) -> RolloutProgress:
    """How the rollout ends whose gates would lead one stage down from the canary, beside what somebody else does."""
    handle = await in_stage(world, "canary")
    await somebody_else(world, await world.progress(handle))
    await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))
    world.source.fault = errors_of_treated_users
    return await taken_back(world, handle, "gate")


async def test_beside_a_flag_that_somebody_else_raised_there_is_no_step_but_the_whole_way_back(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        result = await failing_beside(world, lambda world, _: raise_a_flag(world))

        assert result.rollback is not None
        assert "Backend errors" in result.rollback.reason


async def test_beside_traffic_that_somebody_else_moved_no_step_raises_a_candidate_s_share_again(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        result = await failing_beside(world, lambda world, progress: give_traffic_back(world, progress, "auth"))

        assert not [event.text for event in result.timeline if "stepped back" in event.text]
        anchor = result.anchors["auth"]
        assert (await world.cloud_run.read_traffic(anchor.service)).shares == anchor.split.shares
