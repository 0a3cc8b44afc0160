"""A workflow that somebody started from Temporal's UI, with whatever was typed, fails at once and says why."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHistory
from temporalio.common import RawValue
from temporalio.worker import Replayer

from config.data_converter import DATA_CONVERTER
from starter.rollouts import Rollouts
from tests.workflows.commanding import started_with
from tests.workflows.many_rollouts import one_rollout
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.world import REAL_SECONDS, World
from workflows.canary_rollout import CanaryRolloutWorkflow

HISTORIES = Path(__file__).parent / "histories"
NAME = "typed"
A_COMMAND = "`rollout start PLAN` sends it"


async def failure(world: World, inputs: Sequence[object]) -> str:
    """Why it failed, though an emergency signal came with its start."""
    handle = await started_with(world, inputs)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    said = str(failed.value.cause)
    assert said in (await Rollouts(world.client).observe(handle.id)).silence, "whoever asks how it is reads why"
    return said


def in_region(plan: dict[str, Any], region: str) -> dict[str, Any]:
    return {**plan, "services": {"backend": {**plan["services"]["backend"], "region": region}}}


@pytest.mark.timeout(4 * REAL_SECONDS)
async def test_garbage_is_told_in_words_and_an_emergency_beside_it_touches_nothing(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (_, world):
        service = world.plan.service_ref("backend")
        before = await world.cloud_run.read_traffic(service)
        plan = world.plan.model_dump(mode="json", exclude_none=True)
        images = {"backend": "shop/backend:2"}

        said = {
            "nothing": await failure(world, []),
            "a text": await failure(world, ["go"]),
            "two": await failure(world, [{}, {}]),
            "bytes": await failure(world, [RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"\xff{"))]),
            "an empty object": await failure(world, [{}]),
            "no image": await failure(world, [{"plan": plan, "images": {}, "by": "kim"}]),
            "a wrong plan": await failure(world, [{"plan": {**plan, "stages": []}, "images": {}, "by": "kim"}]),
            "an empty image": await failure(world, [{"plan": plan, "images": {"backend": ""}, "by": "kim"}]),
            "a blank image": await failure(world, [{"plan": plan, "images": {"backend": " "}, "by": "kim"}]),
            "nobody": await failure(world, [{"plan": plan, "images": images, "by": " "}]),
            "no reason": await failure(world, [{"plan": plan, "images": images, "by": "kim", "again": ""}]),
            "a blank region": await failure(world, [{"plan": in_region(plan, " "), "images": images, "by": "kim"}]),
            "a wrong guard": await failure(world, [{"plan": {**plan, "guard": 5}, "images": {}, "by": "kim"}]),
        }

        assert said["nothing"].startswith("cannot start: it came without an input; one object is expected")
        assert said["a text"].startswith("cannot start: its input is JSON of another kind (str); ")
        assert said["two"].startswith("cannot start: it came with 2 inputs; ")
        assert said["bytes"].startswith("cannot start: its input is bytes that are not JSON; ")
        assert said["an empty object"].startswith("cannot start: plan: Field required; images: Field required; by: ")
        assert said["no image"] == (
            "cannot start: images: one for each service of the plan is expected, which has backend"
        )
        assert "plan.stages" in said["a wrong plan"]
        assert said["a wrong guard"].startswith("cannot start: plan.guard: a duration is a number with a unit: 500ms")
        assert said["an empty image"].startswith("cannot start: images.backend is '', expected is an image without spa")
        assert said["a blank image"].startswith("cannot start: images.backend is ' ', expected is an image without sp")
        assert said["nobody"].startswith("cannot start: by is ' ', expected is a text that says who starts it; one obj")
        assert said["no reason"].startswith("cannot start: again is '', expected is the reason to try a refused candid")
        assert said["a blank region"].startswith("cannot start: plan.services.backend.region is blank, expected is a t")
        assert all(A_COMMAND in text for name, text in said.items() if name != "no image")
        assert await world.store.read() is None
        assert (await world.cloud_run.read_traffic(service)).shares == before.shares


async def test_a_rollout_that_began_with_blanks_under_an_earlier_version_goes_on() -> None:
    recorded = json.loads((HISTORIES / "emergency-while-internal-soaks.json").read_text(encoding="utf-8"))
    (given,) = recorded["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    request = {**json.loads(b64decode(given["data"])), "by": " "}
    given["data"] = b64encode(json.dumps(request).encode()).decode()

    replayer = Replayer(workflows=[CanaryRolloutWorkflow], data_converter=DATA_CONVERTER)
    replayed = await replayer.replay_workflow(
        WorkflowHistory.from_json("replayed/began-with-blanks", recorded), raise_on_replay_failure=False
    )

    assert replayed.replay_failure is None
