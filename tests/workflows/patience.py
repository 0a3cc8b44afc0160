"""Calls of the server of these tests, which a busy machine does not always come to in time."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

BUSY_SECONDS = 120.0
UNANSWERED = (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
GIVEN_UP = RPCStatusCode.FAILED_PRECONDITION
"""A workflow task that took too long failed, and the update with it."""

T = TypeVar("T")


async def patiently(call: Callable[[], Awaitable[T]], *unanswered: RPCStatusCode) -> T:
    """Made again as often as a busy machine's server does not come to it."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return await call()
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            if time.monotonic() > until:
                raise
        except RPCError as failure:
            if failure.status not in (*UNANSWERED, *unanswered) or time.monotonic() > until:
                raise
