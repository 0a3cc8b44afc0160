"""Cloud Monitoring as a rollout uses it: groups follow the traffic, windows add up, silence stays silence."""

from datetime import timedelta

import pytest

from activities.google_clients import google_clients
from activities.monitoring import CloudMonitoring, SourceRefusal
from rollout.measurement import (
    Counts,
    GroupsByRevision,
    Histogram,
    Level,
    Metric,
    SourceFailure,
)
from rollout.sample_sums import merge
from tests.activities.monitored_ground import (
    INGEST_DELAY,
    LATENCIES,
    MINUTE,
    NOON,
    OWN,
    REQUESTS,
    REQUESTS_BY_REVISION,
    REQUESTS_PER_MINUTE,
    Monitored,
    Watch,
    counts,
    minutes,
    query,
)


async def test_without_a_candidate_everybody_is_control(monitoring: Monitored) -> None:
    _, source = monitoring
    measured = await minutes(source, query(REQUESTS), 5)
    assert [interval.end for interval in measured] == [NOON - INGEST_DELAY - back * MINUTE for back in (4, 3, 2, 1, 0)]
    for interval in measured:
        assert set(interval.groups) == {"control", "all"}
        assert counts(interval.groups["all"]).total == pytest.approx(REQUESTS_PER_MINUTE, rel=0.1)
        assert interval.groups["all"] == interval.groups["control"]


@pytest.mark.parametrize("metric", [REQUESTS, REQUESTS_BY_REVISION], ids=["by label", "by revision"])
async def test_groups_follow_the_traffic_and_add_up_to_all(monitoring: Monitored, clock: Watch, metric: Metric) -> None:
    ground, source = monitoring
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.shift(anchor, candidate, 30)
    clock.now = NOON + 20 * MINUTE
    asked = query(metric, treated=candidate.revision, control=anchor.stable)
    (*_, interval) = await minutes(source, asked, 10, NOON + 15 * MINUTE)
    treated, control, everybody = (counts(interval.groups[group]) for group in ("treated", "control", "all"))
    assert treated.total == pytest.approx(0.3 * REQUESTS_PER_MINUTE, rel=0.1)
    assert everybody == Counts(total=treated.total + control.total, bad=treated.bad + control.bad)


async def test_harm_shows_in_the_treated_group_only(monitoring: Monitored, clock: Watch) -> None:
    ground, source = monitoring
    anchor = await ground.anchor()
    candidate = await ground.deploy(anchor)
    await ground.behaves(treated_error_rate=0.06)
    await ground.shift(anchor, candidate, 50)
    clock.now = NOON + 20 * MINUTE
    (interval,) = await minutes(source, query(REQUESTS), 1, NOON + 10 * MINUTE)
    treated, control = counts(interval.groups["treated"]), counts(interval.groups["control"])
    assert treated.bad / treated.total == pytest.approx(0.06, rel=0.3)
    assert control.bad / control.total < 0.005


async def test_a_window_is_the_sum_of_its_intervals(monitoring: Monitored) -> None:
    _, source = monitoring
    end = NOON - INGEST_DELAY
    for metric in (REQUESTS, LATENCIES):
        single = await minutes(source, query(metric), 10)
        (whole,) = await source.measure(query(metric), start=end - 10 * MINUTE, end=end, interval=10 * MINUTE)
        summed = merge(interval.groups["all"] for interval in single)
        if isinstance(summed, Histogram):
            assert isinstance(whole.groups["all"], Histogram)
            assert (whole.groups["all"].bounds, whole.groups["all"].counts) == (summed.bounds, summed.counts)
            assert whole.groups["all"].sum == pytest.approx(summed.sum)
        else:
            assert whole.groups["all"] == summed


async def test_the_same_question_has_the_same_answer(monitoring: Monitored) -> None:
    _, source = monitoring
    assert await minutes(source, query(LATENCIES), 3) == await minutes(source, query(LATENCIES), 3)


async def test_a_distribution_holds_every_request_and_its_percentile(monitoring: Monitored) -> None:
    _, source = monitoring
    (latencies,) = await minutes(source, query(LATENCIES), 1)
    (requests,) = await minutes(source, query(REQUESTS), 1)
    histogram = latencies.groups["all"]
    assert isinstance(histogram, Histogram)
    assert histogram.total == counts(requests.groups["all"]).total
    assert histogram.quantile(0.95) == pytest.approx(180, rel=0.2)
    assert histogram.sum / histogram.total == pytest.approx(90, rel=0.3)


async def test_a_level_is_read_per_group_and_over_all(monitoring: Monitored) -> None:
    _, source = monitoring
    metric = Metric(
        type="run.googleapis.com/container/instance_count",
        filter='resource.labels.service_name = "backend"',
        value="level",
        groups=GroupsByRevision(service="backend"),
    )
    anchor = await monitoring[0].anchor()
    (interval,) = await minutes(source, query(metric, control=anchor.stable), 1)
    assert set(interval.groups) == {"control", "all"}
    level = interval.groups["all"]
    assert isinstance(level, Level)
    assert level.value == pytest.approx(10, rel=0.2)


async def test_intervals_that_are_not_visible_yet_are_left_out(monitoring: Monitored) -> None:
    _, source = monitoring
    measured = await minutes(source, query(REQUESTS), 5, NOON)
    assert [interval.end for interval in measured] == [NOON - back * MINUTE for back in (4, 3, 2)]


async def test_an_outage_of_the_metrics_is_silence_and_not_zero(monitoring: Monitored) -> None:
    ground, source = monitoring
    ground.sandbox.faults.metrics_outage = True
    assert await minutes(source, query(REQUESTS), 5) == []


async def test_the_metric_itself_says_how_late_it_is(monitoring: Monitored) -> None:
    _, source = monitoring
    assert await source.ingest_delay(query(REQUESTS)) == INGEST_DELAY


async def test_a_metric_that_nobody_knows_is_refused_by_name(monitoring: Monitored) -> None:
    _, source = monitoring
    misspelt = query(REQUESTS.model_copy(update={"type": f"{OWN}/request_cuont"}))
    with pytest.raises(SourceRefusal, match="rollout/request_cuont: NOT_FOUND"):
        await minutes(source, misspelt, 1)
    with pytest.raises(SourceRefusal, match="rollout/request_cuont: NOT_FOUND"):
        await source.ingest_delay(misspelt)


async def test_an_interval_shorter_than_the_source_samples_is_refused(monitoring: Monitored) -> None:
    _, source = monitoring
    with pytest.raises(SourceRefusal, match="INVALID_ARGUMENT"):
        await source.measure(query(REQUESTS), start=NOON - MINUTE, end=NOON, interval=timedelta(seconds=30))


async def test_a_filter_that_is_none_is_refused(monitoring: Monitored) -> None:
    _, source = monitoring
    with pytest.raises(SourceRefusal, match="INVALID_ARGUMENT"):
        await minutes(source, query(REQUESTS.model_copy(update={"filter": "resource.labels.job ~~ backend"})), 1)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
async def test_a_source_that_fails_now_and_then_is_read_all_the_same(monitoring: Monitored, code: str) -> None:
    ground, source = monitoring
    ground.fails("ListTimeSeries", code, count=2)
    assert len(await minutes(source, query(REQUESTS), 3)) == 3


async def test_a_source_that_is_gone_is_a_failure_of_the_source(monitoring: Monitored) -> None:
    ground, _ = monitoring
    gone = google_clients(ground.sandbox.grpc_target)
    ground.fails("ListTimeSeries", "UNAVAILABLE")
    with pytest.raises(SourceFailure, match="UNAVAILABLE"):
        await minutes(CloudMonitoring(gone.metrics), query(REQUESTS), 1)
    await gone.close()
