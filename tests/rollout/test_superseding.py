"""What a start with --supersede makes of the rollout that is open, and when a person must decide first."""

from rollout.drift import DRIFT
from rollout.messages import Command
from rollout.progress import ASKED_AGAIN, Rollback, RolloutProgress, RolloutStatus
from rollout.superseding import (
    Ending,
    ending_at,
    ending_of,
    taken_back_by_others,
    why_not_superseded,
    why_refused_afterwards,
)
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


def test_whoever_else_asked_meanwhile_is_named_and_what_was_asked_before_is_not() -> None:
    own = Command(by="kim", reason="superseded: a fix")
    before, after = in_canary(), in_canary(RolloutStatus.ROLLED_BACK)
    before.note(NOON, "command", f"{ASKED_AGAIN}an old worry", "lee")
    after.timeline = list(before.timeline)
    after.rollback = Rollback(cause="emergency", reason=own.reason, by=own.by, began_at=NOON)
    assert taken_back_by_others(before, after, own) is None

    after.note(NOON, "command", f"{ASKED_AGAIN}checkout is down", "robin")
    assert taken_back_by_others(before, after, own) == "robin: checkout is down"

    first = in_canary(RolloutStatus.ROLLED_BACK)
    first.rollback = Rollback(cause="emergency", reason="checkout is down", by="robin", began_at=NOON)
    first.note(NOON, "command", f"{ASKED_AGAIN}{own.reason}", own.by)
    assert taken_back_by_others(in_canary(), first, own) == "robin: checkout is down"
    assert taken_back_by_others(first, first, own) is None


def test_only_a_rollout_that_would_be_taken_back_refuses_its_own_images() -> None:
    progress = in_canary()
    assert "say `--again --reason`" in (why_refused_afterwards(progress, progress.images) or "")
    assert why_refused_afterwards(progress, {"backend": "example/backend:3"}) is None
    progress.status, progress.watched_until = RolloutStatus.WATCHING, NOON
    assert why_refused_afterwards(progress, progress.images) is None
