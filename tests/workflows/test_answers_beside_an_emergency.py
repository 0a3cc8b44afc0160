"""An emergency and the answer to a call of the way forward, both in one task of the workflow: nothing goes on."""

import ast
import asyncio
from pathlib import Path

from rollout.commands import CommandName
from rollout.progress import RolloutStatus
from tests.checkout import CHECKOUT
from tests.workflows.changed_plans import looked_after
from tests.workflows.commanding import ask
from tests.workflows.emergencies_met import (
    emergency_as_a_step_back_is_answered,
    emergency_as_the_dead_man_pages,
    emergency_as_the_start_is_refused,
)
from tests.workflows.many_rollouts import one_rollout
from tests.workflows.partial_workers import carrying_on, without_the_workflow
from tests.workflows.small_plans import IN_CANARY, plan_of
from tests.workflows.world import REAL_SECONDS

NAME = "answered-late"
WORKFLOWS = CHECKOUT / "workflows"
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


async def test_the_way_forward_does_not_go_on_beside_the_rollback_of_an_emergency_that_met_an_answer(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=without_the_workflow) as (land, world):
        handle = await emergency_as_a_step_back_is_answered(land, world)

        async with carrying_on(world.client):
            await world.until_under_way(handle, "guard_rollback", 1)
            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert [event.text for event in progress.timeline if event.text.startswith("stepped back")] == []
            assert await world.under_way(handle) == ["guard_rollback"]
            assert await world.is_safe(progress)


async def test_a_call_that_failed_as_the_emergency_came_refuses_nothing_beside_the_rollback(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=without_the_workflow) as (land, world):
        handle = await emergency_as_the_start_is_refused(land, world)

        async with carrying_on(world.client):
            progress = await world.progress(handle)
            assert progress.status is RolloutStatus.ROLLED_BACK, progress.why
            assert [event.text for event in progress.timeline if event.kind == "finished"] == []
            assert any("beside the rollback: take ownership" in event.text for event in progress.timeline)
            assert "Rollout refused" not in [notice.title for notice in land.channel.notices]


async def test_a_dead_man_that_paged_as_the_emergency_came_does_not_keep_the_rollout_from_closing(
    tmp_path: Path,
) -> None:
    plan = looked_after(plan_of(NAME, IN_CANARY))
    async with one_rollout(plan, tmp_path, worked_by=without_the_workflow) as (land, world):
        handle = await emergency_as_the_dead_man_pages(land, world)

        async with carrying_on(world.client):
            assert "look_after_the_watch" not in await world.under_way(handle)
            await ask(handle, CommandName.FINISH)
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
