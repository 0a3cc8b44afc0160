"""What may be asked of a rollout, and when: one table, which the workflow's validators and the documentation read.

The emergency is not here: it is a signal, and never refused.
"""

from collections.abc import Mapping
from enum import StrEnum

from rollout.holds import why_it_holds
from rollout.progress import RolloutProgress, RolloutStatus


class CommandName(StrEnum):
    """The values are the names of the Updates."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    EXTEND = "extend"
    STEP_BACK = "step_back"
    RESOLVE_HOLD = "resolve_hold"
    SET_STAGE = "set_stage"
    REPLACE_CANDIDATE = "replace_candidate"
    RETRY = "retry"
    FINISH = "finish"


_S = RolloutStatus
_WAITING = (_S.AWAITING_WINDOW, _S.AWAITING_APPROVAL)
_ENDING = (_S.ROLLING_BACK, _S.ROLLED_BACK, _S.COMPLETED, _S.REFUSED)
_NOTHING_YET = "nothing is exposed yet"
_ALL_PASSED = "all stages have passed"
_ENTERING = "a stage is being entered; wait until it soaks, or take everything back"
_NO_SOAK = "no stage soaks now"


def _refused(why: str, *statuses: RolloutStatus) -> dict[RolloutStatus, str]:
    return dict.fromkeys(statuses, why)


_REFUSALS: Mapping[CommandName, Mapping[RolloutStatus, str]] = {
    CommandName.PAUSE: {_S.PAUSED: "it is paused already", _S.WATCHING: _ALL_PASSED},
    CommandName.RESUME: _refused(
        "it is not paused", _S.STARTING, *_WAITING, _S.ENTERING, _S.SOAKING, _S.HOLDING, _S.WATCHING
    ),
    CommandName.APPROVE: _refused(
        "nothing waits for an approval",
        *(_S.STARTING, _S.AWAITING_WINDOW, _S.ENTERING, _S.SOAKING, _S.HOLDING, _S.PAUSED, _S.WATCHING),
    ),
    CommandName.PROMOTE: {
        **_refused(_NO_SOAK, _S.STARTING, _S.AWAITING_APPROVAL, _S.ENTERING),
        _S.PAUSED: "it is paused; resume it first",
        _S.WATCHING: _ALL_PASSED,
    },
    CommandName.EXTEND: {_S.WATCHING: _ALL_PASSED},
    CommandName.STEP_BACK: {_S.STARTING: _NOTHING_YET, _S.ENTERING: _ENTERING},
    CommandName.RESOLVE_HOLD: _refused(
        "nothing holds it", _S.STARTING, *_WAITING, _S.ENTERING, _S.SOAKING, _S.PAUSED, _S.WATCHING
    ),
    CommandName.SET_STAGE: {_S.STARTING: _NOTHING_YET},
    CommandName.REPLACE_CANDIDATE: {
        _S.STARTING: "it has not begun; take it back and start it anew",
        _S.ENTERING: _ENTERING,
        _S.WATCHING: f"{_ALL_PASSED}; `rollout start --supersede` begins the next one",
    },
    CommandName.RETRY: _refused(
        "what is under way is tried again by itself, every half minute at most", _S.STARTING, _S.ENTERING
    ),
    CommandName.FINISH: _refused(
        "it goes on; only the watch after the last stage and the guard after a rollback can be ended",
        *(_S.STARTING, *_WAITING, _S.ENTERING, _S.SOAKING, _S.HOLDING, _S.PAUSED, _S.ROLLING_BACK),
    ),
}


def refusal(command: CommandName, status: RolloutStatus) -> str | None:
    """Why a command is refused in a state, as a sentence; None where the state allows it."""
    why = _REFUSALS[command].get(status)
    if why is None and status in _ENDING and not (command is CommandName.FINISH and status is _S.ROLLED_BACK):
        why = f"the rollout is {in_words(status)}"
    return None if why is None else f"cannot {in_words(command)}: {why}"


def decisive(command: CommandName, status: RolloutStatus, progress: RolloutProgress) -> RolloutStatus:
    """Which of several things that a rollout stands at decides about a command.

    Paused, it may be stepping back meanwhile; watched after its last stage, it may be holding. What is paused, or
    waits, may be held too, and that is decided about all the same.
    """
    beside = status in (_S.PAUSED, *_WAITING) and command is CommandName.RESOLVE_HOLD
    if beside and why_it_holds(progress) is not None:
        return _S.HOLDING
    if command in (CommandName.PAUSE, CommandName.RESUME) and progress.paused and status not in _ENDING:
        return _S.PAUSED
    watched = status is _S.HOLDING and progress.watched_until is not None
    return _S.WATCHING if watched and command is not CommandName.RESOLVE_HOLD else status


def in_words(name: CommandName | RolloutStatus) -> str:
    return name.value.replace("_", " ")
