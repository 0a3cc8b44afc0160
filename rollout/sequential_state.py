"""What a sequential gate has learnt so far: all that the next interval needs, and how it is written meanwhile."""

from datetime import datetime
from math import inf
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from rollout.best_run import BestRun
from rollout.cohort_history import CohortHistory
from rollout.confidence_sequence import Average
from rollout.control_curve import ControlCurve
from rollout.counted_singly import FIRST_INTERVALS, CountedSingly
from rollout.dispersion import LARGEST_FALL, LARGEST_TERM_BEFORE, Dispersion
from rollout.packed_numbers import packed, unpacked
from rollout.sample_ratio import SampleRatio
from rollout.sequential_model import BEYOND_NEEDED, HARM_NEEDED, HOLD_NEEDED, LATENCY_BEYOND_NEEDED
from rollout.statistics import LARGEST_CASH, Mixture
from rollout.wander import LARGEST_OF_CONTROL, LARGEST_WANDER, Wander

_STRICT = ConfigDict(extra="forbid", frozen=True)
HARMLESS, HARMLESS_ELSEWHERE = 2.0, 1.0
"""Odds of the first key below which nothing speaks against the new code. The second in keys that do not begin anew."""
PART_OF_SECOND = 0.75
"""What the second bettor has of the wealth, who learns more from bursts; in keys that do not begin anew a half."""


def _is_absent(value: object) -> bool:
    return value is None


def _is_not_so(value: object) -> bool:
    return value is False


class Keys(BaseModel):
    """One pair of e-values, and the sums that people are shown."""

    model_config = _STRICT

    harm: Mixture
    beyond: Mixture
    dispersion: Dispersion | Wander = Field(default_factory=Dispersion)
    average: Average = Field(default_factory=Average)
    bad: int = 0
    total: int = 0
    control_bad: int = 0
    control_total: int = 0
    history: CohortHistory | None = Field(default=None, exclude_if=_is_absent)
    capped: tuple[Mixture, Mixture] | None = Field(
        default=None, exclude_if=_is_absent, description="the second bettor's; without them the first has it all"
    )
    best_run: BestRun | None = Field(
        default=None, exclude_if=_is_absent, description="without it nothing is left out of the evidence"
    )
    bets_by_dispersion: bool = Field(
        default=False,
        exclude_if=_is_not_so,
        description="whether stakes, and what latencies are tolerated, follow it; not where keys began before they did",
    )

    forgets_ended_bets: bool = Field(
        default=False,
        exclude_if=_is_not_so,
        description="whether bets that ended are not staked again, and rare bursts are learnt whole; not where keys "
        "began before",
    )
    by_own_rates: bool = Field(
        default=False,
        exclude_if=_is_not_so,
        description="whether bursts are told by the rate that each group has itself, the second key waits beside the "
        "first, and little seen of control asks for more; of latencies, whether the edges are those of the p95's own "
        "bucket and less is learnt of incidents; not where keys began before",
    )
    singly: CountedSingly | None = Field(
        default=None,
        exclude_if=_is_absent,
        description="of shares that are compared; not where keys began before it was asked",
    )
    begins_anew: bool = Field(
        default=False,
        exclude_if=_is_not_so,
        description="whether the first key looks for harm with all of its cash again whenever nothing speaks against "
        "the new code; of shares that are compared, not where keys began before",
    )

    @property
    def spread_enough(self) -> bool:
        """Whether the evidence is more than one run of a few intervals."""
        return self.best_run is None or self.best_run.is_enough

    @property
    def even_enough(self) -> bool:
        """Whether bad events come too evenly to be bursts, or bursts are known well enough not to ask."""
        if self.singly is None or self.average.intervals > FIRST_INTERVALS or self.singly.well_known:
            return True
        # Where hardly an interval had enough traffic for him to count, he could bear nothing out.
        return 2 * self.singly.intervals <= self.average.intervals or self.singly.bears_out

    @property
    def largest_term(self) -> float:
        """What two blocks may tell of bursts at most: as it was when the state began."""
        return LARGEST_TERM_BEFORE if self.best_run is None else self.best_run.largest_term

    @property
    def largest_cash(self) -> float:
        """What is kept of bets that ended."""
        return LARGEST_CASH if self.forgets_ended_bets else inf

    def dispersion_after(
        self, bad: int, total: int, control_bad: int, control_total: int, minutes: float
    ) -> Dispersion | Wander:
        """What is known of bursts with one more interval; learning as these keys began to."""
        counts = (bad, total, control_bad, control_total)
        if isinstance(self.dispersion, Wander):
            of_control = LARGEST_OF_CONTROL if self.by_own_rates else LARGEST_WANDER
            return self.dispersion.after(*counts, minutes, largest_of_control=of_control)
        largest_fall = LARGEST_FALL if self.forgets_ended_bets else None
        return self.dispersion.after(
            *counts,
            minutes,
            largest_term=self.largest_term,
            largest_fall=largest_fall,
            by_own_rates=self.by_own_rates,
        )

    def without_sums(self) -> "Keys":
        """What was learnt and proven, without what people are shown of it and what an early pass rests on."""
        sums = {"average": Average(), "bad": 0, "total": 0, "control_bad": 0, "control_total": 0}
        return self.model_copy(update=sums)

    @property
    def beyond_needed(self) -> float:
        """Odds of the second key for a failure: as they were when these keys began."""
        return LATENCY_BEYOND_NEEDED if isinstance(self.dispersion, Wander) else BEYOND_NEEDED

    @property
    def hold_needed(self) -> float:
        """Odds of the first key from which on the rollout holds."""
        return HOLD_NEEDED if self.begins_anew else HARM_NEEDED

    @property
    def harmless(self) -> float:
        """Odds of the first key below which nothing speaks against the new code."""
        return HARMLESS if self.begins_anew else HARMLESS_ELSEWHERE

    @property
    def harm_odds(self) -> float:
        return self.harm.wealth if self.capped is None else self._of_both(self.harm, self.capped[0])

    @property
    def beyond_odds(self) -> float:
        return self.beyond.wealth if self.capped is None else self._of_both(self.beyond, self.capped[1])

    def _of_both(self, first: Mixture, second: Mixture) -> float:
        part = PART_OF_SECOND if self.begins_anew else 0.5
        return first.wealth * (1 - part) + second.wealth * part

    @property
    def allowed_ratio(self) -> float:
        """How many times control's rate the cohort may have, as it had before."""
        return 1.0 if self.history is None else self.history.allowed


class SequentialState(BaseModel):
    """Everything that the next interval needs; below 4,096 bytes of JSON whatever the soak and the counts.

    Written as it was read, until there is one more interval in it: what began before numbers were packed is long.
    """

    model_config = _STRICT

    keys: tuple[Keys, ...]
    edges: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = Field(default=(), description="with the counts: a curve, as it was before `curve`")
    control_counts: tuple[float, ...] = ()
    curve: ControlCurve | None = Field(default=None, exclude_if=_is_absent)
    newest: datetime | None = None
    gaps: tuple[tuple[datetime, datetime], ...] = Field(default=(), description="ends in (since, until] are missing")
    missing_in_a_row: int = 0
    gross_in_a_row: int = 0
    gross_bad: float | None = Field(
        default=None, exclude_if=_is_absent, description="bad events beyond it in that row; without it none are needed"
    )
    failed: str = ""
    sample: SampleRatio | None = Field(default=None, exclude_if=_is_absent)
    """As a history, left out of what is written where there is none."""
    packed: bool = Field(default=False, exclude=True, description="how it is written")

    @property
    def harm_odds(self) -> float:
        """Where there are two edges, the mean of both: an e-value again."""
        return sum(keys.harm_odds for keys in self.keys) / len(self.keys)

    @property
    def beyond_odds(self) -> float:
        return sum(keys.beyond_odds for keys in self.keys) / len(self.keys)

    @property
    def hold_needed(self) -> float:
        """Odds against "no harm" from which on the rollout holds."""
        return self.keys[0].hold_needed

    @property
    def compared_ms(self) -> float:
        """The lower of the two edges that latencies are compared at."""
        return self.bounds_ms[self.edges[0]] if self.curve is None else self.curve.compared_ms

    @model_validator(mode="before")
    @classmethod
    def _from_packed(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.get("keys") or [None]):
            return given
        parts = {name: unpacked(given[name], kind) for name, kind in _PACKED.items() if name in given}
        return {**given, **parts, "keys": tuple(unpacked(each, Keys) for each in given["keys"]), "packed": True}

    @model_serializer(mode="wrap")
    def _to_packed(self, as_it_is: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Control's curve as it was before `curve` waits for the next interval that is judged.
        if not self.packed or self.bounds_ms:
            written: dict[str, Any] = as_it_is(self)
            return written
        written = {"keys": [packed(each, Keys) for each in self.keys], "newest": self.newest}
        for name, kind in _PACKED.items():
            if value := getattr(self, name):
                written[name] = packed(value, kind)
        for name in _PLAIN:
            if (value := getattr(self, name)) != SequentialState.model_fields[name].default:
                written[name] = value
        return written


_PACKED: dict[str, Any] = {"gaps": tuple[tuple[datetime, datetime], ...], "curve": ControlCurve, "sample": SampleRatio}
_PLAIN = ("edges", "missing_in_a_row", "gross_in_a_row", "gross_bad", "failed")
"""What is written as it is, unless it is the usual."""
