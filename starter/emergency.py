"""Taking a rollout back, and believing only what is read back: flags from the store itself, traffic by the rollout."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio.service import RPCError, RPCStatusCode

from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import Rollback, RolloutProgress, RolloutStatus
from starter.by_hand import gcloud_line
from starter.flags_read_back import FlagsReadBack
from starter.outcome import CommandEnds, ExitCode, failed
from starter.rollouts import (
    MEMO_ENVIRONMENT,
    MEMO_GROUP,
    SERVER_ANSWERS_WITHIN,
    Observation,
    Rollouts,
    how_it_ended,
    name_of,
)

WORKER_MUST_ACT_WITHIN = timedelta(seconds=10)
"""Begin, turn the flags off, and answer whenever it is asked: a worker may be killed after any of them."""
ASK_AGAIN_AFTER = timedelta(seconds=3)
"""A rollout whose history stands still may be waiting for Cloud Run, or have lost its worker."""
BY_HAND_AFTER = timedelta(seconds=30)
"""Without the traffic read back this is more than Cloud Run's usual seconds: a person may do it beside the rollout."""
ROLLED_BACK_WITHIN = timedelta(minutes=10)
"""A rollback goes on being tried for ever; this is only how long the command stays to see it."""
BETWEEN_LOOKS = timedelta(milliseconds=300)


@dataclass(frozen=True)
class Verified:
    """Seconds since the signal was sent."""

    flags_off_after: float
    rolled_back_after: float
    progress: RolloutProgress


class NobodyActs(CommandEnds):
    """The rollback is not being carried out by any rollout; whoever asked for it has to do it another way."""

    def __init__(self, text: str) -> None:
        super().__init__(ExitCode.FAILED, text)


class Closed(CommandEnds):
    """The rollout of that name that Temporal shows has ended by itself."""

    def __init__(self, text: str) -> None:
        super().__init__(ExitCode.REFUSED, text)


async def take_back(
    rollouts: Rollouts, workflow_id: str, *, by: str, reason: str, redis_url: str | None, tell: Callable[[str], None]
) -> Verified:
    """Send the emergency signal and wait until the rollback was verified. `tell` hears each step as it is seen.

    Raises:
        NobodyActs: no worker acts, or no longer, or the rollout's workflow was ended from outside.
        TemporalSilent: the server does not answer, or no longer.
        CommandEnds: the rollout is closed, or something could not be verified.
    """
    description = await rollouts.describe(workflow_id)
    environment = await description.memo_value(MEMO_ENVIRONMENT, default=None)
    group = await description.memo_value(MEMO_GROUP, default=None)
    if environment is None or group is None:
        progress = (await rollouts.observe(workflow_id)).progress
        environment, group = (progress.environment, progress.plan) if progress else (None, None)
    sent = await _signal(rollouts, workflow_id, by, reason)
    if sent:
        tell(f"{workflow_id}: the emergency signal is recorded; waiting until everything was read back")
    else:
        tell(f"{workflow_id} was rolled back before and is closed; reading the flags back once more")
    began = time.monotonic()
    flags = FlagsReadBack(redis_url, began, tell)
    try:
        if environment is not None and group is not None:
            flags.begin(environment, group)
        progress = await _rolled_back(rollouts, workflow_id, began, tell if sent else _keep_quiet, flags)
        rolled_back_after = time.monotonic() - began
        if redis_url is None:
            # Asked for only now: nothing that is missing here may keep the signal from being sent.
            raise failed(
                f"the rollout reports {progress.status.replace('_', ' ')} after {rolled_back_after:.1f} s, but it is "
                "NOT VERIFIED from here: ROLLOUT_REDIS_URL is not set, so the flags could not be read back"
            )
        flags.begin(progress.environment, progress.plan)
        return Verified(await flags.off_soon(), rolled_back_after, progress)
    finally:
        await flags.end()


async def _signal(rollouts: Rollouts, workflow_id: str, by: str, reason: str) -> bool:
    """Send it. False when the rollout is closed because it was rolled back: then there is nothing left to ask for."""
    handle = rollouts.client.get_workflow_handle(workflow_id)
    try:
        await handle.signal(SIGNAL_EMERGENCY, {"by": by, "reason": reason}, rpc_timeout=SERVER_ANSWERS_WITHIN)
    except RPCError as failure:
        if failure.status is not RPCStatusCode.NOT_FOUND:
            raise NobodyActs(f"Temporal did not take the emergency signal: {failure.message}") from failure
        observation = await rollouts.observe(workflow_id)
        if observation.progress is not None and observation.progress.status is RolloutStatus.ROLLED_BACK:
            return False
        if not observation.ended_by_itself:
            raise NobodyActs(f"{workflow_id} was {observation.execution}: no rollout carries anything out") from None
        name = name_of(workflow_id)
        raise Closed(
            f"{name} is closed ({how_it_ended(observation)}): there is nothing running that could be taken back. "
            f"`rollout emergency-rollback {name} --direct --reason …` takes its flags off and gives its services the "
            "traffic that they had before it"
        ) from None
    return True


async def _rolled_back(
    rollouts: Rollouts, workflow_id: str, began: float, tell: Callable[[str], None], flags: FlagsReadBack
) -> RolloutProgress:
    told, acted, by_hand, heard = 0, False, False, began
    observation = None
    while True:
        anew = time.monotonic() - heard > ASK_AGAIN_AFTER.total_seconds()
        observation = await rollouts.observe(workflow_id, None if anew else observation)
        if anew and observation.progress is not None:
            heard = time.monotonic()
        progress, waited = observation.progress, time.monotonic() - began
        rollback = progress.rollback if progress is not None else None
        if progress is not None and rollback is not None:
            acted = True
            for step in rollback.steps[told:]:
                tell(f"{waited:6.1f} s  rollout: {step.name}")
            told = len(rollback.steps)
            if progress.status is RolloutStatus.ROLLED_BACK:
                return progress
            if not by_hand and waited > BY_HAND_AFTER.total_seconds():
                by_hand = True
                tell(f"{waited:6.1f} s  {_what_else_can_be_done(progress, rollback)}")
        _still_to_be_taken_back(observation)
        nobody = _why_nobody_acts(acted=acted, flags=flags, waited=waited, unheard=time.monotonic() - heard)
        if nobody:
            raise NobodyActs(f"{nobody}. The signal is recorded")
        if waited > ROLLED_BACK_WITHIN.total_seconds():
            raise failed(
                f"NOT VERIFIED after {waited:.0f} s: the rollback goes on being tried. "
                f"`rollout status {name_of(workflow_id)} --watch` follows it"
            )
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())


def _still_to_be_taken_back(observation: Observation) -> None:
    progress = observation.progress
    if progress is not None and progress.status in (RolloutStatus.COMPLETED, RolloutStatus.REFUSED):
        raise Closed(f"the rollout had ended as {progress.status} before the signal reached it")
    if not observation.is_open and progress is None:
        raise NobodyActs(f"{observation.workflow_id} was {observation.execution}: no rollout carries anything out")


def _why_nobody_acts(*, acted: bool, flags: FlagsReadBack, waited: float, unheard: float) -> str:
    """Empty while a worker may still be at it."""
    patience = WORKER_MUST_ACT_WITHIN.total_seconds()
    if waited > patience and not acted:
        return f"no worker answered within {patience:g} s (`rollout worker` starts one)"
    if waited > patience and flags.on:
        return f"the flags are still on after {patience:g} s"
    if unheard > patience:
        return f"the worker that began has not answered for {patience:g} s (`rollout worker` starts another one)"
    return ""


def _what_else_can_be_done(progress: RolloutProgress, rollback: Rollback) -> str:
    back = {step.name.partition(":")[0] for step in rollback.steps}
    lines = [f"\n            {gcloud_line(anchor)}" for key, anchor in progress.anchors.items() if key not in back]
    by_hand = f" Traffic by hand, beside it:{''.join(lines)}" if lines else ""
    return f"rollout: not verified yet; it goes on being tried.{by_hand}"


def _keep_quiet(_: str) -> None:
    """For steps that were taken before this command was given."""
