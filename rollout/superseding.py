"""What becomes of the rollout of a plan when the next one is to take its place, and when a person must decide first."""

from collections.abc import Mapping
from enum import StrEnum

from rollout.commands import CommandName, decisive
from rollout.holds import ended_by_hand
from rollout.progress import RolloutProgress, RolloutStatus


class Ending(StrEnum):
    """The values stand in the table of commands."""

    TAKEN_BACK = "taken back"
    """People may see the candidate, and it has not passed: flags off, traffic to its anchor, verified."""
    WATCH_ENDED = "ended"
    """The candidate is out and stays so; only its watch ends."""
    AWAITED = "awaited"
    """It has ended by itself, and closes once its last notices are sent."""


_S = RolloutStatus
_ENDINGS: Mapping[RolloutStatus, Ending] = {
    _S.WATCHING: Ending.WATCH_ENDED,
    _S.COMPLETED: Ending.AWAITED,
    _S.REFUSED: Ending.AWAITED,
}


def ending_at(status: RolloutStatus) -> Ending:
    return _ENDINGS.get(status, Ending.TAKEN_BACK)


def ending_of(progress: RolloutProgress) -> Ending:
    """How this rollout makes room for the next one. A watch that holds is a watch all the same."""
    return ending_at(decisive(CommandName.FINISH, progress.status, progress))


def why_not_superseded(progress: RolloutProgress) -> str | None:
    """Why a person must decide first; None where the next rollout may begin.

    Ending a watch that holds would make what its gates speak against the anchor of the next rollout, unseen; taking
    it back would take features from everybody that nobody asked to take.
    """
    if ending_of(progress) is not Ending.WATCH_ENDED or progress.status is not _S.HOLDING:
        return None
    keeps = "leaves everybody exposed, and this start then ends the watch"
    ways = [f"`rollout resolve-hold {how} {progress.plan} --reason …` {keeps}" for how in ended_by_hand(progress)]
    ways.append(f"`rollout resolve-hold rollback {progress.plan} --reason …` takes everything back")
    return (
        f"{progress.plan} has passed all its stages, and its watch holds: {progress.why}. Decide first: "
        + "; ".join(ways)
    )
