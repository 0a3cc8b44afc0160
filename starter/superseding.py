"""`rollout start --supersede`: the rollout of this plan that is under way makes room first, in order."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from config.settings import Settings
from rollout.messages import UPDATE_FINISH, Command
from rollout.plan import RolloutPlan
from rollout.superseding import Ending, ending_of, why_not_superseded
from starter.controlling import ask
from starter.emergency import take_back
from starter.outcome import CommandEnds, failed, refused
from starter.rearming import clear_latch
from starter.rollouts import Rollouts, name_of

CLOSES_WITHIN = timedelta(seconds=30)
BETWEEN_LOOKS = timedelta(milliseconds=200)


async def supersede(
    settings: Settings, rollouts: Rollouts, plan: RolloutPlan, *, by: str, reason: str, tell: Callable[[str], None]
) -> None:
    """Make room for the next rollout of a plan. Nothing to do where none is open.

    One that is under way is taken back, verified; its guard ends, and its latch is cleared. Where all stages had passed
    nothing is taken back: the candidate is the new stable, and only the watch ends, unless it holds.

    Raises:
        CommandEnds: a person must decide first, or nobody can say how far it is (nothing was changed then); it could
            not be verified, or does not close; what was taken back stays so.
    """
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
    if undecided is not None:
        raise refused(f"{undecided}. Nothing was changed")
    command = Command(by=by, reason=f"superseded: {reason}")
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
                rollouts, workflow_id, by=by, reason=command.reason, redis_url=settings.redis_url, tell=tell
            )
            await _finish(rollouts, workflow_id, command)
            await clear_latch(settings, plan.environment, plan.name, by=by, reason=command.reason, restore=False)
            tell(f"{workflow_id}: taken back, verified and closed; its kill switch is cleared for the one that follows")


async def _finish(rollouts: Rollouts, workflow_id: str, command: Command) -> None:
    """End its watch or its guard, whose time may be over before that: what counts is that the rollout closes."""
    try:
        await ask(rollouts, workflow_id, UPDATE_FINISH, command, None)
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
