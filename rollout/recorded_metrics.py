"""Metrics that were written down, by the plan's names of metrics, and answered as a source would answer."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rollout.measurement import Group, IntervalMeasurement, Sample, TimeSeriesQuery
from rollout.sample_sums import merge

GROUPS: tuple[Group, ...] = ("treated", "control", "all")


@dataclass(frozen=True)
class Recorded:
    """One interval of a metric; `arrived` None: as late as this metric usually is."""

    measured: IntervalMeasurement
    arrived: datetime | None = None


@dataclass
class Recording:
    """What is known, by the plan's names of metrics; each ascending by end."""

    intervals: dict[str, list[Recorded]] = field(default_factory=dict)
    delays: dict[str, timedelta] = field(default_factory=dict)

    @property
    def ends(self) -> list[datetime]:
        """Of the first and the last interval of every metric that has one."""
        return [each.measured.end for rows in self.intervals.values() if rows for each in (rows[0], rows[-1])]


class RecordedSource:
    """A `MeasurementSource` over a recording: at any time of its clock it tells what could be read by then."""

    def __init__(
        self,
        recording: Recording,
        queries: Mapping[str, TimeSeriesQuery],
        interval: timedelta,
        clock: Callable[[], Awaitable[datetime]],
    ) -> None:
        self._recording = recording
        self._names = {query: name for name, query in queries.items()}
        self._ends = {
            name: [row.measured.end.astimezone(UTC) for row in rows] for name, rows in recording.intervals.items()
        }
        self._interval = interval
        self._clock = clock

    async def ingest_delay(self, query: TimeSeriesQuery) -> timedelta:
        return self._recording.delays[self._names[query]]

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        """As the protocol says; intervals longer than the recorded ones are their sums.

        Raises:
            SourceFailure: what was recorded of a longer interval cannot be added up.
        """
        name, now = self._names[query], await self._clock()
        rows, ends = self._recording.intervals.get(name, []), self._ends.get(name, [])
        delay = self._recording.delays[name]
        asked = rows[bisect_right(ends, start.astimezone(UTC)) : bisect_right(ends, end.astimezone(UTC))]
        told = [row.measured for row in asked if (row.arrived or row.measured.end + delay) <= now]
        if interval == self._interval:
            return told
        return list(_in_longer_intervals(told, start, end, interval))


def _in_longer_intervals(
    told: list[IntervalMeasurement], start: datetime, end: datetime, interval: timedelta
) -> Iterator[IntervalMeasurement]:
    ends = [one.end for one in told]
    for step in range(1, (end - start) // interval + 1):
        until = start + step * interval
        within = told[bisect_right(ends, until - interval) : bisect_right(ends, until)]
        groups: dict[Group, Sample] = {}
        for group in GROUPS:
            total = merge(one.groups[group] for one in within if group in one.groups)
            if total is not None:
                groups[group] = total
        if groups:
            yield IntervalMeasurement(end=until, groups=groups)
