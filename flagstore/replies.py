"""What the flag store answers: a status with a name, and a sentence for the person who reads it."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from rollout.flags import Exposure, FlagSnapshot


class StoreStatus(StrEnum):
    """OK and UNCHANGED are acceptance; every other status is the name of a refusal, which changed nothing."""

    OK = "OK"
    UNCHANGED = "UNCHANGED"
    STALE_EPOCH = "STALE_EPOCH"
    LOST_WRITES = "LOST_WRITES"
    LATCHED = "LATCHED"
    NOT_LATCHED = "NOT_LATCHED"
    OWNED = "OWNED"
    REFUSED_CANDIDATE = "REFUSED_CANDIDATE"
    CONFLICT = "CONFLICT"
    STEP_TOO_LARGE = "STEP_TOO_LARGE"
    UNKNOWN_FLAG = "UNKNOWN_FLAG"
    UNINITIALISED = "UNINITIALISED"
    DAMAGED = "DAMAGED"
    IDEM_MISMATCH = "IDEM_MISMATCH"


_SENTENCES = {
    StoreStatus.OK: "done",
    StoreStatus.UNCHANGED: "it was so already",
    StoreStatus.STALE_EPOCH: "a newer rollout or an emergency has come since: {group} is at epoch {detail}",
    StoreStatus.LOST_WRITES: "the flag store has lost writes: {group} is back at epoch {detail}",
    StoreStatus.LATCHED: ("the kill switch of {group} is set ({detail}); `rollout rearm {group} --reason …` clears it"),
    StoreStatus.NOT_LATCHED: "the kill switch of {group} is not set, there is nothing to rearm",
    StoreStatus.OWNED: "{group} is owned by {detail}",
    StoreStatus.REFUSED_CANDIDATE: (
        "{detail} {was} rolled back before; start it with `--again --reason …` if that is what you want"
    ),
    StoreStatus.CONFLICT: "flag {detail} is not at the exposure that was expected: somebody else changed it",
    StoreStatus.STEP_TOO_LARGE: "flag {detail} would skip a step of the plan; up is one step at a time",
    StoreStatus.UNKNOWN_FLAG: "flag {detail} does not belong to {group}",
    StoreStatus.UNINITIALISED: "the flag store holds nothing for {group}: no rollout has begun, or its data were lost",
    StoreStatus.DAMAGED: "the flag store is damaged ({detail}); an emergency of {group} repairs it, all flags off",
    StoreStatus.IDEM_MISMATCH: "the idempotency key was used before for another request",
}


@dataclass(frozen=True)
class StoreReply:
    """What the store did.

    `replayed` means that this key was used before: status, epoch, rev and detail repeat the first answer, and prove
    nothing about now. `snapshot` is always the documents after this call (None where the store holds none).
    """

    status: StoreStatus
    epoch: int
    rev: int
    detail: str
    replayed: bool
    group: str
    snapshot: FlagSnapshot | None = None

    @property
    def accepted(self) -> bool:
        return self.status in (StoreStatus.OK, StoreStatus.UNCHANGED)

    @property
    def sentence(self) -> str:
        detail = self.detail or "unknown"
        was = "were" if ", " in detail else "was"
        return _SENTENCES[self.status].format(detail=detail, group=self.group, was=was)


class SafetyState(BaseModel):
    """What a way back without Temporal needs to know. `anchors` are JSON per service, opaque to the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str | None = None
    fence: int = 0
    anchors: dict[str, str] = Field(default_factory=dict)
    candidates: dict[str, str] = Field(
        default_factory=dict, description="service to image: what an emergency takes back, and refuses from then on"
    )
    refused: dict[str, str] = Field(default_factory=dict, description="`service=image` to who refused it, and why")
    latched_by: str | None = Field(default=None, description="who pulled the kill switch, and why")
    flags_before: dict[str, Exposure] = Field(default_factory=dict, description="as they were before the rollout began")
    flags_former: dict[str, Exposure] = Field(default_factory=dict, description="what a rearm can restore")


class DamagedStore(RuntimeError):  # noqa: N818  (named as what is the case)
    """A key of the group holds something that no store writes. An emergency repairs it, with every flag off."""
