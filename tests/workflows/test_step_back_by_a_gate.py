"""A gate whose action is `step_back` leads one stage down, not all the way, and as far down as it goes on failing."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

from activities.cloud_run import RestoreTraffic
from rollout.flags import Exposure
from rollout.gates import Gate
from rollout.measurement import Counts, Group, Sample
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from rollout.verdict import Action
from starter.plan_file import load_plan
from tests.workflows.test_going_back import errors_of_treated_users, in_stage, taken_back
from tests.workflows.traffic_source import no_fault
from tests.workflows.world import PLANS, laid_out

SOAK = timedelta(hours=3)


def leading_one_stage_down(plan: RolloutPlan, *names: str) -> RolloutPlan:
    """The plan with the action `step_back` in these gates."""
    return acting("step_back", plan, *names)


def acting(action: Action, plan: RolloutPlan, *names: str) -> RolloutPlan:
    """The plan with another action in these gates."""
    gates: dict[str, Gate] = {
        name: gate.model_copy(update={"action": action}) if name in names else gate for name, gate in plan.gates.items()
    }
    return plan.model_copy(update={"gates": gates})


def stepping_back_by(*names: str) -> RolloutPlan:
    """The shipped plan in a hurry."""
    plan = load_plan(PLANS / "request-isolation.yaml")
    stages = [stage.model_copy(update={"soak": SOAK}) for stage in plan.stages]
    return leading_one_stage_down(plan.model_copy(update={"stages": stages}), *names)


def gates_over(metrics: Collection[str]) -> list[str]:
    plan = load_plan(PLANS / "request-isolation.yaml")
    return [name for name, gate in plan.gates.items() if getattr(gate, "metric", None) in metrics]


def errors_of_everybody(metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
    failing = metric.endswith("request_count") and isinstance(healthy, Counts)
    return Counts(total=healthy.total, bad=healthy.total // 5) if failing and isinstance(healthy, Counts) else healthy


def broken_isolation(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    treated = metric.endswith("isolation_checks") and group == "treated"
    return Counts(total=healthy.total, bad=healthy.total // 2) if treated and isinstance(healthy, Counts) else healthy


async def test_errors_at_canary_lead_back_to_internal_whose_soak_begins_anew_and_canary_needs_an_approval(
    tmp_path: Path,
) -> None:
    async with laid_out(
        stepping_back_by(*gates_over({"backend_requests_by_cohort", "auth_requests_by_cohort"})), tmp_path
    ) as world:
        handle = await in_stage(world, "canary")
        world.source.fault = errors_of_treated_users

        back = await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(minutes=1))
        assert {exposure.stage for exposure in back.flags.values()} == {"internal"}
        assert {flag.stage for flag in (await world.flags()).flags.values()} == {"internal"}
        assert back.current.credit < SOAK
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
    async with laid_out(
        stepping_back_by(*gates_over({"backend_requests_by_cohort", "auth_requests_by_cohort"})), tmp_path
    ) as world:
        handle = await in_stage(world, "deploy-off")
        world.source.fault = errors_of_everybody

        await taken_back(world, handle, "gate")


BACKEND, AUTH = {"backend_requests_by_cohort"}, {"auth_requests_by_cohort"}


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


async def test_beside_a_flag_that_somebody_else_raised_there_is_no_step_but_the_whole_way_back(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        handle = await in_stage(world, "canary")
        more = {"request_isolation": Exposure(exposure="percent", bp=5_000, stage="staged")}
        assert (await world.store.override(more, by="robin", reason="impatient")).accepted
        await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))
        world.source.fault = errors_of_treated_users

        result = await taken_back(world, handle, "gate")

        assert result.rollback is not None
        assert "Backend errors" in result.rollback.reason


async def test_beside_traffic_that_somebody_else_moved_no_step_raises_a_candidate_s_share_again(tmp_path: Path) -> None:
    async with laid_out(stepping_back_by(*gates_over(BACKEND | AUTH)), tmp_path) as world:
        handle = await in_stage(world, "canary")
        progress = await world.progress(handle)
        anchor, candidate = progress.anchors["auth"], progress.candidates["auth"]
        moved = RestoreTraffic(anchor=anchor, candidate=candidate, fence=progress.fence)
        await world.cloud_run.restore_traffic(moved)
        await world.until(handle, RolloutStatus.HOLDING, step=timedelta(minutes=1))
        world.source.fault = errors_of_treated_users

        result = await taken_back(world, handle, "gate")

        assert not [event.text for event in result.timeline if "stepped back" in event.text]
        assert (await world.cloud_run.read_traffic(anchor.service)).shares == anchor.split.shares
