"""The shipped seven-day plan from start to full exposure by Temporal's own clock, looked at every ten minutes.

Otherwise unchanged but for its load test, whose hour no clock skips: the same one is made at the sample application,
for two seconds. `whole_week.py` has all of its ten thousand looks.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from temporalio.api.history.v1 import HistoryEvent

from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from tests.sample_app.processes import application
from tests.workflows.changed_plans import seldom_looked_at
from tests.workflows.shipped_plans import shipped
from tests.workflows.world import laid_out

EVENTS_AT_MOST = 400
HISTORY_BYTES_AT_MOST = 1_000_000
EVENTS_OF_A_TASK = ("workflow_task_scheduled", "workflow_task_started", "workflow_task_completed")
WAKES = (
    "workflow_execution_started",
    "workflow_execution_update_accepted",
    "activity_task_completed",
    "activity_task_canceled",
    "activity_task_failed",
    "activity_task_timed_out",
    "timer_fired",
)


def with_tasks_that_something_woke(events: Sequence[HistoryEvent]) -> int:
    """How many events they are, leaving out workflow tasks of the time-skipping server that nothing has woken.

    It makes some of those, and on a busy machine more of them, in which the workflow is told nothing and does nothing.
    """
    kinds = Counter(str(event.WhichOneof("attributes")).removesuffix("_event_attributes") for event in events)
    tasks = min(kinds["workflow_task_completed"], sum(kinds[kind] for kind in WAKES))
    return len(events) - sum(kinds[kind] for kind in EVENTS_OF_A_TASK) + len(EVENTS_OF_A_TASK) * tasks


async def test_the_seven_day_plan_passes_all_five_stages_within_its_history_budget(tmp_path: Path) -> None:
    await passes_all_five_stages(seldom_looked_at(shipped("request-isolation.yaml")), tmp_path)


async def passes_all_five_stages(plan: RolloutPlan, directory: Path) -> None:
    async with AsyncExitStack() as stack:
        address, _ = stack.enter_context(application(directory))
        world = await stack.enter_async_context(laid_out(plan, directory, loaded=f"http://{address}"))
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
        (load,) = [one.text for one in result.timeline if "load test of" in one.text and "passed" in one.text]
        assert load.startswith("staged: load test of")
        assert "0.00% errors" in load
        assert "0 isolation violations" in load
        history = await handle.fetch_history()
        begun = Counter(
            event.timer_started_event_attributes.workflow_task_completed_event_id
            for event in history.events
            if event.HasField("timer_started_event_attributes")
        )
        assert set(begun.values()) == {1}, "what begins together is woken for by one timer"
        assert with_tasks_that_something_woke(history.events) <= EVENTS_AT_MOST
        assert sum(event.ByteSize() for event in history.events) <= HISTORY_BYTES_AT_MOST
