"""What an image does to its users: set from outside, and remembered with its time so that the past stays the past."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.history import History
from sandbox.journal import Journal, history_as_json, history_of

_BEHAVIOUR = "behaviour"


class Behaviour(BaseModel):
    """How revisions of one image differ from a healthy one.

    Rates are shares of requests (0 to 1) added to the healthy ones; factors multiply healthy latencies and
    utilisations. Those that begin with `treated_` concern treated users only, the others everybody on the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    treated_error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    latency_factor: float = Field(default=1.0, gt=0.0, le=1000.0)
    treated_latency_factor: float = Field(default=1.0, gt=0.0, le=1000.0)
    isolation_violation_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    cascade_failures_per_minute: float = Field(default=0.0, ge=0.0)
    websocket_latency_factor: float = Field(default=1.0, gt=0.0, le=1000.0)
    cpu_factor: float = Field(default=1.0, gt=0.0, le=100.0)
    memory_factor: float = Field(default=1.0, gt=0.0, le=100.0)
    fails_to_start: bool = False
    start_seconds: float = Field(default=0.0, ge=0.0, description="on top of the reconcile time")
    unhealthy: bool = False


HEALTHY = Behaviour()


class Behaviours:
    """The behaviour of each image over time; an image never mentioned is healthy."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_image: dict[str, History[Behaviour]] = {
            image: history_of(text, Behaviour.model_validate) for image, text in journal.held(_BEHAVIOUR)
        }

    def set(self, image: str, behaviour: Behaviour, instant: int) -> None:
        history = self._by_image.setdefault(image, History(HEALTHY))
        history.record(instant, behaviour)
        self._journal.changed(_BEHAVIOUR, image, lambda: history_as_json(history, _as_document))

    def clear(self, instant: int) -> None:
        for image in self._by_image:
            self.set(image, HEALTHY, instant)

    def now(self, image: str) -> Behaviour:
        history = self._by_image.get(image)
        return HEALTHY if history is None else history.latest

    def at(self, image: str, instant: int) -> Behaviour:
        history = self._by_image.get(image)
        return HEALTHY if history is None else history.at(instant)

    def changes_between(self, start: int, end: int) -> Sequence[int]:
        return [cut for history in self._by_image.values() for cut in history.changes_between(start, end)]

    def in_force(self) -> dict[str, Behaviour]:
        return {image: history.latest for image, history in self._by_image.items() if history.latest != HEALTHY}


def _as_document(behaviour: Behaviour) -> dict[str, Any]:
    return behaviour.model_dump(exclude_defaults=True)
