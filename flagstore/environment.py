"""A whole environment: what its groups hold, and its kill switch, which is one atomic emergency per group.

redis = connect(url)
switched = await emergency_all(redis, "production", by="kim", reason="checkout is down")
told = await confirmed_everywhere(redis, "production", switched, within=timedelta(seconds=5), lease=Leases().partial)
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flagstore.acknowledgements import Acknowledgement, Confirmations
from flagstore.commands import commands
from flagstore.keys import groups_key
from flagstore.replies import DamagedStore, SafetyState, StoreReply
from flagstore.store import FlagStore
from rollout.flags import FlagSnapshot


@dataclass(frozen=True)
class GroupState:
    """One group now. Without `snapshot` its data were lost; with `damage` they cannot be read, and nothing is known."""

    group: str
    snapshot: FlagSnapshot | None
    safety: SafetyState | None
    acknowledgements: dict[str, Acknowledgement]
    damage: str | None = None


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


async def read_environment(redis: Redis, environment: str) -> list[GroupState]:
    """Every group by name, damaged ones included.

    Raises:
        redis.RedisError: the store did not answer.
    """
    return await asyncio.gather(
        *(_state_of(FlagStore(redis, environment, group)) for group in await groups_of(redis, environment))
    )


async def groups_with(redis: Redis, environment: str, flag: str) -> list[str]:
    """The groups that hold a flag: one, unless plans contradict each other; none where it is unknown.

    Raises:
        DamagedStore: a group cannot be read, so nobody knows whether it holds the flag.
        redis.RedisError: the store did not answer.
    """
    states = await read_environment(redis, environment)
    for state in states:
        if state.damage is not None:
            raise DamagedStore(state.damage)
    return [state.group for state in states if state.snapshot is not None and flag in state.snapshot.flags]


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


async def confirmed_everywhere(
    redis: Redis, environment: str, switched: EnvironmentEmergency, *, within: timedelta, lease: timedelta
) -> dict[str, Confirmations]:
    """By group that was switched off: which application instances have confirmed it, waiting at most `within` for all.

    Raises:
        redis.RedisError: the store did not answer. The emergency itself stands.
    """
    waited_for = await asyncio.gather(
        *(
            FlagStore(redis, environment, group).confirmed_by_applications(
                (reply.epoch, reply.rev), within=within, lease=lease
            )
            for group, reply in switched.replies.items()
        )
    )
    return dict(zip(switched.replies, waited_for, strict=True))


async def _state_of(store: FlagStore) -> GroupState:
    try:
        return GroupState(
            store.keys.group, await store.read(), await store.read_safety(), await store.acknowledgements()
        )
    except DamagedStore as damage:
        return GroupState(store.keys.group, None, None, {}, str(damage))
