"""Taking a rollout back, and believing only what is read back: flags from the store itself, traffic by the rollout."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import redis.exceptions
from temporalio.service import RPCError, RPCStatusCode

from flagstore import store
from flagstore.store import FlagStore
from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutProgress, RolloutStatus
from starter.outcome import CommandEnds, ExitCode, failed, refused
from starter.rollouts import ID_PREFIX, SERVER_ANSWERS_WITHIN, Rollouts
from starter.starting import MEMO_ENVIRONMENT, MEMO_GROUP

WORKER_MUST_ACT_WITHIN = timedelta(seconds=10)
ROLLED_BACK_WITHIN = timedelta(minutes=10)
"""A rollback goes on being tried for ever; this is only how long the command stays to see it."""
BETWEEN_READS = timedelta(milliseconds=100)
BETWEEN_LOOKS = timedelta(milliseconds=300)


@dataclass(frozen=True)
class Verified:
    """Seconds since the signal was sent."""

    flags_off_after: float
    rolled_back_after: float
    progress: RolloutProgress


async def take_back(
    rollouts: Rollouts, workflow_id: str, *, by: str, reason: str, redis_url: str | None, tell: Callable[[str], None]
) -> Verified:
    """Send the emergency signal and wait until the rollback was verified. `tell` hears each step as it is seen.

    Raises:
        CommandEnds: the rollout is closed, no worker acts, or something could not be verified.
    """
    description = await rollouts.describe(workflow_id)
    environment = await description.memo_value(MEMO_ENVIRONMENT, default=None)
    group = await description.memo_value(MEMO_GROUP, default=None)
    if environment is None or group is None:
        progress = (await rollouts.observe(workflow_id)).progress
        environment, group = (progress.environment, progress.plan) if progress else (None, None)
    await _signal(rollouts, workflow_id, by, reason)
    began = time.monotonic()
    tell(f"{workflow_id}: the emergency signal is recorded; waiting until everything was read back")
    flags: asyncio.Task[float] | None = None
    try:
        if redis_url is not None and environment is not None and group is not None:
            flags = asyncio.create_task(_flags_off(redis_url, environment, group, began, tell))
        progress = await _rolled_back(rollouts, workflow_id, began, tell)
        rolled_back_after = time.monotonic() - began
        if redis_url is None:
            # Asked for only now: nothing that is missing here may keep the signal from being sent.
            raise failed(
                f"the rollout reports {progress.status.replace('_', ' ')} after {rolled_back_after:.1f} s, but it is "
                "NOT VERIFIED from here: ROLLOUT_REDIS_URL is not set, so the flags could not be read back"
            )
        if flags is None:
            flags = asyncio.create_task(_flags_off(redis_url, progress.environment, progress.plan, began, tell))
        return Verified(await _soon(flags), rolled_back_after, progress)
    finally:
        if flags is not None:
            flags.cancel()


async def _signal(rollouts: Rollouts, workflow_id: str, by: str, reason: str) -> None:
    handle = rollouts.client.get_workflow_handle(workflow_id)
    try:
        await handle.signal(SIGNAL_EMERGENCY, {"by": by, "reason": reason}, rpc_timeout=SERVER_ANSWERS_WITHIN)
    except RPCError as failure:
        if failure.status is not RPCStatusCode.NOT_FOUND:
            raise failed(f"Temporal did not take the emergency signal: {failure.message}") from failure
        observation = await rollouts.observe(workflow_id)
        status = observation.progress.status.replace("_", " ") if observation.progress else observation.execution
        name = workflow_id.removeprefix(ID_PREFIX)
        raise refused(f"{name} is closed ({status}): there is nothing running that could be taken back") from None


async def _flags_off(redis_url: str, environment: str, group: str, began: float, tell: Callable[[str], None]) -> float:
    """Read the flag store itself until it holds the latch and every flag off; seconds since `began`."""
    client = store.connect(redis_url)
    try:
        flag_store = FlagStore(client, environment, group)
        while True:
            try:
                snapshot = await flag_store.read()
            except (redis.exceptions.RedisError, OSError):
                # The store may be the problem; the deadline of the whole command is what ends this.
                snapshot = None
            if snapshot is not None and snapshot.latch and all(f.exposure == "off" for f in snapshot.flags.values()):
                after = time.monotonic() - began
                tell(f"{after:6.1f} s  flags: read back from the store, latched, every one off")
                return after
            await asyncio.sleep(BETWEEN_READS.total_seconds())
    finally:
        await client.aclose()


async def _rolled_back(
    rollouts: Rollouts, workflow_id: str, began: float, tell: Callable[[str], None]
) -> RolloutProgress:
    told, acted = 0, False
    observation = None
    while True:
        observation = await rollouts.observe(workflow_id, observation)
        progress, waited = observation.progress, time.monotonic() - began
        rollback = progress.rollback if progress is not None else None
        if progress is not None and rollback is not None:
            acted = True
            for step in rollback.steps[told:]:
                tell(f"{waited:6.1f} s  rollout: {step.name}")
            told = len(rollback.steps)
            if progress.status is RolloutStatus.ROLLED_BACK:
                return progress
        if progress is not None and progress.status in (RolloutStatus.COMPLETED, RolloutStatus.REFUSED):
            raise refused(f"the rollout had ended as {progress.status} before the signal reached it")
        if not observation.is_open and progress is None:
            raise failed(f"the rollout's workflow is {observation.execution}: nothing will carry the rollback out")
        if not acted and waited > WORKER_MUST_ACT_WITHIN.total_seconds():
            raise failed(
                f"NOT VERIFIED: no worker acted within {WORKER_MUST_ACT_WITHIN.total_seconds():g} s. The signal is "
                "recorded and will be carried out as soon as a worker runs (`rollout worker`); until then people may "
                "still be exposed"
            )
        if waited > ROLLED_BACK_WITHIN.total_seconds():
            raise failed(
                f"NOT VERIFIED after {waited:.0f} s: the rollback goes on being tried. "
                f"`rollout status {workflow_id.removeprefix(ID_PREFIX)} --watch` follows it"
            )
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())


async def _soon(flags: "asyncio.Task[float]") -> float:
    try:
        return await asyncio.wait_for(flags, WORKER_MUST_ACT_WITHIN.total_seconds())
    except TimeoutError:
        raise CommandEnds(
            ExitCode.FAILED,
            "NOT VERIFIED: the rollout says that it is rolled back, but the flag store, read from here, does not show "
            "a latch with every flag off (ROLLOUT_REDIS_URL)",
        ) from None
