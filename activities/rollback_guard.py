"""After a rollback: keep reading flags and traffic for a while, and undo what arrives late.

Google has no lock on traffic: a write that was under way when the rollback ran may land after it. The guard outlives
every such call. It looks once per attempt and lets the server schedule the next look, as the watch does.
"""

from datetime import datetime, timedelta
from typing import Protocol

from pydantic import BaseModel, ConfigDict
from temporalio import activity

from activities.clock import Clock
from activities.cloud_run import RestoreTraffic
from activities.failures import not_yet
from activities.flag_access import Flags
from rollout.moments import time_of_day
from rollout.traffic import Candidate, ServiceAnchor, ServiceRef, TrafficSplit

BETWEEN_LOOKS = timedelta(seconds=15)
LOOKS_AT_LEAST = 3


class GuardRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str
    group: str
    epoch: int
    anchors: tuple[ServiceAnchor, ...]
    candidates: tuple[Candidate, ...]
    began: datetime
    until: datetime


class GuardReport(BaseModel):
    """What the guard had to undo, each in a sentence."""

    undone: list[str]


class Traffic(Protocol):
    async def read_traffic(self, service: ServiceRef) -> TrafficSplit: ...

    async def restore_traffic(self, request: RestoreTraffic) -> TrafficSplit: ...


class RollbackGuardActivities:
    def __init__(self, *, flags: Flags, traffic: Traffic, clock: Clock) -> None:
        self._flags = flags
        self._traffic = traffic
        self._clock = clock

    @activity.defn
    async def guard_rollback(self, request: GuardRequest) -> GuardReport:
        """Look once; undo what is not as the rollback left it. Returns when the guard time is over.

        Raises:
            ApplicationError: of type StillGuarding, retryable, until then.
        """
        details = activity.info().heartbeat_details
        undone: list[str] = list(details[0]) if details else []
        undone += await self._flags_kept_off(request)
        for anchor in request.anchors:
            undone += await self._traffic_kept_back(request, anchor)
        now = await self._clock()
        if now >= request.until:
            return GuardReport(undone=undone)
        activity.heartbeat(undone)
        pause = min(BETWEEN_LOOKS, (request.until - request.began) / LOOKS_AT_LEAST, request.until - now)
        until = time_of_day(request.until, now, seconds=True)
        seen = f"flags off and traffic at its anchor at {now:%H:%M:%S}, guarding until {until}"
        raise not_yet(seen, "StillGuarding", again_after=pause)

    async def _flags_kept_off(self, request: GuardRequest) -> list[str]:
        snapshot = await self._flags.snapshot(request.environment, request.group)
        if snapshot is not None and snapshot.epoch >= request.epoch:
            # Still latched, or rearmed by a person since: either way nobody exposed anything behind our back.
            return []
        await self._flags.latch_again(
            request.environment,
            request.group,
            by="rollback guard",
            reason="the flag store had lost the rollback",
            # Above what applications have seen, so that none of them takes it for late.
            at_least_epoch=request.epoch + 1,
        )
        return ["the flag store had lost the kill switch; it is set again"]

    async def _traffic_kept_back(self, request: GuardRequest, anchor: ServiceAnchor) -> list[str]:
        split = await self._traffic.read_traffic(anchor.service)
        if split.shares == anchor.split.shares:
            return []
        candidate = next((c for c in request.candidates if c.service.key == anchor.service.key), None)
        await self._traffic.restore_traffic(RestoreTraffic(anchor=anchor, candidate=candidate, fence=request.epoch + 1))
        return [f"{anchor.service.service} served {split.in_words()} again; it is back at {anchor.split.in_words()}"]
