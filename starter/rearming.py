"""Clearing the kill switch of a group of flags after a rollback, by an explicit decision of a person."""

from redis.asyncio import Redis

from config.settings import Settings
from config.temporal import TemporalUnreachable, connect
from flagstore.ownership import release
from flagstore.store import FlagStore, StoreReply
from rollout.superseding import Ending, ending_of
from starter.flag_store_access import flag_store, stores_meant
from starter.outcome import CommandEnds, refused
from starter.plan_file import group_and_environment
from starter.rollouts import LastRollout, Rollouts, workflow_id_of


async def rearm(
    settings: Settings, plan_or_group: str, environment: str | None, *, by: str, reason: str, restore: bool
) -> StoreReply:
    """Clear the latch of a group, if it is set and nothing guards it any more.

    Raises:
        CommandEnds: the group is not known, not latched, or its rollout is still open; or the store did not answer.
        PlanRefused: a plan file was given, and is wrong.
    """
    group, known = group_and_environment(plan_or_group, environment)
    found = await _last_rollout(group)
    if found is not None:
        if found.is_open:
            raise refused(
                f"{group}: its rollout is still open and would set the latch again. Nothing was changed. "
                f"`rollout status {group}` shows what it waits for"
            )
        known = known or found.environment
    return await clear_latch(settings, known, group, by=by, reason=reason, restore=restore)


async def clear_latch(
    settings: Settings, environment: str | None, group: str, *, by: str, reason: str, restore: bool
) -> StoreReply:
    """Clear the latch of a group whose rollout has closed, and give back what that one still owned.

    Raises:
        CommandEnds: the store holds nothing of the group, refused it, or did not answer.
    """
    async with flag_store(settings) as client:
        flags = FlagStore(client, environment, group) if environment else await _only_one(client, group)
        snapshot = await flags.read()
        if snapshot is None:
            where = flags.keys.environment
            raise refused(f"the flag store holds nothing for {group} in {where}: no rollout of it has ever begun there")
        owner = (await flags.read_safety()).owner
        reply = await flags.rearm(epoch=snapshot.epoch, by=by, reason=reason, restore=restore)
        if reply.accepted and owner is not None:
            # Whoever owned the flags has ended without giving anything back: it was terminated.
            await release(client, owner)
    if not reply.accepted:
        raise refused(f"{reply.sentence}. Nothing was changed")
    return reply


async def _only_one(client: Redis, group: str) -> FlagStore:
    """Of that name, wherever it is: Temporal may be down, and who set the latch need not have been a rollout."""
    (found,) = await stores_meant(client, None, group)
    return found


async def _last_rollout(group: str) -> LastRollout | None:
    """A kill switch must be clearable while Temporal is down, so its silence is no refusal.

    One that was refused or has completed guards nothing: it counts as closed while its last notices are sent.
    """
    try:
        rollouts = Rollouts(await connect())
    except TemporalUnreachable:
        return None
    last = await rollouts.last_of(group)
    if last is None or not last.is_open:
        return last
    try:
        progress = (await rollouts.observe(workflow_id_of(group))).progress
    except CommandEnds:
        return last
    ended = progress is not None and ending_of(progress) is Ending.AWAITED
    return last.model_copy(update={"is_open": not ended})
