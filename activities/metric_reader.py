"""What one look at a soak asks of the metrics: how late each one is, and what is visible of it by now."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from activities.recent_intervals import RecentIntervals
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import LATEST_ARRIVAL
from rollout.look_ahead import Visibility
from rollout.measurement import MeasurementSource, SourceFailure, TimeSeriesQuery
from rollout.soak import SoakState, align_down, due, missing
from rollout.watch import WatchRequest

# A look judges at most this much backlog before it saves its state, so that a long outage is caught up in pieces.
INTERVALS_PER_LOOK = 240
# Late data are looked for now and then: a gap is asked for whole, and it may be hours long.
INTERVALS_BETWEEN_GAP_QUERIES = 15
# However late a look is, the next one does not follow at once.
SHORTEST_PAUSE = timedelta(milliseconds=200)


class MetricReader:
    def __init__(self, source: MeasurementSource) -> None:
        self._source = source
        self._recent = RecentIntervals(source)

    async def visibility(self, request: WatchRequest, now: datetime) -> Visibility:
        known: dict[str, timedelta] = {}
        for metric, query in _queries(request).items():
            # A source that fails here is asked for data next, and that failure is judged with its reason.
            with suppress(SourceFailure):
                known[metric] = await self._source.ingest_delay(query)
        return Visibility(now, known)

    async def ask(
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


def pause_after(visibility: Visibility, soak: SoakState, *, caught_up: bool) -> timedelta:
    """How long until the next look is worth it."""
    until_the_next = visibility.next_look(soak.interval) if caught_up else SHORTEST_PAUSE
    return max(until_the_next, SHORTEST_PAUSE)


def _queries(request: WatchRequest) -> dict[str, TimeSeriesQuery]:
    return {metric: query for bound in request.gates.values() for metric, query in bound.queries.items()}


def _longest_window(request: WatchRequest, metric: str, interval: timedelta) -> timedelta:
    return max(getattr(bound.gate, "window", interval) for bound in request.gates.values() if metric in bound.queries)
