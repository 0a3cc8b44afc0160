"""`rollout start --supersede`: the rollout of this plan that is under way is taken back first, in order."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from config.settings import Settings
from rollout.messages import UPDATE_FINISH, Command
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from starter.controlling import ask
from starter.emergency import take_back
from starter.outcome import CommandEnds, failed
from starter.rearming import clear_latch
from starter.rollouts import Rollouts, name_of

CLOSES_WITHIN = timedelta(seconds=30)
BETWEEN_LOOKS = timedelta(milliseconds=200)


async def supersede(
    settings: Settings, rollouts: Rollouts, plan: RolloutPlan, *, by: str, reason: str, tell: Callable[[str], None]
) -> None:
    """Take the open rollout of a plan back, verified; end its guard; clear the latch. Nothing to do where none is open.

    Where all stages had passed, nothing is taken back: the candidate is the new stable, and only the watch ends.

    Raises:
        CommandEnds: it could not be verified, or does not close; what was taken back stays so.
    """
    workflow_id = plan.workflow_id
    last = await rollouts.last_of(plan.name)
    if last is None or not last.is_open:
        return
    why = f"superseded: {reason}"
    progress = (await rollouts.observe(workflow_id)).progress
    if progress is not None and progress.status is RolloutStatus.WATCHING:
        await _closed(rollouts, workflow_id, Command(by=by, reason=why))
        tell(f"{workflow_id}: all its stages had passed; the watch after them is ended")
        return
    await take_back(rollouts, workflow_id, by=by, reason=why, redis_url=settings.redis_url, tell=tell)
    await _closed(rollouts, workflow_id, Command(by=by, reason=why))
    await clear_latch(settings, plan.environment, plan.name, by=by, reason=why, restore=False)
    tell(f"{workflow_id}: taken back, verified and closed; its kill switch is cleared for the one that follows")


async def _closed(rollouts: Rollouts, workflow_id: str, command: Command) -> None:
    """End its watch or its guard, whose time may be over before that: what counts is that the rollout closes."""
    try:
        await ask(rollouts, workflow_id, UPDATE_FINISH, command, None)
    except CommandEnds:
        if (await rollouts.observe(workflow_id)).is_open:
            raise
    deadline = asyncio.get_running_loop().time() + CLOSES_WITHIN.total_seconds()
    while (await rollouts.observe(workflow_id)).is_open:
        if asyncio.get_running_loop().time() > deadline:
            raise failed(f"{name_of(workflow_id)} has been asked to close, but has not yet: start again in a moment")
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
