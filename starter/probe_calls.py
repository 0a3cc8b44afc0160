"""Calls of a probe: each with a deadline, counted, tried once, and with the missing permission named where denied."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

import grpc
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from activities.failures import Reaction, classify, in_words

READ_SECONDS = 10.0
WRITE_SECONDS = 15.0
"""How long one call may take; what a write starts goes on behind its answer."""

PERMISSIONS = {
    "GetService": "run.services.get",
    "CreateService": "run.services.create (and iam.serviceAccounts.actAs on the runtime service account)",
    "UpdateService": "run.services.update (and iam.serviceAccounts.actAs on the runtime service account)",
    "DeleteService": "run.services.delete",
    "GetMetricDescriptor": "monitoring.metricDescriptors.get",
    "ListTimeSeries": "monitoring.timeSeries.list",
}
_NAMED_PERMISSION = re.compile(r"\b(?:run|iam|monitoring|artifactregistry)(?:\.[A-Za-z]+){2}\b")

T = TypeVar("T")


class CallFailed(Exception):  # noqa: N818  (often the very answer that was asked for)
    """A call that was answered with an error, or not at all. `text` is for people."""

    def __init__(self, method: str, error: GoogleAPIError | GoogleAuthError) -> None:
        self.code = error.grpc_status_code if isinstance(error, GoogleAPICallError) else None
        self.words = in_words(error) if isinstance(error, GoogleAPIError) else f"no credentials: {error}"
        self.may_pass = isinstance(error, GoogleAPIError) and classify(error) is not Reaction.FATAL
        super().__init__(f"{method} was answered with {self.words}{self._missing(method)}")

    def _missing(self, method: str) -> str:
        if self.code is not grpc.StatusCode.PERMISSION_DENIED:
            return ""
        named = _NAMED_PERMISSION.search(self.words)
        return f"; the missing permission is {named[0] if named else PERMISSIONS[method]}"


class Calls:
    """Makes the calls and remembers how many of each there were, and which were refused as too many."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.throttled: list[str] = []

    async def read(self, method: str, call: Awaitable[T]) -> T:
        """The answer of a call that changes nothing.

        Raises:
            CallFailed: it was refused, or not answered in time.
        """
        self.made[method] += 1
        try:
            return await call
        except (GoogleAPIError, GoogleAuthError) as error:
            raise self._failure(method, error) from error

    async def write(self, method: str, call: Awaitable[T]) -> T:
        """As `read`, for a call that changes something: once sent, its answer is waited for whatever happens here.

        Raises:
            CallFailed: it was refused, or not answered in time and may have taken effect.
        """
        sent = asyncio.ensure_future(self.read(method, call))
        try:
            return await asyncio.shield(sent)
        except asyncio.CancelledError:
            await asyncio.wait([sent])
            raise

    def _failure(self, method: str, error: GoogleAPIError | GoogleAuthError) -> CallFailed:
        failure = CallFailed(method, error)
        if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.throttled.append(str(failure))
        return failure
