"""`rollout start --supersede`: the rollout of this plan that is under way makes room first, in order."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from config.settings import Settings
from rollout.commands import CommandName
from rollout.messages import Command, RolloutRequest
from rollout.progress import RolloutProgress
from rollout.superseding import (
    Ending,
    ending_of,
    taken_back_by_others,
    why_not_superseded,
    why_refused_afterwards,
)
from starter.controlling import ask
from starter.emergency import take_back
from starter.outcome import CommandEnds, failed, refused
from starter.rearming import clear_latch
from starter.rollouts import Rollouts, name_of

CLOSES_WITHIN = timedelta(seconds=30)
BETWEEN_LOOKS = timedelta(milliseconds=200)


async def supersede(
    settings: Settings, rollouts: Rollouts, request: RolloutRequest, *, tell: Callable[[str], None]
) -> None:
    """Make room for the rollout that is requested. Nothing to do where none of its plan is open.

    One that is under way is taken back, verified; its guard ends, and its latch is cleared. Where all stages had passed
    nothing is taken back: the candidate is the new stable, and only the watch ends, unless it holds. Where somebody
    else has it taken back meanwhile, the latch stays.

    Raises:
        CommandEnds: a person must decide first, or nobody can say how far it is (nothing was changed then); it could
            not be verified, does not close, or somebody else had it taken back; what was taken back stays so.
    """
    plan = request.plan
    workflow_id = plan.workflow_id
    last = await rollouts.last_of(plan.name)
    if last is None or not last.is_open:
        return
    observation = await rollouts.observe(workflow_id)
    if not observation.is_open:
        return
    if observation.progress is None:
        # A signal sent now would be carried out by the next worker, whatever had passed by then.
        raise failed(
            f"{plan.name}: nobody can say how far its rollout is, so it is not superseded: {observation.silence}. "
            "Nothing was changed"
        )
    undecided = why_not_superseded(observation.progress)
    if undecided is None and request.again is None:
        undecided = why_refused_afterwards(observation.progress, request.images)
    if undecided is not None:
        raise refused(f"{undecided}. Nothing was changed")
    command = Command(by=request.by, reason=f"superseded: {request.reason}")
    match ending_of(observation.progress):
        case Ending.AWAITED:
            await _until_closed(rollouts, workflow_id, "it has ended, and closes once its last notices are sent")
        case Ending.WATCH_ENDED:
            await _finish(rollouts, workflow_id, command)
            tell(
                f"{workflow_id}: all its stages had passed; the watch after them is ended, and what it serves is what "
                "the next one would go back to"
            )
        case Ending.TAKEN_BACK:
            await take_back(
                rollouts, workflow_id, by=command.by, reason=command.reason, redis_url=settings.redis_url, tell=tell
            )
            await _finish(rollouts, workflow_id, command)
            await _only_taken_back_by_this(rollouts, observation.progress, command)
            await clear_latch(
                settings, plan.environment, plan.name, by=command.by, reason=command.reason, restore=False
            )
            tell(f"{workflow_id}: taken back, verified and closed; its kill switch is cleared for the one that follows")


async def _only_taken_back_by_this(rollouts: Rollouts, before: RolloutProgress, own: Command) -> None:
    """Raises CommandEnds where an emergency came meanwhile: whoever sent it was told that everything stays off."""
    after = (await rollouts.observe(before.workflow_id)).progress
    others = "nobody can say why" if after is None else taken_back_by_others(before, after, own)
    if others is not None:
        raise failed(
            f"{before.plan}: taken back, verified and closed, but not only for the next rollout ({others}). Its kill "
            f"switch stays set, and nothing was started. When that is over: `rollout rearm {before.plan} --reason …`, "
            "and start again"
        )


async def _finish(rollouts: Rollouts, workflow_id: str, command: Command) -> None:
    """End its watch or its guard, whose time may be over before that: what counts is that the rollout closes."""
    try:
        await ask(rollouts, workflow_id, CommandName.FINISH, command, None)
    except CommandEnds:
        if (await rollouts.observe(workflow_id)).is_open:
            raise
    await _until_closed(rollouts, workflow_id, "it has been asked to close, but has not yet")


async def _until_closed(rollouts: Rollouts, workflow_id: str, otherwise: str) -> None:
    deadline = asyncio.get_running_loop().time() + CLOSES_WITHIN.total_seconds()
    while (await rollouts.observe(workflow_id)).is_open:
        if asyncio.get_running_loop().time() > deadline:
            raise failed(f"{name_of(workflow_id)}: {otherwise}: start again in a moment")
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
