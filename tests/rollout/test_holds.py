"""Which decision of a person ends which hold, in words that fit what holds."""

from rollout.drift import DRIFT
from rollout.holds import how_resolved, why_not_resolved
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.verdict import Verdict
from tests.rollout.progress_samples import in_canary, judgement


def held_by_drift(verdict: Verdict, *others: str) -> RolloutProgress:
    progress = in_canary(RolloutStatus.HOLDING)
    stage = progress.current
    assert stage.soak_state is not None
    stage.soak_state = stage.soak_state.model_copy(update={"standing": "holding", "causes": (*others, DRIFT)})
    stage.judgements = (judgement(DRIFT, verdict),)
    return progress


def test_a_hold_because_nothing_could_be_read_is_neither_passed_over_nor_adopted_and_says_what_ends_it() -> None:
    progress = held_by_drift(Verdict.ERROR)

    assert why_not_resolved(progress, "continue") == why_not_resolved(progress, "adopt")
    assert why_not_resolved(progress, "continue") == (
        "flags or traffic could not be read (drift: because); it goes on by itself once they can be and are what the "
        "rollout set; `rollback` takes everything back"
    )
    assert why_not_resolved(progress, "rollback") is None


def test_a_foreign_change_is_adopted_or_taken_back_and_not_passed_over() -> None:
    progress = held_by_drift(Verdict.FAIL)

    assert "flags or traffic are not what the rollout set" in (why_not_resolved(progress, "continue") or "")
    assert why_not_resolved(progress, "adopt") is None
    assert why_not_resolved(progress, "rollback") is None


def test_a_gate_that_holds_beside_what_could_not_be_read_is_passed_over_and_what_was_not_read_is_looked_at_again() -> (
    None
):
    progress = held_by_drift(Verdict.ERROR, "cpu")

    assert why_not_resolved(progress, "continue") is None
    assert "could not be read" in (why_not_resolved(progress, "adopt") or "")


def test_people_are_told_the_command_that_ends_their_hold_and_none_where_there_is_none() -> None:
    assert "`rollout resolve-hold adopt --reason …`" in how_resolved(held_by_drift(Verdict.FAIL))
    assert "`rollout resolve-hold continue --reason …`" in how_resolved(held_by_drift(Verdict.ERROR, "cpu"))
    assert how_resolved(held_by_drift(Verdict.ERROR)) == ""
