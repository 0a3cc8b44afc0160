"""The write side of the flags: every change is one atomic script in Redis, answered with a value, never half done.

    store = FlagStore(connect(url), environment="production", group="request-isolation")
    reply = await store.emergency(by="kim", reason="checkout is down")

Order is by (epoch, rev). The epoch is a fence: it grows with every rollout and every emergency, and a write that
carries an older one raises nothing. While the latch is set every flag is off; only a rearm clears it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from flagstore.acknowledgements import Acknowledgement, Confirmations, confirmations, current_acknowledgements
from flagstore.audit import AuditEntry, AuditVerdict, verify_chain
from flagstore.commands import commands
from flagstore.connection import ANSWER_WITHIN, STORE_FAILURES, connect
from flagstore.keys import KeyFamily, groups_key
from flagstore.replies import DamagedStore, SafetyState, StoreReply, StoreStatus
from flagstore.script import read_snapshot, run_script
from rollout.field_problems import in_a_line
from rollout.flags import Audience, Exposure, FlagSnapshot

__all__ = [
    "ANSWER_WITHIN",
    "DamagedStore",
    "FlagStore",
    "SafetyState",
    "StoreReply",
    "StoreStatus",
    "connect",
]

REFUSED_PREFIX = "refused:"
ANOTHER_KIND = "WRONGTYPE"
"""How a server begins to say that a key holds another kind of value than is asked for."""

Ladder = Sequence[Exposure] | Mapping[str, Sequence[Exposure]]
"""The exposures that may be climbed to, one step at a time: the same for all flags, or by flag."""
Stages = Mapping[str, dict[str, Exposure]]
"""What each stage of a plan shows of each flag, in the plan's order."""

_DOCUMENTS = TypeAdapter(dict[str, Exposure])
_STAGES = TypeAdapter(dict[str, dict[str, Exposure]])
_MILLISECOND = timedelta(milliseconds=1)


class FlagStore:
    """The flags of one group in one environment.

    Every method may raise one of `STORE_FAILURES` when the store does not answer: whether a write was carried out is
    then unknown, and the same call with the same idempotency key settles it.
    """

    def __init__(self, redis: Redis, environment: str, group: str) -> None:
        self._redis = commands(redis)
        self.keys = KeyFamily(environment, group)

    async def begin(
        self,
        *,
        owner: str,
        by: str,
        flags: Sequence[str],
        audience: Audience,
        cohort: str | None,
        ladder: Ladder,
        candidates: Mapping[str, str],
        again: str | None = None,
        min_epoch: int | None = None,
        deadman: timedelta | None = None,
        stages: Stages | None = None,
        idempotency_key: str | None = None,
    ) -> StoreReply:
        """Take ownership with every flag off; the reply's epoch is the fence of this rollout.

        The owner that begins again gets the fence it has. `again` is the reason why a candidate that was rolled back
        may be tried once more. With `deadman`, flags are on only while `renew_lease` is called more often than that.
        `stages` are kept for people who set a flag by hand, by the names that they know.
        """
        by_flag = ladder if isinstance(ladder, Mapping) else dict.fromkeys(flags, ladder)
        arguments = {
            "owner": owner,
            "by": by,
            "reason": again or "",
            "flags": list(flags),
            "audience": audience.model_dump_json(),
            "cohort": cohort,
            "ladders": json.dumps({flag: [step.order for step in steps] for flag, steps in by_flag.items()}),
            "candidates": dict(candidates),
            "again": again,
            "min_epoch": min_epoch,
            "deadman": None if deadman is None else round(deadman / _MILLISECOND),
            "stages": _STAGES.dump_json(dict(stages)).decode() if stages else None,
        }
        # Listed before it begins, in a slot of its own: no group is ever exposed that `switch_off` cannot find.
        await self._redis.sadd(groups_key(self.keys.environment), self.keys.group)
        return await self._run("begin", arguments, idempotency_key)

    async def set_exposures(
        self,
        to: Mapping[str, Exposure],
        *,
        fence: int,
        by: str,
        reason: str,
        expected: Mapping[str, Exposure] | None = None,
        attempt: int = 1,
        idempotency_key: str | None = None,
    ) -> StoreReply:
        """Set several flags at once, or none. Turning off needs no fence and ignores the latch."""
        arguments = {
            "to": {flag: exposure.model_dump_json() for flag, exposure in to.items()},
            "expected": {flag: exposure.order for flag, exposure in expected.items()} if expected else None,
            "fence": fence,
            "by": by,
            "reason": reason,
        }
        return await self._run("set", arguments, idempotency_key, attempt=attempt)

    async def override(self, to: Mapping[str, Exposure], *, by: str, reason: str) -> StoreReply:
        """Set flags without a rollout, for a person who insists: at the epoch of now, from the exposures of now.

        Latch and ladder hold all the same, and whoever begins or changes something in between wins: STALE_EPOCH or
        CONFLICT. After a lost answer the same call again is right; what was done already is UNCHANGED.
        """
        snapshot = await self.read()
        if snapshot is None:
            return await self.set_exposures(to, fence=0, by=by, reason=reason)
        expected = {flag: snapshot.flags[flag] for flag in to if flag in snapshot.flags}
        return await self.set_exposures(to, fence=snapshot.epoch, by=by, reason=reason, expected=expected)

    async def emergency(
        self, *, by: str, reason: str, min_epoch: int | None = None, idempotency_key: str | None = None
    ) -> StoreReply:
        """Everything off and latched, with a new epoch. Never refused, whatever state the database is in.

        What the last rollout had for candidates is refused at `begin` from then on, whether or not it still runs.
        """
        arguments = {"by": by, "reason": reason, "min_epoch": min_epoch}
        reply = await self._run("emergency", arguments, idempotency_key)
        # A store that lost its data lost the list too. What is off is off, whether or not it can be listed.
        with suppress(*STORE_FAILURES):
            await self._redis.sadd(groups_key(self.keys.environment), self.keys.group)
        return reply

    async def rearm(
        self, *, epoch: int, by: str, reason: str, restore: bool = False, idempotency_key: str | None = None
    ) -> StoreReply:
        """Clear the latch of exactly this epoch. Flags stay off unless `restore` brings their former documents back."""
        arguments = {"epoch": epoch, "by": by, "reason": reason, "restore": restore}
        return await self._run("rearm", arguments, idempotency_key)

    async def record_anchors(
        self,
        *,
        fence: int,
        anchors: Mapping[str, str],
        candidates: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> StoreReply:
        """Keep what a rollback returns to beside the flags; `candidates` where they are no longer those of `begin`."""
        arguments = {
            "fence": fence,
            "anchors": json.dumps(dict(anchors)),
            "candidates": None if candidates is None else dict(candidates),
        }
        return await self._run("anchors", arguments, idempotency_key)

    async def refuse_candidates(
        self, candidates: Mapping[str, str], *, by: str, reason: str, idempotency_key: str | None = None
    ) -> StoreReply:
        """From now on these images are refused at `begin`, unless it says why they may be tried again."""
        arguments = {"candidates": dict(candidates), "by": by, "reason": reason}
        return await self._run("refuse", arguments, idempotency_key)

    async def release(
        self,
        *,
        owner: str,
        outcome: Literal["completed", "refused", "rolled_back"],
        idempotency_key: str | None = None,
    ) -> StoreReply:
        """Give ownership back; UNCHANGED where somebody else, or nobody, has it."""
        return await self._run("release", {"owner": owner, "reason": outcome}, idempotency_key)

    async def renew_lease(self, *, fence: int) -> StoreReply:
        """Say that the rollout which began with a dead-man is alive. Raises no revision, leaves no audit entry."""
        return await self._run("renew", {"fence": fence}, idempotency_key="none")

    async def read(self) -> FlagSnapshot | None:
        """The documents now; None where no rollout has begun or the data were lost.

        Raises:
            DamagedStore: what is stored is no snapshot.
        """
        with self._reading(self.keys.snapshot):
            return read_snapshot(await self._redis.get(self.keys.snapshot))

    async def read_safety(self) -> SafetyState:
        """Owner, fence, anchors and refused candidates, in one call.

        Raises:
            DamagedStore: what is stored cannot be read as such.
        """
        with self._reading(self.keys.safety):
            held = await self._redis.hgetall(self.keys.safety)
            return SafetyState(
                owner=held.get("owner"),
                fence=int(held.get("fence", 0)),
                anchors=json.loads(held.get("anchors", "{}")),
                candidates=json.loads(held.get("candidates", "{}")),
                refused={
                    name.removeprefix(REFUSED_PREFIX): why
                    for name, why in held.items()
                    if name.startswith(REFUSED_PREFIX)
                },
                latched_by=held.get("latched_by"),
                flags_before=_DOCUMENTS.validate_json(held.get("before", "{}")),
                flags_former=_DOCUMENTS.validate_json(held.get("former", "{}")),
            )

    async def stages(self) -> Stages:
        """What each stage of the plan that began last shows of each flag; nothing where that was not kept."""
        with self._reading(self.keys.safety):
            return _STAGES.validate_json(await self._redis.hget(self.keys.safety, "stages") or "{}")

    async def audit(self, count: int) -> list[AuditEntry]:
        """The newest entries, newest first."""
        entries = await self._redis.xrevrange(self.keys.audit, count=count)
        return [AuditEntry.of(entry_id, fields) for entry_id, fields in entries]

    async def history(self, flag: str, count: int) -> list[AuditEntry]:
        """The newest changes of one flag, newest first."""
        entries = await self._redis.xrevrange(self.keys.audit)
        changes = (AuditEntry.of(entry_id, fields) for entry_id, fields in entries)
        return list(islice((entry for entry in changes if flag in entry.changes), count))

    async def verify_audit(self) -> AuditVerdict:
        """Whether no entry of the audit trail was changed, removed or put in later."""
        entries = await self._redis.xrange(self.keys.audit)
        head = await self._redis.hget(self.keys.meta, "head")
        return verify_chain(entries, head)

    async def acknowledgements(self) -> dict[str, Acknowledgement]:
        """What each application instance has said it shows, those aside that have been silent for long."""
        return await current_acknowledgements(self._redis, self.keys)

    async def confirmed_by_applications(
        self, position: tuple[int, int], *, within: timedelta, lease: timedelta
    ) -> Confirmations:
        """Wait until every application instance shows `position` or a newer one, or can show nothing any more."""
        return await confirmations(self._redis, self.keys, position, within=within, lease=lease)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """What a key holds that nobody here writes is damage; whatever else a server refuses says nothing of the key.

        A Cluster that is down, a replica without its primary and a user without permission answer with errors too.
        """
        try:
            yield
        except (ResponseError, ValueError, DamagedStore) as failure:
            if isinstance(failure, ResponseError) and not str(failure).startswith(ANOTHER_KIND):
                raise
            why = in_a_line(failure) if isinstance(failure, ValidationError) else failure
            raise DamagedStore(
                f"{key} is damaged ({why}); an emergency of {self.keys.group} repairs it, with every flag off"
            ) from failure

    async def _run(
        self, op: str, arguments: Mapping[str, Any], idempotency_key: str | None, attempt: int = 1
    ) -> StoreReply:
        return await run_script(self._redis, self.keys, op, arguments, idempotency_key, attempt)
