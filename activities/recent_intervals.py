"""Closed intervals, asked for once: windows overlap, and each minute's data need to cross the wire only one time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from rollout.interval_series import IntervalSeries
from rollout.measurement import MeasurementSource, TimeSeriesQuery
from rollout.places import Places

KEPT_QUERIES = 512
"""Metrics of rollouts whose windows are kept at once, a tenth to a third of a megabyte each; others ask for theirs
again."""


@dataclass
class _Kept:
    start: datetime
    end: datetime
    series: IntervalSeries


class RecentIntervals:
    """A cache in front of a source. Losing it costs a query, never an answer."""

    def __init__(self, source: MeasurementSource) -> None:
        self._source = source
        self._kept: Places[tuple[TimeSeriesQuery, timedelta], _Kept] = Places(KEPT_QUERIES, monotonic)

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta, afresh: bool
    ) -> IntervalSeries:
        """The intervals of `(start, end]`, and possibly older ones; to be read before the next `await`.

        `afresh` asks for everything again, for data that arrived late.

        Raises:
            SourceFailure: the source could not be read.
        """
        key = (query, interval)
        kept = self._kept.get(key)
        if kept is None or afresh or not kept.start <= start <= kept.end <= end:
            measured = await self._source.measure(query, start=start, end=end, interval=interval)
            kept = _Kept(start, end, IntervalSeries(measured))
            self._kept.put(key, kept)
        elif end > kept.end:
            series, known_until = kept.series, kept.end
            newer = await self._source.measure(query, start=known_until, end=end, interval=interval)
            series.extend(newer)
            # Meanwhile another watch of this metric may have looked, with a window of its own.
            if kept.series is series and kept.end == known_until and kept.start <= start:
                series = series.after(start)
                kept.start, kept.end, kept.series = start, end, series
            return series
        return kept.series
