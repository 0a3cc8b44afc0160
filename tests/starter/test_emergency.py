"""An emergency that takes long: whoever sent it is told what is tried, and what can be done by hand meanwhile."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.progress import RolloutStatus
from starter import emergency
from starter.emergency import Verified, take_back
from starter.rollouts import Rollouts
from tests.workflows.many_rollouts import SOON, Land, one_rollout
from tests.workflows.outside_faults import FAILING, HUNG, OutsideFault
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.world import Handle, World

UNCHANGED = FAILING["Cloud Run refuses changes"]
SILENT_TO_THE_WORKER = HUNG["the flag store is silent"]


async def taken_back(
    land: Land, world: World, handle: Handle, fault: OutsideFault, *, until: str
) -> tuple[Verified, Sequence[str]]:
    """An emergency beside a fault that lasts until somebody is told of it; and all that is told."""
    heard, told = list[str](), asyncio.Event()

    def hear(text: str) -> None:
        heard.append(text)
        if until in text:
            told.set()

    asked = {"by": "kim", "reason": "checkout is down", "redis_url": land.redis.url}
    going_back = asyncio.create_task(take_back(Rollouts(world.client), handle.id, tell=hear, **asked))
    await asyncio.wait_for(told.wait(), timeout=60)
    fault.lift(land)
    return await going_back, heard


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
        verified, heard = await taken_back(land, world, handle, UNCHANGED, until="by hand")

    assert verified.progress.status is RolloutStatus.ROLLED_BACK
    (by_hand,) = [text for text in heard if "by hand" in text]
    assert "rollout: not verified yet; it goes on being tried. Traffic by hand, beside it:" in by_hand
    assert f"gcloud run services update-traffic {anchor.service.service} --project={anchor.service.project}" in by_hand
    assert by_hand.endswith(f"--to-revisions={stable}=100")
    assert any(f"{key}: traffic" in text for text in heard)


async def test_flags_that_nobody_could_read_are_read_back_as_off_once_the_emergency_has_repaired_them(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of("unread", Shape()), tmp_path) as (land, world):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        SILENT_TO_THE_WORKER.strike(land)
        await land.reading.set(world.store.keys.snapshot, "{}")
        verified, heard = await taken_back(land, world, handle, SILENT_TO_THE_WORKER, until="is no flag snapshot")

    assert verified.progress.status is RolloutStatus.ROLLED_BACK
    assert len([text for text in heard if "is no flag snapshot" in text]) == 1
    assert any("flags: read back from the store, latched, every one off" in text for text in heard)
