"""Google's blocking and asynchronous clients of Cloud Run behind one face, so that a fact is asked of both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.api_core.operation import Operation
from google.api_core.operation_async import AsyncOperation
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport, RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport, ServicesGrpcTransport
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

ClientKind = Literal["sync", "async"]


@dataclass
class Cloud:
    """Calls by the name of the client's method; an operation comes back as it went over the wire."""

    services: Any
    revisions: Any
    blocking: bool

    async def call(self, method: str, **request: Any) -> Any:
        answer = await self._raw(method, request)
        return answer.operation if isinstance(answer, Operation | AsyncOperation) else answer

    async def pages(self, method: str, **request: Any) -> list[Any]:
        pager = await self._raw(method, request)
        if self.blocking:
            return await asyncio.to_thread(lambda: list(pager.pages))
        return [page async for page in pager.pages]

    async def finished(self, operation: Any) -> Any:
        """The operation once it is done."""
        request = operations_pb2.GetOperationRequest(name=operation.name)
        while not operation.done:
            operation = await self._ask(self.services.get_operation, request)
        return operation

    async def service(self, name: str) -> run_v2.Service:
        found: run_v2.Service = await self.call("get_service", name=name)
        return found

    async def settled(self, name: str) -> run_v2.Service:
        while (service := await self.service(name)).reconciling:
            continue
        return service

    async def _raw(self, method: str, request: Any) -> Any:
        client = self.services if hasattr(self.services, method) else self.revisions
        return await self._ask(getattr(client, method), request)

    async def _ask(self, method: Any, request: Any) -> Any:
        if self.blocking:
            return await asyncio.to_thread(method, request=request)
        return await method(request=request)


@asynccontextmanager
async def cloud(kind: ClientKind, target: str) -> AsyncIterator[Cloud]:
    if kind == "sync":
        with grpc.insecure_channel(target) as blocking:
            yield Cloud(
                run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=blocking)),
                run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=blocking)),
                blocking=True,
            )
        return
    async with grpc.aio.insecure_channel(target) as channel:
        yield Cloud(
            run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel)),
            run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel)),
            blocking=False,
        )
