"""Closed intervals, asked for once: windows overlap, and each minute's data need to cross the wire only one time."""

from datetime import datetime, timedelta

from rollout.measurement import IntervalMeasurement, MeasurementSource, TimeSeriesQuery

# Rollouts whose windows are kept at once; beyond that the longest unused is asked for again.
KEPT_QUERIES = 512


class _Kept:
    def __init__(self, start: datetime, end: datetime, measured: list[IntervalMeasurement]) -> None:
        self.start = start
        self.end = end
        self.measured = measured


class RecentIntervals:
    """A cache in front of a source. Losing it costs a query, never an answer."""

    def __init__(self, source: MeasurementSource) -> None:
        self._source = source
        self._kept: dict[tuple[str, timedelta], _Kept] = {}

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta, afresh: bool
    ) -> list[IntervalMeasurement]:
        """As `MeasurementSource.measure`; `afresh` asks for everything again, for data that arrived late."""
        key = (query.model_dump_json(), interval)
        kept = self._kept.pop(key, None)
        if kept is None or afresh or not kept.start <= start <= kept.end <= end:
            measured = await self._source.measure(query, start=start, end=end, interval=interval)
        else:
            newer = (
                await self._source.measure(query, start=kept.end, end=end, interval=interval) if end > kept.end else []
            )
            measured = [*(old for old in kept.measured if old.end > start), *newer]
        self._kept[key] = _Kept(start, end, measured)
        while len(self._kept) > KEPT_QUERIES:
            del self._kept[next(iter(self._kept))]
        return measured
