"""Every history ever recorded replays, so that a rollout that is under way survives a new version of the worker."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from config.data_converter import DATA_CONVERTER
from rollout.messages import WORKFLOW, RolloutRequest
from rollout.progress import RolloutProgress
from tests.workflows.record_histories import HISTORIES, RECORDED_IN_REAL_TIME, STORIES
from workflows.canary_rollout import CanaryRolloutWorkflow

RECORDED = sorted(HISTORIES.glob("*.json"))
REMEDY = (
    "a rollout that is under way would break: guard the change with workflow.patched, "
    "and record a new history beside this one (python -m tests.workflows.record_histories)"
)


def history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"replayed/{path.stem}", path.read_text(encoding="utf-8"))


def test_every_story_is_recorded() -> None:
    assert {*STORIES, *RECORDED_IN_REAL_TIME} == {path.stem for path in RECORDED}


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
async def test_a_recorded_rollout_replays(path: Path) -> None:
    replayer = Replayer(workflows=[CanaryRolloutWorkflow], data_converter=DATA_CONVERTER)

    result = await replayer.replay_workflow(history(path), raise_on_replay_failure=False)

    assert result.replay_failure is None, f"{REMEDY}: {result.replay_failure}"


@workflow.defn(name=WORKFLOW)
class RolloutThatWaitsFirst(CanaryRolloutWorkflow):
    """What a careless change could look like: one command more than before."""

    @workflow.init
    def __init__(self, request: RolloutRequest) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: RolloutRequest) -> RolloutProgress:
        await workflow.sleep(1)
        return await super().run(request)


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
async def test_an_altered_workflow_does_not_replay(path: Path) -> None:
    replayer = Replayer(
        workflows=[RolloutThatWaitsFirst],
        data_converter=DATA_CONVERTER,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )

    result = await replayer.replay_workflow(history(path), raise_on_replay_failure=False)

    assert isinstance(result.replay_failure, workflow.NondeterminismError)
