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
from config.settings import Settings
from flagstore.store import FlagStore
from rollout.traffic import ServiceAnchor
from starter.cloud_run_access import cloud_run
from starter.emergency import FLAGS_WITHOUT_THE_STORE
from starter.emergency_disable import disable
from starter.flag_store_access import flag_store, recorded_anchors, stores_meant
from starter.outcome import refused

RESTORED_WITHIN = timedelta(minutes=2)
"""Far beyond Cloud Run's usual seconds; after it a person is told what to type instead."""
WITHOUT_THE_STORE = f"""\
{FLAGS_WITHOUT_THE_STORE}
Where the traffic was before is in that store too. By hand, for every service of the rollout:
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

    Raises:
        CommandEnds: it is not clear what is meant, or the flag store could not be asked; nothing was changed then.
    """
    settings = Settings.from_environment()
    async with flag_store(settings) as redis:
        store = await _meant(redis, environment, group)
        where = store.keys
        flags = await disable(where.environment, where.group, by=by, reason=reason, tell=tell)
        orders = await _orders(store)
    if not orders:
        tell("traffic: no rollout has recorded a service, so there is nothing to give back")
    services = await _restore_all(settings, orders, tell)
    return BrokenGlass(all(not outcome.problem for outcome in flags), services)


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
            split = await services.restore_traffic(order)
    except ApplicationError as failure:
        return _not_restored(anchor, time.monotonic() - began, failure.message, tell)
    except TimeoutError:
        why = f"not back within {RESTORED_WITHIN.total_seconds():g} s"
        return _not_restored(anchor, time.monotonic() - began, why, tell)
    after = time.monotonic() - began
    tell(f"traffic of {anchor.service.service}: {split.in_words()}, read back after {after:.2f} s")
    return Restored(anchor.service.service, after)


def _not_restored(anchor: ServiceAnchor, after: float, why: str, tell: Callable[[str], None]) -> Restored:
    ref = anchor.service
    revisions = ",".join(f"{revision}={share}" for revision, share in sorted(anchor.split.shares.items()))
    gcloud = (
        f"gcloud run services update-traffic {ref.service} --project={ref.project} --region={ref.region} "
        f"--to-revisions={revisions}"
    )
    tell(f"traffic of {ref.service}: NOT RESTORED: {why}. By hand:\n  {gcloud}")
    return Restored(ref.service, after, why, gcloud)
