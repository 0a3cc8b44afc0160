"""What a rollout would have done on metrics of the past: the record of a rehearsal, for people and programs."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["completed", "rolled_back", "stepped_back", "unfinished", "refused"]
Kind = Literal["stage", "traffic", "approval", "window", "gate", "hold", "flags", "rollback"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Happened(_Frozen):
    """`at`: when the rollout would have known it. `interval`: the end of the interval that it was seen in."""

    at: datetime
    stage: str
    kind: Kind
    text: str
    reason: str = ""
    gate: str = ""
    verdict: str = ""
    interval: datetime | None = None


class Held(_Frozen):
    """Open while `until` is None."""

    since: datetime
    until: datetime | None = None
    causes: tuple[str, ...]


class StageOutcome(_Frozen):
    name: str
    entered_at: datetime
    passed_at: datetime | None = None
    soak: timedelta
    credit: timedelta = timedelta()
    held: tuple[Held, ...] = ()


class WhatIf(_Frozen):
    """`ended_at` is when it completed or went back, or where the data end."""

    plan: str
    outcome: Outcome
    why: str
    started_at: datetime
    ended_at: datetime
    stages: tuple[StageOutcome, ...]
    timeline: tuple[Happened, ...]
    not_played: tuple[str, ...] = Field(description="what a rollout does besides, and a rehearsal takes for granted")
