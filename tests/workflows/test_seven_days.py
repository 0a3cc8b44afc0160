"""The shipped seven-day plan, unchanged, from start to full exposure by Temporal's own clock."""

from datetime import timedelta
from pathlib import Path

import pytest

from rollout.progress import RolloutStatus
from tests.workflows.world import laid_out

EVENTS_AT_MOST = 400
HISTORY_BYTES_AT_MOST = 1_000_000


@pytest.mark.timeout(400)
async def test_the_seven_day_plan_passes_all_five_stages_within_its_history_budget(tmp_path: Path) -> None:
    async with laid_out("request-isolation.yaml", tmp_path) as world:
        handle = await world.start()
        answer = await world.approve(handle)
        assert answer.happened == "deploy-off approved"

        result = await handle.result()

        assert result.status is RolloutStatus.COMPLETED, result.why
        assert [stage.state for stage in result.stages] == ["passed"] * 5
        assert [stage.credit for stage in result.stages] == [timedelta(hours=hours) for hours in (2, 24, 48, 48, 46)]
        assert result.finished_at is not None
        took = result.finished_at - result.started_at
        assert timedelta(days=7) <= took <= timedelta(days=7, hours=8)
        assert {flag: exposure.in_words() for flag, exposure in (await world.flags()).flags.items()} == {
            "request_isolation": "full",
            "factory_pattern": "full",
            "websocket_isolation": "full",
        }
        assert await world.candidate_shares(result) == {"backend": 100, "auth": 100}
        history = await handle.fetch_history()
        assert len(history.events) <= EVENTS_AT_MOST
        assert sum(event.ByteSize() for event in history.events) <= HISTORY_BYTES_AT_MOST
