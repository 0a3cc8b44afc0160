"""Two changes at a time: what an etag does, and what an update does while an older one is on its way."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from sandbox.behaviours import Behaviour
from sandbox.cloud_run import EtagProfile
from tests.sandbox.google import CANDIDATE, NAME, NEW_IMAGE, Google, result_of, short, template_of, to

LONG_ENOUGH_FOR_ANOTHER_CALL = 3.0
"""In seconds, on a busy machine too."""


@pytest.mark.parametrize("stale", ["the one before", '"bogus"'])
async def test_a_stale_etag_is_refused_where_etags_are_enforced(stale: str) -> None:
    async with Google.started(etag="enforce") as google:
        before = await google.service()
        await google.update(["annotations"], annotations={"a": "1"})
        now = await google.settled()
        with pytest.raises(exceptions.Aborted) as refused:
            await google.update(
                ["annotations"], annotations={"a": "2"}, etag=before.etag if stale == "the one before" else stale
            )

        assert refused.value.message.startswith("Conflict for resource 'backend': version '")
        assert refused.value.reason == "CONFLICT"
        assert refused.value.domain == "run.googleapis.com"
        assert await google.service() == now


async def test_a_stale_etag_means_nothing_where_etags_are_ignored() -> None:
    async with Google.started(etag="ignore") as google:
        before = await google.service()
        await google.update(["annotations"], annotations={"a": "1"})
        await google.update(["annotations"], annotations={"a": "2"}, etag=before.etag)

        assert dict((await google.service()).annotations) == {"a": "2"}


@pytest.mark.parametrize("etag", ["enforce", "ignore"])
async def test_the_present_etag_and_none_at_all_are_always_taken(etag: EtagProfile) -> None:
    async with Google.started(etag=etag) as google:
        await google.update(["annotations"], annotations={"a": "1"}, etag=(await google.service()).etag)
        await google.update(["annotations"], annotations={"a": "2"})

        assert dict((await google.service()).annotations) == {"a": "2"}


async def test_an_etag_read_before_a_reconciliation_ends_still_fits_after_it() -> None:
    async with Google.started(etag="enforce") as google:
        await google.update(["template"], template=template_of(NEW_IMAGE))
        during = (await google.service()).etag
        await google.settled()
        await google.update(["annotations"], annotations={"a": "1"}, etag=during)

        assert dict((await google.service()).annotations) == {"a": "1"}


async def test_an_update_during_another_one_is_refused_in_the_abort_profile() -> None:
    async with Google.started(inflight="abort") as google:
        stable = await google.stable()
        google.sandbox.faults.reconcile_seconds = 60
        await google.update(["template"], template=template_of(NEW_IMAGE))
        with pytest.raises(exceptions.Aborted, match="Conflict for resource 'backend'"):
            await google.update(["traffic"], traffic=[to(stable, 100)])


async def test_the_refusal_ends_with_the_reconciliation() -> None:
    async with Google.started(inflight="abort") as google:
        await google.update(["template"], template=template_of(NEW_IMAGE))
        done = await google.settled()
        await google.update(["traffic"], traffic=[to(short(done.latest_ready_revision), 100)])

        assert (await google.settled()).observed_generation == done.generation + 1


async def test_a_rollback_during_a_slow_deployment_finishes_first_and_stays() -> None:
    async with Google.started(inflight="supersede") as google:
        stable = await google.stable()
        await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(start_seconds=LONG_ENOUGH_FOR_ANOTHER_CALL))
        deployment = await google.update(
            ["template", "traffic"],
            template=template_of(NEW_IMAGE, CANDIDATE),
            traffic=[to(stable, 50), to(CANDIDATE, 50)],
        )
        await google.update(["traffic"], traffic=[to(stable, 100)])
        rolled_back = await google.settled()

        assert rolled_back.observed_generation == rolled_back.generation
        assert [(row.revision, row.percent) for row in rolled_back.traffic_statuses] == [(stable, 100)]
        assert short(rolled_back.latest_created_revision) == stable

        await result_of(deployment)
        later = await google.service()
        while short(later.latest_created_revision) != CANDIDATE:
            later = await google.service()
        assert later.traffic_statuses == rolled_back.traffic_statuses
        assert later.etag == rolled_back.etag
        assert later.generation == rolled_back.generation


async def test_a_superseded_operation_ends_without_touching_what_is_observed() -> None:
    async with Google.started(inflight="supersede") as google:
        stable = await google.stable()
        google.sandbox.faults.reconcile_seconds = LONG_ENOUGH_FOR_ANOTHER_CALL
        first = await google.update(["traffic"], traffic=[to("backend-gone", 100)])
        google.sandbox.faults.reconcile_seconds = None
        await google.update(["traffic"], traffic=[to(stable, 100)])

        assert (await result_of(first)).generation == (await google.service()).generation
        assert (await google.settled()).terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED


async def test_the_end_of_a_superseded_operation_does_not_bring_the_newer_change_about() -> None:
    async with Google.started(inflight="supersede") as google:
        before, stable = await google.service(), await google.stable()
        google.sandbox.faults.reconcile_seconds = LONG_ENOUGH_FOR_ANOTHER_CALL
        first = await google.update(["traffic"], traffic=[to(stable, 100, "first")])
        google.sandbox.faults.reconcile_seconds = 60
        await google.update(["traffic"], traffic=[to(stable, 100, "second")])
        await result_of(first)
        service = await google.service()

        assert service.reconciling
        assert service.observed_generation == before.generation
        assert service.traffic_statuses == before.traffic_statuses


async def test_generations_count_the_accepted_updates() -> None:
    async with Google.started() as google:
        before = (await google.services.get_service(name=NAME)).generation
        for number in range(5):
            await google.update(["annotations"], annotations={"n": str(number)})

        assert (await google.settled()).generation == before + 5
