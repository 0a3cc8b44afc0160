"""A start with --supersede while nobody can say how far the open rollout is, or while it is closing already."""

from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from rollout.progress import RolloutStatus
from starter import rollouts, superseding
from starter.outcome import CommandEnds, ExitCode
from starter.rollouts import Rollouts
from starter.superseding import supersede
from tests.workflows.many_rollouts import A_MOMENT, Shape, land_for, plan_of
from tests.workflows.outside_faults import HUNG
from tests.workflows.test_answers_beside_an_emergency import without_the_workflow

SHORT = timedelta(seconds=0.4)
SOON = timedelta(milliseconds=200)
UNTOLD = HUNG["telling somebody never ends"]


def never_told(text: str) -> None:
    raise AssertionError(f"nothing has happened, but was told: {text}")


async def test_what_no_worker_answers_for_is_not_signalled_behind_everybodys_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "WORKER_ANSWERS_WITHIN", SHORT)
    async with land_for(["silent"], tmp_path, worked_by=without_the_workflow) as land:
        world = land.world(plan_of("silent", Shape(watched=True), tmp_path))
        handle = await world.start()

        with pytest.raises(CommandEnds) as ends:
            await supersede(Settings(), Rollouts(world.client), world.plan, by="kim", reason="x", tell=never_told)

        assert ends.value.code is ExitCode.FAILED
        assert "nobody can say how far its rollout is, so it is not superseded: no worker answered" in ends.value.text
        assert ends.value.text.endswith("Nothing was changed")
        history = await handle.fetch_history()
        assert not any(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def test_a_rollout_that_is_complete_and_only_has_something_to_tell_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superseding, "CLOSES_WITHIN", SHORT)
    async with land_for(["telling"], tmp_path) as land:
        world = land.world(plan_of("telling", Shape(canary_soak=A_MOMENT, staged_soak=A_MOMENT), tmp_path))
        UNTOLD.strike(land)
        handle = await world.start()
        await world.until(handle, RolloutStatus.COMPLETED, step=SOON)
        asked = (Settings(), Rollouts(world.client), world.plan)

        with pytest.raises(CommandEnds) as ends:
            await supersede(*asked, by="kim", reason="x", tell=never_told)

        assert ends.value.text == (
            "telling: it has ended, and closes once its last notices are sent: start again in a moment"
        )
        UNTOLD.lift(land)
        await supersede(*asked, by="kim", reason="x", tell=never_told)
        assert (await handle.result()).status is RolloutStatus.COMPLETED
