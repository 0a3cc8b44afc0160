"""The answer to a gate: a verdict, the numbers behind it, and a sentence for a person."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Action = Literal["rollback", "step_back", "hold", "warn"]
"""What a FAIL of a gate does. A step back leads one stage down; from the first stage it is a rollback."""

LEAVING: frozenset[Action] = frozenset({"rollback", "step_back"})
"""Actions that leave the stage at the first FAIL, wherever it is seen."""


class Verdict(StrEnum):
    """Ordered by how much it matters: the worst one leads."""

    PASS = "PASS"  # noqa: S105  (a verdict, not a password)
    IDLE = "IDLE"
    """The source is healthy and nobody used what the gate measures: credit stands, nobody is told."""
    UNKNOWN = "UNKNOWN"
    """Too little, too late or no data. Never a pass, never a failure."""
    ERROR = "ERROR"
    """The source failed."""
    SUSPECT = "SUSPECT"
    """Harm is proven, but not yet beyond what the plan tolerates; or the groups are not those that the plan wants."""
    FAIL = "FAIL"


UNTROUBLED = (Verdict.PASS, Verdict.IDLE)
"""Verdicts that speak against nothing: no hold, no harm, no question."""

_ORDER = {verdict: position for position, verdict in enumerate(Verdict)}


class Lack(StrEnum):
    """What an UNKNOWN gate is short of; it decides how soon a person is told."""

    NOTHING = "nothing"
    SAMPLE = "sample"
    DATA = "data"


class Judgement(BaseModel):
    """One gate's answer for the interval that ends at `as_of`.

    `value` and `limit` are written for people, with their units; `sample` counts what `value` rests on. `conclusive`
    is a pass beyond doubt: nothing that the rest of the soak may bring is needed for it. `silent`: nothing was measured
    where something should have been.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: str
    verdict: Verdict
    reason: str
    value: str = "–"
    limit: str = "–"
    sample: int = 0
    lack: Lack = Lack.NOTHING
    conclusive: bool = False
    silent: bool = Field(default=False, exclude_if=lambda silent: not silent)
    as_of: datetime


def worst(judgements: Iterable[Judgement]) -> Verdict:
    """The verdict that decides; PASS where there is nothing to judge."""
    return max((judgement.verdict for judgement in judgements), key=_ORDER.__getitem__, default=Verdict.PASS)
