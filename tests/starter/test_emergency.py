"""An emergency that takes long: whoever sent it is told what is tried, and what can be done by hand meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.progress import RolloutStatus
from starter import emergency
from starter.emergency import take_back
from starter.rollouts import Rollouts
from tests.workflows.many_rollouts import SOON, one_rollout
from tests.workflows.outside_faults import FAILING
from tests.workflows.small_plans import Shape, plan_of

UNCHANGED = FAILING["Cloud Run refuses changes"]


async def test_while_traffic_does_not_come_back_what_to_type_is_said_once_and_the_rollback_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "BY_HAND_AFTER", timedelta(seconds=1))
    async with one_rollout(plan_of("slow", Shape()), tmp_path) as (land, world):
        handle = await world.start()
        progress = await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        ((key, anchor),) = progress.anchors.items()
        (stable,) = anchor.split.shares
        UNCHANGED.strike(land)
        heard, said = list[str](), asyncio.Event()

        def hear(text: str) -> None:
            heard.append(text)
            if "by hand" in text:
                said.set()

        asked = {"by": "kim", "reason": "checkout is down", "redis_url": land.redis.url}
        going_back = asyncio.create_task(take_back(Rollouts(world.client), handle.id, tell=hear, **asked))
        await asyncio.wait_for(said.wait(), timeout=60)
        UNCHANGED.lift(land)
        verified = await going_back

    assert verified.progress.status is RolloutStatus.ROLLED_BACK
    (by_hand,) = [text for text in heard if "by hand" in text]
    assert "rollout: not verified yet; it goes on being tried. Traffic by hand, beside it:" in by_hand
    assert f"gcloud run services update-traffic {anchor.service.service} --project={anchor.service.project}" in by_hand
    assert by_hand.endswith(f"--to-revisions={stable}=100")
    assert any(f"{key}: traffic" in text for text in heard)
