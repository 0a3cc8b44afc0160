"""The calls that Cloud Run is spoken to with: one try each, with a time limit of our own.

Google's client would retry reads by itself and say nothing; here whoever calls decides what an error means, and lets
the server know by a heartbeat that it is still trying.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat

from google.api_core.exceptions import GoogleAPIError
from google.cloud import run_v2
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.cloud_run_service import Change, serving_container, update_request
from activities.failures import Failure, refusal
from rollout.traffic import ServiceRef

READ_SECONDS = 5.0
WRITE_SECONDS = 10.0
"""How long one call may take. Cloud Run answers either in well under a second; what it starts goes on behind."""
PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""The pauses after calls that did not get through; the last one repeats."""


def pauses() -> Iterator[float]:
    return chain(PAUSES_SECONDS, repeat(PAUSES_SECONDS[-1]))


def beat(doing: str) -> None:
    """Say that the work goes on. Outside an activity, as in a break-glass command, nobody listens."""
    if activity.in_activity():
        activity.heartbeat(doing)


class CloudRunCalls:
    def __init__(self, services: run_v2.ServicesAsyncClient, revisions: run_v2.RevisionsAsyncClient) -> None:
        self._services = services
        self._revisions = revisions

    async def get(self, ref: ServiceRef) -> run_v2.Service:
        """The service as it is now.

        Raises:
            GoogleAPIError: it could not be read.
        """
        return await self._services.get_service(
            request=run_v2.GetServiceRequest(name=ref.resource_name), retry=None, timeout=READ_SECONDS
        )

    async def read(self, ref: ServiceRef) -> run_v2.Service:
        """As `get`, where an error ends the activity.

        Raises:
            ApplicationError: the refusal, retryable where trying again can help.
        """
        try:
            return await self.get(ref)
        except GoogleAPIError as error:
            raise refusal(error, f"reading {ref.service}") from error

    async def update(
        self, ref: ServiceRef, current: run_v2.Service, change: Change, fence: int, *, use_etag: bool = True
    ) -> run_v2.Service:
        """Ask for `change`; the service as Cloud Run accepted it. What is accepted is brought about afterwards.

        Raises:
            GoogleAPIError: the request was refused, or nobody knows (a time-out): then it may have been accepted.
        """
        etag = current.etag if use_etag else ""
        operation = await self._services.update_service(
            request=update_request(current, ref.resource_name, change, fence, etag=etag),
            retry=None,
            timeout=WRITE_SECONDS,
        )
        accepted: run_v2.Service | None = operation.metadata
        return accepted or await self.get(ref)

    async def image_of(self, ref: ServiceRef, revision: str) -> str:
        """The image that a revision serves with; the service's template may have moved on since.

        Raises:
            ApplicationError: as `read`; Ambiguous, not retryable, where several containers could be the one meant.
        """
        name = f"{ref.resource_name}/revisions/{revision}"
        try:
            found = await self._revisions.get_revision(
                request=run_v2.GetRevisionRequest(name=name), retry=None, timeout=READ_SECONDS
            )
        except GoogleAPIError as error:
            raise refusal(error, f"reading {revision}") from error
        return found.containers[require_container(ref, found.containers)].image


def require_container(ref: ServiceRef, containers: Sequence[run_v2.Container]) -> int:
    """The index of the container that takes the requests.

    Raises:
        ApplicationError: Ambiguous, not retryable.
    """
    index = serving_container(containers)
    if index is None:
        raise ApplicationError(
            f"{ref.service} has {len(containers)} containers; the one that takes the requests must be the only one "
            "with a port",
            type=Failure.AMBIGUOUS,
            non_retryable=True,
        )
    return index
