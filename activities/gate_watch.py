"""Watching a soaking stage: one look per attempt, and the server's own retries as the clock between the looks.

An attempt either returns, because something happened that is worth an event in the rollout's history, or fails
benignly and asks to be tried again when the next interval closes. No worker slot is held in between, a dead worker
costs nothing, and a soak of any length leaves the same handful of events.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

from temporalio import activity

from activities.clock import Clock
from activities.failures import not_yet
from activities.flag_access import Flags
from activities.metric_reader import INTERVALS_PER_LOOK, MetricReader, pause_after
from activities.surroundings import Prober, Surroundings, TrafficReader
from rollout.flags import FlagSnapshot
from rollout.foresight import Foresight
from rollout.look import Look, Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import MeasurementSource
from rollout.places import Places
from rollout.soak import due
from rollout.soak_evidence import of_soak
from rollout.watch import Expected, StoreWatchRequest, WatchBeat, WatchReport, WatchRequest
from rollout.wording import judgements_in_a_line

STILL_SOAKING = "StillSoaking"
NOT_PULLED = "NotPulled"
KEPT_FORESIGHTS = 256
"""Watches whose judgements ahead are kept at once; others judge ahead again at each look."""
BETWEEN_HEARTBEATS = timedelta(seconds=5)


class GateWatchActivities:
    """Looks at gates, flags and traffic. Every reader is given by the worker, so that none knows another."""

    def __init__(
        self,
        *,
        source: MeasurementSource,
        flags: Flags,
        traffic: TrafficReader,
        prober: Prober,
        clock: Clock,
    ) -> None:
        self._surroundings = Surroundings(flags=flags, traffic=traffic, prober=prober)
        self._clock = clock
        self._reader = MetricReader(source)
        self._foresights: Places[tuple[str, str], Foresight] = Places(KEPT_FORESIGHTS, monotonic)

    @activity.defn
    async def watch_gates(self, request: WatchRequest) -> WatchReport:
        """Look once. Returns on a transition; otherwise fails benignly until the next interval is due.

        Raises:
            ApplicationError: of type StillSoaking, retryable, with the current judgements as its text.
        """
        async with _heartbeating(beat := _last_beat(request)):
            return await self._look(request, beat)

    @activity.defn
    async def watch_store(self, request: StoreWatchRequest) -> str:
        """Look once. Returns when the kill switch is set: empty, or what the store had lost; otherwise as above.

        Raises:
            ApplicationError: of type NotPulled, retryable, also while the store cannot be read.
        """
        expected = Expected(
            environment=request.environment, group=request.group, fence=request.fence, flags={}, traffic=()
        )
        snapshot, lost = await self._surroundings.flags_now(expected)
        if isinstance(snapshot, FlagSnapshot) and snapshot.latch:
            return lost
        raise not_yet(
            "the kill switch is not set" if isinstance(snapshot, FlagSnapshot) else snapshot,
            NOT_PULLED,
            again_after=Visibility(await self._clock(), {}).next_look(request.interval),
        )

    async def _look(self, request: WatchRequest, beat: WatchBeat) -> WatchReport:
        soak = beat.soak
        standing = Standing(soak, of_soak(beat.evidence, soak.since, request.gates), beat.judgements)
        snapshot, lost = await self._surroundings.flags_now(request.expected)
        if isinstance(snapshot, FlagSnapshot) and snapshot.latch:
            return standing.report("latched", lost)
        visibility = await self._reader.visibility(request, await self._clock())
        standing, unreadable = await self._reader.learn_the_past(request, standing, visibility)
        all_ends = due(soak, visibility.complete_until)
        ends = all_ends[:INTERVALS_PER_LOOK]
        answers, around = await asyncio.gather(
            self._reader.ask(request, soak, ends, visibility, unreadable),
            self._surroundings.look(request, snapshot, ends[-1] if ends else soak.judged_until),
        )
        standing, transition = take_in(Look(request, answers, ends, around, visibility, self._foresight()), standing)
        if transition is not None:
            return standing.report(transition)
        activity.heartbeat(standing.beat(visibility.now))
        raise not_yet(
            judgements_in_a_line(standing.soak, request.target, standing.judgements),
            STILL_SOAKING,
            again_after=pause_after(visibility, soak, caught_up=ends == all_ends),
        )

    def _foresight(self) -> Foresight:
        """This watch's own, if its last look was made here."""
        info = activity.info()
        watch = (info.workflow_run_id or "", info.activity_id)
        kept = self._foresights.get(watch)
        if kept is None:
            self._foresights.put(watch, kept := Foresight())
        return kept


@asynccontextmanager
async def _heartbeating(beat: WatchBeat) -> AsyncIterator[None]:
    """Tells the server that this attempt is alive, with what the last one left: a dead worker is noticed in seconds."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(BETWEEN_HEARTBEATS.total_seconds())
            activity.heartbeat(beat)

    beating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        beating.cancel()


def _last_beat(request: WatchRequest) -> WatchBeat:
    details = activity.info().heartbeat_details
    if details:
        return WatchBeat.model_validate(details[0])
    return WatchBeat(soak=request.soak, evidence=request.evidence, judgements=(), as_of=request.soak.judged_until)
