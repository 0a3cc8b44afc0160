"""What a start with --supersede makes of the rollout that is open, and when a person must decide first."""

from rollout.drift import DRIFT
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.superseding import Ending, ending_at, ending_of, why_not_superseded
from rollout.verdict import Verdict
from tests.rollout.progress_samples import NOON, in_canary, judgement


def held_in_its_watch(*causes: str, verdict: Verdict = Verdict.FAIL) -> RolloutProgress:
    progress = in_canary(RolloutStatus.HOLDING)
    progress.watched_until, progress.why = NOON, "too busy"
    stage = progress.current
    assert stage.soak_state is not None
    stage.soak_state = stage.soak_state.model_copy(update={"standing": "holding", "causes": causes})
    stage.judgements = tuple(judgement(cause, verdict) for cause in causes)
    return progress


def test_only_what_has_not_passed_all_its_stages_is_taken_back() -> None:
    endings = {status: ending_at(status) for status in RolloutStatus}

    assert {status for status, ending in endings.items() if ending is not Ending.TAKEN_BACK} == {
        RolloutStatus.WATCHING,
        RolloutStatus.COMPLETED,
        RolloutStatus.REFUSED,
    }
    assert ending_of(in_canary(RolloutStatus.HOLDING)) is Ending.TAKEN_BACK
    assert why_not_superseded(in_canary(RolloutStatus.HOLDING)) is None


def test_a_watch_that_holds_is_neither_taken_back_nor_ended_and_says_what_decides_it() -> None:
    by_a_gate, by_a_stranger = held_in_its_watch("cpu"), held_in_its_watch(DRIFT)

    assert ending_of(by_a_gate) is Ending.WATCH_ENDED
    assert why_not_superseded(by_a_gate) == (
        "request-isolation has passed all its stages, and its watch holds: too busy. Decide first: "
        "`rollout resolve-hold continue request-isolation --reason …` leaves everybody exposed, and this start then "
        "ends the watch; `rollout resolve-hold rollback request-isolation --reason …` takes everything back"
    )
    assert "`rollout resolve-hold adopt request-isolation" in (why_not_superseded(by_a_stranger) or "")


def test_a_watch_whose_flags_could_not_be_read_offers_no_way_that_leaves_people_exposed() -> None:
    unread = why_not_superseded(held_in_its_watch(DRIFT, verdict=Verdict.ERROR)) or ""

    assert "continue" not in unread
    assert "adopt" not in unread
    assert "`rollout resolve-hold rollback request-isolation --reason …`" in unread


def test_a_watch_in_which_nothing_holds_is_ended() -> None:
    progress = in_canary(RolloutStatus.WATCHING)
    progress.watched_until = NOON

    assert ending_of(progress) is Ending.WATCH_ENDED
    assert why_not_superseded(progress) is None
