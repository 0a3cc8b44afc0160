"""Alignment and reduction of written series, whose every point the test knows."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from statistics import fmean, quantiles
from typing import Any

import pytest
from google.api import distribution_pb2, metric_pb2  # type: ignore[import-untyped]
from google.cloud import monitoring_v3

from tests.sandbox.google import PROJECT, Aligner, Google, Reducer
from tests.sandbox.moving_clock import START, MovingClock

METRIC = "custom.googleapis.com/shop/depth"
GAUGE, CUMULATIVE = metric_pb2.MetricDescriptor.GAUGE, metric_pb2.MetricDescriptor.CUMULATIVE
EDGES = [10.0 * number for number in range(1, 40)]


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def google(clock: MovingClock) -> AsyncIterator[Google]:
    async with Google.started(clock=clock, services=()) as started:
        yield started


async def write(
    google: Google,
    value: dict[str, Any],
    end: datetime,
    *,
    start: datetime | None = None,
    metric: str = METRIC,
    **labels: str,
) -> None:
    """Write one point; with a start it is cumulative, else a gauge."""
    series = monitoring_v3.TimeSeries(
        metric={"type": metric, "labels": labels},
        resource={"type": "global", "labels": {"project_id": PROJECT}},
        metric_kind=CUMULATIVE if start else GAUGE,
        points=[{"interval": {"start_time": start or end, "end_time": end}, "value": value}],
    )
    await google.metrics.create_time_series(name=f"projects/{PROJECT}", time_series=[series])


def distribution(values: Sequence[float]) -> dict[str, Any]:
    counts = [0] * (len(EDGES) + 1)
    for value in values:
        counts[sum(edge <= value for edge in EDGES)] += 1
    mean = fmean(values)
    return {
        "distribution_value": distribution_pb2.Distribution(
            count=len(values),
            mean=mean,
            sum_of_squared_deviation=sum((value - mean) ** 2 for value in values),
            bucket_options={"explicit_buckets": {"bounds": EDGES}},
            bucket_counts=counts,
        )
    }


async def answer(google: Google, end: datetime, **asked: Any) -> Any:
    """The one point of the one series of a question about `METRIC`."""
    (series,) = await google.series(METRIC, end, **asked)
    (point,) = series.points
    return point.value


async def test_cumulative_points_are_read_as_their_changes(google: Google, clock: MovingClock) -> None:
    for minute, value in ((1, 5), (2, 12), (3, 12)):
        await write(google, {"int64_value": value}, clock.skip(minutes=1), start=START)
        assert clock.instant == START + timedelta(minutes=minute)
    (series,) = await google.series(METRIC, clock.instant, window=timedelta(minutes=3), period=timedelta(minutes=1))

    assert [point.value.int64_value for point in series.points] == [0, 7, 5]


async def test_a_new_start_time_is_a_reset_and_no_negative_change(google: Google, clock: MovingClock) -> None:
    await write(google, {"int64_value": 100}, clock.skip(minutes=1), start=START)
    restart = clock.instant
    await write(google, {"int64_value": 3}, clock.skip(minutes=1), start=restart)

    assert (await answer(google, clock.instant)).int64_value == 3


async def test_cumulative_distributions_are_read_as_their_changes(google: Google, clock: MovingClock) -> None:
    await write(google, distribution([15.0, 25.0]), clock.skip(minutes=1), start=START)
    await write(google, distribution([15.0, 25.0, 95.0]), clock.skip(minutes=1), start=START)
    change = (await answer(google, clock.instant)).distribution_value

    assert change.count == 1
    assert change.mean == pytest.approx(95.0)
    assert list(change.bucket_counts) == [0] * 9 + [1]


async def test_the_percentile_of_merged_distributions_is_that_of_all_values(google: Google, clock: MovingClock) -> None:
    quick, slow = [10.0 + number / 10 for number in range(1000)], [200.0 + number for number in range(100)]
    end = clock.skip(minutes=1)
    await write(google, distribution(quick), end, start=START, instance="a")
    await write(google, distribution(slow), end, start=START, instance="b")
    true = quantiles(quick + slow, n=100)[94]

    merged = (await answer(google, end, reducer=Reducer.REDUCE_PERCENTILE_95)).double_value
    assert merged == pytest.approx(true, abs=10.0)


async def test_merged_distributions_keep_count_mean_and_deviation(google: Google, clock: MovingClock) -> None:
    left, right = [12.0, 18.0, 33.0], [250.0, 71.0]
    end = clock.skip(minutes=1)
    await write(google, distribution(left), end, start=START, instance="a")
    await write(google, distribution(right), end, start=START, instance="b")
    merged = (await answer(google, end)).distribution_value
    whole = distribution(left + right)["distribution_value"]

    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean)
    assert merged.sum_of_squared_deviation == pytest.approx(whole.sum_of_squared_deviation)


@pytest.mark.parametrize(
    ("aligner", "expected"),
    [
        (Aligner.ALIGN_MEAN, {"double_value": 5.0}),
        (Aligner.ALIGN_MAX, {"int64_value": 9}),
        (Aligner.ALIGN_MIN, {"int64_value": 2}),
        (Aligner.ALIGN_SUM, {"int64_value": 15}),
        (Aligner.ALIGN_COUNT, {"int64_value": 3}),
        (Aligner.ALIGN_NEXT_OLDER, {"int64_value": 9}),
    ],
    ids=lambda value: value.name if isinstance(value, Aligner) else "",
)
async def test_gauges_are_aligned(
    google: Google, clock: MovingClock, aligner: Aligner, expected: dict[str, float]
) -> None:
    for value in (4, 2, 9):
        await write(google, {"int64_value": value}, clock.skip(seconds=20))

    value = await answer(google, clock.instant, aligner=aligner, reducer=Reducer.REDUCE_NONE)
    assert value == monitoring_v3.TypedValue.pb(monitoring_v3.TypedValue(expected))


async def test_a_period_takes_what_ends_in_it_its_own_end_included_and_its_start_not(
    google: Google, clock: MovingClock
) -> None:
    for _ in range(4):
        await write(google, {"int64_value": 1}, clock.skip(seconds=30))
    asked = {"aligner": Aligner.ALIGN_SUM, "reducer": Reducer.REDUCE_NONE}

    assert (await answer(google, clock.instant, **asked)).int64_value == 2
