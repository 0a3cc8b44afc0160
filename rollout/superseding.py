"""What becomes of the rollout of a plan when the next one is to take its place, and when a person must decide first."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from rollout.commands import CommandName, decisive
from rollout.holds import ended_by_hand
from rollout.messages import Command
from rollout.progress import ASKED_AGAIN, Event, RolloutProgress, RolloutStatus


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


def why_refused_afterwards(progress: RolloutProgress, images: Mapping[str, str]) -> str | None:
    """Why the next rollout would be refused once this one is taken back; None where it would not."""
    if ending_of(progress) is not Ending.TAKEN_BACK or dict(images) != progress.images:
        return None
    return (
        f"{progress.plan}: its rollout has these very images. Once it is taken back they are refused, and so is this "
        "start: name others, or say `--again --reason`"
    )


def taken_back_by_others(before: RolloutProgress, after: RolloutProgress, own: Command) -> str | None:
    """Who else asked, since `before` was read, to have it taken back, and why; None where nobody did.

    What they saw may be wrong with more than this rollout: the next one must not begin over it.
    """
    asked = {(event.by, event.text.removeprefix(ASKED_AGAIN)) for event in _asked_again(after)}
    asked -= {(event.by, event.text.removeprefix(ASKED_AGAIN)) for event in _asked_again(before)}
    if before.rollback is None and after.rollback is not None:
        asked.add((after.rollback.by, after.rollback.reason))
    others = sorted(f"{by or 'somebody'}: {reason}" for by, reason in asked - {(own.by, own.reason)})
    return "; ".join(others) or None


def _asked_again(progress: RolloutProgress) -> Iterator[Event]:
    return (event for event in progress.timeline if event.kind == "command" and event.text.startswith(ASKED_AGAIN))
