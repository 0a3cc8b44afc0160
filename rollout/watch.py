"""One look at a soaking stage: what a look is given, and what it leaves behind."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.flags import Exposure
from rollout.gates import Gate
from rollout.measurement import Sample, TimeSeriesQuery
from rollout.soak import SoakState, Suspension, Transition
from rollout.soak_evidence import SoakEvidence
from rollout.traffic import ServiceRef, TrafficSplit
from rollout.verdict import Judgement

WATCH_ACTIVITY = "watch_gates"
"""By this name Temporal lists the watch among a rollout's pending activities, with its last beat."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Past(_Frozen):
    """The time (since, until] before any user of a stage's cohort was exposed."""

    since: datetime
    until: datetime


class BoundGate(_Frozen):
    """A gate with everything it needs to be asked: its queries bound to this rollout, its baseline, its address."""

    gate: Gate
    queries: dict[str, TimeSeriesQuery] = Field(default_factory=dict)
    baseline: Sample | None = None
    base_url: str | None = None
    planned_share: float | None = Field(
        default=None, gt=0, lt=1, description="the treated part of the requests, where the plan says how large it is"
    )
    users: int | None = Field(
        default=None, ge=1, description="about how many make the requests, where the plan says so"
    )
    treated_share: float | None = Field(
        default=None, gt=0, le=1, description="the part of the users, or of the traffic, that is treated at least"
    )
    past: Past | None = Field(default=None, description="of the stage's cohort, where the metric is labelled by it")


class ExpectedTraffic(_Frozen):
    """`anchor` is what a rollback returns to."""

    service: ServiceRef
    split: TrafficSplit
    anchor: TrafficSplit | None = None


class Expected(_Frozen):
    """What the rollout last set; anything else is drift."""

    environment: str
    group: str
    fence: int
    flags: dict[str, Exposure]
    traffic: tuple[ExpectedTraffic, ...]


class WatchRequest(_Frozen):
    """Watch a stage until its soak has `target` credit, or something happens that a person or the rollout must know."""

    stage: str
    soak: SoakState
    evidence: SoakEvidence | None = None
    target: timedelta
    minimum_soak: timedelta | None = Field(
        default=None, description="the credit with which conclusive evidence completes the soak; without it, none does"
    )
    gates: dict[str, BoundGate]
    suspensions: tuple[Suspension, ...] = ()
    promote_after: datetime | None = Field(
        default=None, description="the first passing interval that ends later completes the soak, whatever its credit"
    )
    waived: tuple[str, ...] = Field(default=(), description="gates that neither hold nor stop credit; FAIL rolls back")
    switched_off: dict[str, str] = Field(
        default_factory=dict, description="flags that a gate turned off alone, and why, while no person has decided"
    )
    expected: Expected

    def is_promoted_at(self, end: datetime) -> bool:
        """Whether a person lets the soak end with the passing interval that ends then."""
        return self.promote_after is not None and end > self.promote_after


class StoreWatchRequest(_Frozen):
    """Watch the flag store alone, while no stage has been entered and nothing can fail yet."""

    environment: str
    group: str
    fence: int
    interval: timedelta


class WatchBeat(_Frozen):
    """The state after a look, carried in heartbeat details: a cache for the next look and a window for people."""

    soak: SoakState
    evidence: SoakEvidence | None = None
    judgements: tuple[Judgement, ...]
    as_of: datetime


WorthTelling = Transition | Literal["credit_complete", "conclusive", "latched", "switch_off"]


class WatchReport(_Frozen):
    """Why a watch came back.

    `conclusive` completes a soak before its target: every comparison passes beyond doubt.
    `latched` means that the kill switch is set in the flag store itself: somebody pulled it, or the watch did, because
    the store had lost what the rollout wrote; `why` says which.
    `switch_off`: flags to turn off alone, each with the gate that says so; there may be some beside another transition.
    """

    transition: WorthTelling
    why: str = ""
    switch_off: dict[str, str] = Field(default_factory=dict)
    soak: SoakState
    evidence: SoakEvidence | None = None
    judgements: tuple[Judgement, ...]
