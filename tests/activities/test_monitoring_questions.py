"""How Cloud Monitoring is asked: what, how often, for how long, and how late its points may be."""

from datetime import timedelta

import grpc
import pytest

from activities import monitoring
from activities.monitoring import BUILT_IN_INGEST_DELAY, USER_METRIC_INGEST_DELAY, SourceRefusal
from rollout.measurement import (
    Counts,
    Metric,
    SourceFailure,
    TimeSeriesQuery,
)
from tests.activities.monitoring_answers import COHORT, ERRORS, MINUTE, NOON, measured, query, series, whole
from tests.activities.scripted_monitoring import Script, described, page, scripted


async def test_the_question_is_one_point_per_interval_of_the_one_metric() -> None:
    script = Script(listed=[page([])])
    async with scripted(script) as source:
        asked = query(groups=COHORT, bad=ERRORS, filter='resource.labels.job = "backend" OR resource.labels.job = "b"')
        await source.measure(asked, start=NOON - 3 * MINUTE, end=NOON, interval=MINUTE)
    (request,) = script.requests
    assert request.name == "projects/shop-production"
    assert request.filter == (
        'metric.type = "custom.googleapis.com/rollout/requests" AND '
        '(resource.labels.job = "backend" OR resource.labels.job = "b")'
    )
    assert (request.interval.start_time, request.interval.end_time) == (NOON - 3 * MINUTE, NOON)
    assert request.aggregation.alignment_period == MINUTE
    assert request.aggregation.per_series_aligner.name == "ALIGN_DELTA"
    assert request.aggregation.cross_series_reducer.name == "REDUCE_SUM"
    assert list(request.aggregation.group_by_fields) == ["metric.labels.group", "metric.labels.outcome"]


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
async def test_a_question_that_did_not_get_through_is_asked_again(code: grpc.StatusCode) -> None:
    (interval,) = await measured(query(), code, code, page([series(whole(5))]))
    assert interval.groups == {"all": Counts(total=5)}


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED],
)
async def test_a_source_that_keeps_failing_is_named_with_its_failure(code: grpc.StatusCode) -> None:
    with pytest.raises(SourceFailure, match=f"failed on custom.*: {code.name}: the script says so") as failed:
        await measured(query(), code)
    assert not isinstance(failed.value, SourceRefusal)


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT])
async def test_a_refusal_is_final_and_asked_only_once(code: grpc.StatusCode) -> None:
    script = Script(listed=[code])
    async with scripted(script) as source:
        with pytest.raises(SourceRefusal, match=f"refused custom.*: {code.name}"):
            await source.measure(query(), start=NOON - MINUTE, end=NOON, interval=MINUTE)
    assert len(script.requests) == 1


async def test_a_source_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "ANSWER_SECONDS", 0.3)
    pages = [page([], following="again")]
    with pytest.raises(SourceFailure, match=r"did not answer for custom.* within 0\.3 s"):
        await measured(query(), *pages)


async def test_the_plan_says_how_late_points_may_be() -> None:
    script = Script()
    async with scripted(script) as source:
        assert await source.ingest_delay(query(ingest_delay="90s")) == timedelta(seconds=90)
    assert script.requests == []


async def test_else_the_metrics_descriptor_says_it_and_is_asked_once() -> None:
    script = Script(described=[described(ingest_delay=timedelta(seconds=180))])
    async with scripted(script) as source:
        assert [await source.ingest_delay(query()) for _ in range(2)] == [timedelta(seconds=180)] * 2
    (request,) = script.requests
    assert request.name == "projects/shop-production/metricDescriptors/custom.googleapis.com/rollout/requests"


@pytest.mark.parametrize(
    ("metric_type", "delay"),
    [
        ("custom.googleapis.com/rollout/requests", USER_METRIC_INGEST_DELAY),
        ("run.googleapis.com/request_count", BUILT_IN_INGEST_DELAY),
        ("logging.googleapis.com/user/cascades", BUILT_IN_INGEST_DELAY),
    ],
)
async def test_where_nobody_says_it_platform_metrics_are_minutes_late_and_user_metrics_seconds(
    metric_type: str, delay: timedelta
) -> None:
    asked = TimeSeriesQuery(project="shop-production", metric=Metric(type=metric_type, value="count"))
    async with scripted(Script(described=[described()])) as source:
        assert await source.ingest_delay(asked) == delay


async def test_a_metric_that_does_not_exist_is_a_refusal_and_is_asked_for_again_next_time() -> None:
    script = Script(described=[grpc.StatusCode.NOT_FOUND, described()])
    async with scripted(script) as source:
        with pytest.raises(SourceRefusal, match=r"refused the descriptor of custom.*: NOT_FOUND"):
            await source.ingest_delay(query())
        assert await source.ingest_delay(query()) == USER_METRIC_INGEST_DELAY
