"""An activity that waits for Cloud Run says so by heartbeats, and ends when it is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.cloud_run import DeployCandidate, RestoreTraffic
from tests.activities.cloud_run_ground import FENCE, NEW_IMAGE, TAG, Ground, exposed


async def cancelled_after_five_beats(activity: Callable[[Any], Awaitable[object]], request: object) -> list[str]:
    environment = ActivityEnvironment()
    beats: list[str] = []

    def heard(*details: str) -> None:
        beats.append(details[0])
        if len(beats) == 5:
            environment.cancel()

    environment.on_heartbeat = heard
    with pytest.raises(asyncio.CancelledError):
        await environment.run(activity, request)
    return beats


async def test_a_deployment_says_that_it_waits_and_ends_when_it_is_cancelled() -> None:
    async with Ground.laid() as ground:
        anchor = await ground.anchor()
        ground.sandbox.faults.reconcile_seconds = 60
        request = DeployCandidate(anchor=anchor, image=NEW_IMAGE, tag=TAG, rollout_id="r", fence=FENCE)

        beats = await cancelled_after_five_beats(ground.activities.deploy_candidate, request)

        assert beats[-1] == f"deploying {NEW_IMAGE} to backend: Cloud Run is at it (generation 2)"


async def test_a_way_back_says_that_it_still_tries_and_ends_when_it_is_cancelled() -> None:
    async with Ground.laid() as ground:
        anchor, candidate = await exposed(ground)
        ground.fails("GetService", "UNAVAILABLE")
        request = RestoreTraffic(anchor=anchor, candidate=candidate, fence=FENCE + 1)

        beats = await cancelled_after_five_beats(ground.activities.restore_traffic, request)

        assert beats == [f"restoring backend to {anchor.stable} 100 %"] * 5
