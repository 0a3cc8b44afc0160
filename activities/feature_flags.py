"""Feature flags of one rollout: take ownership, set exposures, latch off; each read back before it is called done.

A refusal of the store is a decision, not a fault: it becomes a failure that no retry repeats. A store that does not
answer is retried by the workflow's policy.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure
from flagstore.ownership import Taken, claim, flag_claim, release, service_claim
from flagstore.store import DamagedStore, FlagStore, StoreReply, StoreStatus
from rollout.flags import Audience, Exposure, FlagSnapshot
from rollout.traffic import ServiceAnchor


class _Request(BaseModel):
    """Flags are kept per environment and group; a group is the flags of one plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str
    group: str


class BeginRollout(_Request):
    owner: str
    by: str
    flags: tuple[str, ...]
    audience: Audience
    cohort: str | None
    ladder: tuple[Exposure, ...]
    candidates: dict[str, str] = Field(description="service key to image")
    services: tuple[str, ...] = Field(default=(), description="resource names; a rollout of before knows none")
    again: str | None = None
    deadman: timedelta | None = Field(default=None, description="flags go off when nobody renews them for so long")
    stages: dict[str, dict[str, Exposure]] = Field(
        default_factory=dict, description="what each stage shows of each flag; a rollout of before does not say"
    )
    min_epoch: int = Field(description="above every fence that a service still carries from an earlier rollout")


class Begun(BaseModel):
    fence: int


class RecordAnchors(_Request):
    fence: int
    anchors: dict[str, ServiceAnchor]
    candidates: dict[str, str] | None = Field(default=None, description="service key to image, where it was replaced")


class SetExposures(_Request):
    fence: int
    to: dict[str, Exposure]
    expected: dict[str, Exposure]
    by: str
    reason: str


class LatchFlags(_Request):
    by: str
    reason: str
    at_least_epoch: int


class Latched(BaseModel):
    epoch: int
    flags: dict[str, Exposure]


class Settle(_Request):
    owner: str
    outcome: Literal["completed", "refused", "rolled_back"]
    refused: dict[str, str] | None = Field(description="images that may not be started again without a new decision")
    by: str
    reason: str


class CheckStore(_Request):
    pass


class CheckCandidates(_Request):
    candidates: dict[str, str] = Field(description="service key to image")


class ReadFlags(_Request):
    pass


class FeatureFlagActivities:
    """Writes and reads the flag store. Every write carries a key that is the same for all attempts of one activity."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def _store(self, request: _Request) -> FlagStore:
        return FlagStore(self._redis, request.environment, request.group)

    @activity.defn
    async def begin_rollout(self, request: BeginRollout) -> Begun:
        """Take ownership of services and flags, and a fence, with every flag off.

        Raises:
            ApplicationError: the group is latched, a service or a flag belongs to another rollout, or the candidate was
                refused before.
        """
        wanted = [service_claim(name) for name in request.services]
        wanted += [flag_claim(request.environment, flag) for flag in request.flags]
        taken = await claim(self._redis, request.owner, wanted)
        if taken:
            raise ApplicationError(_taken_in_words(taken), type=Failure.NOT_ALLOWED, non_retryable=True)
        reply = await self._store(request).begin(
            owner=request.owner,
            by=request.by,
            flags=request.flags,
            audience=request.audience,
            cohort=request.cohort,
            ladder=request.ladder,
            candidates=request.candidates,
            again=request.again,
            min_epoch=request.min_epoch,
            deadman=request.deadman,
            stages=request.stages,
            idempotency_key=_key(),
        )
        if not reply.accepted:
            # A rollout that never began has nobody who would give back later what it claimed.
            await release(self._redis, request.owner)
        return Begun(fence=_accepted(reply).epoch)

    @activity.defn
    async def record_anchors(self, request: RecordAnchors) -> None:
        """Keep the anchors beside the flags, for whoever must go back without Temporal; and what would be refused."""
        anchors = {key: anchor.model_dump_json() for key, anchor in request.anchors.items()}
        _accepted(
            await self._store(request).record_anchors(
                fence=request.fence, anchors=anchors, candidates=request.candidates, idempotency_key=_key()
            )
        )

    @activity.defn
    async def set_exposures(self, request: SetExposures) -> dict[str, Exposure]:
        """Set all flags of a stage at once, or none; returns what the store then holds."""
        store = self._store(request)
        _accepted(
            await store.set_exposures(
                request.to,
                expected=request.expected,
                fence=request.fence,
                by=request.by,
                reason=request.reason,
                idempotency_key=_key(),
                attempt=activity.info().attempt,
            )
        )
        snapshot = await store.read()
        held = dict(snapshot.flags) if snapshot else {}
        wrong = [flag for flag, wanted in request.to.items() if held.get(flag) != wanted]
        if wrong:
            raise ApplicationError(
                f"the store accepted the write, but reads back differently for {', '.join(sorted(wrong))}",
                type=Failure.FOREIGN_CHANGE,
                non_retryable=True,
            )
        return held

    @activity.defn
    async def latch_off(self, request: LatchFlags) -> Latched:
        """Turn every flag of the group off and keep it off; returns what was read back.

        Raises:
            ApplicationError: the latch was not there on reading back (retried: the store may have lost the write).
        """
        store = self._store(request)
        if not await _is_latched(store, request.at_least_epoch):
            await store.emergency(by=request.by, reason=request.reason, min_epoch=request.at_least_epoch)
        snapshot = await store.read()
        if snapshot is None or not snapshot.is_latched_off:
            raise ApplicationError("flags were not off when read back", type=Failure.FOREIGN_CHANGE)
        return Latched(epoch=snapshot.epoch, flags=dict(snapshot.flags))

    @activity.defn
    async def settle(self, request: Settle) -> None:
        """Give ownership back, and refuse a candidate from now on if it was rolled back."""
        store = self._store(request)
        if request.refused is not None:
            _accepted(
                await store.refuse_candidates(
                    request.refused, by=request.by, reason=request.reason, idempotency_key=f"{_key()}/refuse"
                )
            )
        _accepted(await store.release(owner=request.owner, outcome=request.outcome, idempotency_key=_key()))
        await release(self._redis, request.owner)

    @activity.defn
    async def check_store(self, request: CheckStore) -> None:
        """The store answers a read of this group; raises its error otherwise."""
        await self._store(request).read()

    @activity.defn
    async def check_candidates(self, request: CheckCandidates) -> None:
        """Whether these images may be rolled out, without beginning anything.

        Raises:
            ApplicationError: all of them were taken back before.
        """
        refused = (await self._store(request).read_safety()).refused
        why = [refused.get(f"{service}={image}") for service, image in request.candidates.items()]
        if all(why):
            raise ApplicationError(
                f"this candidate was taken back before ({why[0]}); start it anew with --again --reason",
                type=Failure.NOT_ALLOWED,
                non_retryable=True,
            )

    @activity.defn
    async def read_flags(self, request: ReadFlags) -> dict[str, Exposure]:
        """What each flag of the group shows now.

        Raises:
            ApplicationError: the store holds nothing of the group any more, or its kill switch is set.
        """
        snapshot = await self._store(request).read()
        if snapshot is None or snapshot.latch:
            raise ApplicationError(
                "the flag store has lost its data" if snapshot is None else "the kill switch is set",
                type=Failure.FOREIGN_CHANGE,
                non_retryable=True,
            )
        return dict(snapshot.flags)

    async def latch_again(
        self, environment: str, group: str, *, by: str, reason: str, at_least_epoch: int
    ) -> FlagSnapshot | None:
        """Set the kill switch in a store that has lost what it knew; returns what is then read back."""
        store = FlagStore(self._redis, environment, group)
        await store.emergency(by=by, reason=reason, min_epoch=at_least_epoch)
        return await store.read()

    async def renew(self, environment: str, group: str, *, fence: int) -> None:
        """Let applications keep the features on. What the store refuses, the watch will see and act on."""
        await FlagStore(self._redis, environment, group).renew_lease(fence=fence)

    async def snapshot(self, environment: str, group: str) -> FlagSnapshot | None:
        """The group's documents now, for the watch."""
        return await FlagStore(self._redis, environment, group).read()


def _taken_in_words(taken: Sequence[Taken]) -> str:
    whose = "; ".join(f"{one.what} belongs to {one.owner.rpartition('/')[0]}" for one in taken)
    return f"{whose}. One rollout at a time: let it end, or take it back; `rollout doctor` tells whether it still runs"


async def _is_latched(store: FlagStore, at_least_epoch: int) -> bool:
    try:
        snapshot = await store.read()
    except DamagedStore:
        # Nobody can tell; an emergency repairs it, and is never refused.
        return False
    return snapshot is not None and snapshot.latch and snapshot.epoch >= at_least_epoch


def _key() -> str:
    info = activity.info()
    return f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}"


def _accepted(reply: StoreReply) -> StoreReply:
    if reply.accepted:
        return reply
    raise ApplicationError(
        reply.sentence,
        {"status": reply.status.value},
        type=_FAILURE_OF.get(reply.status, Failure.NOT_ALLOWED),
        non_retryable=True,
    )


_FAILURE_OF = {
    StoreStatus.STALE_EPOCH: Failure.STALE_FENCE,
    StoreStatus.CONFLICT: Failure.FOREIGN_CHANGE,
}
