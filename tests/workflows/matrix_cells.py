"""The cells of the matrix: the states a rollout is brought to, the commands it is given there, and what follows.

Four rules leave out what cannot be:

- `completed` and `refused` are the last words of a closed workflow, and Temporal answers for it that there is none.
- `rolling back` lasts only while something outside keeps the rollback from ending, so it stands under such faults only.
- `finish` while `watching` completes the rollout: nothing can be taken back after it.
- What the table of `rollout/commands.py` refuses changes nothing: in each cell all of it is asked for before the one
  command that is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from rollout.commands import CommandName, refusal
from rollout.messages import Command, Extend, FlagStage, Promote, ReplaceCandidate, ResolveHold
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from tests.workflows.small_plans import A_MOMENT, IN_CANARY, SMOKE_TEST, Shape

_S = RolloutStatus
_C = CommandName
NOTHING_YET, NOBODY, TENTH, HALF = "", "off", "10%", "50%"

WHY = "I know why"


@dataclass(frozen=True)
class Standing:
    """Where a rollout is seen to stand: its status, and what the flag store shows."""

    status: RolloutStatus
    shown: str


STATES: Mapping[RolloutStatus, tuple[Shape, Standing]] = {
    _S.STARTING: (Shape(), Standing(_S.STARTING, NOTHING_YET)),
    _S.AWAITING_WINDOW: (Shape(frozen=True), Standing(_S.AWAITING_WINDOW, TENTH)),
    _S.AWAITING_APPROVAL: (Shape(approval=True), Standing(_S.AWAITING_APPROVAL, TENTH)),
    _S.ENTERING: (Shape(check=SMOKE_TEST), Standing(_S.ENTERING, TENTH)),
    _S.SOAKING: (IN_CANARY, Standing(_S.SOAKING, TENTH)),
    _S.HOLDING: (IN_CANARY, Standing(_S.HOLDING, TENTH)),
    _S.PAUSED: (IN_CANARY, Standing(_S.PAUSED, TENTH)),
    _S.WATCHING: (Shape(staged_soak=A_MOMENT, watched=True), Standing(_S.WATCHING, HALF)),
    _S.ROLLING_BACK: (IN_CANARY, Standing(_S.SOAKING, TENTH)),
    _S.ROLLED_BACK: (IN_CANARY, Standing(_S.ROLLED_BACK, NOBODY)),
}
"""How a plan must be for its rollout to stand there, and what is seen then; for `rolling back`, just before."""

LASTING = [state for state in STATES if state is not _S.ROLLING_BACK]

LEADS_TO: Mapping[tuple[RolloutStatus, CommandName], Standing] = {
    **{
        (state, command): STATES[state][1]
        for command in (_C.EXTEND, _C.RETRY)
        for state in LASTING
        if refusal(command, state) is None
    },
    **{
        (state, _C.SET_STAGE): Standing(state, NOBODY)
        for state in (_S.AWAITING_WINDOW, _S.AWAITING_APPROVAL, _S.ENTERING, _S.SOAKING, _S.HOLDING, _S.PAUSED)
    },
    (_S.STARTING, _C.PAUSE): Standing(_S.PAUSED, NOTHING_YET),
    (_S.AWAITING_WINDOW, _C.PAUSE): Standing(_S.PAUSED, TENTH),
    (_S.AWAITING_WINDOW, _C.PROMOTE): Standing(_S.SOAKING, HALF),
    (_S.AWAITING_WINDOW, _C.STEP_BACK): Standing(_S.AWAITING_WINDOW, NOBODY),
    (_S.AWAITING_WINDOW, _C.REPLACE_CANDIDATE): Standing(_S.AWAITING_WINDOW, NOBODY),
    (_S.AWAITING_APPROVAL, _C.PAUSE): Standing(_S.PAUSED, TENTH),
    (_S.AWAITING_APPROVAL, _C.APPROVE): Standing(_S.SOAKING, HALF),
    (_S.AWAITING_APPROVAL, _C.STEP_BACK): Standing(_S.AWAITING_APPROVAL, NOBODY),
    (_S.AWAITING_APPROVAL, _C.REPLACE_CANDIDATE): Standing(_S.AWAITING_APPROVAL, NOBODY),
    (_S.ENTERING, _C.PAUSE): Standing(_S.PAUSED, TENTH),
    (_S.SOAKING, _C.PAUSE): Standing(_S.PAUSED, TENTH),
    (_S.SOAKING, _C.PROMOTE): Standing(_S.SOAKING, HALF),
    (_S.SOAKING, _C.STEP_BACK): Standing(_S.AWAITING_APPROVAL, NOBODY),
    (_S.SOAKING, _C.REPLACE_CANDIDATE): Standing(_S.SOAKING, TENTH),
    (_S.HOLDING, _C.PAUSE): Standing(_S.PAUSED, TENTH),
    (_S.HOLDING, _C.PROMOTE): Standing(_S.SOAKING, HALF),
    (_S.HOLDING, _C.STEP_BACK): Standing(_S.AWAITING_APPROVAL, NOBODY),
    (_S.HOLDING, _C.RESOLVE_HOLD): Standing(_S.SOAKING, TENTH),
    (_S.HOLDING, _C.REPLACE_CANDIDATE): Standing(_S.HOLDING, TENTH),
    (_S.PAUSED, _C.RESUME): Standing(_S.SOAKING, TENTH),
    (_S.PAUSED, _C.STEP_BACK): Standing(_S.PAUSED, NOBODY),
    (_S.PAUSED, _C.REPLACE_CANDIDATE): Standing(_S.PAUSED, NOBODY),
    (_S.WATCHING, _C.SET_STAGE): Standing(_S.WATCHING, NOBODY),
    (_S.WATCHING, _C.STEP_BACK): Standing(_S.AWAITING_APPROVAL, TENTH),
    (_S.WATCHING, _C.FINISH): Standing(_S.COMPLETED, HALF),
    (_S.ROLLED_BACK, _C.FINISH): Standing(_S.ROLLED_BACK, NOBODY),
}
"""Where each command that is taken leads, with nothing wrong outside, or once nothing is wrong any more."""

MEETS_SOMEBODY = (_C.SET_STAGE, _C.STEP_BACK, _C.REPLACE_CANDIDATE, _C.APPROVE, _C.PROMOTE)
"""The commands that lead to calls of outside systems; all others change the rollout's record and nothing else."""

ASKS_FIRST = (_C.SET_STAGE, _C.REPLACE_CANDIDATE)
"""The commands that are answered when the flag store has answered; all others at once, whatever is wrong outside."""


def taken_in(state: RolloutStatus) -> list[CommandName]:
    return [command for command in CommandName if refusal(command, state) is None]


def message(command: CommandName, plan: RolloutPlan) -> Command:
    """The command as somebody would give it who knows what it needs."""
    match command:
        case CommandName.PROMOTE:
            return Promote(by="kim", reason=WHY, force=True)
        case CommandName.EXTEND:
            return Extend(by="kim", reason=WHY, more=timedelta(hours=1))
        case CommandName.RESOLVE_HOLD:
            return ResolveHold(by="kim", reason=WHY, how="continue")
        case CommandName.SET_STAGE:
            return FlagStage(by="kim", reason=WHY, flag=plan.flags[0], stage="off")
        case CommandName.REPLACE_CANDIDATE:
            return ReplaceCandidate(by="kim", reason=WHY, images={"backend": "registry.example/backend:hotfix"})
        case _:
            return Command(by="kim", reason=WHY)
