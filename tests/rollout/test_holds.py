"""Which decision of a person ends which hold, in words that fit what holds."""

from rollout.drift import DRIFT
from rollout.holds import (
    gates_that_hold,
    how_it_goes_on,
    how_passed_over,
    how_resolved,
    what_holds,
    why_held,
    why_not_passed_over,
    why_not_resolved,
)
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.soak import SoakState
from rollout.switch_off import SWITCHED_OFF
from rollout.verdict import Judgement, Verdict
from tests.rollout.progress_samples import HOUR, in_canary, judgement, soak


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
    assert "`rollout resolve-hold adopt request-isolation --reason …`" in how_resolved(held_by_drift(Verdict.FAIL))
    assert "`rollout resolve-hold continue request-isolation --reason …`" in how_resolved(
        held_by_drift(Verdict.ERROR, "cpu")
    )
    assert how_resolved(held_by_drift(Verdict.ERROR)) == ""


def test_an_ordinary_hold_names_every_command_that_ends_it_and_only_those() -> None:
    gates, changed, unread = (
        held_by_drift(Verdict.PASS, "cpu"),
        held_by_drift(Verdict.FAIL),
        held_by_drift(Verdict.ERROR),
    )
    assert gates.current.soak_state is not None
    gates.current.soak_state = gates.current.soak_state.model_copy(update={"causes": ("cpu",)})

    assert how_it_goes_on(gates) == (
        "the credit clock stands and runs again when every gate passes; `rollout resolve-hold continue "
        "request-isolation --reason …` goes on without the gates that do not pass now; to take it back: "
        "`rollout emergency-rollback request-isolation --reason …`"
    )
    assert "`rollout resolve-hold adopt request-isolation --reason …` goes on with what somebody" in how_it_goes_on(
        changed
    )
    assert "when flags and traffic are what the rollout set and every gate passes" in how_it_goes_on(changed)
    assert "resolve-hold continue" not in how_it_goes_on(changed)
    assert "resolve-hold" not in how_it_goes_on(unread)


def test_what_is_said_of_one_gate_and_of_several_agrees_with_their_number() -> None:
    assert how_passed_over(("cpu",), ("cpu",)) == ["cpu holds this stage no longer"]
    assert how_passed_over(("cpu", "p95"), ("cpu", "p95")) == ["cpu, p95 hold this stage no longer"]
    held = in_canary(RolloutStatus.HOLDING)
    held.current.soak_state = held_by("cpu", "p95")
    assert why_not_resolved(held, "adopt") == "nobody else changed flags or traffic; cpu, p95 hold"
    assert why_not_passed_over(held, "continue", ("ram", "disk")) == (
        "ram, disk do not hold this stage; what holds it, or did, are cpu, p95"
    )
    held.current.soak_state = held_by("cpu")
    assert why_not_resolved(held, "adopt") == "nobody else changed flags or traffic; cpu holds"
    assert why_not_passed_over(held, "continue", ("",)) == (
        "'' does not hold this stage; what holds it, or did, is cpu"
    )


def held_by(*causes: str) -> SoakState:
    return soak(HOUR).model_copy(update={"standing": "holding", "causes": causes})


def said(gate: str, verdict: Verdict, reason: str) -> Judgement:
    return judgement(gate, verdict).model_copy(update={"reason": reason})


def test_people_are_told_what_does_not_pass_now_and_not_what_held_before_and_passes_again() -> None:
    judgements = [
        said("cpu", Verdict.PASS, "Backend CPU: +4 %, limit ≤ +10 %"),
        said("errors", Verdict.UNKNOWN, "Errors: no data"),
        said("p95", Verdict.FAIL, "p95: 310 ms, limit ≤ 250 ms"),
    ]

    assert what_holds(held_by("cpu", "errors"), judgements) == "Errors: no data"


def test_what_a_person_passes_over_are_the_gates_that_they_are_told_of() -> None:
    judgements = [
        said("cpu", Verdict.PASS, "Backend CPU: +4 %, limit ≤ +10 %"),
        said("errors", Verdict.UNKNOWN, "Errors: no data"),
        said("events", Verdict.IDLE, "Events: none"),
        said("p95", Verdict.FAIL, "p95: 310 ms, limit ≤ 250 ms"),
        said(DRIFT, Verdict.ERROR, "flags could not be read"),
        said(SWITCHED_OFF, Verdict.FAIL, "websocket_isolation was turned off alone"),
    ]
    held = held_by("cpu", DRIFT, "errors", "events", SWITCHED_OFF)

    assert gates_that_hold(held, judgements) == ("errors",)
    assert gates_that_hold(held, judgements[:1]) == ()
    # Nobody judged any of them: told, and passed over, is all that held.
    assert gates_that_hold(held, judgements[3:4]) == ("cpu", "errors", "events")


def test_what_is_said_of_several_gates_is_said_once() -> None:
    judgements = [
        said("cpu", Verdict.UNKNOWN, "Backend CPU: no data"),
        said("errors", Verdict.SUSPECT, "Errors: +2 points: harm is proven"),
        said("memory", Verdict.UNKNOWN, "Backend memory: no data"),
    ]

    assert what_holds(held_by("cpu", "errors", "memory"), judgements) == (
        "Backend CPU, Backend memory: no data; Errors: +2 points: harm is proven"
    )


def test_a_hold_whose_gates_all_pass_again_says_how_it_ends_and_is_a_hold_still() -> None:
    stage = in_canary(RolloutStatus.HOLDING).current
    stage.soak_state, stage.judgements = held_by("cpu"), (said("cpu", Verdict.PASS, "Backend CPU: +4 %"),)

    assert why_held(stage) == "every gate passes again, and has to in 3 intervals in a row"


def test_a_rollout_that_goes_back_says_all_that_it_goes_back_for() -> None:
    failed = held_by("cpu").model_copy(update={"standing": "failed"})

    assert what_holds(failed, [said("cpu", Verdict.PASS, "Backend CPU: +40 % when it failed")]) == (
        "Backend CPU: +40 % when it failed"
    )
