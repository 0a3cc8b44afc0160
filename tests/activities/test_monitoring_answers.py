"""What is made of Cloud Monitoring's answers, whatever they hold: never a zero out of silence, never a guess."""

from datetime import UTC, datetime, timedelta
from math import inf, isnan, nan
from typing import Any

import grpc
import pytest

from activities import monitoring
from activities.monitoring import BUILT_IN_INGEST_DELAY, USER_METRIC_INGEST_DELAY, SourceRefusal
from rollout.measurement import (
    BadLabel,
    Counts,
    GroupsByCohort,
    GroupsByLabel,
    GroupsByRevision,
    Histogram,
    IntervalMeasurement,
    Level,
    Metric,
    SourceFailure,
    TimeSeriesQuery,
    ValueKind,
)
from tests.activities.scripted_monitoring import Listed, Script, described, page, scripted

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COHORT = GroupsByLabel(label="metric.labels.group", treated="new", control="old")
ERRORS = BadLabel(label="metric.labels.outcome", values=("error", "timeout"))


def query(value: ValueKind = "count", **parts: Any) -> TimeSeriesQuery:
    return TimeSeriesQuery(
        project="shop-production", metric=Metric(type="custom.googleapis.com/rollout/requests", value=value, **parts)
    )


def series(*values: dict[str, Any], ending: datetime = NOON, **labels: str) -> dict[str, Any]:
    """A series of points, newest first as the API gives them, each closing the minute before the one in front of it."""
    points = []
    for back, value in enumerate(values):
        end = ending - back * MINUTE
        points.append({"interval": {"start_time": end - MINUTE, "end_time": end}, "value": value})
    return {"metric": {"labels": labels}, "points": points}


def whole(number: int) -> dict[str, Any]:
    return {"int64_value": number}


def real(number: float) -> dict[str, Any]:
    return {"double_value": number}


def buckets(counts: list[int], options: dict[str, Any], mean: float = 0.0, count: int | None = None) -> dict[str, Any]:
    distribution = {"count": sum(counts) if count is None else count, "mean": mean, "bucket_counts": counts}
    return {"distribution_value": {**distribution, "bucket_options": options}}


async def measured(asked: TimeSeriesQuery, *answers: Listed, minutes: int = 3) -> list[IntervalMeasurement]:
    async with scripted(Script(listed=list(answers))) as source:
        return await source.measure(asked, start=NOON - minutes * MINUTE, end=NOON, interval=MINUTE)


async def test_nothing_found_is_no_interval_at_all() -> None:
    assert await measured(query(), page([])) == []


async def test_intervals_come_ascending_and_silent_ones_are_left_out() -> None:
    answer = page([series(whole(5), ending=NOON), series(whole(7), ending=NOON - 2 * MINUTE)])
    assert await measured(query(), answer) == [
        IntervalMeasurement(end=NOON - 2 * MINUTE, groups={"all": Counts(total=7)}),
        IntervalMeasurement(end=NOON, groups={"all": Counts(total=5)}),
    ]


async def test_what_began_before_the_window_is_left_out() -> None:
    assert await measured(query(), page([series(whole(5), whole(6), whole(7))]), minutes=2) == [
        IntervalMeasurement(end=NOON - MINUTE, groups={"all": Counts(total=6)}),
        IntervalMeasurement(end=NOON, groups={"all": Counts(total=5)}),
    ]


async def test_a_point_that_closes_no_interval_is_refused_instead_of_filed_somewhere() -> None:
    with pytest.raises(SourceFailure, match="ends no interval"):
        await measured(query(), page([series(whole(5), ending=NOON - timedelta(seconds=30))]))


async def test_groups_are_told_apart_by_the_metrics_own_label_and_all_of_them_are_summed() -> None:
    answer = page(
        [
            series(whole(10), group="new"),
            series(whole(90), group="old"),
            series(whole(3), group="robots"),
            series(whole(2)),
        ]
    )
    (interval,) = await measured(query(groups=COHORT), answer)
    assert interval.groups == {"treated": Counts(total=10), "control": Counts(total=90), "all": Counts(total=105)}


async def test_a_group_without_points_is_absent_and_not_zero() -> None:
    (interval,) = await measured(query(groups=COHORT), page([series(whole(90), group="old")]))
    assert interval.groups == {"control": Counts(total=90), "all": Counts(total=90)}


async def test_groups_are_told_apart_by_the_revisions_of_this_rollout() -> None:
    asked = query(groups=GroupsByRevision(service="backend")).model_copy(
        update={"treated": "backend-r2", "control": "backend-r1"}
    )
    rows = [
        {**series(whole(number)), "resource": {"labels": {"revision_name": revision}}}
        for revision, number in [("backend-r1", 90), ("backend-r2", 10), ("backend-r0", 1)]
    ]
    (interval,) = await measured(asked, page(rows))
    assert interval.groups == {"treated": Counts(total=10), "control": Counts(total=90), "all": Counts(total=101)}


@pytest.mark.parametrize(("share", "treated", "control"), [(0.1, 10, 90), (0.5, 50, 50), (None, None, None)])
async def test_a_cohort_is_told_apart_by_the_share_that_is_asked_for_and_an_audience_is_in_neither_group(
    share: float | None, treated: int | None, control: int | None
) -> None:
    groups = GroupsByCohort.model_validate({"label": "metric.labels.group", "steps": ["10%", "50%"]})
    parts = {"10": 10, "50": 40, "100": 50, "audience": 3, "none": 2, "": 1}
    (interval,) = await measured(
        query(groups=groups).model_copy(update={"cohort": share}),
        page([series(whole(number), group=label) for label, number in parts.items()]),
    )

    told = {"treated": treated, "control": control, "all": 106}
    assert interval.groups == {group: Counts(total=total) for group, total in told.items() if total is not None}


async def test_before_a_candidate_exists_nothing_is_treated() -> None:
    rows = [{**series(whole(90)), "resource": {"labels": {"revision_name": "backend-r1"}}}, series(whole(1))]
    (interval,) = await measured(query(groups=GroupsByRevision(service="backend")), page(rows))
    assert interval.groups == {"all": Counts(total=91)}


async def test_bad_ones_are_counted_beside_the_total() -> None:
    answer = page(
        [
            series(whole(100), outcome="ok"),
            series(whole(3), outcome="error"),
            series(whole(2), outcome="timeout"),
        ]
    )
    (interval,) = await measured(query(bad=ERRORS), answer)
    assert interval.groups == {"all": Counts(total=105, bad=5)}


@pytest.mark.parametrize(("outcome", "bad"), [("ok", 0), ("error", 40)])
async def test_a_class_that_had_no_events_counts_zero_where_the_other_had_some(outcome: str, bad: int) -> None:
    (interval,) = await measured(query(bad=ERRORS), page([series(whole(40), outcome=outcome)]))
    assert interval.groups == {"all": Counts(total=40, bad=bad)}


async def test_pages_are_read_to_the_last_even_where_they_part_a_group() -> None:
    script = Script(
        listed=[
            page([series(whole(1), group="new", outcome="ok")], following="two"),
            page([series(whole(2), group="new", outcome="error")], following="three"),
            page([series(whole(4), group="new", outcome="ok")]),
        ]
    )
    async with scripted(script) as source:
        asked = query(groups=COHORT, bad=ERRORS)
        (interval,) = await source.measure(asked, start=NOON - MINUTE, end=NOON, interval=MINUTE)
    assert interval.groups["treated"] == Counts(total=7, bad=2)
    assert [request.page_token for request in script.requests] == ["", "two", "three"]


async def test_whole_and_real_numbers_are_the_same_counts() -> None:
    answer = page([series(whole(10), group="new"), series(real(90.0), group="old")])
    (interval,) = await measured(query(groups=COHORT), answer)
    assert interval.groups["all"] == Counts(total=100)


@pytest.mark.parametrize("number", [nan, inf, -1.0, 1e200])
async def test_what_cannot_be_a_count_is_refused(number: float) -> None:
    with pytest.raises(SourceFailure, match="answers with a count of"):
        await measured(query(), page([series(real(number))]))


async def test_a_level_that_is_not_a_number_is_handed_on_as_it_is() -> None:
    before, last = await measured(query("level"), page([series(real(nan), whole(4))]))
    assert before.groups == {"all": Level(value=4.0)}
    assert isinstance(last.groups["all"], Level)
    assert isnan(last.groups["all"].value)


async def test_levels_of_groups_are_asked_apart_from_the_level_of_all() -> None:
    grouped = page([series(real(0.9), group="new"), series(real(0.2), group="old"), series(real(0.5), group="robots")])
    script = Script(listed=[grouped, page([series(real(0.21))])])
    async with scripted(script) as source:
        (interval,) = await source.measure(
            query("level", groups=COHORT), start=NOON - MINUTE, end=NOON, interval=MINUTE
        )
    assert interval.groups == {"treated": Level(value=0.9), "control": Level(value=0.2), "all": Level(value=0.21)}
    assert [list(request.aggregation.group_by_fields) for request in script.requests] == [["metric.labels.group"], []]


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"exponential_buckets": {"num_finite_buckets": 3, "growth_factor": 2.0, "scale": 10.0}}, (10, 20, 40, 80)),
        ({"linear_buckets": {"num_finite_buckets": 3, "width": 5.0, "offset": 1.0}}, (1, 6, 11, 16)),
        ({"explicit_buckets": {"bounds": [1.0, 5.0, 25.0, 125.0]}}, (1, 5, 25, 125)),
    ],
)
async def test_distributions_come_whole_with_the_edges_of_their_buckets(
    options: dict[str, Any], bounds: tuple[float, ...]
) -> None:
    (interval,) = await measured(query("distribution"), page([series(buckets([1, 2, 3, 4, 5], options, mean=20.0))]))
    assert interval.groups == {"all": Histogram(bounds=bounds, counts=(1, 2, 3, 4, 5), sum=300.0)}


async def test_empty_buckets_at_the_end_may_be_left_out() -> None:
    (interval,) = await measured(
        query("distribution"), page([series(buckets([1, 2], {"explicit_buckets": {"bounds": [1.0, 5.0, 25.0]}}))])
    )
    assert interval.groups == {"all": Histogram(bounds=(1, 5, 25), counts=(1, 2, 0, 0))}


async def test_distributions_of_groups_add_up_bucket_by_bucket() -> None:
    options = {"explicit_buckets": {"bounds": [1.0]}}
    answer = page(
        [
            series(buckets([1, 2], options, mean=2.0), group="new"),
            series(buckets([3, 4], options, mean=1.0), group="old"),
        ]
    )
    (interval,) = await measured(query("distribution", groups=COHORT), answer)
    assert interval.groups["all"] == Histogram(bounds=(1.0,), counts=(4, 6), sum=13.0)


async def test_groups_whose_buckets_are_of_another_kind_are_told_apart_and_not_added_where_they_differ() -> None:
    """The same edges, told as exponential, linear and explicit ones, are the same; others are refused by both kinds."""
    exponential = {"exponential_buckets": {"num_finite_buckets": 1, "growth_factor": 2.0, "scale": 10.0}}
    linear = {"linear_buckets": {"num_finite_buckets": 1, "width": 10.0, "offset": 10.0}}
    explicit = {"explicit_buckets": {"bounds": [10.0, 20.0]}}
    new = series(buckets([1, 2, 3], exponential, mean=1.0), group="new")
    answer = page(
        [
            new,
            series(buckets([1, 0, 1], linear, mean=1.0), group="old"),
            series(buckets([0, 0, 5], explicit, mean=1.0), group="robots"),
        ]
    )
    (interval,) = await measured(query("distribution", groups=COHORT), answer)
    assert interval.groups["all"] == Histogram(bounds=(10.0, 20.0), counts=(2, 2, 9), sum=13.0)

    finer = series(buckets([1, 1, 1, 1], {"explicit_buckets": {"bounds": [5.0, 10.0, 20.0]}}), group="old")
    with pytest.raises(SourceFailure, match="cannot be added: the metric changed its form"):
        await measured(query("distribution", groups=COHORT), page([new, finer]))


async def test_whole_and_real_points_of_one_series_are_counts_alike() -> None:
    before, last = await measured(query(), page([series(real(3.0), whole(4))]))
    assert (before.groups["all"], last.groups["all"]) == (Counts(total=4), Counts(total=3))


async def test_an_empty_distribution_without_buckets_is_silence() -> None:
    assert await measured(query("distribution"), page([series(buckets([], {}))])) == []


EXPLICIT = {"explicit_buckets": {"bounds": [1.0]}}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (buckets([], {}, count=3), "without buckets"),
        (buckets([1, 2], EXPLICIT, count=4), "do not add up"),
        (buckets([1, 1, 1], EXPLICIT), "do not add up"),
        (buckets([1, 2], EXPLICIT, mean=nan), "a mean of nan"),
        (buckets([1, 2, 3], {"explicit_buckets": {"bounds": [2.0, 1.0]}}), "edges that are not finite and ascending"),
        (buckets([1, 2, 3], {"explicit_buckets": {"bounds": [1.0, inf]}}), "edges that are not finite and ascending"),
        (buckets([1, 2], {"explicit_buckets": {"bounds": [nan]}}), "edges that are not finite and ascending"),
        (
            buckets([1], {"exponential_buckets": {"num_finite_buckets": 9, "growth_factor": 1e200, "scale": 1.0}}),
            "edges that are not finite and ascending",
        ),
        (whole(3), "answers with int64_value; the plan says that it is a distribution"),
        ({"bool_value": True}, "answers with bool_value"),
        ({}, "answers with None"),
    ],
)
async def test_what_is_no_sound_distribution_is_refused(value: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceFailure, match=why):
        await measured(query("distribution"), page([series(value)]))


@pytest.mark.parametrize("value", ["count", "level"])
async def test_a_distribution_is_no_number(value: ValueKind) -> None:
    with pytest.raises(SourceFailure, match=f"the plan says that it is a {value}"):
        await measured(query(value), page([series(buckets([1, 2], EXPLICIT))]))


async def test_a_label_that_can_be_none_is_named() -> None:
    asked = query(bad=BadLabel(label="outcome", values=("error",)))
    with pytest.raises(SourceFailure, match="label 'outcome' is none"):
        await measured(asked, page([series(whole(1), outcome="error")]))


async def test_labels_of_the_system_and_the_user_are_found_too() -> None:
    row = {**series(whole(7)), "metadata": {"user_labels": {"cohort": "new"}}}
    groups = GroupsByLabel(label="metadata.user_labels.cohort", treated="new", control="old")
    (interval,) = await measured(query(groups=groups), page([row]))
    assert interval.groups["treated"] == Counts(total=7)


async def test_an_incomplete_answer_is_no_answer() -> None:
    answer = page([series(whole(100))])
    answer.execution_errors = [{"code": 4, "message": "one zone did not answer"}]
    with pytest.raises(SourceFailure, match="incomplete: one zone did not answer"):
        await measured(query(), answer)


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
