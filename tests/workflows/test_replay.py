"""Every history ever recorded replays, so that a rollout that is under way survives a new version of the worker."""

import ast
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from config.data_converter import DATA_CONVERTER
from rollout.messages import WORKFLOW
from rollout.progress import RolloutProgress
from tests.checkout import CHECKOUT
from tests.workflows.record_histories import HISTORIES, patches_of
from tests.workflows.recorded_in_real_time import REAL_STORIES
from tests.workflows.recorded_stories import STORIES
from workflows.canary_rollout import CanaryRolloutWorkflow

WORKFLOWS = CHECKOUT / "workflows"
RECORDED = sorted(HISTORIES.glob("*.json"))
REMEDY = (
    "a rollout that is under way would break: guard the change with workflow.patched, "
    "and record a new history beside this one (python -m tests.workflows.record_histories)"
)


def history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"replayed/{path.stem}", path.read_text(encoding="utf-8"))


def test_every_story_is_recorded() -> None:
    assert {*STORIES, *REAL_STORIES} == {path.stem for path in RECORDED}


def test_every_patch_of_the_workflow_has_a_history_that_went_its_way() -> None:
    recorded = {name for path in RECORDED for name in patches_of(path.read_text(encoding="utf-8"))}

    assert patches_in_the_code() == recorded


def patches_in_the_code() -> set[str]:
    """The names that `workflow.patched` is asked for, written there or as a constant of the module."""
    found: set[str] = set()
    for file in WORKFLOWS.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        constants = {
            ast.unparse(target): node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "workflow.patched":
                name = node.args[0]
                found.add(ast.literal_eval(constants.get(ast.unparse(name), name)))
    return found


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
async def test_a_recorded_rollout_replays(path: Path) -> None:
    replayer = Replayer(workflows=[CanaryRolloutWorkflow], data_converter=DATA_CONVERTER)

    result = await replayer.replay_workflow(history(path), raise_on_replay_failure=False)

    assert result.replay_failure is None, f"{REMEDY}: {result.replay_failure}"


@workflow.defn(name=WORKFLOW)
class RolloutThatWaitsFirst(CanaryRolloutWorkflow):
    """What a careless change could look like: one command more than before."""

    @workflow.init
    def __init__(self, *values: object) -> None:
        super().__init__(*values)

    @workflow.run
    async def run(self, *values: object) -> RolloutProgress:
        await workflow.sleep(1)
        return await super().run(*values)


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
async def test_an_altered_workflow_does_not_replay(path: Path) -> None:
    replayer = Replayer(
        workflows=[RolloutThatWaitsFirst],
        data_converter=DATA_CONVERTER,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )

    result = await replayer.replay_workflow(history(path), raise_on_replay_failure=False)

    assert isinstance(result.replay_failure, workflow.NondeterminismError)
