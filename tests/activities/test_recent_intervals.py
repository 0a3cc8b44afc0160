"""Windows are asked for once, also where there are more metrics than are kept."""

from datetime import datetime, timedelta

from activities.recent_intervals import KEPT_QUERIES, RecentIntervals
from rollout.measurement import Counts, IntervalMeasurement, Metric, TimeSeriesQuery
from tests.rollout.samples import MINUTE, NOON

WINDOW, MINUTES, TOO_MANY = timedelta(minutes=10), 3, 100


class Counting:
    """A source that counts the intervals it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        steps = (end - start) // interval
        self.asked += steps
        ends = (start + step * interval for step in range(1, steps + 1))
        return [IntervalMeasurement(end=end, groups={"all": Counts(total=int(query.project))}) for end in ends]

    async def ingest_delay(self, query: TimeSeriesQuery) -> timedelta:
        return timedelta()


async def test_beyond_the_metrics_that_are_kept_the_others_alone_are_asked_for_whole_windows_again() -> None:
    source = Counting()
    recent = RecentIntervals(source)
    queries = [
        TimeSeriesQuery(project=str(number), metric=Metric(type="custom/requests", value="count"))
        for number in range(KEPT_QUERIES + TOO_MANY)
    ]
    for minute in range(MINUTES):
        end = NOON + minute * MINUTE
        for number, query in enumerate(queries):
            series = await recent.measure(query, start=end - WINDOW, end=end, interval=MINUTE, afresh=False)
            assert series.window(end - WINDOW, end, "all") == Counts(total=10 * number)

    whole = WINDOW // MINUTE
    newer = MINUTES - 1
    assert source.asked == len(queries) * whole + newer * (KEPT_QUERIES + TOO_MANY * whole)
