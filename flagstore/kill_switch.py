"""The kill switch of several groups at once: one atomic emergency each, read back, and confirmed by applications.

redis = connect(url)
stores = [FlagStore(redis, "production", group) for group in await groups_of(redis, "production")]
outcomes = await switch_off(stores, by="kim", reason="checkout is down", within=timedelta(seconds=3), lease=lease)
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from flagstore.connection import STORE_FAILURES
from flagstore.replies import DamagedStore
from flagstore.store import FlagStore


@dataclass(frozen=True)
class SwitchedOff:
    """What became of one group; `off_after` in seconds. `problem` says why its flags are not known to be off.

    `confirmed` and `waiting` name application instances that show it already, and that do not yet.
    """

    group: str
    off_after: float
    flags: int = 0
    confirmed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    problem: str = ""

    @property
    def verified(self) -> bool:
        return not self.problem and not self.waiting


async def switch_off(
    stores: Iterable[FlagStore], *, by: str, reason: str, within: timedelta, lease: timedelta
) -> list[SwitchedOff]:
    """Turn every flag of the groups off and latch them; wait at most `within` for applications to confirm it.

    A failure is part of the answer: one group that fails must not keep the others on.
    """
    return list(await asyncio.gather(*(_switch_off(store, by, reason, within=within, lease=lease) for store in stores)))


async def _switch_off(store: FlagStore, by: str, reason: str, *, within: timedelta, lease: timedelta) -> SwitchedOff:
    group, began = store.keys.group, time.monotonic()
    try:
        reply = await store.emergency(by=by, reason=reason)
        snapshot = await store.read()
        after = time.monotonic() - began
        if snapshot is None or not snapshot.is_latched_off:
            return SwitchedOff(group, after, problem="the store took the kill switch, but reads back without it")
        seen = await store.confirmed_by_applications((reply.epoch, reply.rev), within=within, lease=lease)
    except (*STORE_FAILURES, DamagedStore) as failure:
        return SwitchedOff(group, time.monotonic() - began, problem=f"the flag store failed: {failure}")
    return SwitchedOff(group, after, len(snapshot.flags), seen.confirmed, seen.waiting)
