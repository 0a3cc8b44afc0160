"""What ListTimeSeries answers: windows, delay, absence, grouping, paging, and what it refuses."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions

from sandbox.faults import Fault
from sandbox.options import InstalledService
from tests.sandbox.google import INSTALLED, PROJECT, REGION, Aligner, Google, Reducer, question
from tests.sandbox.moving_clock import START, MovingClock

COUNT = "custom.googleapis.com/rollout/request_count"
LATENCY = "custom.googleapis.com/rollout/request_latencies"
RUN_COUNT = "run.googleapis.com/request_count"
INSTANCES = "run.googleapis.com/container/instance_count"
MINUTE = timedelta(minutes=1)
VISIBLE = START - 2 * MINUTE
"""The end of the newest minute whose points can be read at `START`, with the ingest delay of two minutes."""

AUTH = InstalledService(project=PROJECT, region=REGION, service="auth", image="shop/auth:1")
ELSEWHERE = InstalledService(project="other-project", region=REGION, service="other", image="other:1")


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def google(clock: MovingClock) -> AsyncIterator[Google]:
    async with Google.started(clock=clock, services=(INSTALLED, AUTH, ELSEWHERE)) as started:
        yield started


async def test_points_become_visible_after_the_ingest_delay(google: Google, clock: MovingClock) -> None:
    assert len(await google.series(COUNT, VISIBLE)) == 1
    assert await google.series(COUNT, VISIBLE + MINUTE) == []
    clock.skip(seconds=59)
    assert await google.series(COUNT, VISIBLE + MINUTE) == []
    clock.skip(seconds=1)
    assert len(await google.series(COUNT, VISIBLE + MINUTE)) == 1


async def test_a_window_that_is_visible_in_part_sums_only_that_part(google: Google) -> None:
    (visible,) = await google.series(COUNT, VISIBLE)
    (window,) = await google.series(COUNT, VISIBLE + MINUTE, window=2 * MINUTE)

    assert window.points[0].value.int64_value == visible.points[0].value.int64_value


async def test_before_the_service_was_there_nothing_is_there(google: Google) -> None:
    assert await google.series(COUNT, START - timedelta(hours=1, minutes=1)) == []
    assert len(await google.series(COUNT, START - timedelta(minutes=59))) == 1


@pytest.mark.parametrize(
    ("only", "found"),
    [
        ("", {"backend", "auth"}),
        ('AND resource.labels.{label} = "auth"', {"auth"}),
        ('AND resource.labels.{label} = "other"', set()),
        ('AND resource.labels.{label} = "auth" OR resource.labels.{label} = "backend"', {"backend", "auth"}),
        ('AND NOT resource.labels.{label} = "auth"', {"backend"}),
    ],
)
@pytest.mark.parametrize(("metric", "label"), [(COUNT, "job"), (RUN_COUNT, "service_name")])
async def test_a_question_finds_the_services_it_is_about(
    google: Google, metric: str, label: str, only: str, found: set[str]
) -> None:
    path = f"resource.labels.{label}"
    series = await google.series(metric, VISIBLE, by=[path], only=only.format(label=label))

    assert {each.resource.labels[label] for each in series} == found


async def test_the_same_question_has_the_same_answer(google: Google) -> None:
    first = await google.series(LATENCY, VISIBLE, window=timedelta(minutes=30), by=["metric.labels.group"])
    again = await google.series(LATENCY, VISIBLE, window=timedelta(minutes=30), by=["metric.labels.group"])

    assert first == again


async def test_another_sandbox_of_the_same_seed_gives_the_same_answer(google: Google) -> None:
    async with Google.started(clock=MovingClock(), services=(INSTALLED, AUTH)) as twin:
        by = ["metric.labels.group", "metric.labels.outcome", "resource.labels.job"]
        assert await twin.series(COUNT, VISIBLE, by=by) == await google.series(COUNT, VISIBLE, by=by)


async def test_another_seed_gives_another_answer(google: Google) -> None:
    async with Google.started(clock=MovingClock(), services=(INSTALLED, AUTH), seed=1) as stranger:
        assert await stranger.series(COUNT, VISIBLE) != await google.series(COUNT, VISIBLE)


async def test_one_window_is_the_sum_of_its_minutes(google: Google) -> None:
    (whole,) = await google.series(COUNT, VISIBLE, window=10 * MINUTE)
    (minutes,) = await google.series(COUNT, VISIBLE, window=10 * MINUTE, period=MINUTE)

    assert len(minutes.points) == 10
    assert whole.points[0].value.int64_value == sum(point.value.int64_value for point in minutes.points)


async def test_groups_keep_the_labels_they_are_grouped_by_and_the_project(google: Google) -> None:
    series = await google.series(COUNT, VISIBLE, by=["metric.labels.outcome", "resource.labels.job"])

    assert {(each.metric.labels["outcome"], each.resource.labels["job"]) for each in series} == {
        ("ok", "backend"),
        ("error", "backend"),
        ("ok", "auth"),
        ("error", "auth"),
    }
    assert all(set(each.metric.labels) == {"outcome"} for each in series)
    assert all(set(each.resource.labels) == {"job", "project_id"} for each in series)


async def test_the_rate_of_requests_is_the_one_asked_for(google: Google) -> None:
    (series,) = await google.series(
        COUNT, VISIBLE, window=30 * MINUTE, only='resource.labels.job = "backend"', aligner=Aligner.ALIGN_RATE
    )

    assert series.points[0].value.double_value == pytest.approx(200, rel=0.02)


async def test_unreduced_series_keep_all_their_labels(google: Google) -> None:
    series = await google.series(
        RUN_COUNT,
        VISIBLE,
        reducer=Reducer.REDUCE_NONE,
        only='resource.labels.service_name = "backend" AND metric.labels.response_code = "200"',
    )

    (only,) = series
    assert dict(only.metric.labels) == {"response_code": "200", "response_code_class": "2xx"}
    assert only.resource.type == "cloud_run_revision"
    assert dict(only.resource.labels) == {
        "project_id": PROJECT,
        "location": REGION,
        "service_name": "backend",
        "configuration_name": "backend",
        "revision_name": await google.stable(),
    }


async def test_raw_points_are_answered_without_an_aligner(google: Google) -> None:
    series = await google.series(
        INSTANCES, VISIBLE, window=3 * MINUTE, aligner=Aligner.ALIGN_NONE, reducer=Reducer.REDUCE_NONE
    )

    assert len(series) == 2
    for each in series:
        assert len(each.points) == 3
        assert all(point.value.int64_value in (10, 11) for point in each.points)
        assert all(point.interval.start_time == point.interval.end_time for point in each.points)


async def test_the_other_project_is_not_seen(google: Google) -> None:
    jobs = await google.series(COUNT, VISIBLE, by=["resource.labels.job"])
    others = await google.series(COUNT, VISIBLE, by=["resource.labels.job"], project="other-project")

    assert {each.resource.labels["job"] for each in jobs} == {"backend", "auth"}
    assert {each.resource.labels["job"] for each in others} == {"other"}


async def test_pages_count_points_across_series(google: Google) -> None:
    asked: dict[str, Any] = {"window": 4 * MINUTE, "period": MINUTE, "by": ["resource.labels.job"]}
    whole = await google.series(COUNT, VISIBLE, **asked)
    pager = await google.metrics.list_time_series(request=question(COUNT, VISIBLE, page_size=3, **asked))
    pages = [[len(series.points) for series in page.time_series] async for page in pager.pages]

    assert pages == [[3], [1, 2], [2]]
    paged = [
        series async for series in await google.metrics.list_time_series(question(COUNT, VISIBLE, page_size=3, **asked))
    ]
    assert [p.interval.end_time for s in paged for p in s.points] == [
        point.interval.end_time.ToDatetime(VISIBLE.tzinfo) for series in whole for point in series.points
    ]


async def test_an_outage_answers_nothing_and_afterwards_everything_is_there(google: Google) -> None:
    google.sandbox.faults.metrics_outage = True
    assert await google.series(COUNT, VISIBLE) == []
    google.sandbox.faults.clear()
    assert len(await google.series(COUNT, VISIBLE)) == 1


async def test_a_failing_source_raises_the_code_it_was_told(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="ListTimeSeries", code="RESOURCE_EXHAUSTED"))
    with pytest.raises(exceptions.ResourceExhausted):
        await google.series(COUNT, VISIBLE)


@pytest.mark.parametrize("asked", [{"aligner": Aligner.ALIGN_STDDEV}, {"reducer": Reducer.REDUCE_STDDEV}])
async def test_what_the_sandbox_does_not_compute_it_refuses(google: Google, asked: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"_STDDEV\": The sandbox has no such"):
        await google.series(COUNT, VISIBLE, **asked)


async def test_shorter_periods_are_taken_where_the_sandbox_samples_that_often() -> None:
    async with Google.started(clock=MovingClock(), sample_seconds=1, ingest_delay_seconds=1) as google:
        second = timedelta(seconds=1)
        (series,) = await google.series(COUNT, START - second, window=10 * second, period=second)
        assert len(series.points) == 10
        with pytest.raises(exceptions.InvalidArgument, match="greater than or equal to 1 seconds"):
            await google.series(COUNT, START, window=timedelta(milliseconds=500))


async def test_the_clock_is_not_asked_about_times_known_to_have_passed(google: Google, clock: MovingClock) -> None:
    clock.skip(hours=1)
    await google.series(COUNT, START)
    asked = clock.readings
    for _ in range(20):
        await google.series(COUNT, START)

    assert clock.readings == asked
