"""Operations as the clients know them: get, list, wait, delete; never cancelled."""

from typing import Any

import pytest
from google.api_core import exceptions
from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.protobuf import duration_pb2

from tests.sandbox.google import PARENT, Google, result_of, to


async def wait(google: Google, request: Any) -> Any:
    """WaitOperation; the generated client leaves its answer undecoded."""
    return operations_pb2.Operation.FromString(await google.services.wait_operation(request))


async def test_waiting_answers_when_the_operation_is_done(google: Google) -> None:
    operation = await google.update(["traffic"], traffic=[to(await google.stable(), 100)])
    request = operations_pb2.WaitOperationRequest(name=operation.operation.name)

    assert (await wait(google, request)).done
    assert not (await google.service()).reconciling


async def test_waiting_gives_up_after_the_time_asked_for(google: Google) -> None:
    google.sandbox.faults.reconcile_seconds = 60
    operation = await google.update(["traffic"], traffic=[to(await google.stable(), 100)])
    request = operations_pb2.WaitOperationRequest(
        name=operation.operation.name, timeout=duration_pb2.Duration(nanos=1_000_000)
    )

    assert not (await wait(google, request)).done


async def test_operations_are_listed_and_deleted_when_done(google: Google) -> None:
    operation = await google.update(["traffic"], traffic=[to(await google.stable(), 100)])
    name = operation.operation.name
    with pytest.raises(exceptions.FailedPrecondition):
        await google.services.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
    await result_of(operation)
    listed = await google.services.list_operations(operations_pb2.ListOperationsRequest(name=f"{PARENT}"))
    await google.services.delete_operation(operations_pb2.DeleteOperationRequest(name=name))

    assert [each.name for each in listed.operations] == [name]
    with pytest.raises(exceptions.NotFound):
        await google.services.get_operation(operations_pb2.GetOperationRequest(name=name))
