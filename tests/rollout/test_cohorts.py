"""The label of a cohort says who would be treated at which percentage, whatever anybody is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.binding import bind_gates, query_for
from rollout.cohort_past import MOST_INTERVALS, past_of
from rollout.cohorts import AUDIENCE, EVERYBODY_ELSE, NOBODY, cohort_label
from rollout.flags import OFF, Exposure, evaluate
from rollout.measurement import GroupsByCohort
from rollout.plan import RolloutPlan
from starter.plan_file import load_plan
from tests.checkout import PLANS
from tests.rollout.flag_samples import DOMAIN, snapshot_of
from tests.rollout.samples import MINUTE, NOON

STEPS = (1, 10, 50)
COHORT = snapshot_of(OFF).model_copy(update={"cohort": "request_isolation"})
GROUPS = GroupsByCohort.model_validate({"label": "metric.labels.cohort", "steps": ["1%", "10%", "50%"]})


@given(user=st.text(min_size=1, max_size=30), percent=st.sampled_from(STEPS))
def test_who_is_labelled_within_a_percentage_is_treated_at_it_and_nobody_else(user: str, percent: float) -> None:
    exposed = Exposure(exposure="percent", bp=percent * 100, stage="some")
    snapshot = COHORT.model_copy(update={"flags": dict.fromkeys(COHORT.flags, exposed)})
    found = evaluate(snapshot, "request_isolation", user)

    label = cohort_label(COHORT, STEPS, user)
    if found.reason == "BAD_USER_KEY":
        assert label == NOBODY
    else:
        assert (label in GROUPS.labels_within(percent / 100)) is found.enabled
        assert (label in GROUPS.labels_beyond(percent / 100)) is not found.enabled


@given(user=st.text(min_size=1, max_size=30), latch=st.booleans(), bp=st.integers(1, 10_000))
def test_the_label_is_the_same_whatever_is_exposed(user: str, latch: bool, bp: int) -> None:
    exposed = Exposure(exposure="percent", bp=bp, stage="some")
    other = COHORT.model_copy(update={"flags": dict.fromkeys(COHORT.flags, exposed), "latch": latch})

    assert cohort_label(other, STEPS, user) == cohort_label(COHORT, STEPS, user)


def test_an_audience_and_requests_without_a_user_or_cohort_are_in_neither_group() -> None:
    labels = {
        cohort_label(COHORT, STEPS, "anna", f"anna@{DOMAIN}"),
        cohort_label(COHORT, STEPS, None),
        cohort_label(COHORT, STEPS, "\ud800"),
        cohort_label(COHORT.model_copy(update={"cohort": None}), STEPS, "anna"),
        cohort_label(None, STEPS, "anna"),
    }

    assert labels == {AUDIENCE, NOBODY}
    assert not labels & {*GROUPS.labels_within(0.5), *GROUPS.labels_beyond(0.5)}


def test_the_labels_cover_the_users_in_the_planned_parts() -> None:
    labels = [cohort_label(COHORT, STEPS, f"user-{number}") for number in range(20_000)]

    for label, share in (("1", 0.01), ("10", 0.09), ("50", 0.4), (EVERYBODY_ELSE, 0.5)):
        assert labels.count(label) / len(labels) == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize("steps", [["0%"], ["100%"], ["50%", "10%"], ["10%", "10%"], []])
def test_steps_ascend_between_nobody_and_everybody(steps: list[str]) -> None:
    with pytest.raises(ValidationError, match="steps"):
        GroupsByCohort.model_validate({"label": "metric.labels.cohort", "steps": steps})


def shipped(**changes: Any) -> dict[str, Any]:
    return {**load_plan(PLANS / "request-isolation.yaml").model_dump(mode="json", exclude_none=True), **changes}


def test_a_cohort_of_a_plan_without_one_hash_key_is_refused() -> None:
    plan = shipped()
    del plan["cohort"]

    with pytest.raises(ValidationError, match="groups by cohort need the plan's `cohort`: one hash key for all flags"):
        RolloutPlan.model_validate(plan)


def test_a_stage_at_a_percentage_that_the_label_does_not_know_is_refused() -> None:
    plan = shipped()
    plan["stages"][2]["exposure"] = "20%"

    with pytest.raises(ValidationError, match=r"'backend_errors' tells users apart by cohort, .*: 10%, 50%"):
        RolloutPlan.model_validate(plan)


def test_flags_at_different_percentages_are_no_cohort() -> None:
    plan = shipped()
    plan["stages"][3]["exposure"] = {"*": "50%", "websocket_isolation": "10%"}

    with pytest.raises(ValidationError, match="needs one percentage for all flags"):
        RolloutPlan.model_validate(plan)


def test_each_stage_asks_for_its_own_part_of_the_cohort_and_its_comparisons_for_the_past() -> None:
    plan = load_plan(PLANS / "request-isolation.yaml")
    past = past_of(NOON - 26 * 60 * MINUTE, NOON, plan.baseline.window, plan.check_interval)
    canary, staged = (bind_gates(plan, plan.stages[index], {}, {}, {}, past) for index in (2, 3))

    for bound, share in ((canary, 0.1), (staged, 0.5)):
        comparing = [bound[name] for name in ("backend_errors", "auth_errors", "backend_p95", "auth_p95")]
        assert {query.cohort for gate in comparing for query in gate.queries.values()} == {share}
        assert {gate.past for gate in comparing} == {past}
        assert {gate.past for gate in bound.values() if gate not in comparing} == {None}
    assert query_for(plan, "backend_requests_by_cohort", {}, {}).cohort == 0.1


def test_the_past_begins_where_every_flag_was_off_ends_with_the_first_exposure_and_is_a_day_at_most() -> None:
    hour, second = 60 * MINUTE, MINUTE / 60
    two_hours = past_of(NOON - 2 * hour + second, NOON + 30 * second, 24 * hour, MINUTE)
    week = past_of(NOON - 200 * hour, NOON, 168 * hour, MINUTE)

    assert two_hours is not None
    assert (two_hours.since, two_hours.until) == (NOON - 2 * hour + MINUTE, NOON)
    assert week is not None
    assert (week.until - week.since) / MINUTE == MOST_INTERVALS
    assert past_of(NOON, NOON + 30 * second, hour, MINUTE) is None
