"""The kill switch of flags, pulled in the flag store itself: works with Temporal, its worker, or both down."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio.service import RPCError

from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from flagstore.held import Leases
from flagstore.kill_switch import SwitchedOff, switch_off
from rollout.counting import counted
from rollout.messages import SIGNAL_EMERGENCY
from starter.flag_store_access import flag_store, stores_meant
from starter.rollouts import Rollouts, workflow_id_of

CONFIRMED_WITHIN = timedelta(seconds=3)
"""Applications that are alive show a kill switch in milliseconds; one that is not turns off when its lease ends."""
ROLLOUTS_TOLD_WITHIN = timedelta(seconds=3)


async def disable(
    environment: str | None, group: str | None, *, by: str, reason: str, tell: Callable[[str], None]
) -> list[SwitchedOff]:
    """Turn the flags of a plan, or of a whole environment, off and keep them off; read each back.

    Raises:
        CommandEnds: it is not clear what is meant, or the store could not be asked; nothing was changed then.
    """
    async with flag_store(Settings.from_environment()) as redis:
        stores = await stores_meant(redis, environment, group)
        outcomes = await switch_off(stores, by=by, reason=reason, within=CONFIRMED_WITHIN, lease=Leases().partial)
    for outcome in outcomes:
        tell(in_words(outcome))
    await _tell_rollouts([store.keys.environment for store in stores], outcomes, by, reason, tell)
    return outcomes


def in_words(outcome: SwitchedOff) -> str:
    if outcome.problem:
        return f"{outcome.group}: NOT VERIFIED: {outcome.problem}"
    flags = counted(outcome.flags, "flag")
    known = len(outcome.confirmed) + len(outcome.waiting)
    seen = (
        f"{len(outcome.confirmed)} of {known} application instances confirm it" if known else "no application is known"
    )
    text = f"{outcome.group}: {flags} off, latched, read back after {outcome.off_after:.2f} s; {seen}"
    if outcome.waiting:
        lease = Leases().partial.total_seconds()
        text += f". Not yet: {', '.join(outcome.waiting)}; whoever is silent turns off by itself after {lease:g} s"
    return text


async def _tell_rollouts(
    environments: Sequence[str], outcomes: Sequence[SwitchedOff], by: str, reason: str, tell: Callable[[str], None]
) -> None:
    """Rollouts see the latch at their next look anyway; the signal only makes it sooner."""
    try:
        async with asyncio.timeout(ROLLOUTS_TOLD_WITHIN.total_seconds()):
            rollouts = Rollouts(await connect())
            for environment, outcome in zip(environments, outcomes, strict=True):
                last = await rollouts.last_of(outcome.group)
                if last is not None and last.is_open and last.environment in (None, environment):
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
