"""Revisions as processes behind the router: real requests and WebSockets, through every change of the split."""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any

import httpx
import pytest
from google.cloud import run_v2

from local.simulated_users import SimulatedUsers, Tally
from tests import patient_http
from tests.sandbox.google import (
    CANDIDATE,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    Aligner,
    Google,
    result_of,
    short,
    template_of,
    to,
)

APP = f"{shlex.quote(sys.executable)} -m sample_app"
SAMPLES = {"sample_seconds": 0.5, "ingest_delay_seconds": 0.0}
DEVIATIONS = 4.4
"""Beyond so many standard deviations chance takes a binomial count once in a hundred thousand runs."""


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(app_command=APP, **SAMPLES) as started:
        yield started


async def url_of(google: Google, tag: str = "") -> str:
    service = await google.service()
    if not tag:
        return service.uri
    return next(row.uri for row in service.traffic_statuses if row.tag == tag)


async def split(google: Google, percent: int) -> None:
    await google.update(["traffic"], traffic=[to(await google.stable(), 100 - percent), to(CANDIDATE, percent)])
    await google.settled()


async def until_served(tally: Tally, further: int) -> None:
    """Wait for that many further answers."""
    wanted = tally.served + further
    while tally.served < wanted:  # noqa: ASYNC110  (users come and go without an event)
        await asyncio.sleep(0.01)


def likely(count: int, of: int, share: float) -> bool:
    """Whether chance explains that `count` of `of` requests came where `share` of them should."""
    return abs(count - of * share) <= DEVIATIONS * sqrt(of * share * (1 - share))


async def put_faults(google: Google, image: str, **faults: Any) -> httpx.Response:
    async with patient_http.async_client(base_url=google.sandbox.http_url) as client:
        return await client.put("/application-faults", json={"image": image, **faults})


async def total(google: Google, metric: str, *, by: str) -> dict[str, int]:
    """The counts of the last minute by a label."""
    found = await google.series(
        metric,
        datetime.now(UTC),
        window=timedelta(minutes=1),
        period=timedelta(minutes=1),
        by=[by],
    )
    label = by.rpartition(".")[2]
    return {
        (each.resource.labels if by.startswith("resource") else each.metric.labels)[label]: sum(
            point.value.int64_value for point in each.points
        )
        for each in found
    }


async def test_no_request_and_no_event_is_lost_while_the_traffic_moves_forth_and_back(google: Google) -> None:
    users = SimulatedUsers(await url_of(google), count=8, requests_per_second=60.0)
    async with users.active():
        await until_served(users.tally, 20)
        await google.deploy(0, tag="candidate")
        for percent in (10, 50, 100, 0, 100, 0):
            await split(google, percent)
            await until_served(users.tally, 25)

    assert (users.tally.lost, users.tally.first_loss) == (0, None)
    assert users.tally.events_lost == 0
    assert users.tally.events > 8
    assert users.tally.reconnections >= 8
    assert users.tally.by_revision.keys() == {await google.stable(), CANDIDATE}


async def test_the_share_of_requests_per_revision_is_the_split(google: Google) -> None:
    await google.deploy(30)
    url = await url_of(google)
    async with patient_http.async_client() as client:
        served = [(await client.get(f"{url}/work")).json()["revision"] for _ in range(400)]

    assert likely(served.count(CANDIDATE), 400, 0.3)


async def test_a_tag_reaches_its_revision_and_the_service_does_not(google: Google) -> None:
    await google.update(
        ["template", "traffic"],
        template=template_of(NEW_IMAGE, CANDIDATE),
        traffic=[to(await google.stable(), 100), to(CANDIDATE, 0, "candidate")],
    )
    await google.settled()
    async with patient_http.async_client() as client:
        tagged = (await client.get(f"{await url_of(google, 'candidate')}/health/overall")).json()
        untagged = (await client.get(f"{await url_of(google)}/health/overall")).json()

    assert (tagged["revision"], untagged["revision"]) == (CANDIDATE, await google.stable())


async def test_cloud_run_counts_what_the_router_answered_by_code_and_revision(google: Google) -> None:
    assert (await put_faults(google, OLD_IMAGE, error_rate=1.0, to="all")).status_code == 200
    url = await url_of(google)
    async with patient_http.async_client() as client:
        for _ in range(7):
            assert (await client.get(f"{url}/work")).status_code == 500
        for _ in range(3):
            assert (await client.get(f"{url}/health/factory")).status_code == 200
    metric = "run.googleapis.com/request_count"
    while sum((await total(google, metric, by="metric.labels.response_code")).values()) < 10:
        continue

    assert await total(google, metric, by="metric.labels.response_code") == {"200": 3, "500": 7}
    assert await total(google, metric, by="resource.labels.revision_name") == {await google.stable(): 10}


async def test_the_application_reports_its_own_metrics_by_group(google: Google) -> None:
    url = await url_of(google)
    async with patient_http.async_client() as client:
        for _ in range(5):
            await client.get(f"{url}/work")
    metric = "custom.googleapis.com/rollout/legacy_path_requests"
    while sum((await total(google, metric, by="metric.labels.group")).values()) < 5:
        continue

    assert await total(google, metric, by="metric.labels.group") == {"control": 5}
    latencies = await google.series(
        "custom.googleapis.com/rollout/request_latencies", datetime.now(UTC), aligner=Aligner.ALIGN_DELTA
    )
    assert sum(point.value.distribution_value.count for point in latencies[0].points) == 5


async def test_the_application_reports_requests_without_a_cohort_as_nobodys(google: Google) -> None:
    url = await url_of(google)
    async with patient_http.async_client() as client:
        for _ in range(5):
            await client.get(f"{url}/work")
    metric = "custom.googleapis.com/rollout/cohort_request_count"
    while sum((found := await total(google, metric, by="metric.labels.cohort")).values()) < 5:
        continue

    assert found == {"none": 5}


async def test_containers_that_serve_have_utilisations_and_others_have_none(google: Google) -> None:
    metric = "run.googleapis.com/container/memory/utilizations"
    assert await google.series(metric, datetime.now(UTC)) == []
    url = await url_of(google)
    async with patient_http.async_client() as client:
        while not (found := await google.series(metric, datetime.now(UTC))):
            await client.get(f"{url}/work")

    assert 0.01 < found[0].points[0].value.distribution_value.mean < 1.0


async def test_a_fault_set_before_a_deployment_is_in_the_new_revision_from_its_first_request(google: Google) -> None:
    await put_faults(google, NEW_IMAGE, error_rate=1.0, to="all")
    await google.deploy(0, tag="candidate")
    async with patient_http.async_client() as client:
        assert (await client.get(f"{await url_of(google, 'candidate')}/work")).status_code == 500
        assert (await client.get(f"{await url_of(google)}/work")).status_code == 200


async def test_a_fault_the_application_does_not_have_is_refused_with_its_words(google: Google) -> None:
    answer = await put_faults(google, OLD_IMAGE, speed=3)

    assert answer.status_code == 400
    assert "speed: Extra inputs are not permitted, got 3" in answer.json()["error"]


async def test_without_processes_there_are_no_application_faults() -> None:
    async with Google.started() as google:
        answer = await put_faults(google, OLD_IMAGE, error_rate=1.0)

    assert answer.status_code == 409
    assert "PUT /behaviours" in answer.json()["error"]


async def test_a_revision_whose_command_ends_at_once_fails_as_on_cloud_run_and_the_old_one_serves_on(
    google: Google,
) -> None:
    template = template_of(NEW_IMAGE, CANDIDATE)
    template.containers[0].env.append(run_v2.EnvVar(name="SAMPLE_APP_REPORT_SECONDS", value="never"))
    operation = await google.update(["template"], template=template)

    with pytest.raises(Exception, match="failed to start and listen on the port"):
        await result_of(operation)
    async with patient_http.async_client() as client:
        assert (await client.get(f"{await url_of(google)}/work")).status_code == 200
    assert short((await google.service(NAME)).latest_ready_revision) == await google.stable()
