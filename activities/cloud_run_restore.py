"""The way back of a service's traffic: to its anchor, verified, whatever else is under way.

It waits for no deployment, and never gives the candidate more than it has. Calls that do not get through, conflicts,
and writes of others in between only cost another turn.
"""

import asyncio

from google.api_core.exceptions import GoogleAPIError
from google.cloud import run_v2
from temporalio.exceptions import ApplicationError

from activities.cloud_run_calls import CloudRunCalls, beat, pauses
from activities.cloud_run_changes import refuse_stale
from activities.cloud_run_service import Change, ObservedService, is_settled, observe
from activities.failures import Failure, Reaction, classify, failure_type, in_words
from rollout.traffic import Candidate, ServiceRef, TrafficSplit


async def restore(
    calls: CloudRunCalls,
    ref: ServiceRef,
    anchored: TrafficSplit,
    candidate: Candidate | None,
    fence: int,
    *,
    poll: float,
) -> TrafficSplit:
    """Ask for the anchored split until it is observed, and return it as observed. `poll` is in seconds.

    Returns only when the service also carries `fence`, by which whatever is older and still to come is refused.

    Raises:
        ApplicationError: StaleFence, not retryable; a permanent refusal by Cloud Run, retryable all the same, because
            a rollback is tried until somebody has put its cause right.
    """
    wanted, waits, use_etag = anchored, pauses(), True
    doing = f"restoring {ref.service} to {anchored.in_words()}"
    while True:
        beat(doing)
        try:
            current = await calls.get(ref)
            refuse_stale(ref, current, fence)
            found = observe(current)
            if found.observed is not None and _is_restored(current, found, wanted, fence):
                return found.observed
            stuck = is_settled(current) and _same(found.desired, wanted) and _shares(found.observed) != wanted.shares
            if stuck:
                # Exactly this was asked for, and it did not come about. A tag whose revision is gone is the one thing
                # in the anchor that can be missing while its traffic is not; traffic matters more than tags.
                wanted = TrafficSplit(shares=wanted.shares)
            if stuck or not _same(found.desired, wanted) or (found.fence or 0) < fence:
                _refuse_raising(ref, candidate, found, wanted)
                await calls.update(ref, current, Change(wanted), fence, use_etag=use_etag)
            if not stuck:
                waits = pauses()
            await asyncio.sleep(next(waits) if stuck else poll)
        except GoogleAPIError as error:
            if classify(error) is Reaction.FATAL:
                raise ApplicationError(f"{doing}: {in_words(error)}", type=failure_type(error)) from error
            # A rollback must win: after one conflict it no longer asks whether it saw the newest version.
            use_etag = use_etag and classify(error) is not Reaction.CONFLICT
            await asyncio.sleep(next(waits))


def _shares(split: TrafficSplit | None) -> dict[str, int]:
    return {} if split is None else split.shares


def _same(split: TrafficSplit | None, wanted: TrafficSplit) -> bool:
    return split is not None and split.shares == wanted.shares and set(split.tags) == set(wanted.tags)


def _is_restored(current: run_v2.Service, found: ObservedService, wanted: TrafficSplit, fence: int) -> bool:
    """Traffic as wanted, by what was asked for and by what serves, signed with our fence.

    A tag that should be gone is waited for only while Cloud Run is at work: where it gave up on the candidate's
    revision it may go on listing its tag, and that sends nobody there.
    """
    if found.observed is None or found.observed.shares != wanted.shares:
        return False
    without_strays = set(found.observed.tags) <= set(wanted.tags) or is_settled(current)
    return _same(found.desired, wanted) and (found.fence or 0) >= fence and without_strays


def _refuse_raising(ref: ServiceRef, candidate: Candidate | None, found: ObservedService, wanted: TrafficSplit) -> None:
    if candidate is None:
        return
    has = min(_shares(found.desired).get(candidate.revision, 0), _shares(found.observed).get(candidate.revision, 0))
    if wanted.share_of(candidate.revision) > has:
        raise ApplicationError(
            f"the anchor of {ref.service} gives {candidate.revision} {wanted.share_of(candidate.revision)} %, it has "
            f"{has} %: a rollback never raises the candidate's share",
            type=Failure.INVALID_REQUEST,
            non_retryable=True,
        )
