"""What is made of Cloud Monitoring's answers, whatever they hold: never a zero out of silence, never a guess."""

from datetime import timedelta
from math import inf, isnan, nan

import pytest

from rollout.measurement import (
    BadLabel,
    Counts,
    GroupsByCohort,
    GroupsByLabel,
    GroupsByRevision,
    IntervalMeasurement,
    Level,
    SourceFailure,
)
from tests.activities.monitoring_answers import COHORT, ERRORS, MINUTE, NOON, measured, query, real, series, whole
from tests.activities.scripted_monitoring import Script, page, scripted


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
