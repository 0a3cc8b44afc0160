"""A rollback that something outside refuses for days is gone on with in new runs: nothing ends it but its success.

Two refused services leave 1,200 events an hour; Temporal asks for a new run at 4,096, and ends one at 51,200. Here it
asks early, and the times that a rollback knows are short, on the real server: on the one that skips time a run that is
continued as an activity ends gets stuck.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.workflows.commanding import ask, emergency
from tests.workflows.foreign_changes import traffic_belongs_to_a_later_fence
from tests.workflows.many_rollouts import SHORTLY, SOON, one_rollout
from tests.workflows.small_plans import IN_CANARY, plan_of
from tests.workflows.world import REAL_SECONDS
from workflows import activity_options


@pytest.fixture(autouse=True)
def patience_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_options, "PAGE_AFTER", timedelta(seconds=2))
    monkeypatch.setattr(activity_options, "AFTER_A_REFUSAL", SOON)
    monkeypatch.setattr(activity_options, "LONGEST_AFTER_A_REFUSAL", SOON)


async def test_a_refused_rollback_outlives_its_history_and_is_verified_once_it_is_let(tmp_path: Path) -> None:
    async with one_rollout(plan_of("refused-for-days", IN_CANARY), tmp_path, *SHORTLY) as (_, world):
        handle = await world.start()
        soaking = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
        await traffic_belongs_to_a_later_fence(world, soaking)
        await emergency(handle)
        runs = {(await world.progress(handle)).run_id}
        async with asyncio.timeout(2 * REAL_SECONDS):
            while len(runs) < 4:
                still = await world.progress(handle)
                runs.add(still.run_id)
                assert still.status in (RolloutStatus.SOAKING, RolloutStatus.ROLLING_BACK)
                await world.sleep(SOON)
        assert (await world.flags()).is_latched_off
        await handle.signal(SIGNAL_EMERGENCY, {"by": "alex", "reason": "still down"})

        # Whoever pulls the kill switch now signs with a fence that Cloud Run no longer refuses.
        await world.store.emergency(by="robin", reason="let it", min_epoch=still.fence + 1_000)

        async with asyncio.timeout(REAL_SECONDS):
            rolled_back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
        await world.until_under_way(handle, "guard_rollback", 1)
        await ask(handle, CommandName.FINISH)
        back = (await asyncio.wait_for(handle.result(), REAL_SECONDS)).rollback
        assert await world.is_safe(rolled_back)
        assert back is not None
        assert (back.by, back.reason, back.candidates_refused) == ("kim", "checkout is down", True)
        assert [step.name for step in back.steps] == [
            "flags off, latched and read back",
            "backend: traffic at its anchor and read back",
        ]
        titles = [notice.title for notice in world.channel.notices]
        once = ("Rolling back", "Rollback: traffic of backend was refused", "Rolled back")
        assert [titles.count(title) for title in once] == [1, 1, 1]
