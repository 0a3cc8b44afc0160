"""Written series and descriptors, beside what the tables of `test_monitoring_conformance.py` say of them."""

from google.cloud import monitoring_v3

from tests.sandbox.google import PROJECT, Aligner, Google
from tests.sandbox.moving_clock import START, MovingClock

METRIC = "custom.googleapis.com/shop/depth"
NAME = f"projects/{PROJECT}"


async def test_two_hundred_series_are_written_at_once() -> None:
    many = [
        monitoring_v3.TimeSeries(
            metric={"type": METRIC, "labels": {"n": str(number)}},
            resource={"type": "global"},
            points=[{"interval": {"end_time": START}, "value": {"int64_value": 1}}],
        )
        for number in range(200)
    ]
    async with Google.started(clock=MovingClock(), services=()) as google:
        await google.metrics.create_time_series(name=NAME, time_series=many)
        found = await google.series(METRIC, START, aligner=Aligner.ALIGN_MAX, by=["metric.labels.n"])

    assert len(found) == 200


async def test_descriptors_tell_how_late_and_how_often_points_come() -> None:
    async with Google.started(sample_seconds=1, ingest_delay_seconds=1.5) as google:
        descriptor = await google.metrics.get_metric_descriptor(
            name=f"{NAME}/metricDescriptors/run.googleapis.com/request_count"
        )

        assert descriptor.metadata.ingest_delay.ToMilliseconds() == 1500
        assert descriptor.metadata.sample_period.ToMilliseconds() == 1000
