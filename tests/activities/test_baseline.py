"""A baseline is what Cloud Monitoring says of the time before the first change, of every metric or of none."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import Failure
from activities.monitoring import CaptureBaseline, CloudMonitoring, MonitoringActivities
from rollout.measurement import (
    Histogram,
    Metric,
    Sample,
)
from rollout.wording import duration_in_words
from sandbox.faults import Fault
from tests.activities.monitored_ground import (
    INGEST_DELAY,
    LATENCIES,
    MINUTE,
    NOON,
    OWN,
    REQUESTS,
    REQUESTS_PER_MINUTE,
    Monitored,
    Watch,
    counts,
    query,
)
from tests.activities.scripted_monitoring import Script, page, scripted


async def captured(
    source: CloudMonitoring, clock: Watch, window: timedelta = 30 * MINUTE, **metrics: Metric
) -> dict[str, Sample]:
    request = CaptureBaseline(queries={name: query(metric) for name, metric in metrics.items()}, window=window)
    return await ActivityEnvironment().run(MonitoringActivities(source, clock.read).capture_baseline, request)


async def test_a_baseline_is_what_was_measured_before(monitoring: Monitored, clock: Watch) -> None:
    _, source = monitoring
    baseline = await captured(source, clock, requests=REQUESTS, latencies=LATENCIES)
    assert counts(baseline["requests"]).total == pytest.approx(30 * REQUESTS_PER_MINUTE, rel=0.1)
    assert isinstance(baseline["latencies"], Histogram)
    assert baseline["latencies"].total == counts(baseline["requests"]).total


async def test_metrics_without_data_are_named_and_no_baseline_is_taken(monitoring: Monitored, clock: Watch) -> None:
    _, source = monitoring
    silent = REQUESTS.model_copy(update={"filter": 'resource.labels.job = "nobody"'})
    with pytest.raises(ApplicationError, match=r"silent \(custom\.googleapis\.com/rollout/request_count\)") as raised:
        await captured(source, clock, requests=REQUESTS, silent=silent)
    assert (raised.value.type, raised.value.non_retryable) == (Failure.NO_DATA, True)
    assert "requests" not in raised.value.message


async def test_a_baseline_of_a_metric_that_nobody_knows_is_refused_for_good(
    monitoring: Monitored, clock: Watch
) -> None:
    _, source = monitoring
    with pytest.raises(ApplicationError, match="request_cuont: NOT_FOUND") as raised:
        await captured(source, clock, requests=REQUESTS.model_copy(update={"type": f"{OWN}/request_cuont"}))
    assert (raised.value.type, raised.value.non_retryable) == (Failure.SOURCE_FAILURE, True)


async def test_a_baseline_that_could_not_be_read_may_be_tried_again(monitoring: Monitored, clock: Watch) -> None:
    ground, source = monitoring
    ground.sandbox.faults.put(Fault(method="ListTimeSeries", code="UNAVAILABLE"))
    with pytest.raises(ApplicationError, match="UNAVAILABLE") as raised:
        await captured(source, clock, requests=REQUESTS)
    assert (raised.value.type, raised.value.non_retryable) == (Failure.SOURCE_FAILURE, False)
    ground.sandbox.faults.clear()
    await captured(source, clock, requests=REQUESTS)


@pytest.mark.parametrize(
    ("window", "end"),
    [
        (timedelta(hours=24), NOON.replace(hour=11, minute=57)),
        (timedelta(seconds=20), NOON.replace(hour=11, minute=57, second=40)),
    ],
)
async def test_a_baseline_is_one_interval_that_ends_where_the_data_are_complete(
    clock: Watch, window: timedelta, end: datetime
) -> None:
    clock.now = NOON.replace(hour=11, minute=59, second=51)
    script = Script(listed=[page([])])
    metric = REQUESTS.model_copy(update={"ingest_delay": INGEST_DELAY})
    async with scripted(script) as source:
        with pytest.raises(ApplicationError, match=f"no data in the last {duration_in_words(window)},"):
            await captured(source, clock, window, requests=metric)
    (request,) = script.requests
    assert (request.interval.start_time, request.interval.end_time) == (end - window, end)
    assert request.aggregation.alignment_period == window


def test_a_baseline_of_no_time_at_all_is_refused() -> None:
    asked: dict[str, Any] = {"queries": {}, "window": timedelta()}
    with pytest.raises(ValueError, match="window"):
        CaptureBaseline(**asked)
