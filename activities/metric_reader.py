"""What one look at a soak asks of the metrics: how late each one is, and what is visible of it by now."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from activities.recent_intervals import RecentIntervals
from rollout.cohort_past import PastAnswers, past_to_ask, with_pasts
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import LATEST_ARRIVAL, Standing
from rollout.look_ahead import Visibility
from rollout.measurement import IntervalMeasurement, MeasurementSource, SourceFailure, TimeSeriesQuery, UnfitAnswer
from rollout.soak import SoakState, align_down, due, missing
from rollout.soak_evidence import SoakEvidence
from rollout.watch import Past, WatchRequest

# A look judges at most this much backlog before it saves its state, so that a long outage is caught up in pieces.
INTERVALS_PER_LOOK = 240
# Late data are looked for now and then: a gap is asked for whole, and it may be hours long.
INTERVALS_BETWEEN_GAP_QUERIES = 15
# However late a look is, the next one does not follow at once.
SHORTEST_PAUSE = timedelta(milliseconds=200)

T = TypeVar("T")


class MetricReader:
    """`at_hand`: the source need not be waited for, and nothing is won by asking it for several metrics at once."""

    def __init__(self, source: MeasurementSource, *, at_hand: bool = False) -> None:
        self._source = source
        self._at_hand = at_hand
        self._recent = RecentIntervals(source)

    async def visibility(self, request: WatchRequest, now: datetime) -> Visibility:
        known: dict[str, timedelta] = {}
        for metric, query in _queries(request).items():
            # A source that fails here is asked for data next, and that failure is judged with its reason.
            with suppress(SourceFailure):
                known[metric] = await self._source.ingest_delay(query)
        return Visibility(now, known)

    async def learn_the_past(
        self, request: WatchRequest, standing: Standing, visibility: Visibility
    ) -> tuple[Standing, Mapping[str, str]]:
        """The standing that knows what its cohorts were before, as far as it can be read; and why not, by metric."""
        answers = await self._ask_past(request, standing.evidence, visibility)
        if not answers.intervals:
            return standing, answers.failures
        # A second of arithmetic, once for a stage, which must not keep other rollouts' looks waiting.
        evidence = await asyncio.to_thread(with_pasts, request.gates, standing.evidence, standing.soak, answers)
        return replace(standing, evidence=evidence), answers.failures

    async def _ask_past(self, request: WatchRequest, evidence: SoakEvidence, visibility: Visibility) -> PastAnswers:
        """What the evidence does not know yet, a few hours at a time."""
        wanted = past_to_ask(request.gates, evidence, visibility)

        async def answer(query: TimeSeriesQuery, past: Past) -> list[IntervalMeasurement]:
            found: list[IntervalMeasurement] = []
            start, interval = past.since, request.soak.interval
            while start < past.until:
                end = min(past.until, start + INTERVALS_PER_LOOK * interval)
                # What was written wrongly then stays so: less is known, and less is allowed.
                with suppress(UnfitAnswer):
                    found += await self._source.measure(query, start=start, end=end, interval=interval)
                start = end
            return found

        answered = await asyncio.gather(*(answer(*asked) for asked in wanted.values()), return_exceptions=True)
        intervals, failures = _told_apart(wanted, answered)
        return PastAnswers(
            intervals,
            {metric: f"the cohort's past could not be read: {failure}" for metric, failure in failures.items()},
        )

    async def ask(
        self,
        request: WatchRequest,
        soak: SoakState,
        ends: Sequence[datetime],
        visibility: Visibility,
        unreadable: Mapping[str, str],
    ) -> Answers:
        """Every metric from the start of its longest window until where it is visible.

        `unreadable` are metrics whose past is not known: what is compared with it cannot be judged before it is.
        """
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
        asked = [answer(metric, query) for metric, query in queries.items()]
        answered = [await _or_failure(each) for each in asked] if self._at_hand else await _together(asked)
        intervals, failures = _told_apart(queries, answered)
        return Answers(visibility.now, intervals, failures, unreadable)


def _told_apart(metrics: Iterable[str], answered: Sequence[T | BaseException]) -> tuple[dict[str, T], dict[str, str]]:
    """By metric what was measured, and why nothing was; what no source says of itself is raised."""
    intervals: dict[str, T] = {}
    failures: dict[str, str] = {}
    for metric, found in zip(metrics, answered, strict=True):
        if isinstance(found, SourceFailure):
            failures[metric] = str(found)
        elif isinstance(found, BaseException):
            raise found
        else:
            intervals[metric] = found
    return intervals, failures


async def _together(asked: Iterable[Awaitable[IntervalSeries]]) -> Sequence[IntervalSeries | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


async def _or_failure(asked: Awaitable[IntervalSeries]) -> IntervalSeries | SourceFailure:
    try:
        return await asked
    except SourceFailure as failure:
        return failure


def pause_after(visibility: Visibility, soak: SoakState, *, caught_up: bool) -> timedelta:
    """How long until the next look is worth it."""
    until_the_next = visibility.next_look(soak.interval) if caught_up else SHORTEST_PAUSE
    return max(until_the_next, SHORTEST_PAUSE)


def _queries(request: WatchRequest) -> dict[str, TimeSeriesQuery]:
    return {metric: query for bound in request.gates.values() for metric, query in bound.queries.items()}


def _longest_window(request: WatchRequest, metric: str, interval: timedelta) -> timedelta:
    return max(getattr(bound.gate, "window", interval) for bound in request.gates.values() if metric in bound.queries)
