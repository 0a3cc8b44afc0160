"""An emergency and the answer to a call of the way forward, both in one task of the workflow: nothing goes on."""

import ast
import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from rollout.messages import EMERGENCY_TASK_QUEUE, SIGNAL_EMERGENCY, TASK_QUEUE, UPDATE_FINISH, UPDATE_STEP_BACK
from rollout.plan import RolloutPlan
from rollout.plan_parts import Deadman
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import AN_HOUR, Land, Shape, land_for, plan_of
from tests.workflows.outside_faults import FAILING
from tests.workflows.test_commands import ask
from tests.workflows.world import REAL_SECONDS, Handle, World
from worker.wiring import OutsideWorld, activities_of
from workflows.canary_rollout import CanaryRolloutWorkflow

SOON = timedelta(milliseconds=200)
NAME = "answered-late"
WORKFLOWS = Path(__file__).parents[2] / "workflows"
BESIDE_THE_WAY_FORWARD = {
    "adoption._read_flags": "a person's command",
    "adoption._read_traffic.of": "a person's command",
    "exposure.Exposing._set": "a person's command",
    "replacement.Replacement.must_not_be_refused": "a person's command",
    "context.RolloutContext._deliver": "a notice, which a rollback sends too",
    "deadman.DeadmanWatch._silence": "it goes on beside the whole way forward and ends by itself",
    "rollback.RollbackPath._latched": "the way back",
    "rollback.RollbackPath._restore.restored": "the way back",
    "rollback.RollbackPath._refuse_candidates": "the way back",
    "rollback.RollbackPath._guard": "the way back",
    "forward.call_forward": "the one place",
}


def without_the_workflow(client: Client, outside: OutsideWorld) -> Sequence[Worker]:
    """The activities of both queues, so that calls are answered while nobody carries the workflow on."""
    normal, emergency = activities_of(client, outside)
    return (
        Worker(client, task_queue=TASK_QUEUE, activities=normal),
        Worker(client, task_queue=EMERGENCY_TASK_QUEUE, activities=emergency),
    )


def carrying_on(client: Client) -> Worker:
    return Worker(client, task_queue=TASK_QUEUE, workflows=[CanaryRolloutWorkflow])


async def answered_and_carried_on(world: World, handle: Handle) -> None:
    """Once every call is answered: the workflow hears of it, and of the emergency, in one task."""
    while await world.under_way(handle):
        await world.environment.sleep(SOON)
    async with carrying_on(world.client):
        await world.until_under_way(handle, "guard_rollback", 1)


async def emergency_as_a_step_back_is_answered(land: Land, world: World) -> Handle:
    """Leaves the rollout rolled back, guarded, and with nobody who carries it on."""
    away = FAILING["the flag store is away"]
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        away.strike(land)
        await ask(handle, UPDATE_STEP_BACK)
        await world.until_under_way(handle, "set_exposures", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    away.lift(land)
    await answered_and_carried_on(world, handle)
    return handle


async def test_the_way_forward_does_not_go_on_beside_the_rollback_of_an_emergency_that_met_an_answer(
    tmp_path: Path,
) -> None:
    async with land_for([NAME], tmp_path, worked_by=without_the_workflow) as land:
        world = land.world(plan_of(NAME, Shape(canary_soak=AN_HOUR), tmp_path))

        handle = await emergency_as_a_step_back_is_answered(land, world)

        async with carrying_on(world.client):
            await world.until_under_way(handle, "guard_rollback", 1)
            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert [event.text for event in progress.timeline if event.text.startswith("stepped back")] == []
            assert await world.under_way(handle) == ["guard_rollback"]
            assert await world.is_safe(progress)


async def emergency_as_the_start_is_refused(land: Land, world: World) -> Handle:
    """Leaves a rollout that could take nothing, rolled back, guarded, and with nobody who carries it on."""
    away = FAILING["the flag store is away"]
    away.strike(land)
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until_under_way(handle, "begin_rollout", 1)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    latched = await world.store.emergency(by="robin", reason="not today")
    assert latched.accepted, latched.sentence
    away.lift(land)
    await answered_and_carried_on(world, handle)
    return handle


async def test_a_call_that_failed_as_the_emergency_came_refuses_nothing_beside_the_rollback(tmp_path: Path) -> None:
    async with land_for([NAME], tmp_path, worked_by=without_the_workflow) as land:
        world = land.world(plan_of(NAME, Shape(canary_soak=AN_HOUR), tmp_path))

        handle = await emergency_as_the_start_is_refused(land, world)

        async with carrying_on(world.client):
            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert [event.text for event in progress.timeline if event.kind == "finished"] == []
            assert any("beside the rollback: take ownership" in event.text for event in progress.timeline)
            assert "Rollout refused" not in [notice.title for notice in land.channel.notices]


def looked_after(name: str, directory: Path) -> RolloutPlan:
    plan = plan_of(name, Shape(canary_soak=AN_HOUR), directory)
    return plan.model_copy(update={"deadman": Deadman(page_after=timedelta(seconds=3))})


async def emergency_as_the_dead_man_pages(land: Land, world: World) -> Handle:
    """Leaves the rollout rolled back, guarded, and with nobody who carries it on."""
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        land.source.hanging = True
    while "look_after_the_watch" in await world.under_way(handle):
        await world.environment.sleep(SOON)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
    async with carrying_on(world.client):
        await world.until_under_way(handle, "guard_rollback", 1)
    return handle


async def test_a_dead_man_that_paged_as_the_emergency_came_does_not_keep_the_rollout_from_closing(
    tmp_path: Path,
) -> None:
    async with land_for([NAME], tmp_path, worked_by=without_the_workflow) as land:
        world = land.world(looked_after(NAME, tmp_path))

        handle = await emergency_as_the_dead_man_pages(land, world)

        async with carrying_on(world.client):
            assert "look_after_the_watch" not in await world.under_way(handle)
            await ask(handle, UPDATE_FINISH)
            result = await asyncio.wait_for(handle.result(), REAL_SECONDS)
            assert result.status is RolloutStatus.ROLLED_BACK, result.why


def test_no_call_of_the_way_forward_is_made_past_the_one_place_that_stops_it() -> None:
    past = {name for file in WORKFLOWS.glob("*.py") for name in calls_awaited_in(file)}

    assert past == set(BESIDE_THE_WAY_FORWARD), "a call of the way forward goes through workflows/forward.py"


def calls_awaited_in(file: Path) -> list[str]:
    """Where a file has activities executed, by qualified name."""
    found: list[str] = []

    def visit(node: ast.AST, name: str) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{name}.{node.name}"
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if called.startswith(("execute_activity", "execute_local_activity")):
            found.append(name)
        for child in ast.iter_child_nodes(node):
            visit(child, name)

    visit(ast.parse(file.read_text(encoding="utf-8")), file.stem)
    return found
