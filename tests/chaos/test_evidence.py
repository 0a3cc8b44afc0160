"""What the chaos runs would call wrong, so that their silence means something."""

from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from chaos.asking import Acknowledged
from chaos.evidence import lost_commands, wrong_with_notices, wrong_with_traffic
from rollout.messages import Notice
from rollout.traffic import TrafficSplit

KEY = "0a8e2f4c-1111-4222-8333-444455556666"
OTHER_KEY = "0a8e2f4c-1111-4222-8333-777788889999"
STABLE = {"backend": TrafficSplit(shares={"stable": 100})}
CANDIDATE = {"backend": TrafficSplit(shares={"candidate": 100})}
BETWEEN = {"backend": TrafficSplit(shares={"stable": 50, "candidate": 50})}


def history_with(*update_ids: str, signals: tuple[str, ...] = ()) -> WorkflowHistory:
    events = []
    for update_id in update_ids:
        event = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
        accepted = event.workflow_execution_update_accepted_event_attributes
        accepted.accepted_request.meta.update_id = update_id
        events.append(event)
    for name in signals:
        event = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        event.workflow_execution_signaled_event_attributes.signal_name = name
        events.append(event)
    return WorkflowHistory("rollout/chaos", events)


def notice(key: str) -> Notice:
    return Notice(
        key=key, severity="info", title="Rolled back", text="", workflow_id="rollout/chaos", channels=("log",)
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


def test_commands_that_are_in_the_history_once_are_not_lost() -> None:
    history = history_with("pause", "resume-1", signals=("emergency_rollback",))

    assert lost_commands(history, Acknowledged(["pause", "resume-1"], emergency=True)) == []


def test_an_acknowledged_command_that_is_missing_or_there_twice_is_told() -> None:
    problems = lost_commands(history_with("pause", "pause"), Acknowledged(["pause", "resume-1"]))

    assert problems == ["`pause` is 2 times in the history", "`resume-1` is 0 times in the history"]


def test_an_acknowledged_emergency_that_is_missing_is_told() -> None:
    problems = lost_commands(history_with(signals=("complaint",)), Acknowledged(emergency=True))

    assert problems == ["the emergency is not in the history"]


def test_traffic_that_is_not_back_is_told() -> None:
    assert wrong_with_traffic(STABLE, STABLE, rolled_back=True) == []
    assert wrong_with_traffic(STABLE, BETWEEN, rolled_back=True) == [
        "traffic of backend is candidate 50 %, stable 50 %, it was stable 100 %"
    ]


@pytest.mark.parametrize("after", [STABLE, BETWEEN])
def test_traffic_that_is_not_all_on_the_candidate_is_told(after: dict[str, TrafficSplit]) -> None:
    assert wrong_with_traffic(STABLE, CANDIDATE, rolled_back=False) == []
    assert len(wrong_with_traffic(STABLE, after, rolled_back=False)) == 1


def test_a_notice_may_arrive_again_only_where_a_crash_hid_it(log: Path) -> None:
    log.write_text(f"CRITICAL Rolled back [{KEY}]\n" * 2)

    assert wrong_with_notices([notice(KEY)], log, interruptions=1) == []
    assert wrong_with_notices([notice(KEY)], log, interruptions=0) == [f"notice {KEY} arrived 2 times"]


def test_a_notice_that_never_arrived_and_one_that_nobody_decided_are_told(log: Path) -> None:
    log.write_text(f"INFO Paused [{OTHER_KEY}]\n")

    assert wrong_with_notices([notice(KEY)], log, interruptions=1) == [
        f"notice {KEY} never arrived",
        f"notice {OTHER_KEY} was never decided",
    ]


def test_an_end_told_under_two_keys_is_told_twice(log: Path) -> None:
    log.write_text(f"INFO Rolled back [{KEY}]\nINFO Rolled back [{OTHER_KEY}]\n")

    problems = wrong_with_notices([notice(KEY), notice(OTHER_KEY)], log, interruptions=1)

    assert problems == ["the end was told 2 times: Rolled back"]
