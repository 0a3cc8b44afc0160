"""The flag store for a command: opened by the settings, its failures said as outcomes, its groups found by name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from pydantic import ValidationError
from redis.asyncio import Redis

from config.settings import Settings
from flagstore.connection import STORE_FAILURES, connect, what_it_did
from flagstore.environment import groups_of
from flagstore.keys import groups_key
from flagstore.replies import SafetyState
from flagstore.store import DamagedStore, FlagStore
from rollout.field_problems import in_a_line
from rollout.traffic import ServiceAnchor
from starter.outcome import CommandEnds, ExitCode, failed, refused

_ANY = groups_key("ENVIRONMENT").replace("ENVIRONMENT", "*")


class StoreSilent(CommandEnds):
    """The flag store did not say what it holds: it is away, is down or refuses whoever asks."""

    def __init__(self, address: str | None, failure: Exception) -> None:
        super().__init__(ExitCode.FAILED, f"the flag store at {address} {what_it_did(failure)}: {failure}")


class HoldsNothing(CommandEnds):
    """The flag store answers, and knows nothing of what is meant: nothing ever began there, or its data were lost.

    `held` are the plans that it does know: a name may have been mistyped.
    """

    def __init__(self, group: str | None, environment: str | None, held: Sequence[str]) -> None:
        of, where = f" of {group}" if group else "", f" in {environment}" if environment else ""
        why = "no rollout has ever begun there, or it has lost its data"
        others = f"; it holds {', '.join(held)}" if held else ""
        super().__init__(ExitCode.REFUSED, f"the flag store holds nothing{of}{where}: {why}{others}")


@asynccontextmanager
async def flag_store(settings: Settings) -> AsyncIterator[Redis]:
    """A client of the store.

    Raises:
        StoreSilent: the store did not answer.
        CommandEnds: it holds what no store writes.
    """
    client = connect(settings.needed_redis_url)
    try:
        yield client
    except STORE_FAILURES as failure:
        raise StoreSilent(settings.redis_address, failure) from failure
    except DamagedStore as damage:
        raise failed(str(damage)) from damage
    finally:
        await client.aclose()


async def stores_meant(redis: Redis, environment: str | None, group: str | None) -> list[FlagStore]:
    """The store of a group, or of every group that ever began in an environment. Neither is needed where it is clear.

    Raises:
        HoldsNothing: there is no such group.
        CommandEnds: there are several environments to choose from.
    """
    known = [environment] if environment is not None else await environments(redis)
    found = {name: [group_ for group_ in await groups_of(redis, name) if group in (None, group_)] for name in known}
    meant = {name: groups for name, groups in found.items() if groups}
    if not meant:
        raise HoldsNothing(group, environment, await _all_groups(redis))
    if len(meant) > 1:
        what = f"{group} is" if group is not None else "there are flags"
        raise refused(f"--environment: {what} in several environments, say which one: {', '.join(meant)}")
    ((name, groups),) = meant.items()
    return [FlagStore(redis, name, each) for each in groups]


async def store_of_flag(redis: Redis, environment: str | None, flag: str, group: str | None = None) -> FlagStore:
    """The store of the one group that has a flag; of several that have it, the one that is named.

    Raises:
        CommandEnds: no group has it, or more than one.
    """
    held = [(store, await store.read()) for store in await stores_meant(redis, environment, group)]
    having = [store for store, snapshot in held if snapshot is not None and flag in snapshot.flags]
    if not having:
        known = sorted({name for _, snapshot in held if snapshot is not None for name in snapshot.flags})
        of = f" of {group}" if group is not None else ""
        raise refused(f"--flag {flag}: there is no such flag{of}; there are {', '.join(known) or 'none'}")
    if len(having) > 1:
        plans = ", ".join(store.keys.group for store in having)
        raise refused(f"--flag {flag}: several plans have it, say which one by --group: {plans}")
    return having[0]


def recorded_anchors(group: str, safety: SafetyState) -> list[ServiceAnchor]:
    """What each service's traffic was before the group's rollout touched it.

    Raises:
        DamagedStore: the record is no anchor.
    """
    try:
        return [ServiceAnchor.model_validate_json(text) for text in safety.anchors.values()]
    except ValidationError as failure:
        raise DamagedStore(f"the anchors of {group} cannot be read: {in_a_line(failure)}") from failure


async def _all_groups(redis: Redis) -> list[str]:
    """For whoever mistyped a name; what fails here must not be what he reads."""
    with suppress(*STORE_FAILURES):
        return [f"{group} ({name})" for name in await environments(redis) for group in await groups_of(redis, name)]
    return []


async def environments(redis: Redis) -> list[str]:
    """Every environment in which a group ever began, by name."""
    prefix, suffix = _ANY.split("*")
    keys = [str(key) async for key in redis.scan_iter(match=_ANY)]
    return sorted(key.removeprefix(prefix).removesuffix(suffix) for key in keys)
