"""A sandbox started on the file of one that was killed is the same Google: nothing that was answered is lost.

What a kill leaves behind is the file as it is at that moment: a copy of it, taken while the first sandbox runs on.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3, run_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from sandbox.behaviours import Behaviour
from sandbox.journal import Journal, UnusableJournal
from sandbox.server import Sandbox
from tests.sandbox.google import (
    CANDIDATE,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    PARENT,
    PROJECT,
    Google,
    result_of,
    template_of,
    to,
)
from tests.sandbox.moving_clock import START, MovingClock

NEVER_SECONDS = 3600.0
CREATED = f"{PARENT}/services/created"
REQUESTS = "run.googleapis.com/request_count"
ORDERS = "custom.googleapis.com/shop/orders"


@asynccontextmanager
async def killed_and_started(state: Path, **options: Any) -> AsyncIterator[Google]:
    """A sandbox on what a kill of the one that runs on `state` would leave at this moment."""
    left = state.with_name("left.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{state}{suffix}", f"{left}{suffix}")
    async with Google.started(state=left, **options) as google:
        yield google


def without_addresses(service: run_v2.Service, sandbox: Sandbox) -> Any:
    """A service but for where it is answered, which is seen to be at `sandbox`."""
    plain = run_v2.Service.pb(service)
    assert all(uri.startswith(f"{sandbox.http_url}/run/") for uri in [plain.uri, *plain.urls])
    plain.uri = ""
    del plain.urls[:]
    for row in plain.traffic_statuses:
        assert row.uri.startswith(sandbox.http_url) is bool(row.tag)
        row.uri = ""
    return plain


async def operation(google: Google, name: str) -> Any:
    return await google.services.get_operation(operations_pb2.GetOperationRequest(name=name))


async def ended(google: Google, name: str) -> Any:
    while not (found := await operation(google, name)).done:
        continue
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "made when it is needed" / "sandbox.db"


async def test_services_revisions_and_operations_are_after_a_kill_what_they_were_to_the_last_field(state: Path) -> None:
    async with Google.started(state=state) as google:
        template = template_of(OLD_IMAGE)
        create = await google.services.create_service(
            parent=PARENT, service_id="created", service=run_v2.Service(template=template)
        )
        await result_of(create)
        await google.deploy(30, tag="next")
        async with killed_and_started(state) as again:
            for name in (NAME, CREATED):
                after = without_addresses(await again.service(name), again.sandbox)
                assert after == without_addresses(await google.service(name), google.sandbox)
                assert [each async for each in await again.revisions.list_revisions(parent=name)] == [
                    each async for each in await google.revisions.list_revisions(parent=name)
                ]
            assert await operation(again, create.operation.name) == await operation(google, create.operation.name)
            further = await again.update(["annotations"], annotations={"after": "the kill"})
            assert further.operation.name != create.operation.name
            assert (await again.settled()).generation == 3


async def test_every_update_that_was_answered_is_there_whenever_the_kill_comes(state: Path) -> None:
    async with Google.started(state=state, reconcile_seconds=0.0) as google:
        for turn in range(5):
            await google.update(["annotations"], annotations={"turn": str(turn)})
            answered = await google.service()
            async with killed_and_started(state) as again:
                kept = await again.service()
                assert (kept.generation, kept.etag) == (answered.generation, answered.etag)
                assert kept.annotations["turn"] == str(turn)


async def test_what_was_under_way_at_the_kill_is_carried_out_after_it(state: Path) -> None:
    async with Google.started(state=state, reconcile_seconds=NEVER_SECONDS) as google:
        stable = await google.stable()
        deploying = await google.update(
            ["template", "traffic"],
            template=template_of(NEW_IMAGE, CANDIDATE),
            traffic=[to(stable, 90), to(CANDIDATE, 10)],
        )
        create = await google.services.create_service(
            parent=PARENT, service_id="created", service=run_v2.Service(template=template_of(OLD_IMAGE))
        )
        deleting = await google.services.delete_service(name=CREATED)
        async with killed_and_started(state) as again:
            assert (await again.service()).generation == 2
            deployed = await again.settled()
            assert {row.revision: row.percent for row in deployed.traffic_statuses} == {stable: 90, CANDIDATE: 10}
            for begun in (deploying, create, deleting):
                assert (await ended(again, begun.operation.name)).HasField("response")
            with pytest.raises(exceptions.NotFound):
                await again.service(CREATED)
            listed = run_v2.ListServicesRequest(parent=PARENT, show_deleted=True)
            assert [each.name async for each in await again.services.list_services(request=listed)] == [NAME, CREATED]


async def test_a_revision_that_failed_has_failed_after_the_kill_too(state: Path) -> None:
    async with Google.started(state=state) as google:
        await google.sandbox.set_behaviour(NEW_IMAGE, Behaviour(fails_to_start=True))
        failed = await google.deploy(10)
        async with killed_and_started(state) as again:
            assert (await again.service()).conditions == failed.conditions
            await again.update(["annotations"], annotations={"again": "yes"})
            assert "is not ready" in (await again.settled()).terminal_condition.message


async def test_what_was_measured_is_measured_the_same_after_a_kill(state: Path) -> None:
    clock = MovingClock()
    async with Google.started(state=state, clock=clock) as google:
        await google.sandbox.set_behaviour(OLD_IMAGE, Behaviour(error_rate=0.5))
        await google.metrics.create_time_series(name=f"projects/{PROJECT}", time_series=[orders(7)])
        asked = clock.skip(minutes=10)
        async with killed_and_started(state, clock=clock) as again:
            for metric, window in ((REQUESTS, timedelta(minutes=8)), (ORDERS, timedelta(hours=1))):
                before = await google.series(metric, asked, window=window, aligner=0, reducer=0)
                after = await again.series(metric, asked, window=window, aligner=0, reducer=0)
                assert before
                assert after == before
            with pytest.raises(exceptions.InvalidArgument, match="older start time"):
                await again.metrics.create_time_series(name=f"projects/{PROJECT}", time_series=[orders(8)])


def orders(count: int) -> monitoring_v3.TimeSeries:
    return monitoring_v3.TimeSeries(
        metric={"type": ORDERS, "labels": {"shop": "north"}},
        resource={"type": "global"},
        points=[{"interval": {"end_time": START}, "value": {"int64_value": count}}],
    )


async def test_a_file_serves_one_sandbox_at_a_time(state: Path) -> None:
    async with Google.started(state=state):
        with pytest.raises(UnusableJournal, match=r"sandbox\.db: database is locked"):
            Journal(state)


def test_a_file_of_another_kind_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, and longer than the header that a database begins with " * 10)
    before = other.read_bytes()

    with pytest.raises(UnusableJournal, match=r"notes\.txt: file is not a database"):
        Journal(other)

    assert other.read_bytes() == before
