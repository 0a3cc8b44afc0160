"""The audit trail of a group: every first outcome, refusals included, each entry chained to the one before it.

An entry's hash is sha1 of the hash before it, its body and its time. Whoever holds one hash from outside (every
snapshot carries the newest as `h`) can tell whether an entry before it was changed, removed or put in later.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter

from rollout.flags import Exposure


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    op: str
    status: str
    epoch: int
    rev: int
    attempt: int
    detail: str
    arguments: dict[str, Any]
    changes: dict[str, tuple[Exposure | None, Exposure | None]]


class AuditEntry(BaseModel):
    """One outcome. `changes` gives, for each flag that changed, the document before and after (None: no such flag)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    at: datetime
    op: str
    status: str
    by: str
    reason: str
    epoch: int
    rev: int
    attempt: int
    detail: str
    changes: dict[str, tuple[Exposure | None, Exposure | None]]
    hash: str

    @classmethod
    def of(cls, entry_id: str, fields: Mapping[str, str]) -> Self:
        body = _BODY.validate_json(fields["body"])
        return cls(
            id=entry_id,
            at=datetime.fromtimestamp(int(fields["ms"]) / 1000, UTC),
            by=str(body.arguments.get("by", "")),
            reason=str(body.arguments.get("reason", "")),
            hash=fields["h"],
            **{name: getattr(body, name) for name in ("op", "status", "epoch", "rev", "attempt", "detail", "changes")},
        )


class AuditVerdict(BaseModel):
    """Whether the chain holds. `broken` says where it does not; `trimmed`, that the oldest are gone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: int
    trimmed: bool
    broken: str | None

    @property
    def holds(self) -> bool:
        return self.broken is None


def verify_chain(entries: Iterable[tuple[str, Mapping[str, str]]], head: str | None) -> AuditVerdict:
    """Walk the chain, oldest entry first, up to the hash that the store holds as its newest."""
    count, trimmed, last = 0, False, ""
    for entry_id, fields in entries:
        if count == 0:
            trimmed, last = fields["prev"] != "", fields["prev"]
        count += 1
        chained = hashlib.sha1(f"{last}{fields['body']}{fields['ms']}".encode(), usedforsecurity=False).hexdigest()
        if fields["prev"] != last:
            return AuditVerdict(entries=count, trimmed=trimmed, broken=f"{entry_id}: an entry before it is missing")
        if fields["h"] != chained:
            return AuditVerdict(entries=count, trimmed=trimmed, broken=f"{entry_id}: changed after it was written")
        last = chained
    broken = None if last == (head or "") else "the newest entries are missing"
    return AuditVerdict(entries=count, trimmed=trimmed, broken=broken)


_BODY = TypeAdapter(_Body)
