"""Which of several things that a rollout stands at decides whether a command is taken."""

import pytest

from rollout.commands import CommandName, decisive, refusal
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.soak import Suspension, held
from tests.rollout.progress_samples import NOON, in_canary


def why_not(command: CommandName, progress: RolloutProgress) -> str | None:
    return refusal(command, decisive(command, progress.status, progress))


def test_what_is_paused_and_steps_back_meanwhile_is_not_paused_twice_and_can_be_resumed() -> None:
    progress = in_canary(RolloutStatus.ENTERING)
    progress.suspensions.append(Suspension(since=NOON))

    assert why_not(CommandName.PAUSE, progress) == "cannot pause: it is paused already"
    assert why_not(CommandName.RESUME, progress) is None
    assert "a stage is being entered" in (why_not(CommandName.STEP_BACK, progress) or "")


def test_a_watch_after_the_last_stage_that_holds_is_ended_or_resolved_but_neither_paused_nor_promoted() -> None:
    progress = in_canary(RolloutStatus.HOLDING)
    progress.watched_until = NOON

    refused = {command for command in CommandName if why_not(command, progress) is not None}

    assert refused >= {CommandName.PAUSE, CommandName.PROMOTE, CommandName.EXTEND, CommandName.REPLACE_CANDIDATE}
    assert not refused & {CommandName.FINISH, CommandName.RESOLVE_HOLD, CommandName.STEP_BACK, CommandName.SET_STAGE}


def test_what_holds_a_paused_rollout_is_decided_about_and_where_nothing_does_that_is_said() -> None:
    progress = in_canary(RolloutStatus.PAUSED)
    progress.suspensions.append(Suspension(since=NOON))
    assert why_not(CommandName.RESOLVE_HOLD, progress) == "cannot resolve hold: nothing holds it"

    assert progress.current.soak_state is not None
    progress.current.soak_state = held(progress.current.soak_state, "cpu")

    assert why_not(CommandName.RESOLVE_HOLD, progress) is None
    assert why_not(CommandName.PROMOTE, progress) == "cannot promote: it is paused; resume it first"


@pytest.mark.parametrize("waiting", [RolloutStatus.AWAITING_APPROVAL, RolloutStatus.AWAITING_WINDOW])
def test_what_holds_the_stage_before_one_that_waits_is_decided_about(waiting: RolloutStatus) -> None:
    progress = in_canary(waiting)
    assert progress.current.soak_state is not None
    assert why_not(CommandName.RESOLVE_HOLD, progress) == "cannot resolve hold: nothing holds it"

    progress.current.soak_state = held(progress.current.soak_state, "cpu")

    assert why_not(CommandName.RESOLVE_HOLD, progress) is None


def test_what_others_deployed_is_decided_about_while_it_is_paused_too() -> None:
    progress = in_canary(RolloutStatus.PAUSED)
    progress.deployed_by_others = {"backend": "backend was changed by somebody else"}

    assert why_not(CommandName.RESOLVE_HOLD, progress) is None


def test_what_goes_back_takes_no_command_though_it_was_paused() -> None:
    progress = in_canary(RolloutStatus.ROLLING_BACK)
    progress.suspensions.append(Suspension(since=NOON))

    assert why_not(CommandName.RESUME, progress) == "cannot resume: the rollout is rolling back"
