"""The rules of CreateTimeSeries, and of the descriptors that come with it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.api import label_pb2, metric_pb2  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.cloud import monitoring_v3

from tests.sandbox.google import PROJECT, Aligner, Google
from tests.sandbox.moving_clock import START, MovingClock

METRIC = "custom.googleapis.com/shop/depth"
NAME = f"projects/{PROJECT}"
DESCRIPTOR = f"{NAME}/metricDescriptors/{METRIC}"
Descriptor = metric_pb2.MetricDescriptor


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def google(clock: MovingClock) -> AsyncIterator[Google]:
    async with Google.started(clock=clock, services=()) as started:
        yield started


def series(**changes: Any) -> monitoring_v3.TimeSeries:
    """A gauge of 1 at `START`, with these fields instead."""
    fields = {
        "metric": {"type": METRIC},
        "resource": {"type": "global"},
        "points": [{"interval": {"end_time": START}, "value": {"int64_value": 1}}],
    }
    return monitoring_v3.TimeSeries(fields | changes)


def point(**interval: Any) -> list[dict[str, Any]]:
    return [{"interval": interval, "value": {"int64_value": 1}}]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"metric": {"type": "run.googleapis.com/request_count"}}, "not a user-defined metric", id="type"),
        pytest.param({"resource": {}}, "resource.type is missing", id="resource"),
        pytest.param({"metric_kind": Descriptor.DELTA}, "GAUGE or CUMULATIVE", id="delta"),
        pytest.param({"points": []}, "exactly one point", id="no point"),
        pytest.param({"points": point(end_time=START) * 2}, "exactly one point", id="two points"),
        pytest.param({"points": [{"interval": {"end_time": START}}]}, "no value", id="no value"),
        pytest.param({"points": point(end_time=START - timedelta(hours=26))}, "25 hours in the past", id="old"),
        pytest.param({"points": point(end_time=START + timedelta(minutes=6))}, "5 minutes in the future", id="future"),
        pytest.param(
            {"points": point(start_time=START - timedelta(seconds=1), end_time=START)},
            "start time of a gauge",
            id="gauge with a start",
        ),
        pytest.param(
            {"metric_kind": Descriptor.CUMULATIVE, "points": point(start_time=START, end_time=START)},
            "start time of a cumulative",
            id="cumulative without a start",
        ),
        pytest.param(
            {"metric": {"type": METRIC, "labels": {f"l{n}": "x" for n in range(31)}}}, "at most 30 labels", id="labels"
        ),
    ],
)
async def test_a_series_that_breaks_a_rule_is_refused_and_named(
    google: Google, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument) as refused:
        await google.metrics.create_time_series(name=NAME, time_series=[series(**wrong)])

    assert "timeSeries[0]" in refused.value.message
    assert said in refused.value.message


async def test_right_series_are_written_beside_wrong_ones(google: Google) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"timeSeries\[0\]"):
        await google.metrics.create_time_series(name=NAME, time_series=[series(points=[]), series()])

    assert len(await google.series(METRIC, START, aligner=Aligner.ALIGN_MAX)) == 1


async def test_two_hundred_series_are_the_most(google: Google) -> None:
    many = [series(metric={"type": METRIC, "labels": {"n": str(number)}}) for number in range(201)]
    with pytest.raises(exceptions.InvalidArgument, match="At most 200"):
        await google.metrics.create_time_series(name=NAME, time_series=many)
    await google.metrics.create_time_series(name=NAME, time_series=many[:200])

    assert len(await google.series(METRIC, START, aligner=Aligner.ALIGN_MAX, by=["metric.labels.n"])) == 200


@pytest.mark.parametrize(("later", "said"), [(-1, "in order"), (0, "in order"), (9, "more frequently")])
async def test_points_come_in_order_and_not_too_often(google: Google, later: int, said: str) -> None:
    await google.metrics.create_time_series(name=NAME, time_series=[series()])
    with pytest.raises(exceptions.InvalidArgument, match=said):
        await google.metrics.create_time_series(
            name=NAME, time_series=[series(points=point(end_time=START + timedelta(seconds=later)))]
        )


async def test_a_metric_does_not_change_its_type(google: Google) -> None:
    await google.metrics.create_time_series(name=NAME, time_series=[series()])
    end = START + timedelta(seconds=30)
    other = series(points=[{"interval": {"end_time": end}, "value": {"double_value": 1.0}}])
    with pytest.raises(exceptions.InvalidArgument, match="value type differs"):
        await google.metrics.create_time_series(name=NAME, time_series=[other])


async def test_a_first_point_makes_the_descriptor(google: Google) -> None:
    with pytest.raises(exceptions.NotFound) as missing:
        await google.metrics.get_metric_descriptor(name=DESCRIPTOR)
    await google.metrics.create_time_series(name=NAME, time_series=[series()])
    made = await google.metrics.get_metric_descriptor(name=DESCRIPTOR)

    assert missing.value.message == f"Could not find descriptor for metric '{METRIC}'."
    assert (made.metric_kind, made.value_type) == (Descriptor.GAUGE, Descriptor.INT64)


async def test_creating_a_descriptor_again_adds_labels_and_takes_none_away(google: Google) -> None:
    for label in ("first", "second"):
        await google.metrics.create_metric_descriptor(
            name=NAME,
            metric_descriptor=Descriptor(
                type=METRIC,
                metric_kind=Descriptor.GAUGE,
                value_type=Descriptor.INT64,
                labels=[label_pb2.LabelDescriptor(key=label)],
            ),
        )
    made = await google.metrics.get_metric_descriptor(name=DESCRIPTOR)

    assert {label.key for label in made.labels} == {"first", "second"}


async def test_a_deleted_descriptor_takes_its_points_along(google: Google) -> None:
    await google.metrics.create_time_series(name=NAME, time_series=[series()])
    await google.metrics.delete_metric_descriptor(name=DESCRIPTOR)

    with pytest.raises(exceptions.NotFound):
        await google.series(METRIC, START, aligner=Aligner.ALIGN_MAX)


async def test_descriptors_tell_how_late_and_how_often_points_come() -> None:
    async with Google.started(sample_seconds=1, ingest_delay_seconds=1.5) as google:
        descriptor = await google.metrics.get_metric_descriptor(
            name=f"{NAME}/metricDescriptors/run.googleapis.com/request_count"
        )

        assert descriptor.metadata.ingest_delay.ToMilliseconds() == 1500
        assert descriptor.metadata.sample_period.ToMilliseconds() == 1000


async def test_descriptors_are_listed_by_prefix(google: Google) -> None:
    listed = await google.metrics.list_metric_descriptors(
        request=monitoring_v3.ListMetricDescriptorsRequest(
            name=NAME, filter='metric.type = starts_with("run.googleapis.com/container")', page_size=2
        )
    )

    assert [descriptor.type async for descriptor in listed] == [
        "run.googleapis.com/container/cpu/utilizations",
        "run.googleapis.com/container/instance_count",
        "run.googleapis.com/container/memory/utilizations",
    ]
