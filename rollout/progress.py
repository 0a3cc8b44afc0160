"""Where a rollout is, what happened to it, and what comes next: one record.

It is the workflow's memory, the answer to the `progress` query, the state carried over a continue-as-new, and the
result of a finished rollout.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rollout.flags import Exposure
from rollout.measurement import Sample
from rollout.soak import SoakState, Suspension
from rollout.soak_evidence import SoakEvidence
from rollout.traffic import Candidate, ServiceAnchor, TrafficSplit
from rollout.verdict import Judgement

# The timeline tells the story; the full record of judgements is not its business.
TIMELINE_LENGTH = 200
ASKED_AGAIN = "asked to roll back again: "
LONGEST_NOTE = 2_000
"""Characters. A record that has grown beyond what the server takes can be neither read nor continued."""
ANSWERS_KEPT = 20


class RolloutStatus(StrEnum):
    STARTING = "starting"
    AWAITING_WINDOW = "awaiting_window"
    AWAITING_APPROVAL = "awaiting_approval"
    ENTERING = "entering"
    SOAKING = "soaking"
    HOLDING = "holding"
    PAUSED = "paused"
    WATCHING = "watching"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    COMPLETED = "completed"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        return self in (RolloutStatus.ROLLED_BACK, RolloutStatus.COMPLETED, RolloutStatus.REFUSED)


StageState = Literal["pending", "entering", "soaking", "passed", "failed"]
EventKind = Literal[
    "started", "stage", "traffic", "flags", "hold", "gate", "command", "rollback", "failure", "finished"
]
RollbackCause = Literal["emergency", "gate", "cancelled", "stage_failed"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Event(_Record):
    """One line of the timeline."""

    at: datetime
    kind: EventKind
    text: str
    by: str | None = None


class Answered(_Record):
    """A command that was taken, by the id of its request, and what was answered."""

    request: str
    happened: str
    next: str
    status: str


class StageProgress(_Record):
    name: str
    exposure: str
    soak: timedelta
    state: StageState = "pending"
    entered_at: datetime | None = None
    passed_at: datetime | None = None
    step: int = Field(default=0, description="which of the stage's traffic steps it is at")
    step_entered: int | None = Field(default=None, description="the last step whose traffic and flags were set")
    extended: timedelta = Field(default=timedelta(), description="credit that a person asks for on top of the plan's")
    promote_after: datetime | None = Field(
        default=None, description="the first passing interval that ends later completes the soak, whatever its credit"
    )
    forced: bool = Field(default=False, description="a person ended this soak whatever its gates say")
    window_waived: bool = Field(default=False, description="a person lets this stage rise outside the plan's windows")
    asked_for_approval: bool = Field(default=False, description="people were told that it waits for their approval")
    told_of_window: bool = Field(default=False, description="people were told that it waits for its window")
    before_its_window: tuple[RolloutStatus, str, str] | None = Field(
        default=None, description="status, why and next as they were before it waited for its window"
    )
    checked: int = Field(default=0, description="how many of the checks that it is at have passed")
    waived: tuple[str, ...] = Field(default=(), description="gates that a person lets neither hold nor stop credit")
    soak_state: SoakState | None = None
    judgements: tuple[Judgement, ...] = ()

    @property
    def credit(self) -> timedelta:
        return self.soak_state.credit if self.soak_state else timedelta()

    @property
    def asked(self) -> timedelta:
        """The credit that it takes to pass: what the plan asks for, and what people asked for on top."""
        return self.soak + self.extended

    def anew(self) -> "StageProgress":
        """As before it was entered, but for the credit that a person asked for on top."""
        return StageProgress(name=self.name, exposure=self.exposure, soak=self.soak, extended=self.extended)


class RollbackStep(_Record):
    """`seconds` from the beginning of the rollback until this step was verified by reading back."""

    name: str
    seconds: float


class Rollback(_Record):
    cause: RollbackCause
    reason: str
    by: str
    began_at: datetime
    verified_at: datetime | None = None
    candidates_refused: bool = Field(default=False, description="and flags and services given back")
    steps: list[RollbackStep] = Field(default_factory=list)
    detected_after: float | None = Field(
        default=None, description="seconds from the end of the breaching interval to the beginning of the rollback"
    )

    @property
    def seconds(self) -> float | None:
        return (self.verified_at - self.began_at).total_seconds() if self.verified_at else None


class SwitchedOff(_Record):
    """A flag that a gate turned off alone. `decided`: a person lets the rollout go on without it."""

    gate: str
    why: str
    at: datetime
    decided: bool = False


def _as_it_was_recorded(value: object) -> object:
    """Records of runs that began before every such stage was kept hold one name, or none."""
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    return value


class RolloutProgress(_Record):
    plan: str
    workflow_id: str
    run_id: str
    environment: str
    images: dict[str, str]
    started_by: str
    started_at: datetime
    reason: str = ""
    status: RolloutStatus = RolloutStatus.STARTING
    why: str = Field(default="", description="why the rollout stands where it stands, in a sentence")
    next: str = Field(default="", description="what comes next, or what would release a hold")
    but_for_a_pause: tuple[RolloutStatus, str, str] | None = Field(
        default=None, description="status, why and next as they would be if nobody had paused it"
    )
    stage: int = Field(default=0, description="index into `stages`")
    stages: list[StageProgress]
    flags: dict[str, Exposure] = Field(default_factory=dict)
    traffic: dict[str, TrafficSplit] = Field(default_factory=dict)
    fence: int = 0
    anchors: dict[str, ServiceAnchor] = Field(default_factory=dict)
    candidates: dict[str, Candidate] = Field(default_factory=dict)
    baseline: dict[str, Sample] = Field(default_factory=dict)
    evidence: SoakEvidence | None = Field(default=None, description="what the gates have learnt over the soaks so far")
    suspensions: list[Suspension] = Field(default_factory=list)
    stepping_back: bool = Field(default=False, description="a person or a gate asked to go back by one stage")
    replacing: dict[str, str] | None = Field(default=None, description="images that a person gave in place of these")
    return_to: int | None = Field(
        default=None, description="index of the stage that follows the first one, after the candidate was replaced"
    )
    stepped_back_from: Annotated[tuple[str, ...], BeforeValidator(_as_it_was_recorded)] = Field(
        default=(), description="stages that were stepped back from; entering any of them again needs an approval"
    )
    waits_out_a_hold: bool = Field(
        default=False, description="what it waited for has come, and what holds it is still to end: a new run begins so"
    )
    deployed_by_others: dict[str, str] = Field(
        default_factory=dict,
        description="services that somebody else changed before the candidate was deployed, and how, until adopted",
    )
    approved: list[str] = Field(default_factory=list, description="stages that a person has approved")
    exposed_stage: str | None = Field(default=None, description="the stage whose exposure was written last")
    flags_off_since: datetime | None = Field(default=None, description="when this rollout had turned every flag off")
    exposed_at: datetime | None = Field(
        default=None, description="when a percentage of the users was first shown anything: there a cohort's past ends"
    )
    limits: dict[str, str] = Field(
        default_factory=dict, description="flags that a person, or a gate, holds at an earlier stage, or at off"
    )
    switched_off: dict[str, SwitchedOff] = Field(
        default_factory=dict, description="flags that a gate turned off, until a person turns them on again"
    )
    watched_until: datetime | None = Field(default=None, description="set once the last stage has passed")
    finish_asked: bool = Field(default=False, description="a person ended the watch or the guard of now")
    rollback: Rollback | None = None
    finished_at: datetime | None = None
    timeline: list[Event] = Field(default_factory=list)
    answered: list[Answered] = Field(
        default_factory=list, description="the commands taken last: Temporal knows only those of the run of now"
    )

    @property
    def current(self) -> StageProgress:
        return self.stages[self.stage]

    @property
    def entered_last(self) -> int | None:
        """Index of the stage whose exposure or traffic people have now; None before the first one."""
        return next((index for index in range(self.stage, -1, -1) if self.stages[index].soak_state is not None), None)

    @property
    def judged(self) -> StageProgress:
        """The stage whose gates are judged now: until the next one is entered, the one before it."""
        return self.current if self.entered_last is None else self.stages[self.entered_last]

    @property
    def turning_back(self) -> bool:
        """Whether a person or a gate asked for something that no waiting may delay."""
        return self.stepping_back or self.replacing is not None

    @property
    def paused(self) -> bool:
        return bool(self.suspensions) and self.suspensions[-1].until is None

    @property
    def exposed_to(self) -> str:
        """Who sees the features now, over all flags and splits."""
        if self.flags:
            return ", ".join(sorted({exposure.in_words() for exposure in self.flags.values()}))
        if not self.candidates:
            return self.current.exposure
        shares = {self.traffic[key].share_of(candidate.revision) for key, candidate in self.candidates.items()}
        return ", ".join(f"{share} % of the traffic" for share in sorted(shares))

    @property
    def paused_why(self) -> str:
        """Who paused it and why; other commands may have come since."""
        told = (event.text for event in reversed(self.timeline) if event.kind == "command")
        return next((text for text in told if text.startswith("paused")), "paused")

    def not_credited(self, since: datetime, until: datetime) -> None:
        """What lies between earns no credit, however often it is judged anew."""
        if since < until:
            # The last one says whether it is paused.
            self.suspensions.insert(len(self.suspensions) - self.paused, Suspension(since=since, until=until))

    def answer(self, answered: Answered) -> None:
        self.answered.append(answered)
        del self.answered[:-ANSWERS_KEPT]

    def note(self, at: datetime, kind: EventKind, text: str, by: str | None = None) -> None:
        kept = text if len(text) <= LONGEST_NOTE else f"{text[: LONGEST_NOTE - 1]}…"
        self.timeline.append(Event(at=at, kind=kind, text=kept, by=by))
        del self.timeline[:-TIMELINE_LENGTH]
