"""A load test as a stage's check: what breaks a limit refuses the stage, and nothing waits for one that is running."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollout.messages import SIGNAL_EMERGENCY
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from starter.plan_file import load_plan
from tests.activities.http_endpoint import response, sends, serving
from tests.loadtest.processes import ends, load_tests_of
from tests.workflows.world import POLL_SECONDS, laid_out_in_real_time

QUICK_PLAN = Path(__file__).parents[1] / "starter" / "quick_plan.yaml"


@pytest.fixture
async def broken_application() -> AsyncIterator[str]:
    async with serving(sends(response("500 Internal Server Error", b"{}"))) as url:
        yield url


def plan_with(check: dict[str, Any], *, stage: int) -> RolloutPlan:
    document = load_plan(QUICK_PLAN).model_dump(mode="json", exclude_none=True)
    document["stages"][stage]["checks"] = {"before": [{"kind": "load_test", **check}]}
    return RolloutPlan.model_validate(document)


async def test_a_broken_limit_refuses_the_stage_and_takes_the_rollout_back(
    tmp_path: Path, broken_application: str
) -> None:
    plan = plan_with({"url": broken_application, "concurrent_users": 2, "duration": "1s"}, stage=1)
    async with laid_out_in_real_time(plan, tmp_path) as world:
        result = await (await world.start()).result()

        assert result.status is RolloutStatus.ROLLED_BACK
        assert result.rollback is not None
        assert result.rollback.cause == "stage_failed"
        assert "canary failed: errors: " in result.rollback.reason
        assert "(100.00%), at most 1% may: 500 Internal Server Error" in result.rollback.reason
        assert [stage.state for stage in result.stages] == ["passed", "failed", "pending"]
        assert await world.is_safe(result)


async def test_gates_are_judged_meanwhile_and_an_emergency_neither_waits_for_a_load_test_nor_leaves_one(
    tmp_path: Path, broken_application: str
) -> None:
    plan = plan_with({"url": broken_application, "concurrent_users": 2, "duration": "1h"}, stage=1)
    plan = plan.model_copy(update={"guard": timedelta(minutes=5)})
    async with laid_out_in_real_time(plan, tmp_path) as world:
        handle = await world.start()
        await world.until_under_way(handle, "run_load_test", 1)
        await world.until_under_way(handle, "watch_gates", 1)
        while not (processes := load_tests_of(os.getpid())):  # noqa: ASYNC110  (nobody tells of a process)
            await asyncio.sleep(POLL_SECONDS)
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
        # Guarded for minutes, so that it is not the end of the workflow that ends the load.
        result = await world.until(handle, RolloutStatus.ROLLED_BACK, step=timedelta(seconds=POLL_SECONDS))

        assert result.rollback is not None
        assert (result.rollback.cause, result.rollback.reason) == ("emergency", "stop")
        assert result.rollback.verified_at is not None
        assert (result.rollback.verified_at - result.rollback.began_at).total_seconds() < 5
        assert await world.is_safe(result)
        assert all([await asyncio.to_thread(ends, process) for process in processes])
