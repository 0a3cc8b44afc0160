"""What ends a hold by a person's decision, and when that decision cannot be taken."""

from typing import Literal

from rollout.drift import DRIFT
from rollout.progress import RolloutProgress
from rollout.soak import SoakState


def why_not_resolved(progress: RolloutProgress, how: Literal["continue", "adopt", "rollback"]) -> str | None:
    """Why this hold does not end that way; None where it does."""
    soak = None if progress.entered_last is None else progress.stages[progress.entered_last].soak_state
    causes = soak.causes if soak is not None else ()
    if how == "continue" and DRIFT in causes:
        return "flags or traffic are not what the rollout set; `adopt` accepts them, `rollback` takes everything back"
    if how == "adopt" and DRIFT not in causes:
        return f"nobody else changed flags or traffic; {', '.join(causes)} holds"
    return None


def released(soak: SoakState) -> SoakState:
    """The soak without its hold; its credit clock runs with the next interval that counts."""
    return soak.model_copy(
        update={
            "standing": "passing",
            "causes": (),
            "not_passing_since": None,
            "passing_in_a_row": 0,
            "told_a_person": False,
        }
    )
