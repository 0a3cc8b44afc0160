"""Asking HTTP endpoints of a service how it is: probes for gates, and the smoke checks before and after a stage."""

import asyncio
import json
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure

PROBE_SECONDS = 10.0
"""How long one answer may take, from the connection to the last byte."""
LARGEST_BODY_BYTES = 64 * 1024
"""A health answer is a few numbers; a longer body is not read to its end and counts as none."""


class EndpointCheck(BaseModel):
    """An endpoint that must answer 200. `title` names it for people, for example `backend /health/overall`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    title: str


@dataclass(slots=True)
class ProbeAnswer:
    """What an endpoint answered. `status` is None where it did not, and `error` says why; `body` is a JSON object."""

    status: int | None
    body: dict[str, object] | None = None
    error: str = ""


class HealthActivities:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def probe(self, url: str) -> ProbeAnswer:
        """What `url` answers to one GET. Redirects are answers, and no answer is one too: nothing is raised for them.

        Raises:
            ApplicationError: InvalidRequest, not retryable: `url` is not an HTTP address.
        """
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _not_an_address(url) from error
        if address.scheme not in ("http", "https") or not address.host:
            raise _not_an_address(url)
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._http.stream("GET", address) as response:
                return ProbeAnswer(status=response.status_code, body=await _json_object(response))
        except TimeoutError:
            return ProbeAnswer(status=None, error=f"no answer within {PROBE_SECONDS:g} s")
        except httpx.HTTPError as error:
            return ProbeAnswer(status=None, error=f"{type(error).__name__}: {error}")

    @activity.defn
    async def check_endpoint(self, check: EndpointCheck) -> None:
        """Ask once, and succeed if the answer is 200.

        Raises:
            ApplicationError: Unhealthy, retryable: any other answer, or none. InvalidRequest as `probe`.
        """
        answer = await self.probe(check.url)
        if answer.status == httpx.codes.OK:
            return
        got = f"answered {answer.status}" if answer.status is not None else f"did not answer ({answer.error})"
        raise ApplicationError(f"{check.title}: {check.url} {got}, wanted 200", type=Failure.UNHEALTHY)


def _not_an_address(url: str) -> ApplicationError:
    return ApplicationError(
        f"url: {url!r} is not an http(s) address; a service without a public address cannot be asked",
        type=Failure.INVALID_REQUEST,
        non_retryable=True,
    )


async def _json_object(response: httpx.Response) -> dict[str, object] | None:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > LARGEST_BODY_BYTES:
            return None
    try:
        parsed = json.loads(read)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
