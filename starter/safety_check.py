"""`rollout status --emergency-check`: is anybody exposed? Read back from Redis and Cloud Run, believing nobody."""

import asyncio
from datetime import timedelta
from typing import Literal, NamedTuple

from google.auth.exceptions import GoogleAuthError
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from activities.cloud_run import CloudRunActivities
from config.settings import Settings
from flagstore.connection import STORE_FAILURES
from flagstore.store import DamagedStore, FlagStore
from rollout.traffic import ServiceAnchor
from starter.cloud_run_access import cloud_run
from starter.flag_store_access import HoldsNothing, flag_store, recorded_anchors, stores_meant
from starter.flag_views import shown_to
from starter.recorded_rollout import RecordedRollout, RecordedRollouts

CLOUD_RUN_ANSWERS_WITHIN = timedelta(seconds=10)


class Finding(BaseModel):
    """One flag or one service. `unreadable` is never safe: what nobody can read may be exposed."""

    what: str
    state: Literal["safe", "exposed", "unreadable"]
    text: str


async def check_safety(environment: str | None, group: str | None) -> list[Finding]:
    """A finding for each flag, and for each service that a rollout has recorded an anchor of.

    What the store does not hold of the traffic is asked of the rollout's history in Temporal.

    Raises:
        CommandEnds: it is not clear what is meant, or the store could not be asked.
    """
    settings = Settings.from_environment()
    try:
        async with flag_store(settings) as redis:
            held = [await _held(store) for store in await stores_meant(redis, environment, group)]
    except HoldsNothing:
        if group is None or not await _has_not_begun(environment, group):
            raise
        text = "its rollout has not begun: no flag is written, no traffic changed"
        return [Finding(what=f"flags and traffic of {group}", state="safe", text=text)]
    findings = [finding for each in held for finding in each.flags]
    anchors = [(each.group, anchor) for each in held for anchor in each.anchors]
    for each in held:
        if not each.lacks:
            continue
        history = await _history(each.group)
        if history is not None and history.anchors:
            anchors += [(each.group, anchor) for anchor in history.anchors]
        else:
            findings.append(_traffic_without_anchors(each.group, each.lacks, is_untouched=history is not None))
    return [*findings, *await _all_traffic(settings, anchors)]


class _Held(NamedTuple):
    """What the store holds of one group; `lacks` says why it does not say what the traffic was before a rollout."""

    group: str
    flags: list[Finding]
    anchors: list[ServiceAnchor]
    lacks: str


async def _held(store: FlagStore) -> _Held:
    group, flags, lacks = store.keys.group, await _flags(store), ""
    try:
        anchors = recorded_anchors(group, await store.read_safety())
    except DamagedStore as damage:
        anchors, lacks = [], str(damage)
    if not anchors and await _holds_no_more_than_a_kill_switch(store):
        lacks = "the flag store does not hold what it was before a rollout"
    return _Held(group, flags, anchors, lacks)


async def _flags(store: FlagStore) -> list[Finding]:
    name = store.keys.group
    try:
        snapshot = await store.read()
    except (*STORE_FAILURES, DamagedStore) as failure:
        return [Finding(what=f"flags of {name}", state="unreadable", text=str(failure))]
    if snapshot is None:
        return [
            Finding(
                what=f"flags of {name}", state="unreadable", text="the store holds none: they never began, or were lost"
            )
        ]
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


async def _holds_no_more_than_a_kill_switch(store: FlagStore) -> bool:
    """An emergency in an empty store leaves that: nothing had begun there, or all of it was lost."""
    try:
        snapshot = await store.read()
    except DamagedStore:
        return False
    return snapshot is not None and snapshot.latch and not snapshot.flags


async def _history(group: str) -> RecordedRollout | None:
    """What Temporal knows of the newest rollout of that name.

    None, too, where an earlier one was ended from outside and may have left anything: the newest says nothing of that.
    """
    temporal = await RecordedRollouts.where_temporal_answers()
    recorded = None if temporal is None else await temporal.meant(group, ended_too=True)
    if temporal is None or recorded is None:
        return None
    return recorded if recorded.anchors or await temporal.each_ended_by_itself(group) else None


async def _has_not_begun(environment: str | None, group: str) -> bool:
    history = await _history(group)
    return history is not None and not history.begun and environment in (None, history.environment)


def _traffic_without_anchors(group: str, why: str, *, is_untouched: bool) -> Finding:
    if is_untouched:
        text = "no rollout has changed it, as their history in Temporal says"
        return Finding(what=f"traffic of {group}", state="safe", text=text)
    return Finding(what=f"traffic of {group}", state="unreadable", text=f"{why}, and Temporal does not say it either")


async def _all_traffic(settings: Settings, anchors: list[tuple[str, ServiceAnchor]]) -> list[Finding]:
    if not anchors:
        return []
    try:
        async with cloud_run(settings) as services:
            return await asyncio.gather(*(_traffic(services, name, anchor) for name, anchor in anchors))
    except GoogleAuthError as failure:
        # One finding for each service, so that nobody takes silence for safety.
        return [_unreadable(name, anchor, str(failure)) for name, anchor in anchors]


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
