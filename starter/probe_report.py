"""What a probe of Google finds, point by point, and the sandbox that behaves alike. Needs no Google package."""

import shlex
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCRATCH_LABEL, SCRATCH_VALUE = "rollout-probe", "scratch"


class PointName(StrEnum):
    ETAG = "etag"
    INFLIGHT = "update during an update"
    RECONCILE = "traffic-only change"
    TEXT_SUM = "refusal: sum is not 100"
    TEXT_DUPLICATE_TAG = "refusal: tag given twice"
    TEXT_UNKNOWN_REVISION = "refusal: unknown revision"
    TEXT_LONG_TAG = "refusal: tag too long"
    INGEST_DELAY = "ingest delay"
    BUCKETS = "bucket layout"
    RATE_LIMITS = "rate limits"


READ_POINTS = (PointName.INGEST_DELAY, PointName.BUCKETS, PointName.RATE_LIMITS)
"""What reading alone can tell; the others need a service that may be changed."""


class State(StrEnum):
    SETTLED = "settled"
    REPORTED = "reported"
    """Told as it was seen; there is nothing to settle by trying."""
    OPEN = "open"
    NOT_ASKED = "not asked"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Point(_Frozen):
    """One question, what came of it, and what was seen, in Google's own words where they matter."""

    name: PointName
    state: State
    found: str
    seen: tuple[str, ...] = ()


class Profile(_Frozen):
    """How Google behaved, in the sandbox's own options; None is what was not settled."""

    etag: Literal["enforce", "ignore"] | None = None
    inflight: Literal["supersede", "abort"] | None = None
    reconcile_seconds: float | None = None
    sample_seconds: float | None = None
    ingest_delay_seconds: float | None = None

    @property
    def sandbox_arguments(self) -> list[str]:
        """Options of `python -m sandbox`; what was not settled keeps the sandbox's default."""
        return [
            text
            for name, value in self.model_dump(exclude_none=True).items()
            for text in (f"--{name.replace('_', '-')}", value if isinstance(value, str) else f"{value:g}")
        ]


class Cleanup(_Frozen):
    """Whether everything is as it was before, and in a sentence what was done for it."""

    done: bool
    text: str


class Report(_Frozen):
    project: str
    region: str
    service: str
    google: str
    began: datetime
    seconds: float
    read_only: bool
    stopped: str | None
    points: tuple[Point, ...]
    profile: Profile
    cleanup: Cleanup

    @property
    def open_points(self) -> list[Point]:
        return [point for point in self.points if point.state is State.OPEN]

    @property
    def complete(self) -> bool:
        return not self.open_points and self.cleanup.done

    @property
    def sandbox_command(self) -> str:
        return shlex.join(["python", "-m", "sandbox", *self.profile.sandbox_arguments])

    def for_programs(self) -> dict[str, object]:
        return {
            **self.model_dump(mode="json"),
            "complete": self.complete,
            "open": [point.name.value for point in self.open_points],
            "sandbox_arguments": self.profile.sandbox_arguments,
        }
