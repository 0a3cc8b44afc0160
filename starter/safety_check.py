"""`rollout status --emergency-check`: is anybody exposed? Read back from Redis and Cloud Run, believing nobody."""

import asyncio
from datetime import timedelta
from typing import Literal

from google.auth.exceptions import GoogleAuthError
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from activities.cloud_run import CloudRunActivities
from config.settings import Settings
from flagstore.connection import STORE_FAILURES
from flagstore.store import DamagedStore, FlagStore
from rollout.traffic import ServiceAnchor
from starter.cloud_run_access import cloud_run
from starter.flag_store_access import flag_store, recorded_anchors, stores_meant
from starter.flag_views import shown_to
from starter.recorded_rollout import RecordedRollouts

CLOUD_RUN_ANSWERS_WITHIN = timedelta(seconds=10)


class Finding(BaseModel):
    """One flag or one service. `unreadable` is never safe: what nobody can read may be exposed."""

    what: str
    state: Literal["safe", "exposed", "unreadable"]
    text: str


async def check_safety(environment: str | None, group: str | None) -> list[Finding]:
    """A finding for each flag, and for each service that a rollout has recorded an anchor of.

    What a store that lost its data no longer knows of the traffic is asked of the rollout's history in Temporal.

    Raises:
        CommandEnds: it is not clear what is meant, or the store could not be asked.
    """
    settings = Settings.from_environment()
    async with flag_store(settings) as redis:
        stores = await stores_meant(redis, environment, group)
        findings = [finding for store in stores for finding in await _flags(store)]
        anchors = [
            (store.keys.group, anchor)
            for store in stores
            for anchor in recorded_anchors(store.keys.group, await store.read_safety())
        ]
        forgotten = {store.keys.group for store in stores if await _has_lost_its_data(store)}
    for group_ in sorted(forgotten - {name for name, _ in anchors}):
        known = await _by_the_history(group_)
        anchors += [(group_, anchor) for anchor in known]
        if not known:
            findings.append(_traffic_is_forgotten(group_))
    if not anchors:
        return findings
    try:
        async with cloud_run(settings) as services:
            split = await asyncio.gather(*(_traffic(services, name, anchor) for name, anchor in anchors))
    except GoogleAuthError as failure:
        # One finding for each service, so that nobody takes silence for safety.
        split = [_unreadable(name, anchor, str(failure)) for name, anchor in anchors]
    return [*findings, *split]


async def _flags(store: FlagStore) -> list[Finding]:
    name = store.keys.group
    try:
        snapshot = await store.read()
    except (*STORE_FAILURES, DamagedStore) as failure:
        return [Finding(what=f"flags of {name}", state="unreadable", text=str(failure))]
    if snapshot is None:
        return [Finding(what=f"flags of {name}", state="unreadable", text="the store holds nothing: data were lost")]
    if snapshot.latch and not snapshot.flags:
        return [Finding(what=f"flags of {name}", state="safe", text="shown to nobody, kill switch set; none is kept")]
    return [
        Finding(
            what=f"flag {flag} ({name})",
            state="safe" if snapshot.latch or exposure.exposure == "off" else "exposed",
            text=f"shown to {shown_to(exposure, snapshot)}{', kill switch set' if snapshot.latch else ''}",
        )
        for flag, exposure in sorted(snapshot.flags.items())
    ]


async def _has_lost_its_data(store: FlagStore) -> bool:
    """An emergency in an empty store leaves a kill switch, and nothing of what had begun there."""
    try:
        snapshot = await store.read()
    except DamagedStore:
        return False
    return snapshot is not None and snapshot.latch and not snapshot.flags


async def _by_the_history(group: str) -> tuple[ServiceAnchor, ...]:
    temporal = await RecordedRollouts.where_temporal_answers()
    recorded = None if temporal is None else await temporal.meant(group, ended_too=True)
    return () if recorded is None else recorded.anchors


def _traffic_is_forgotten(group: str) -> Finding:
    text = "the flag store has lost what it was before the rollout, and Temporal does not say it either"
    return Finding(what=f"traffic of {group}", state="unreadable", text=text)


async def _traffic(services: CloudRunActivities, group: str, anchor: ServiceAnchor) -> Finding:
    try:
        async with asyncio.timeout(CLOUD_RUN_ANSWERS_WITHIN.total_seconds()):
            split = await services.read_traffic(anchor.service)
    except ApplicationError as failure:
        return _unreadable(group, anchor, failure.message)
    except TimeoutError:
        return _unreadable(group, anchor, f"no answer within {CLOUD_RUN_ANSWERS_WITHIN.total_seconds():g} s")
    back = split.shares == anchor.split.shares
    before = "" if back else f"; before the rollout it was {anchor.split.in_words()}"
    return Finding(
        what=f"traffic of {anchor.service.service} ({group})",
        state="safe" if back else "exposed",
        text=f"{split.in_words()}{before}",
    )


def _unreadable(group: str, anchor: ServiceAnchor, why: str) -> Finding:
    return Finding(what=f"traffic of {anchor.service.service} ({group})", state="unreadable", text=why)
