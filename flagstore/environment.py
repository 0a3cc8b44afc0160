"""The kill switch of a whole environment: every group that ever began there, each by its own atomic emergency.

switched = await emergency_all(connect(url), "production", by="kim", reason="checkout is down")
"""

import asyncio
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flagstore.commands import commands
from flagstore.keys import groups_key
from flagstore.replies import StoreReply
from flagstore.store import FlagStore


@dataclass(frozen=True)
class EnvironmentEmergency:
    """By group: what the store replied, or why it is not known to be off."""

    replies: dict[str, StoreReply]
    failed: dict[str, str]

    @property
    def complete(self) -> bool:
        return not self.failed


async def groups_of(redis: Redis, environment: str) -> list[str]:
    """The groups of an environment, by name."""
    return sorted(await commands(redis).smembers(groups_key(environment)))


async def emergency_all(redis: Redis, environment: str, *, by: str, reason: str) -> EnvironmentEmergency:
    """Turn every flag of the environment off and latch every group. One group that fails does not keep the others on.

    Raises:
        redis.RedisError: the list of groups could not be read; nothing was changed.
    """
    groups = await groups_of(redis, environment)
    stores = [FlagStore(redis, environment, group) for group in groups]
    outcomes = await asyncio.gather(
        *(store.emergency(by=by, reason=reason) for store in stores), return_exceptions=True
    )
    replies, failed = {}, {}
    for group, outcome in zip(groups, outcomes, strict=True):
        if isinstance(outcome, StoreReply):
            replies[group] = outcome
        elif isinstance(outcome, RedisError | OSError):
            failed[group] = str(outcome) or type(outcome).__name__
        else:
            raise outcome
    return EnvironmentEmergency(replies, failed)
