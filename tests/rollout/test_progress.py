"""The record of a rollout: what it keeps, and that records which an earlier worker wrote are read by this one."""

import pytest

from rollout.progress import LONGEST_NOTE, RolloutProgress
from rollout.soak import Suspension
from tests.rollout.progress_samples import MINUTE, NOON, in_canary


@pytest.mark.parametrize(
    ("recorded", "read"), [(None, ()), ("canary", ("canary",)), (["canary", "staged"], ("canary", "staged"))]
)
def test_the_stages_that_were_stepped_back_from_are_read_as_one_name_or_as_many(
    recorded: object, read: tuple[str, ...]
) -> None:
    record = {**in_canary().model_dump(mode="json"), "stepped_back_from": recorded}

    assert RolloutProgress.model_validate(record).stepped_back_from == read


def test_what_was_asked_for_during_a_pause_is_not_why_it_is_paused() -> None:
    progress = in_canary()
    assert progress.paused_why == "paused"
    progress.note(NOON, "command", "paused by kim: lunch", "kim")
    progress.note(NOON, "command", "stepping back from canary by robin: too slow", "robin")

    assert progress.paused_why == "paused by kim: lunch"


def test_a_note_without_end_is_kept_with_its_beginning() -> None:
    progress = in_canary()
    progress.note(NOON, "failure", "x" * 1_000_000)

    assert progress.timeline[-1].text == "x" * (LONGEST_NOTE - 1) + "…"


def test_time_that_is_not_credited_leaves_a_pause_what_it_is() -> None:
    progress = in_canary()
    progress.not_credited(NOON, NOON)
    assert progress.suspensions == []
    progress.suspensions.append(Suspension(since=NOON + MINUTE))
    progress.not_credited(NOON, NOON + MINUTE)

    assert progress.paused
    assert progress.suspensions[0] == Suspension(since=NOON, until=NOON + MINUTE)
