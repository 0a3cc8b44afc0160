"""Windows are asked for once, also where there are more metrics than are kept."""

import asyncio
from datetime import datetime, timedelta

from activities.recent_intervals import KEPT_QUERIES, RecentIntervals
from rollout.interval_series import IntervalSeries
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


class Slow(Counting):
    """A source that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        await self.may_answer.wait()
        return await super().measure(query, start=start, end=end, interval=interval)


async def test_what_a_watch_with_a_short_window_needs_no_more_stays_there_for_one_with_a_long_window() -> None:
    source = Slow()
    recent = RecentIntervals(source)
    query = TimeSeriesQuery(project="1", metric=Metric(type="custom/requests", value="count"))
    long, short = timedelta(minutes=60), timedelta(minutes=10)

    async def look(window: timedelta, end: datetime) -> IntervalSeries:
        return await recent.measure(query, start=end - window, end=end, interval=MINUTE, afresh=False)

    source.may_answer.set()
    await look(long, NOON)
    source.may_answer.clear()
    # Both ask for the newest minute at once, and the shorter one is answered first.
    asked = [asyncio.create_task(look(window, NOON + MINUTE)) for window in (short, long)]
    await asyncio.sleep(0)
    source.may_answer.set()
    _, of_long = await asyncio.gather(*asked)
    assert of_long.window(NOON + MINUTE - long, NOON + MINUTE, "all") == Counts(total=60)

    again = await look(long, NOON + 2 * MINUTE)
    assert again.window(NOON + 2 * MINUTE - long, NOON + 2 * MINUTE, "all") == Counts(total=60)
    # While this one is about to be read, the other looks again.
    await look(short, NOON + 3 * MINUTE)
    assert again.window(NOON + 2 * MINUTE - long, NOON + 2 * MINUTE, "all") == Counts(total=60)
