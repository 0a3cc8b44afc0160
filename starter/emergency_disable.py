"""The kill switch of flags, pulled in the flag store itself: works with Temporal, its worker, or both down."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from redis.exceptions import RedisError
from temporalio.service import RPCError

from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from flagstore.held import Leases
from flagstore.store import DamagedStore, FlagStore
from rollout.messages import SIGNAL_EMERGENCY
from starter.flag_store_access import flag_store, stores_meant
from starter.outcome import CommandEnds
from starter.rollouts import Rollouts, workflow_id_of
from starter.starting import MEMO_ENVIRONMENT

CONFIRMED_WITHIN = timedelta(seconds=3)
"""Applications that are alive show a kill switch in milliseconds; one that is not turns off when its lease ends."""
ROLLOUTS_TOLD_WITHIN = timedelta(seconds=3)


@dataclass(frozen=True)
class Disabled:
    """What became of one group. `problem` says why its flags are not known to be off."""

    group: str
    flags: int
    off_after: float
    confirmed: int
    waiting: tuple[str, ...]
    problem: str = ""

    @property
    def verified(self) -> bool:
        return not self.problem and not self.waiting


async def disable(
    environment: str | None, group: str | None, *, by: str, reason: str, tell: Callable[[str], None]
) -> list[Disabled]:
    """Turn the flags of a plan, or of a whole environment, off and keep them off; read each back.

    Raises:
        CommandEnds: it is not clear what is meant, or the store could not be asked; nothing was changed then.
    """
    async with flag_store(Settings.from_environment()) as redis:
        stores = await stores_meant(redis, environment, group)
        outcomes = list(await asyncio.gather(*(_disable_one(store, by, reason) for store in stores)))
    for outcome in outcomes:
        tell(in_words(outcome))
    await _tell_rollouts([store.keys.environment for store in stores], outcomes, by, reason, tell)
    return outcomes


def in_words(outcome: Disabled) -> str:
    if outcome.problem:
        return f"{outcome.group}: NOT VERIFIED: {outcome.problem}"
    flags = f"{outcome.flags} flag{'s' if outcome.flags != 1 else ''}"
    known = outcome.confirmed + len(outcome.waiting)
    seen = f"{outcome.confirmed} of {known} application instances confirm it" if known else "no application is known"
    text = f"{outcome.group}: {flags} off, latched, read back after {outcome.off_after:.2f} s; {seen}"
    if outcome.waiting:
        lease = Leases().partial.total_seconds()
        text += f". Not yet: {', '.join(outcome.waiting)}; whoever is silent turns off by itself after {lease:g} s"
    return text


async def _disable_one(store: FlagStore, by: str, reason: str) -> Disabled:
    """One group that fails must not keep the others on, so a failure is part of the answer."""
    group, began = store.keys.group, time.monotonic()
    try:
        reply = await store.emergency(by=by, reason=reason)
        snapshot = await store.read()
        after = time.monotonic() - began
        if snapshot is None or not snapshot.latch or any(flag.exposure != "off" for flag in snapshot.flags.values()):
            return Disabled(group, 0, after, 0, (), "the store took the kill switch, but reads back without it")
        position = (reply.epoch, reply.rev)
        seen = await store.confirmed_by_applications(position, within=CONFIRMED_WITHIN, lease=Leases().partial)
    except (RedisError, OSError, DamagedStore) as failure:
        return Disabled(group, 0, time.monotonic() - began, 0, (), f"the flag store failed: {failure}")
    return Disabled(group, len(snapshot.flags), after, len(seen.confirmed), seen.waiting)


async def _tell_rollouts(
    environments: Sequence[str], outcomes: Sequence[Disabled], by: str, reason: str, tell: Callable[[str], None]
) -> None:
    """Rollouts see the latch at their next look anyway; the signal only makes it sooner."""
    try:
        async with asyncio.timeout(ROLLOUTS_TOLD_WITHIN.total_seconds()):
            rollouts = Rollouts(await connect())
            for environment, outcome in zip(environments, outcomes, strict=True):
                if await _is_running(rollouts, environment, outcome.group):
                    handle = rollouts.client.get_workflow_handle(workflow_id_of(outcome.group))
                    await handle.signal(SIGNAL_EMERGENCY, {"by": by, "reason": reason})
                    tell(f"{outcome.group}: its running rollout is told, and takes the traffic back too")
    except (TemporalUnreachable, TimeoutError, RPCError, SettingsError) as failure:
        tell(
            f"Temporal was not told ({_why(failure)}): a rollout that runs sees the kill switch at its next check and "
            "takes the traffic back then; `rollout status --emergency-check` reads the traffic"
        )


def _why(failure: Exception) -> str:
    """Without what the transport has to say: whoever reads this has other worries."""
    return str(failure) if isinstance(failure, SettingsError) else "it did not answer"


async def _is_running(rollouts: Rollouts, environment: str, group: str) -> bool:
    try:
        description = await rollouts.describe(workflow_id_of(group))
    except CommandEnds:
        return False
    is_open = description.status is not None and description.status.name == "RUNNING"
    return is_open and await description.memo_value(MEMO_ENVIRONMENT, default=environment) == environment
