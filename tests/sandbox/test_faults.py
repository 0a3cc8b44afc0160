"""Failures on demand: each hits the method it names, as often as it says, before or after the commit."""

import asyncio
from datetime import timedelta

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import ValidationError

from sandbox.faults import Fault
from tests.sandbox.google import NAME, Google, result_of


async def test_a_fault_hits_so_many_calls_and_then_no_more(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="UpdateService", code="UNAVAILABLE", count=2))
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable, match="injected"):
            await google.update(["description"], description="shop")
    await google.update(["description"], description="shop")

    assert (await google.service()).generation == 2


async def test_a_fault_without_a_count_stays_until_it_is_removed(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="GetOperation", code="PERMISSION_DENIED"))
    operation = await google.update(["description"], description="shop")
    for _ in range(3):
        with pytest.raises(exceptions.PermissionDenied):
            await result_of(operation)
    google.sandbox.faults.remove("GetOperation")

    assert (await google.settled()).description == "shop"


async def test_a_call_that_failed_before_its_commit_changed_nothing(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="UpdateService", code="INTERNAL", count=1))
    with pytest.raises(exceptions.InternalServerError):
        await google.update(["description"], description="lost")

    assert (await google.service()).description == ""


async def test_a_call_that_timed_out_after_its_commit_took_effect(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="UpdateService", code="DEADLINE_EXCEEDED", count=1, after_commit=True))
    with pytest.raises(exceptions.DeadlineExceeded):
        await google.update(["description"], description="landed")

    assert (await google.service()).description == "landed"


async def test_a_delayed_answer_is_missed_by_a_client_that_does_not_wait_though_the_write_landed(
    google: Google,
) -> None:
    google.sandbox.faults.put(Fault(method="UpdateService", after_commit=True, delay_seconds=60))
    with pytest.raises(exceptions.DeadlineExceeded):
        await google.services.update_service(
            service=run_v2.Service(name=NAME, description="landed"),
            update_mask=FieldMask(paths=["description"]),
            timeout=0.1,
        )

    assert (await google.service()).description == "landed"


async def test_a_delay_without_a_code_only_takes_longer(google: Google) -> None:
    google.sandbox.faults.put(Fault(method="GetService", delay_seconds=0.05, count=1))
    loop = asyncio.get_running_loop()
    before = loop.time()
    service = await google.service()

    assert service.name == NAME
    assert loop.time() - before >= 0.05


async def test_a_slow_reconcile_lasts_as_long_as_it_is_told(google: Google) -> None:
    google.sandbox.faults.reconcile_seconds = 0.2
    loop = asyncio.get_running_loop()
    before = loop.time()
    await google.update(["description"], description="shop")
    await google.settled()

    assert loop.time() - before >= 0.2


def test_a_code_that_is_none_of_grpc_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="'BROKEN' is not a gRPC status of a failure; allowed are CANCELLED"):
        Fault(method="GetService", code="BROKEN")


async def test_clearing_ends_every_fault(google: Google) -> None:
    faults = google.sandbox.faults
    faults.put(Fault(method="GetService", code="UNAVAILABLE"))
    faults.metrics_outage = True
    faults.reconcile_seconds = timedelta(minutes=1).total_seconds()
    faults.clear()

    assert (await google.service()).name == NAME
    assert not faults.metrics_outage
    assert faults.reconcile_seconds is None
    assert faults.in_force() == []
