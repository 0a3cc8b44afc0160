"""Gates: the questions a stage asks of measurements, as a plan writes them.

A gate is data, discriminated by `kind`; it names the metrics it needs. How an answer is judged stands in
`gate_judgement`, and `judge_stream` judges anybody's own data.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rollout import judge_stream as _streaming
from rollout.counting import points_allowed
from rollout.plan_parts import FlagName
from rollout.quantity import Duration, Limit, Share, Unit, format_share
from rollout.verdict import Action

Statistic = Literal["bad_share", "good_share", "p50", "p95", "p99", "mean", "level"]

judge_stream = _streaming.judge_stream
"""The same kinds of gates over a stream of intervals, by sequential evidence."""

QUANTILES: dict[Statistic, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
UNITS: dict[Statistic, tuple[Unit, ...]] = {
    "bad_share": ("share",),
    "good_share": ("share",),
    "p50": ("ms", "number"),
    "p95": ("ms", "number"),
    "p99": ("ms", "number"),
    "mean": ("ms", "number", "share"),
    "level": ("number", "share"),
}


class SwitchOff(BaseModel):
    """Flags that are turned off alone; the stage then holds until a person decides.

    `silent` is a gate whose metric says nothing for `page_after` where it should: no data, while other gates of the
    stage have theirs, or none of treated users, who should have been there. What was turned off stays off, in later
    stages too, until `rollout update-stage` turns it on again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    silent: tuple[FlagName, ...] = Field(
        default=(), description="flags to turn off when the gate's metric falls silent"
    )
    failing: tuple[FlagName, ...] = Field(
        default=(), description="flags to turn off when the gate fails, beside the action `hold`"
    )

    @model_validator(mode="after")
    def _some_flag(self) -> "SwitchOff":
        if not (self.silent or self.failing):
            raise ValueError("names no flag: say which to turn off when the gate is `silent`, or `failing`")
        return self


class _Gate(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, description="what people read in notices")
    action: Action = Field(
        description="what a FAIL does (in the first stage a step back is the rollback); every other answer than a pass "
        "stops the credit clock"
    )
    page_after: Duration = Field(description="how long the gate may be without an answer before somebody is paged")
    switch_off: SwitchOff | None = Field(
        default=None, description="flags of the plan that it turns off alone, while the others stay as they are"
    )

    @property
    def reaction_in_words(self) -> str:
        """What a FAIL does, and which flags go off alone: `hold; silent: websocket_isolation off`."""
        off = self.switch_off
        told = [] if off is None else [("failing", off.failing), ("silent", off.silent)]
        return "; ".join([self.action, *(f"{when}: {', '.join(flags)} off" for when, flags in told if flags)])


class _Measured(_Gate):
    """A gate over one metric. `minimum_sample` is what the window must hold before it is judged at all."""

    metric: str = Field(description="a metric of the plan")
    statistic: Statistic = Field(description="what is taken from the metric")
    group: Literal["treated", "all"] = Field(description="whose observations count")
    window: Duration = Field(description="how far back the value that people are shown looks, within its stage")
    minimum_sample: int = Field(ge=1, description="with fewer observations there is no pass")


class ThresholdGate(_Measured):
    """A value against a fixed limit: `at_most` or `at_least`, or strictly `below`."""

    kind: Literal["threshold"]
    at_most: Limit | None = Field(default=None, description="the largest value that passes")
    at_least: Limit | None = Field(default=None, description="the smallest value that passes")
    below: Limit | None = Field(default=None, description="the value that no longer passes")

    @model_validator(mode="after")
    def _one_limit_in_the_statistics_unit(self) -> "ThresholdGate":
        given = [limit for limit in (self.at_most, self.at_least, self.below) if limit is not None]
        if len(given) != 1:
            raise ValueError("a threshold gate has exactly one of `at_most`, `at_least`, `below`")
        if given[0].unit not in UNITS[self.statistic]:
            raise ValueError(f"{self.statistic} is measured in {' or '.join(UNITS[self.statistic])}, not {given[0]}")
        if given[0].unit == "share" and not 0 <= given[0].value <= 1:
            raise ValueError(f"a share lies between 0% and 100%, not at {given[0]}")
        return self

    @property
    def limit(self) -> Limit:
        limit = self.at_most or self.at_least or self.below
        assert limit is not None, "held by validation"  # noqa: S101
        return limit

    @property
    def limit_in_words(self) -> str:
        return f"{'≥' if self.at_least else '<' if self.below else '≤'} {self.limit}"


class _Comparison(_Measured):
    """A value against a reference: absolutely (`max_difference`, in points) or relatively (`max_increase`)."""

    max_difference: Share | None = Field(default=None, description="in percentage points, for bad_share")
    max_increase: Share | None = Field(default=None, description="relative to the reference, for everything else")

    @model_validator(mode="after")
    def _one_margin_that_fits_the_statistic(self) -> "_Comparison":
        if (self.max_difference is None) == (self.max_increase is None):
            raise ValueError("a comparison has exactly one of `max_difference`, `max_increase`")
        if self.statistic == "good_share":
            raise ValueError("compare bad_share: a difference of good shares is the same with its sign turned")
        if (self.statistic == "bad_share") != (self.max_difference is not None):
            raise ValueError("bad_share is compared by `max_difference` (points), all else by `max_increase`")
        if (self.max_difference or self.max_increase or 0.0) <= 0:
            raise ValueError("a comparison allows some difference: more than 0%")
        return self

    @property
    def limit_in_words(self) -> str:
        if self.max_difference is not None:
            return f"≤ {points_allowed(self.max_difference)}"
        return f"≤ +{format_share(self.max_increase or 0.0)}"


class VersusControlGate(_Comparison):
    """Treated users against untreated users of the same minutes."""

    kind: Literal["versus_control"]


class VersusBaselineGate(_Comparison):
    """Against what was measured before the first change; for stages without a control group."""

    kind: Literal["versus_baseline"]


class ZeroToleranceGate(_Gate):
    """A count that must stay 0: the first event fails, in whatever interval it falls."""

    kind: Literal["zero_tolerance"]
    metric: str = Field(description="a count of the plan's metrics")
    group: Literal["treated", "all"] = Field(description="whose events count")

    @property
    def limit_in_words(self) -> str:
        return "0"


class AbsenceGate(_Gate):
    """Something that must no longer happen. `alive` names a count that proves the silence is real."""

    kind: Literal["absence"]
    metric: str = Field(description="a count that must be silent")
    alive: str = Field(description="a count that must not be")
    group: Literal["treated", "all"] = Field(description="whose events count")

    @property
    def limit_in_words(self) -> str:
        return "0"


class ProbeGate(_Gate):
    """An HTTP endpoint of a service that must answer 200, and optionally a number in its JSON that must suffice."""

    kind: Literal["probe"]
    service: str = Field(description="a service of the plan; asked at the candidate's own address")
    path: str = Field(pattern=r"^/", description="such as /health")
    field: str | None = Field(default=None, description="a number in the JSON of the answer")
    at_least: Limit | None = Field(default=None, description="how large that number must be")

    @model_validator(mode="after")
    def _field_and_limit_come_together(self) -> "ProbeGate":
        if (self.field is None) != (self.at_least is None):
            raise ValueError("`field` and `at_least` come together: which number, and how large it must be")
        return self

    @property
    def limit_in_words(self) -> str:
        return "200" if self.at_least is None else f"200, {self.field} ≥ {self.at_least}"


Gate = Annotated[
    ThresholdGate | VersusControlGate | VersusBaselineGate | ZeroToleranceGate | AbsenceGate | ProbeGate,
    Field(discriminator="kind"),
]
MeasuredGate = ThresholdGate | VersusControlGate | VersusBaselineGate


def metrics_of(gate: Gate) -> tuple[str, ...]:
    """The metrics a gate needs answers for; the last is the one whose fresh data it cannot do without."""
    match gate:
        case ProbeGate():
            return ()
        case AbsenceGate():
            return (gate.metric, gate.alive)
        case _:
            return (gate.metric,)


def can_be_conclusive(gate: Gate) -> bool:
    """Whether a gate can stop a soak and compares by evidence, which may show before its end that the gate passes."""
    match gate:
        case VersusControlGate():
            by_evidence = gate.statistic in ("bad_share", "p95")
        case VersusBaselineGate():
            by_evidence = gate.statistic == "bad_share" or gate.statistic in QUANTILES
        case _:
            by_evidence = False
    return by_evidence and gate.action != "warn"
