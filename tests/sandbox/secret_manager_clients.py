"""Secret Manager in a sandbox with one secret, asked by either of Google's clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcAsyncIOTransport,
    SecretManagerServiceGrpcTransport,
)

from sandbox.options import InstalledSecret
from sandbox.project_numbers import project_number
from tests.sandbox.google import PROJECT, Google

State = secretmanager_v1.SecretVersion.State
NUMBER = project_number(PROJECT)
ASKED = f"projects/{PROJECT}/secrets/db-password"
ANSWERED = f"projects/{NUMBER}/secrets/db-password"
VALUE = "opensesame-77"
INSTALLED = InstalledSecret.parse(f"{PROJECT}/db-password={VALUE}")
Call = Callable[..., Awaitable[Any]]


@dataclass
class Secrets:
    """One of the two clients: `call("get_secret", name=…)` makes a call, `listed` reads all pages of one."""

    google: Google
    call: Call
    listed: Call


@asynccontextmanager
async def secrets_by(client_kind: str) -> AsyncIterator[Secrets]:
    """By Google's client that is `async`, or by the one that is `sync`."""
    async with Google.started(secrets=(INSTALLED,)) as google:
        if client_kind == "async":
            transport = SecretManagerServiceGrpcAsyncIOTransport(channel=google.channel)
            client = secretmanager_v1.SecretManagerServiceAsyncClient(transport=transport)

            async def call(method: str, **request: Any) -> Any:
                return await getattr(client, method)(request=request)

            async def listed(method: str, **request: Any) -> Any:
                return [entry async for entry in await call(method, **request)]

            yield Secrets(google, call, listed)
            return
        with grpc.insecure_channel(google.sandbox.grpc_target) as channel:
            blocking = secretmanager_v1.SecretManagerServiceClient(
                transport=SecretManagerServiceGrpcTransport(channel=channel)
            )

            async def call_blocking(method: str, **request: Any) -> Any:
                return await asyncio.to_thread(getattr(blocking, method), request=request)

            async def listed_blocking(method: str, **request: Any) -> Any:
                pager = await call_blocking(method, **request)
                return await asyncio.to_thread(list, pager)

            yield Secrets(google, call_blocking, listed_blocking)
