"""What is said to follow once a rollout is resumed is what does follow, whatever it was doing beside the pause."""

from rollout.progress import RolloutProgress, RolloutStatus
from rollout.resumption import how_resumed, what_follows_resuming
from rollout.verdict import Verdict
from tests.rollout.progress_samples import in_canary, judgement


def resumed(status: RolloutStatus, *, held: bool = False, passed: bool = False) -> RolloutProgress:
    progress = in_canary(status)
    stage = progress.current
    assert stage.soak_state is not None
    stage.state = "passed" if passed else "soaking"
    if held:
        stage.soak_state = stage.soak_state.model_copy(update={"standing": "holding", "causes": ("cpu",)})
        stage.judgements = (judgement("cpu", Verdict.FAIL),)
    return progress


def test_the_credit_clock_runs_where_a_stage_soaks_and_nothing_holds_it() -> None:
    assert what_follows_resuming(resumed(RolloutStatus.SOAKING)) == "the credit clock runs again"


def test_where_a_gate_holds_the_clock_stands_and_what_ends_the_hold_is_named() -> None:
    assert what_follows_resuming(resumed(RolloutStatus.SOAKING, held=True)) == (
        "held still (cpu: because): the credit clock stands and runs again when every gate passes, or at once by "
        "`rollout resolve-hold continue request-isolation --reason …`"
    )


def test_a_paused_rollout_that_is_held_too_says_so_and_what_ends_the_hold() -> None:
    assert how_resumed(resumed(RolloutStatus.PAUSED)) == "`rollout resume request-isolation`"
    assert how_resumed(resumed(RolloutStatus.PAUSED, held=True)) == (
        "`rollout resume request-isolation`; it is held too (cpu: because), which `rollout resolve-hold continue "
        "request-isolation --reason …` ends, paused as it is"
    )


def test_where_an_approval_is_waited_for_nothing_is_said_of_a_clock_but_what_it_waits_for() -> None:
    progress = resumed(RolloutStatus.AWAITING_APPROVAL, passed=True)
    progress.why, progress.next = "staged needs a person's approval", "`rollout approve request-isolation`"

    assert what_follows_resuming(progress) == "staged needs a person's approval; `rollout approve request-isolation`"


def test_where_the_stage_before_holds_beside_an_approval_both_are_said() -> None:
    progress = resumed(RolloutStatus.AWAITING_APPROVAL, held=True, passed=True)
    progress.why, progress.next = "staged needs a person's approval", "`rollout approve request-isolation`"

    assert what_follows_resuming(progress).endswith("`rollout approve request-isolation`; canary is held: cpu: because")
