"""What a sequential gate is given and says: the gate, intervals of three kinds, its judgements."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from rollout.control_curve import MOST_EDGES
from rollout.measurement import LARGEST_COUNT
from rollout.quantity import Duration, Limit, Share
from rollout.sample_ratio import ASSUMED_USERS
from rollout.verdict import Action, Verdict
from rollout.written_time import WrittenTime

Decision = Literal["advance", "hold", "rollback", "continue"]
HARM_NEEDED, HOLD_NEEDED = 300.0, 1_000.0
"""Odds at which harm is proven, and a rollout holds: 1 % over three gates. The second where the first key begins anew
whenever nothing speaks against the new code: it stakes all of its cash three times a day then."""
CONVICTION_NEEDED, BEYOND_NEEDED = 3_000.0, 3.0
"""Odds at which a comparison of shares with control fails. What is not exact there (how errors come together, groups
that wander apart) is paid for with the first and with what is tolerated; so the second can be small."""
LATENCY_BEYOND_NEEDED = 1.5
"""Of the second key where how far latencies wander apart is learnt, which then allows more of the limit."""
PASS_REQUESTS = 1_000


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SequentialGate(_Frozen):
    """What is judged. Exactly one of the limits, as its kind wants it; fields of a plan's gate may stand beside them.

    versus_control: `max_difference` (bad_share, in points) or `max_increase` (p95, relative to control).
    threshold: `at_most` or `below` of bad_share, `at_least` of good_share or level. zero_tolerance: none.
    """

    kind: Literal["versus_control", "threshold", "zero_tolerance"]
    statistic: Literal["bad_share", "good_share", "p95", "level"] = "bad_share"
    max_difference: Share | None = Field(default=None, gt=0)
    max_increase: Share | None = Field(default=None, gt=0)
    at_most: Limit | None = None
    below: Limit | None = None
    at_least: Limit | None = None
    action: Action = "rollback"
    title: str = "gate"
    metric: str = ""
    group: Literal["treated", "all"] = "treated"
    window: Duration | None = None
    page_after: Duration | None = None
    minimum_sample: int = Field(default=PASS_REQUESTS, ge=1)
    interval: Duration = Field(default=timedelta(minutes=1), description="length of each interval")
    planned_share: Share | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the treated part of the requests; without it the sizes are not asked",
    )
    users: int = Field(default=ASSUMED_USERS, ge=1, description="about how many make the requests, for `planned_share`")

    @field_validator("interval")
    @classmethod
    def _lasts(cls, interval: timedelta) -> timedelta:
        if interval <= timedelta():
            raise ValueError("longer than nothing, such as 1m")
        return interval

    @model_validator(mode="after")
    def _one_limit_that_fits(self) -> "SequentialGate":
        limits = ("max_difference", "max_increase", "at_most", "below", "at_least")
        given = [name for name in limits if getattr(self, name) is not None]
        allowed = _LIMITS_OF.get((self.kind, self.statistic))
        if allowed is None:
            fitting = " or ".join(statistic for kind, statistic in _LIMITS_OF if kind == self.kind)
            raise ValueError(f"statistic: {self.kind} judges {fitting}, got {self.statistic}")
        if not allowed and given:
            raise ValueError(f"{given[0]}: {self.kind} has no limit but 0")
        if allowed and (len(given) != 1 or given[0] not in allowed):
            raise ValueError(
                f"{self.kind} of {self.statistic} has exactly one limit, {' or '.join(allowed)}; "
                f"got {', '.join(given) or 'none'}"
            )
        if self.planned_share is not None and self.kind != "versus_control":
            raise ValueError("planned_share: of a comparison with control only, here is none")
        if self.limit is not None and (self.limit.unit == "ms" or not 0 <= self.limit.value <= 1):
            raise ValueError(f"{given[0]}: a share from 0% to 100%, got {self.limit}")
        return self

    @property
    def limit(self) -> Limit | None:
        return self.at_most or self.below or self.at_least

    @property
    def conviction_needed(self) -> float:
        """Odds of the first key for a failure."""
        return CONVICTION_NEEDED if self.compares_shares else HARM_NEEDED

    @property
    def compares_shares(self) -> bool:
        return self.kind == "versus_control" and self.statistic != "p95"

    @property
    def judges_shares(self) -> bool:
        """Whether bad events are weighed: against control's, or against a limit."""
        return self.compares_shares or (self.kind == "threshold" and self.statistic != "level")

    @property
    def must_be_zero(self) -> bool:
        """Whether the first bad event fails it, so that no evidence is weighed."""
        return self.kind == "zero_tolerance" or (self.kind == "threshold" and self.allowed_share <= 0)

    @property
    def allowed_share(self) -> float:
        """The largest bad share that a threshold gate lets pass."""
        limit = self.limit
        assert limit is not None, "held by validation"  # noqa: S101
        return 1 - limit.value if self.at_least is not None else limit.value


_LIMITS_OF: dict[tuple[str, str], tuple[str, ...]] = {
    ("versus_control", "bad_share"): ("max_difference",),
    ("versus_control", "p95"): ("max_increase",),
    ("threshold", "bad_share"): ("at_most", "below"),
    ("threshold", "good_share"): ("at_least",),
    ("threshold", "level"): ("at_least",),
    ("zero_tolerance", "bad_share"): (),
    ("zero_tolerance", "good_share"): (),
}


class GroupCounts(_Frozen):
    total: int = Field(ge=0, le=LARGEST_COUNT)
    bad: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bad_are_among_all(self) -> "GroupCounts":
        if self.bad > self.total:
            raise ValueError(f"bad: at most total ({self.total}), got {self.bad}")
        return self


class GroupLatencies(_Frozen):
    """`counts` has one entry more than `bounds_ms`: below the first edge, between edges, above the last."""

    bounds_ms: tuple[float, ...] = Field(min_length=3)
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _one_bucket_more_than_bounds(self) -> "GroupLatencies":
        if len(self.counts) != len(self.bounds_ms) + 1:
            raise ValueError(f"counts: {len(self.bounds_ms) + 1} for these bounds_ms, got {len(self.counts)}")
        if any(count < 0 for count in self.counts):
            raise ValueError("counts: none below 0")
        if self.total > LARGEST_COUNT:
            raise ValueError(f"counts: at most {LARGEST_COUNT:,} together, got {self.total:,}")
        if any(low >= high for low, high in zip(self.bounds_ms, self.bounds_ms[1:], strict=False)):
            raise ValueError("bounds_ms: ascending")
        return self

    @property
    def total(self) -> int:
        return sum(self.counts)

    def at_fewer_edges(self) -> "GroupLatencies":
        """The same requests at no more than `MOST_EDGES` edges: at every second one, or every third."""
        every = -(-len(self.bounds_ms) // MOST_EDGES)
        if every == 1:
            return self
        starts = range(0, len(self.counts), every)
        return GroupLatencies(
            bounds_ms=self.bounds_ms[every - 1 :: every],
            counts=tuple(sum(self.counts[start : start + every]) for start in starts),
        )

    def at_or_above(self, edge: int) -> int:
        return sum(self.counts[edge + 1 :])


class GroupScore(_Frozen):
    score: float = Field(ge=0, le=1)
    total: int = Field(default=1, ge=0, le=LARGEST_COUNT)


Group = GroupCounts | GroupLatencies | GroupScore


class Interval(_Frozen):
    """One closed interval. A group that is missing had no data; nothing is not zero.

    `exposed` false: the treated group did not have the features yet. Nothing is judged, the cohort is learnt.
    """

    end: WrittenTime
    exposed: bool = True
    treated: Group | None = None
    control: Group | None = None


class Evidence(_Frozen):
    """Odds against "no harm" and against "no harm beyond what is tolerated", and what both must reach for a failure."""

    harm: float
    harm_needed: float = CONVICTION_NEEDED
    beyond: float
    beyond_needed: float = BEYOND_NEEDED


class SequentialJudgement(_Frozen):
    decision: Decision
    verdict: Verdict
    evidence: Evidence
    interval: datetime
    reason: str
