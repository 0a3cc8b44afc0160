"""Watching a soaking stage: one look per attempt, and the server's own retries as the clock between the looks.

An attempt either returns, because something happened that is worth an event in the rollout's history, or fails
benignly and asks to be tried again when the next interval closes. No worker slot is held in between, a dead worker
costs nothing, and a soak of any length leaves the same handful of events.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clock import Clock
from activities.flag_access import Flags
from activities.recent_intervals import RecentIntervals
from activities.surroundings import Prober, Surroundings, TrafficReader
from rollout.flags import FlagSnapshot
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import LATEST_ARRIVAL, Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import MeasurementSource, SourceFailure, TimeSeriesQuery
from rollout.soak import SoakState, align_down, due, missing
from rollout.soak_evidence import of_soak
from rollout.watch import WatchBeat, WatchReport, WatchRequest
from rollout.wording import judgements_in_a_line

STILL_SOAKING = "StillSoaking"
# A look judges at most this much backlog before it saves its state, so that a long outage is caught up in pieces.
INTERVALS_PER_LOOK = 240
# Late data are looked for now and then: a gap is asked for whole, and it may be hours long.
INTERVALS_BETWEEN_GAP_QUERIES = 15
BETWEEN_HEARTBEATS = timedelta(seconds=5)
# However late a look is, the next one does not follow at once.
SHORTEST_PAUSE = timedelta(milliseconds=200)


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
        self._source = source
        self._surroundings = Surroundings(flags=flags, traffic=traffic, prober=prober)
        self._clock = clock
        self._recent = RecentIntervals(source)

    @activity.defn
    async def watch_gates(self, request: WatchRequest) -> WatchReport:
        """Look once. Returns on a transition; otherwise fails benignly until the next interval is due.

        Raises:
            ApplicationError: of type StillSoaking, retryable, with the current judgements as its text.
        """
        async with _heartbeating(beat := _last_beat(request)):
            return await self._look(request, beat)

    async def _look(self, request: WatchRequest, beat: WatchBeat) -> WatchReport:
        soak = beat.soak
        standing = Standing(soak, of_soak(beat.evidence, soak.since, request.gates), beat.judgements)
        snapshot, lost = await self._surroundings.flags_now(request.expected)
        if isinstance(snapshot, FlagSnapshot) and snapshot.latch:
            return standing.report("latched", lost)
        visibility = await self._visibility(request)
        all_ends = due(soak, visibility.complete_until)
        ends = all_ends[:INTERVALS_PER_LOOK]
        answers = await self._ask(request, soak, ends, visibility)
        around = await self._surroundings.look(request, snapshot, ends[-1] if ends else soak.judged_until)
        standing, transition = take_in(request, standing, answers, ends, around, visibility)
        if transition is not None:
            return standing.report(transition)
        activity.heartbeat(standing.beat(visibility.now))
        until_the_next = visibility.next_look(soak.interval) if ends == all_ends else SHORTEST_PAUSE
        raise ApplicationError(
            judgements_in_a_line(standing.soak, request.target, standing.judgements),
            type=STILL_SOAKING,
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=max(until_the_next, SHORTEST_PAUSE),
        )

    async def _visibility(self, request: WatchRequest) -> Visibility:
        now = await self._clock()
        known: dict[str, timedelta] = {}
        for metric, query in _queries(request).items():
            # A source that fails here is asked for data next, and that failure is judged with its reason.
            with suppress(SourceFailure):
                known[metric] = await self._source.ingest_delay(query)
        return Visibility(now, known)

    async def _ask(
        self, request: WatchRequest, soak: SoakState, ends: Sequence[datetime], visibility: Visibility
    ) -> Answers:
        """Every metric from the start of its longest window until where it is visible."""
        newest = ends[-1] if ends else soak.judged_until
        asked_now = (newest - soak.since) // soak.interval % INTERVALS_BETWEEN_GAP_QUERIES == 0
        gaps = [end for end in missing(soak) if end > newest - LATEST_ARRIVAL] if asked_now else []
        oldest = min([*ends, *gaps, soak.judged_until + soak.interval])
        backlog = due(soak, visibility.complete_until)[len(ends) :]

        async def answer(metric: str, query: TimeSeriesQuery) -> IntervalSeries:
            visible = align_down(visibility.until([metric]), soak.interval)
            start = max(soak.since, oldest - _longest_window(request, metric, soak.interval))
            end = newest if backlog else max(newest, visible)
            if end <= start:
                return IntervalSeries()
            return await self._recent.measure(query, start=start, end=end, interval=soak.interval, afresh=bool(gaps))

        queries = _queries(request)
        answered = await asyncio.gather(
            *(answer(metric, query) for metric, query in queries.items()), return_exceptions=True
        )
        intervals, failures = {}, {}
        for metric, found in zip(queries, answered, strict=True):
            if isinstance(found, SourceFailure):
                failures[metric] = str(found)
            elif isinstance(found, BaseException):
                raise found
            else:
                intervals[metric] = found
        return Answers(visibility.now, intervals, failures)


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


def _queries(request: WatchRequest) -> dict[str, TimeSeriesQuery]:
    return {metric: query for bound in request.gates.values() for metric, query in bound.queries.items()}


def _longest_window(request: WatchRequest, metric: str, interval: timedelta) -> timedelta:
    return max(getattr(bound.gate, "window", interval) for bound in request.gates.values() if metric in bound.queries)
