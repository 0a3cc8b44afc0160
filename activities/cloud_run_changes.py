"""Bringing a change about: read, decide, write, and wait until Cloud Run has settled on it.

The decision is taken anew on every turn from what was just read, so that a call that timed out after it was accepted,
a conflict, and a second attempt of the same activity all end in the same state.
"""

import asyncio
from collections.abc import Callable

from google.api_core.exceptions import GoogleAPIError
from google.cloud import run_v2
from temporalio.exceptions import ApplicationError

from activities.cloud_run_calls import CloudRunCalls, beat, pauses
from activities.cloud_run_service import FENCE_ANNOTATION, Change, failure_of, fence_of, is_settled
from activities.failures import Failure, Reaction, classify, refusal
from rollout.traffic import ServiceRef

WRITE_ATTEMPTS = 8
"""How often a write is tried before the workflow's own retries, which people see, take over."""

Decide = Callable[[run_v2.Service], Change | None]
"""What to write, given what is there; None where it is there already. Raises where it must not be written."""


def foreign_change(ref: ServiceRef, what: str, *, by: str = "somebody else") -> ApplicationError:
    return ApplicationError(
        f"{ref.service} was changed by {by}: {what}", type=Failure.FOREIGN_CHANGE, non_retryable=True
    )


def refuse_stale(ref: ServiceRef, current: run_v2.Service, fence: int) -> None:
    """Refuse a request that is older than the last write.

    Raises:
        ApplicationError: StaleFence, not retryable.
    """
    newest = fence_of(current)
    if newest is not None and newest > fence:
        raise ApplicationError(
            f"{ref.service} was last written with fence {newest} (its annotation {FENCE_ANNOTATION}); this request has "
            f"fence {fence}: a rollback or a later rollout came after it",
            type=Failure.STALE_FENCE,
            non_retryable=True,
        )


async def bring_about(
    calls: CloudRunCalls, ref: ServiceRef, fence: int, decide: Decide, *, doing: str, poll: float
) -> run_v2.Service:
    """The service, settled on what `decide` wanted. `poll` is in seconds; `doing` says it to people.

    Raises:
        ApplicationError: DeploymentFailed, StaleFence, ForeignChange; what `decide` raises; a refusal by Cloud Run.
    """
    waits = pauses()
    for attempt in range(1, WRITE_ATTEMPTS + 1):
        beat(doing)
        current = await calls.read(ref)
        refuse_stale(ref, current, fence)
        if fence_of(current) is None:
            raise foreign_change(ref, f"its annotation {FENCE_ANNOTATION} is no number")
        change = decide(current)
        if change is None:
            return await _settled(calls, ref, fence, current.generation, doing=doing, poll=poll)
        try:
            accepted = await calls.update(ref, current, change, fence)
        except GoogleAPIError as error:
            if classify(error) is Reaction.FATAL or attempt == WRITE_ATTEMPTS:
                raise refusal(error, doing) from error
            await asyncio.sleep(next(waits))
            continue
        if accepted.generation != current.generation + 1:
            # Where etags are not enforced this is how a write in between shows: ours was not the next one. What it was
            # can no longer be read: one of ours that got through after it was given up looks the same.
            raise foreign_change(
                ref,
                f"generation {current.generation} was read, ours was to be the next, and it is {accepted.generation}",
                by="somebody else, or by a try of ours whose answer never came",
            )
        return await _settled(calls, ref, fence, accepted.generation, doing=doing, poll=poll)
    raise AssertionError("the last attempt returns or raises")


async def _settled(
    calls: CloudRunCalls, ref: ServiceRef, fence: int, generation: int, *, doing: str, poll: float
) -> run_v2.Service:
    while True:
        beat(f"{doing}: Cloud Run is at it (generation {generation})")
        current = await calls.read(ref)
        refuse_stale(ref, current, fence)
        if current.generation > generation:
            raise foreign_change(ref, f"generation {generation} was ours, now it is {current.generation}")
        if current.generation == generation and is_settled(current):
            failure = failure_of(current)
            if failure is None:
                return current
            raise ApplicationError(f"{doing} failed: {failure}", type=Failure.DEPLOYMENT_FAILED, non_retryable=True)
        await asyncio.sleep(poll)
