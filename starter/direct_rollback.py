"""Breaking the glass: flags off in Redis and traffic back at Cloud Run from this very process, without Temporal."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from google.auth.exceptions import GoogleAuthError
from redis.asyncio import Redis
from temporalio.exceptions import ApplicationError

from activities.cloud_run import CloudRunActivities, RestoreTraffic
from activities.failures import Failure
from config.settings import Settings, SettingsError
from flagstore.store import FlagStore
from rollout.traffic import ServiceAnchor
from starter.by_hand import gcloud_line
from starter.cloud_run_access import cloud_run
from starter.emergency import BY_HAND_AFTER
from starter.emergency_disable import disable
from starter.flag_store_access import HoldsNothing, StoreSilent, flag_store, recorded_anchors, stores_meant
from starter.flags_read_back import FLAGS_WITHOUT_THE_STORE
from starter.outcome import CommandEnds, refused
from starter.recorded_rollout import RecordedRollout, RecordedRollouts

RESTORED_WITHIN = timedelta(minutes=2)
"""Far beyond Cloud Run's usual seconds; after it a person is told what to type instead."""
WITHOUT_THE_STORE = f"""\
{FLAGS_WITHOUT_THE_STORE}
What the traffic was before is in that store too, and Temporal did not say it. By hand, for every service:
  gcloud run revisions list --service=SERVICE --project=PROJECT --region=REGION     the one before the newest
  gcloud run services update-traffic SERVICE --project=PROJECT --region=REGION --to-revisions=REVISION=100
Then bring the store back, with its data, and give this command again: only it keeps the flags off."""


@dataclass(frozen=True)
class Restored:
    """`gcloud` is what a person can type instead, where this command could not do it."""

    service: str
    after: float
    problem: str = ""
    gcloud: str = ""


@dataclass(frozen=True)
class BrokenGlass:
    flags_off: bool
    services: list[Restored]

    @property
    def verified(self) -> bool:
        return self.flags_off and not any(service.problem for service in self.services)


async def roll_back_directly(
    environment: str | None, group: str | None, *, by: str, reason: str, tell: Callable[[str], None]
) -> BrokenGlass:
    """Latch the flags, then give every service its anchored traffic back; each read back and told.

    What the flag store cannot say, because it is away, has lost it or has no address here, is read from the rollout's
    history in Temporal.

    Raises:
        CommandEnds: it is not clear what is meant, or neither the store nor Temporal could be asked; nothing was
            changed then.
        SettingsError: the store's address is not set, and Temporal does not know either; nothing was changed.
    """
    settings = Settings.from_environment()
    off, orders = False, list[RestoreTraffic]()
    try:
        async with flag_store(settings) as redis:
            store = await _meant(redis, environment, group)
            group = store.keys.group
            flags = await disable(store.keys.environment, group, by=by, reason=reason, tell=tell)
            off = all(not outcome.problem for outcome in flags)
            await _tell_who_is_refused(store, tell)
            orders = await _orders(store) or await _orders_without_the_record(store, tell)
    except (StoreSilent, SettingsError) as unreachable:
        temporal, recorded = await _as_temporal_knows_it(environment, group, unreachable)
        if not off:
            tell(_flags_left_on(recorded, unreachable))
        await _told(temporal, recorded, by, reason, tell)
        orders = _orders_of(recorded)
    except HoldsNothing as lost:
        temporal, recorded = await _as_temporal_knows_it(environment, group, lost)
        await _told(temporal, recorded, by, reason, tell)
        try:
            epoch = await _latched_anew(settings, recorded, by, reason, tell)
        except StoreSilent as silence:
            # It may be read, and not written to: a copy, or one that is full.
            epoch = None
            tell(_flags_left_on(recorded, silence))
        off, orders = epoch is not None, _orders_of(recorded, at_least=epoch)
    services = await _restore_all(settings, orders, tell)
    return BrokenGlass(off, services)


async def _as_temporal_knows_it(
    environment: str | None, group: str | None, unknown: CommandEnds | SettingsError
) -> tuple[RecordedRollouts, RecordedRollout]:
    """The rollout by its history.

    Raises:
        CommandEnds | SettingsError: `unknown`, where Temporal knows of no such rollout either.
    """
    temporal = await RecordedRollouts.where_temporal_answers()
    recorded = None if temporal is None else await temporal.meant(group)
    if temporal is None or recorded is None or environment not in (None, recorded.environment):
        raise unknown
    return temporal, recorded


def _flags_left_on(recorded: RecordedRollout, unreachable: StoreSilent | SettingsError) -> str:
    name = recorded.group
    by_hand = f"rollout emergency-disable {name} --environment {recorded.environment} --reason …"
    if isinstance(unreachable, StoreSilent):
        why = f"NOT OFF: {unreachable.text}. {FLAGS_WITHOUT_THE_STORE} When it is back, with its data:"
        return f"flags of {name}: {why}\n  {by_hand}"
    why = "NOT OFF: not touched from here, where ROLLOUT_REDIS_URL is not set. With the flag store's address:"
    return f"flags of {name}: {why}\n  ROLLOUT_REDIS_URL=redis://… {by_hand}"


async def _latched_anew(
    settings: Settings, recorded: RecordedRollout, by: str, reason: str, tell: Callable[[str], None]
) -> int | None:
    """Set the kill switch in a store that has lost the group, above every epoch that applications may have seen."""
    async with flag_store(settings) as redis:
        store = FlagStore(redis, recorded.environment, recorded.group)
        await store.emergency(by=by, reason=reason, min_epoch=recorded.fence)
        # A store that lost the group no longer knows whom the emergency takes back.
        await store.refuse_candidates(recorded.images, by=by, reason=reason)
        snapshot = await store.read()
    if snapshot is None or not snapshot.is_latched_off:
        tell(f"flags of {recorded.group}: NOT VERIFIED: the store took the kill switch, but reads back without it")
        return None
    tell(f"{recorded.group}: the flag store had lost its flags; the kill switch is set again, and read back")
    return snapshot.epoch


async def _told(
    temporal: RecordedRollouts, recorded: RecordedRollout, by: str, reason: str, tell: Callable[[str], None]
) -> None:
    """What this command could not do, the rollout itself does as soon as somebody carries it on."""
    if await temporal.tell(recorded.group, by=by, reason=reason):
        tell(f"{recorded.group}: its rollout is told; the next worker sees to whatever is left, flags and traffic")
    else:
        tell(f"{recorded.group}: no rollout runs that could be told, so that nobody else sees to what is left")
    tell(f"{recorded.group}: what its traffic was before is read from its history in Temporal")


async def _tell_who_is_refused(store: FlagStore, tell: Callable[[str], None]) -> None:
    candidates = (await store.read_safety()).candidates
    if candidates:
        images = ", ".join(sorted(candidates.values()))
        tell(f"{store.keys.group}: {images} refused from now on; `rollout start` takes it again only with `--again`")


async def _orders_without_the_record(store: FlagStore, tell: Callable[[str], None]) -> list[RestoreTraffic]:
    """The store has the group and no anchors: nothing was begun yet, or they were lost."""
    temporal, group = await RecordedRollouts.where_temporal_answers(), store.keys.group
    recorded = None if temporal is None else await temporal.meant(group)
    if recorded is None or not recorded.anchors or recorded.environment != store.keys.environment:
        tell("traffic: no rollout has recorded a service, so there is nothing to give back")
        return []
    tell(f"{group}: the flag store has no record of what its traffic was before; its history in Temporal has it")
    snapshot = await store.read()
    return _orders_of(recorded, at_least=snapshot.epoch if snapshot is not None else None)


def _orders_of(recorded: RecordedRollout, *, at_least: int | None = None) -> list[RestoreTraffic]:
    fence = max(recorded.fence, at_least or 0)
    return [RestoreTraffic(anchor=anchor, candidate=None, fence=fence) for anchor in recorded.anchors]


async def _meant(redis: Redis, environment: str | None, group: str | None) -> FlagStore:
    """The group of that name; without one, of the only rollout that has not ended."""
    stores = await stores_meant(redis, environment, group)
    if group is not None:
        return stores[0]
    under_way = [store for store in stores if (await store.read_safety()).owner is not None]
    if len(under_way) == 1:
        return under_way[0]
    names = ", ".join(store.keys.group for store in under_way or stores)
    what = f"{len(under_way)} rollouts are" if under_way else "no rollout is"
    raise refused(f"{what} under way; say whose flags and traffic are to go back: {names}")


async def _orders(store: FlagStore) -> list[RestoreTraffic]:
    """What is to be restored, signed with the emergency's own epoch: whatever is older is refused from then on."""
    snapshot = await store.read()
    safety = await store.read_safety()
    fence = max(safety.fence, snapshot.epoch if snapshot is not None else 0)
    anchors = recorded_anchors(store.keys.group, safety)
    return [RestoreTraffic(anchor=anchor, candidate=None, fence=fence) for anchor in anchors]


async def _restore_all(settings: Settings, orders: list[RestoreTraffic], tell: Callable[[str], None]) -> list[Restored]:
    try:
        async with cloud_run(settings) as services:
            return list(await asyncio.gather(*(_restore(services, order, tell) for order in orders)))
    except GoogleAuthError as failure:
        return [_not_restored(order.anchor, 0.0, str(failure), tell) for order in orders]


async def _restore(services: CloudRunActivities, order: RestoreTraffic, tell: Callable[[str], None]) -> Restored:
    began, anchor = time.monotonic(), order.anchor
    try:
        async with asyncio.timeout(RESTORED_WITHIN.total_seconds()):
            restoring = asyncio.create_task(services.restore_traffic(order))
            await asyncio.wait({restoring}, timeout=BY_HAND_AFTER.total_seconds())
            if not restoring.done():
                tell(
                    f"traffic of {anchor.service.service}: not back after {BY_HAND_AFTER.total_seconds():g} s; it goes "
                    f"on being tried. Beside it, by hand:\n  {gcloud_line(anchor)}"
                )
            split = await restoring
    except ApplicationError as failure:
        # Whoever wrote later may have given the traffic back before us; the store that knew of it may be away now.
        if failure.type != Failure.STALE_FENCE or not await _is_back(services, anchor):
            return _not_restored(anchor, time.monotonic() - began, failure.message, tell)
        split = anchor.split
    except TimeoutError:
        why = f"not back within {RESTORED_WITHIN.total_seconds():g} s"
        return _not_restored(anchor, time.monotonic() - began, why, tell)
    after = time.monotonic() - began
    tell(f"traffic of {anchor.service.service}: {split.in_words()}, read back after {after:.2f} s")
    return Restored(anchor.service.service, after)


async def _is_back(services: CloudRunActivities, anchor: ServiceAnchor) -> bool:
    try:
        async with asyncio.timeout(RESTORED_WITHIN.total_seconds()):
            return (await services.read_traffic(anchor.service)).shares == anchor.split.shares
    except (ApplicationError, TimeoutError):
        return False


def _not_restored(anchor: ServiceAnchor, after: float, why: str, tell: Callable[[str], None]) -> Restored:
    ref, gcloud = anchor.service, gcloud_line(anchor)
    tell(f"traffic of {ref.service}: NOT RESTORED: {why}. By hand:\n  {gcloud}")
    return Restored(ref.service, after, why, gcloud)
