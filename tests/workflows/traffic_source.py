"""Measurements in process: what a healthy service's users would have produced, and what a fault would add to it.

It answers as Cloud Monitoring does, per closed interval and group, from nothing but the interval's end; so the same
question always has the same answer. The monitoring client and its wire are tested elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import lru_cache

from rollout.measurement import (
    Counts,
    Group,
    Histogram,
    IntervalMeasurement,
    Sample,
    SourceFailure,
    TimeSeriesQuery,
)
from tests.rollout.samples import counts, latencies

REQUESTS_PER_MINUTE = 12_000
SMALLEST_PERCENTAGE = 0.05
"""A smaller share of treated users is an audience's."""
INGEST_DELAY = timedelta(minutes=2)

Fault = Callable[[str, Group, datetime, Sample], Sample | None]
"""(metric type, group, end of interval, healthy sample) to what is measured instead; None for no data."""


def no_fault(_metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
    return healthy


class TrafficSource:
    """A `MeasurementSource`. `treated_share` is asked at each look, so that it follows what the flags say."""

    def __init__(self, treated_share: Callable[[], Awaitable[float]], fault: Fault = no_fault) -> None:
        self.treated_share = treated_share
        self.fault = fault
        self.failing = ""
        self.hanging = False
        """Questions are taken and never answered."""
        self.delay = INGEST_DELAY
        self.delays: dict[str, timedelta] = {}
        """Metrics, by how their types end, that are later than `delay`."""
        self.fails_between: tuple[datetime, datetime] | None = None
        self.clock: Callable[[], Awaitable[datetime]] | None = None
        """With it, nothing is told before its delay has passed."""
        self.flags_clock: Callable[[], Awaitable[datetime]] | None = None
        """With it, a fault of treated users is met by the users of a cohort from when they are exposed."""
        self._exposed_since: datetime | None = None
        self._asked: tuple[datetime, asyncio.Future[float]] | None = None

    async def ingest_delay(self, query: TimeSeriesQuery) -> timedelta:
        return next((late for ending, late in self.delays.items() if query.metric.type.endswith(ending)), self.delay)

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            raise SourceFailure(self.failing)
        if self.clock is not None:
            end = await self._visible(query, start, end, interval)
        steps = range(1, (end - start) // interval + 1)
        share = await self._share_at(end)
        measured = (self._interval(query, start + step * interval, interval, share) for step in steps)
        return [measurement for measurement in measured if measurement.groups]

    async def _visible(self, query: TimeSeriesQuery, start: datetime, end: datetime, interval: timedelta) -> datetime:
        """Where, up to `end`, this metric's visible intervals end."""
        assert self.clock is not None
        now = await self.clock()
        if self.fails_between is not None and self.fails_between[0] < now <= self.fails_between[1]:
            raise SourceFailure("Cloud Monitoring answers 503")
        hidden = max(timedelta(), end - (now - await self.ingest_delay(query)))
        return max(start, end - -(-hidden // interval) * interval)

    async def _share_at(self, end: datetime) -> float:
        """Asked once for all metrics of one look, which all end alike."""
        if self._asked is None or self._asked[0] != end:
            self._asked = (end, asyncio.ensure_future(self.treated_share()))
        share = await self._asked[1]
        if share >= SMALLEST_PERCENTAGE and self._exposed_since is None and self.flags_clock is not None:
            self._exposed_since = await self.flags_clock()
        return share

    def _interval(
        self, query: TimeSeriesQuery, end: datetime, interval: timedelta, share: float
    ) -> IntervalMeasurement:
        requests = round(REQUESTS_PER_MINUTE * (interval / timedelta(minutes=1)))
        sizes: dict[Group, int] = {"all": requests}
        if query.cohort is not None:
            # By the hash alone: the same before anybody is exposed.
            share = query.cohort
        if query.metric.groups is not None:
            sizes |= {"treated": round(requests * share), "control": requests - round(requests * share)}
        groups: dict[Group, Sample] = {}
        unexposed = self.flags_clock is not None and (self._exposed_since is None or end <= self._exposed_since)
        for group, size in sizes.items():
            meets: Group = "control" if query.cohort is not None and unexposed and group == "treated" else group
            measured = self.fault(query.metric.type, meets, end, _healthy(query.metric.type, size)) if size else None
            if measured is not None:
                groups[group] = measured
        return IntervalMeasurement(end=end, groups=groups)


@lru_cache(maxsize=4096)
def _healthy(metric: str, size: int) -> Sample:
    if metric.endswith("cascade_failures"):
        return counts(0)
    if metric.endswith("utilizations"):
        return Histogram(bounds=(0.2, 0.4, 0.6, 0.8), counts=(2, 6, 2, 0, 0), sum=3.0)
    if metric.endswith("websocket_event_latencies"):
        return latencies(size, 20.0)
    if metric.endswith("latencies"):
        return latencies(size, 50.0)
    if metric.endswith("isolation_checks"):
        return counts(size)
    return Counts(total=size, bad=size // 5_000)
