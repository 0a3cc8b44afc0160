"""The write side of the flags: every change is one atomic script in Redis, answered with a value, never half done.

    store = FlagStore(connect(url), environment="production", group="request-isolation")
    reply = await store.emergency(by="kim", reason="checkout is down")

Order is by (epoch, rev). The epoch is a fence: it grows with every rollout and every emergency, and a write that
carries an older one raises nothing. While the latch is set every flag is off; only a rearm clears it.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rollout.flags import Audience, Exposure, FlagSnapshot

ANSWER_WITHIN = timedelta(seconds=2)
"""A command that is not answered by then has failed; whether it was carried out is settled by its idempotency key."""
IDEMPOTENCY_KEPT = timedelta(days=30)

_SCRIPT = files("flagstore").joinpath("store.lua").read_text(encoding="utf-8")


class StoreStatus(StrEnum):
    """OK, or the name of a refusal."""

    OK = "OK"
    STALE_EPOCH = "STALE_EPOCH"
    LATCHED = "LATCHED"
    NOT_LATCHED = "NOT_LATCHED"
    OWNED = "OWNED"
    REFUSED_CANDIDATE = "REFUSED_CANDIDATE"
    CONFLICT = "CONFLICT"
    STEP_TOO_LARGE = "STEP_TOO_LARGE"
    UNKNOWN_FLAG = "UNKNOWN_FLAG"
    UNINITIALISED = "UNINITIALISED"
    IDEM_MISMATCH = "IDEM_MISMATCH"


_SENTENCES = {
    StoreStatus.OK: "done",
    StoreStatus.STALE_EPOCH: "a newer rollout or an emergency has come since: the store is at epoch {detail}",
    StoreStatus.LATCHED: "the kill switch of {group} is set; `rollout rearm {group} --reason …` clears it",
    StoreStatus.NOT_LATCHED: "the kill switch of {group} is not set, there is nothing to rearm",
    StoreStatus.OWNED: "{group} is owned by {detail}",
    StoreStatus.REFUSED_CANDIDATE: (
        "{detail} was rolled back before; start it with `--again --reason …` if that is what you want"
    ),
    StoreStatus.CONFLICT: "flag {detail} is not at the exposure that was expected: somebody else changed it",
    StoreStatus.STEP_TOO_LARGE: "flag {detail} would skip a step of the plan; up is one step at a time",
    StoreStatus.UNKNOWN_FLAG: "flag {detail} does not belong to {group}",
    StoreStatus.UNINITIALISED: "the flag store holds nothing for {group}: no rollout has begun, or its data were lost",
    StoreStatus.IDEM_MISMATCH: "the idempotency key was used before for another request",
}


@dataclass(frozen=True)
class StoreReply:
    """What the store did. `replayed` means that this key was used before: the first answer is repeated."""

    status: StoreStatus
    epoch: int
    rev: int
    detail: str
    replayed: bool
    group: str

    @property
    def accepted(self) -> bool:
        return self.status is StoreStatus.OK

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.status].format(detail=self.detail, group=self.group)


class SafetyState(BaseModel):
    """What a way back without Temporal needs to know. `anchors` are JSON per service, opaque to the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str | None = None
    fence: int = 0
    anchors: dict[str, str] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict, description="`service=image` to the reason")


def connect(url: str) -> Redis:
    """A client for the store: `redis://`, `rediss://` or `unix://`. Nothing is retried silently.

    A reply that is lost after a write was carried out would be written again by a silent retry; here the caller
    decides, with the same idempotency key.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=ANSWER_WITHIN.total_seconds(),
        socket_connect_timeout=ANSWER_WITHIN.total_seconds(),
        retry=Retry(NoBackoff(), 0),
    )


class FlagStore:
    """The flags of one group in one environment."""

    def __init__(self, redis: Redis, environment: str, group: str) -> None:
        self._redis = redis
        self._group = group
        self._family = f"{{rf:{environment}:{group}}}"
        self._script = redis.register_script(_SCRIPT)

    async def begin(
        self,
        *,
        owner: str,
        by: str,
        flags: Sequence[str],
        audience: Audience,
        cohort: str | None,
        ladder: Sequence[Exposure],
        candidates: Mapping[str, str],
        again: str | None = None,
        min_epoch: int | None = None,
        idempotency_key: str | None = None,
    ) -> StoreReply:
        """Take ownership with every flag off; the reply's epoch is the fence of this rollout."""
        arguments = {
            "owner": owner,
            "by": by,
            "reason": again or "",
            "flags": list(flags),
            "audience": audience.model_dump_json(),
            "cohort": cohort,
            "ladder": json.dumps([exposure.order for exposure in ladder]),
            "candidates": dict(candidates),
            "again": again,
            "min_epoch": min_epoch,
        }
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
            "to": {flag: exposure.model_dump() for flag, exposure in to.items()},
            "documents": {flag: exposure.model_dump_json() for flag, exposure in to.items()},
            "expected": {flag: exposure.model_dump() for flag, exposure in expected.items()} if expected else None,
            "fence": fence,
            "by": by,
            "reason": reason,
        }
        return await self._run("set", arguments, idempotency_key, attempt=attempt)

    async def emergency(
        self, *, by: str, reason: str, min_epoch: int | None = None, idempotency_key: str | None = None
    ) -> StoreReply:
        """Everything off and latched, with a new epoch. Never refused, whatever state the database is in."""
        return await self._run("emergency", {"by": by, "reason": reason, "min_epoch": min_epoch}, idempotency_key)

    async def rearm(
        self, *, epoch: int, by: str, reason: str, restore: bool = False, idempotency_key: str | None = None
    ) -> StoreReply:
        """Clear the latch of exactly this epoch. Flags stay off unless `restore` brings their former documents back."""
        arguments = {"epoch": epoch, "by": by, "reason": reason, "restore": restore}
        return await self._run("rearm", arguments, idempotency_key)

    async def record_anchors(
        self, *, fence: int, anchors: Mapping[str, str], idempotency_key: str | None = None
    ) -> StoreReply:
        """Keep what a rollback returns to beside the flags."""
        arguments = {"fence": fence, "anchors": json.dumps(dict(anchors))}
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
        """Give ownership back."""
        return await self._run("release", {"owner": owner, "reason": outcome}, idempotency_key)

    async def read(self) -> FlagSnapshot | None:
        """The documents now; None where no rollout has begun or the data were lost."""
        text = await self._redis.get(self._key("snap"))
        return None if text is None else FlagSnapshot.model_validate_json(text)

    async def read_safety(self) -> SafetyState:
        """Owner, fence, anchors and refused candidates, in one call."""
        held = {str(field): str(value) for field, value in (await self._redis.hgetall(self._key("safety"))).items()}
        refused = {name.removeprefix("refused:"): why for name, why in held.items() if name.startswith("refused:")}
        return SafetyState(
            owner=held.get("owner") or None,
            fence=int(held.get("fence", 0)),
            anchors=json.loads(held.get("anchors", "{}")),
            refused=refused,
        )

    def _key(self, name: str) -> str:
        return f"{self._family}:{name}"

    async def _run(
        self, op: str, arguments: Mapping[str, Any], idempotency_key: str | None, attempt: int = 1
    ) -> StoreReply:
        given = {name: value for name, value in arguments.items() if value is not None}
        digest = hashlib.sha256(json.dumps([op, given], sort_keys=True).encode()).hexdigest()
        key = idempotency_key or str(uuid.uuid4())
        answer = await self._script(
            keys=[self._key(name) for name in ("meta", "flags", "snap", "audit", f"idem:{key}", "safety")],
            args=[
                op,
                digest,
                round(IDEMPOTENCY_KEPT / timedelta(milliseconds=1)),
                self._key("chg"),
                json.dumps({**given, "attempt": attempt}),
            ],
        )
        status, epoch, rev, detail, replayed = answer
        return StoreReply(
            status=StoreStatus(status),
            epoch=int(epoch),
            rev=int(rev),
            detail=str(detail),
            replayed=bool(replayed),
            group=self._group,
        )
