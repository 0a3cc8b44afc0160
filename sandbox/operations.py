"""Long-running operations of Cloud Run: what an accepted change answers with before it has taken effect."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc

from sandbox.grpc_service import Method
from sandbox.journal import Journal
from sandbox.paging import page_of
from sandbox.rpc_errors import RpcError
from sandbox.wire_messages import (
    DeleteOperationRequest,
    Empty,
    GetOperationRequest,
    ListOperationsRequest,
    ListOperationsResponse,
    Operation,
    WaitOperationRequest,
    copy_of,
)

SERVICE = "google.longrunning.Operations"
_OPERATION = "operation"
_LARGEST_PAGE = 100
_LONGEST_WAIT_SECONDS = 60.0


class PendingOperation:
    """An operation and the moment it is done. `metadata` and the response are the whole resource."""

    def __init__(self, message: Any, changed: Callable[["PendingOperation"], None]) -> None:
        self.message = message
        self._changed = changed
        self.done = asyncio.Event()

    def finish(self, resource: Any) -> None:
        self.message.metadata.Pack(resource)
        self.message.response.Pack(resource)
        self._end()

    def fail(self, resource: Any, error: RpcError) -> None:
        self.message.metadata.Pack(resource)
        self.message.error.CopyFrom(error.status())
        self._end()

    def _end(self) -> None:
        self.message.done = True
        self.done.set()
        self._changed(self)

    def snapshot(self) -> Any:
        return copy_of(self.message)


class Operations:
    """Every operation begun, by name, newest last. None can be cancelled: Cloud Run has no call for it."""

    def __init__(self, new_id: Callable[[], UUID], journal: Journal) -> None:
        self._operations: dict[str, PendingOperation] = {}
        self._new_id = new_id
        self._journal = journal
        for name, text in journal.held(_OPERATION):
            self._operations[name] = kept = PendingOperation(Operation.FromString(text), self._keep)
            if kept.message.done:
                kept.done.set()

    def begin(self, parent: str, resource: Any) -> PendingOperation:
        """Open an operation below `parent` (`projects/P/locations/L`) that will answer with `resource`'s type."""
        message = Operation(name=f"{parent}/operations/{self._new_id()}")
        message.metadata.Pack(resource)
        operation = PendingOperation(message, self._keep)
        self._operations[message.name] = operation
        self._keep(operation)
        return operation

    def under_way(self) -> list[PendingOperation]:
        """Those that are not done, in the order they began."""
        return [operation for operation in self._operations.values() if not operation.message.done]

    def _keep(self, operation: PendingOperation) -> None:
        self._journal.changed(_OPERATION, operation.message.name, operation.message.SerializeToString)

    def methods(self) -> list[Method]:
        return [
            Method("GetOperation", GetOperationRequest, self._get, "run.operations.get"),
            Method("ListOperations", ListOperationsRequest, self._list, "run.operations.list"),
            Method("DeleteOperation", DeleteOperationRequest, self._delete, "run.operations.delete"),
            Method("WaitOperation", WaitOperationRequest, self._wait, "run.operations.get"),
        ]

    def _find(self, name: str) -> PendingOperation:
        operation = self._operations.get(name)
        if operation is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Operation '{name}' was not found.")
        return operation

    async def _get(self, request: Any) -> Any:
        return self._find(request.name).snapshot()

    async def _list(self, request: Any) -> Any:
        below = [each.message for name, each in self._operations.items() if name.startswith(f"{request.name}/")]
        page, token = page_of(below[::-1], request, field="ListOperationsRequest.page_token", largest=_LARGEST_PAGE)
        return ListOperationsResponse(operations=page, next_page_token=token)

    async def _delete(self, request: Any) -> Any:
        operation = self._find(request.name)
        if not operation.message.done:
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, f"Operation '{request.name}' is not done.")
        del self._operations[request.name]
        self._journal.gone(_OPERATION, request.name)
        return Empty()

    async def _wait(self, request: Any) -> Any:
        """Answer when the operation is done or the time asked for is over, whichever comes first."""
        operation = self._find(request.name)
        asked = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else _LONGEST_WAIT_SECONDS
        try:
            async with asyncio.timeout(min(asked, _LONGEST_WAIT_SECONDS)):
                await operation.done.wait()
        except TimeoutError:
            return operation.snapshot()
        return operation.snapshot()
