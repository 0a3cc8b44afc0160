"""What a `Service` message says, state by state as Cloud Run goes through them."""

import pytest
from google.cloud import run_v2

from activities.cloud_run_service import (
    FENCE_ANNOTATION,
    Change,
    desired_split,
    failure_of,
    fence_of,
    follows_latest,
    is_settled,
    observed_split,
    serving_container,
    update_request,
)
from rollout.traffic import Tag, TrafficSplit

State = run_v2.Condition.State
Reason = run_v2.Condition.RevisionReason
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
NEWEST = "projects/p/locations/l/services/backend/revisions/backend-2"


def to(revision: str, percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=REVISION, revision=revision, percent=percent, tag=tag)


def to_latest(percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=LATEST, percent=percent, tag=tag)


def service(*traffic: run_v2.TrafficTarget, newest: str = NEWEST) -> run_v2.Service:
    return run_v2.Service(traffic=list(traffic), latest_ready_revision=newest)


@pytest.mark.parametrize(
    ("traffic", "split"),
    [
        ([], TrafficSplit(shares={"backend-2": 100})),
        ([to_latest(100)], TrafficSplit(shares={"backend-2": 100})),
        ([to_latest(60), to("backend-2", 40)], TrafficSplit(shares={"backend-2": 100})),
        (
            [to("backend-2", tag="canary"), to("backend-1", 100)],
            TrafficSplit(shares={"backend-1": 100}, tags=(Tag(tag="canary", revision="backend-2"),)),
        ),
        (
            [to("backend-1", 90, tag="stable"), to("backend-2", 10), to_latest(tag="next")],
            TrafficSplit(
                shares={"backend-1": 90, "backend-2": 10},
                tags=(Tag(tag="next", revision="backend-2"), Tag(tag="stable", revision="backend-1")),
            ),
        ),
    ],
)
def test_what_was_asked_for_is_read_with_the_newest_revision_by_its_name(
    traffic: list[run_v2.TrafficTarget], split: TrafficSplit
) -> None:
    assert desired_split(service(*traffic)) == split


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [run_v2.TrafficTargetStatus(type_=REVISION, revision="backend-1", percent=60)],
        [run_v2.TrafficTargetStatus(type_=REVISION, percent=100)],
    ],
    ids=["none", "no whole", "no name"],
)
def test_rows_that_make_no_whole_are_no_split(rows: list[run_v2.TrafficTargetStatus]) -> None:
    assert observed_split(run_v2.Service(traffic_statuses=rows)) is None


def test_the_newest_revision_serves_nothing_while_there_is_none() -> None:
    assert desired_split(service(to_latest(100), newest="")) is None


@pytest.mark.parametrize(
    ("traffic", "follows"),
    [
        ([], True),
        ([to_latest(100)], True),
        ([to("backend-1", 50), to_latest(50)], True),
        ([to("backend-1", 100), to_latest(tag="next")], False),
    ],
)
def test_only_traffic_follows_the_newest_revision_not_a_tag(
    traffic: list[run_v2.TrafficTarget], *, follows: bool
) -> None:
    assert follows_latest(service(*traffic)) is follows


@pytest.mark.parametrize(
    ("state", "generation", "observed", "reconciling", "settled"),
    [
        (State.CONDITION_PENDING, 1, 0, True, False),
        (State.CONDITION_PENDING, 2, 1, True, False),
        (State.CONDITION_RECONCILING, 2, 1, True, False),
        (State.CONDITION_PENDING, 2, 1, False, False),
        (State.CONDITION_SUCCEEDED, 2, 1, True, False),
        (State.CONDITION_SUCCEEDED, 2, 1, False, False),
        (State.CONDITION_SUCCEEDED, 2, 2, False, True),
        (State.CONDITION_FAILED, 2, 2, True, False),
        (State.CONDITION_FAILED, 2, 2, False, True),
        (State.CONDITION_FAILED, 2, 1, False, True),
    ],
)
def test_cloud_run_is_done_when_it_observes_what_was_asked_for_or_gave_it_up(
    state: run_v2.Condition.State, generation: int, observed: int, *, reconciling: bool, settled: bool
) -> None:
    current = run_v2.Service(
        generation=generation,
        observed_generation=observed,
        reconciling=reconciling,
        terminal_condition=run_v2.Condition(state=state),
    )
    assert is_settled(current) is settled


def test_a_failure_is_told_in_cloud_runs_words_each_of_them_once() -> None:
    failed = run_v2.Condition(
        type_="Ready",
        state=State.CONDITION_FAILED,
        message="the container did not listen",
        revision_reason=Reason.HEALTH_CHECK_CONTAINER_ERROR,
    )
    routes = run_v2.Condition(type_="RoutesReady", state=State.CONDITION_FAILED, message="no route")
    fine = run_v2.Condition(type_="ConfigurationsReady", state=State.CONDITION_SUCCEEDED, message="all good")
    current = run_v2.Service(terminal_condition=failed, conditions=[failed, routes, fine])
    assert failure_of(current) == "HEALTH_CHECK_CONTAINER_ERROR: the container did not listen; no route"


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (run_v2.Condition(state=State.CONDITION_FAILED), "no reason was given"),
        (
            run_v2.Condition(
                state=State.CONDITION_FAILED, reason=run_v2.Condition.CommonReason.CONTAINER_PERMISSION_DENIED
            ),
            "CONTAINER_PERMISSION_DENIED",
        ),
        (run_v2.Condition(state=State.CONDITION_SUCCEEDED, message="fine"), None),
    ],
)
def test_a_failure_without_words_is_told_by_what_there_is(condition: run_v2.Condition, told: str | None) -> None:
    assert failure_of(run_v2.Service(terminal_condition=condition)) == told


@pytest.mark.parametrize(
    ("written", "fence"), [(None, 0), ("12", 12), ("0", 0), ("mine", None), ("-1", None), ("", None)]
)
def test_a_fence_is_a_number_or_nobody_knows(written: str | None, fence: int | None) -> None:
    annotations = {} if written is None else {FENCE_ANNOTATION: written}
    assert fence_of(run_v2.Service(annotations=annotations)) == fence


@pytest.mark.parametrize(
    ("ports", "index"),
    [([0], 0), ([1], 0), ([1, 0], 0), ([0, 1, 0], 1), ([0, 0], None), ([1, 1], None), ([], None)],
)
def test_requests_go_to_the_only_container_or_to_the_only_one_with_a_port(ports: list[int], index: int | None) -> None:
    containers = [run_v2.Container(ports=[run_v2.ContainerPort(container_port=8080)] if each else []) for each in ports]
    assert serving_container(containers) == index


def test_a_written_split_is_read_back_as_the_same_split() -> None:
    split = TrafficSplit(
        shares={"backend-1": 99, "backend-2": 1},
        tags=(Tag(tag="canary", revision="backend-2"), Tag(tag="stable", revision="backend-1")),
    )
    update = update_request(service(), "projects/p/locations/l/services/backend", Change(split), 3, etag="e")
    assert desired_split(update.service) == split
    assert not any(row.type_ == LATEST for row in update.service.traffic)
    assert set(update.update_mask.paths) == {"annotations", "traffic"}
    assert "template" not in update.service
