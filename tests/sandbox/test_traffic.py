"""The rules of the traffic list, and how what is desired becomes what is observed."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, Google, result_of, short, template_of, to, to_latest


def observed(service: run_v2.Service) -> list[tuple[str, int, str]]:
    return [(row.revision, row.percent, row.tag) for row in service.traffic_statuses]


async def test_a_tagged_candidate_gets_an_address_and_no_traffic(google: Google) -> None:
    service = await google.deploy(0, tag="canary")

    assert observed(service) == [(await google.stable(), 100, ""), (CANDIDATE, 0, "canary")]
    assert service.traffic_statuses[1].uri == f"{google.sandbox.http_url}/run/canary---backend"
    assert service.traffic_statuses[0].uri == ""


async def test_traffic_moves_and_comes_back(google: Google) -> None:
    stable = await google.stable()
    await google.deploy(10)
    await google.update(["traffic"], traffic=[to(stable, 40), to(CANDIDATE, 60)])
    assert observed(await google.settled()) == [(stable, 40, ""), (CANDIDATE, 60, "")]

    await google.update(["traffic"], traffic=[to(stable, 100)])
    assert observed(await google.settled()) == [(stable, 100, "")]


async def test_an_empty_list_gives_everything_to_the_newest_revision(google: Google) -> None:
    await google.deploy(10)
    await google.update(["traffic"])
    service = await google.settled()

    assert list(service.traffic) == [to_latest(100)]
    assert short(service.latest_ready_revision) == CANDIDATE


async def test_a_service_on_latest_moves_with_a_new_template(google: Google) -> None:
    await google.update(["template"], template=template_of(NEW_IMAGE, CANDIDATE))
    await google.settled()

    (record,) = google.sandbox.services
    assert [(share.revision, share.percent) for share in record.observed_traffic().shares] == [(CANDIDATE, 100)]


async def test_a_pinned_service_keeps_its_split_when_the_template_changes(google: Google) -> None:
    stable = await google.stable()
    await google.update(["traffic"], traffic=[to(stable, 100)])
    await google.settled()
    await google.update(["template"], template=template_of(NEW_IMAGE, CANDIDATE))

    assert observed(await google.settled()) == [(stable, 100, "")]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([to("backend-a", 50)], "Traffic targets sum to 50, want 100", id="sum below"),
        pytest.param(
            [to("backend-a", 60), to("backend-b", 60)], "Traffic targets sum to 120, want 100", id="sum above"
        ),
        pytest.param([to("backend-a", 200), to("backend-b", -100)], "200 is not between 0 and 100", id="out of range"),
        pytest.param(
            [to("backend-a", 100, "x"), to("backend-b", 0, "x")], "Multiple definitions for tag 'x'", id="duplicate tag"
        ),
        pytest.param(
            [to(f"{NAME}/revisions/backend-a", 100)],
            f"Revision target '{NAME}/revisions/backend-a' invalid. Expected a revision prefixed with 'backend-'",
            id="full name",
        ),
        pytest.param(
            [to("auth-a", 100)],
            "Revision target 'auth-a' invalid. Expected a revision prefixed with 'backend-'",
            id="another service's revision",
        ),
        pytest.param([to("", 100)], "Revision target '' invalid", id="no revision"),
        pytest.param(
            [to_latest(0), run_v2.TrafficTarget(revision="backend-a", percent=100)],
            "The allocation type must be LATEST or REVISION",
            id="no type",
        ),
        pytest.param([to("backend-a", 100, "Not Good")], "'Not Good' must hold lower-case", id="tag letters"),
        pytest.param([to("backend-a", 100, "t" * 40)], "together exceed 46 characters", id="tag too long"),
    ],
)
async def test_a_list_that_breaks_a_rule_is_refused_at_once(
    google: Google, rows: list[run_v2.TrafficTarget], said: str
) -> None:
    before = await google.service()
    with pytest.raises(exceptions.InvalidArgument) as refused:
        await google.update(["traffic"], traffic=rows)

    assert said in refused.value.message
    assert (
        refused.value.details[0]
        .field_violations[0]
        .field.startswith("Violation in UpdateServiceRequest.service.traffic")
    )
    assert await google.service() == before


async def test_a_tag_of_the_longest_allowed_length_is_taken(google: Google) -> None:
    tag = "t" * (46 - len("backend"))
    await google.update(["traffic"], traffic=[to(await google.stable(), 100, tag)])

    assert (await google.settled()).traffic_statuses[0].tag == tag


async def test_an_unknown_revision_fails_the_operation_and_leaves_desired_and_observed_apart(google: Google) -> None:
    before = await google.service()
    operation = await google.update(["traffic"], traffic=[to("backend-gone", 100)])
    with pytest.raises(exceptions.GoogleAPICallError) as failed:
        await result_of(operation)
    after = await google.service()

    assert failed.value.errors[0].code == 13
    assert failed.value.message == (
        "Revision 'backend-gone' does not exist or is deleted. Update all traffic to route to currently available "
        "revisions."
    )
    assert [row.revision for row in after.traffic] == ["backend-gone"]
    assert after.traffic_statuses == before.traffic_statuses
    assert after.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED
    assert [(condition.type_, condition.state.name) for condition in after.conditions] == [
        ("RoutesReady", "CONDITION_FAILED"),
        ("ConfigurationsReady", "CONDITION_SUCCEEDED"),
    ]


async def test_setting_the_list_anew_after_a_failure_makes_desired_and_observed_equal(google: Google) -> None:
    stable = await google.stable()
    await google.update(["traffic"], traffic=[to("backend-gone", 100)])
    await google.settled()
    await google.update(["traffic"], traffic=[to(stable, 100)])
    service = await google.settled()

    assert observed(service) == [(stable, 100, "")]
    assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
