"""What is asked of a monitoring system, and what it answers: counts, histograms and levels, never judgements.

Measurements arrive per closed interval. Counts and histograms of intervals add up, so that a window is the sum
of its intervals and an overlapping window costs no further query.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rollout.quantity import Duration, Share

ValueKind = Literal["count", "distribution", "level"]
Group = Literal["treated", "control", "all"]
LARGEST_COUNT = 10**15
"""Of requests in one interval; more is no traffic, and every state of what is less has its place."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BadLabel(_Frozen):
    """Which series of a count are the bad ones, for example `metric.labels.outcome` in `[error]`."""

    label: str = Field(description="such as metric.labels.response_code_class")
    values: tuple[str, ...] = Field(min_length=1, description="such as 5xx")


class GroupsByLabel(_Frozen):
    """Treated and control told apart by a label that the application sets (its users' cohort)."""

    by: Literal["label"] = "label"
    label: str = Field(description="such as metric.labels.group")
    treated: str = Field(description="the label's value for users who see the features")
    control: str = Field(description="the label's value for all others")


class GroupsByCohort(_Frozen):
    """Treated and control told apart by who is treated at the stage's percentage, whether or not they are exposed yet.

    The label holds the smallest of `steps` that takes the user in, such as 10 or 50, and 100 for all others; anything
    else (an audience, requests without a user) is in neither group. So the past of a cohort can be asked for.
    """

    by: Literal["cohort"] = "cohort"
    label: str = Field(description="such as metric.labels.cohort")
    steps: tuple[Share, ...] = Field(
        min_length=1, description="the percentages that the application knows, ascending; stages use one of them"
    )

    @field_validator("steps")
    @classmethod
    def _ascending_parts(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < step < 1 for step in steps) or any(a >= b for a, b in pairwise(steps)):
            raise ValueError("steps ascend, each above 0% and below 100%")
        return steps

    def labels_within(self, share: float) -> tuple[str, ...]:
        """The labels of those whom an exposure of `share` treats."""
        return tuple(f"{step * 100:g}" for step in self.steps if step <= share)

    def labels_beyond(self, share: float) -> tuple[str, ...]:
        return (*(f"{step * 100:g}" for step in self.steps if step > share), "100")


class GroupsByRevision(_Frozen):
    """Treated and control told apart by the Cloud Run revision that served: candidate against stable."""

    by: Literal["revision"] = "revision"
    service: str = Field(description="the service of the plan whose revisions are compared")
    label: str = Field(default="resource.labels.revision_name", description="where the revision's name stands")


class Metric(_Frozen):
    """A named Cloud Monitoring query of a plan.

    `filter` is a Monitoring filter without the metric type. `value` says what the points are: `count` (DELTA or
    CUMULATIVE integers), `distribution` (DELTA or CUMULATIVE distributions in the metric's own unit) or `level`
    (GAUGE numbers). `ingest_delay` overrides what the metric's descriptor says about when points become visible.
    """

    type: str = Field(
        min_length=3, examples=["run.googleapis.com/request_count"], description="the metric type in Cloud Monitoring"
    )
    project: str | None = Field(default=None, description="where it is stored, if not in the services' own project")
    filter: str = Field(default="", description="which series of the type, by their labels")
    value: ValueKind = Field(description="what its points are")
    bad: BadLabel | None = Field(default=None, description="which part of a count is bad")
    groups: Annotated[GroupsByLabel | GroupsByCohort | GroupsByRevision, Field(discriminator="by")] | None = Field(
        default=None, description="how treated and control are told apart, where a gate asks for treated"
    )
    ingest_delay: Duration | None = Field(default=None, description="in place of what the metric's descriptor says")

    @model_validator(mode="after")
    def _bad_only_splits_counts(self) -> "Metric":
        if self.bad is not None and self.value != "count":
            raise ValueError(f"`bad` splits counts; this metric's value is {self.value!r}")
        return self


class TimeSeriesQuery(_Frozen):
    """A metric bound to one rollout: project known, group values known. What the monitoring activity sends."""

    project: str
    metric: Metric
    treated: str | None = None
    control: str | None = None
    cohort: float | None = Field(default=None, description="which part of a cohort is treated, where that is the label")

    def __hash__(self) -> int:
        """Of what tells queries apart; each is looked up several times in every look."""
        metric = self.metric
        return hash((self.project, metric.type, metric.filter, self.treated, self.control, self.cohort))


class Counts(_Frozen):
    kind: Literal["counts"] = "counts"
    total: int = 0
    bad: int = 0


class Histogram(_Frozen):
    """Counts per bucket. `bounds` are the finite edges, ascending; `counts` has one entry more than `bounds`.

    `sum` is the exact sum of the observations where the source gives one (Cloud Monitoring's mean times count).
    """

    kind: Literal["histogram"] = "histogram"
    bounds: tuple[float, ...] = Field(min_length=1)
    counts: tuple[int, ...]
    sum: float = 0.0

    @model_validator(mode="after")
    def _one_bucket_more_than_bounds(self) -> "Histogram":
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds need {len(self.bounds) + 1} counts, got {len(self.counts)}")
        return self

    @property
    def total(self) -> int:
        return sum(self.counts)

    def at_or_above(self, edge_index: int) -> int:
        """How many observations lie at or above `bounds[edge_index]`: exact, whatever the bucket width."""
        return sum(self.counts[edge_index + 1 :])

    def quantile(self, share: float) -> float:
        """The value below which `share` of the observations lie, linear inside the bucket as Cloud Monitoring does.

        The bucket's width is the error. The open last bucket answers with its lower edge.
        """
        rank, seen = share * self.total, 0
        edges = (0.0, *self.bounds)
        for (low, high), count in zip(pairwise(edges), self.counts[:-1], strict=True):
            if count and seen + count >= rank:
                return low + (high - low) * max(0.0, rank - seen) / count
            seen += count
        return self.bounds[-1]


class Level(_Frozen):
    """A number that is read, not counted. `samples` says how many points its mean stands for."""

    kind: Literal["level"] = "level"
    value: float
    samples: int = 1


Sample = Annotated[Counts | Histogram | Level, Field(discriminator="kind")]


class IntervalMeasurement(_Frozen):
    """What one closed interval `(end - length, end]` held, per group. A group without points is absent."""

    end: datetime
    groups: dict[Group, Sample]


class SourceFailure(Exception):  # noqa: N818  (an outcome of the source, named as the verdicts name it)
    """The monitoring system failed or refused; the text says which, for people. Nothing is known about the service."""


class UnfitAnswer(SourceFailure):
    """The source answered with what the metric cannot be. Of the same time it will answer the same again."""


class MeasurementSource(Protocol):
    """Answers queries; implemented by the Cloud Monitoring activity and, in process, by tests."""

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        """Closed intervals within `(start, end]`, ascending by end; intervals without any point are left out.

        Raises:
            SourceFailure: the source could not be read.
        """
        ...

    async def ingest_delay(self, query: TimeSeriesQuery) -> timedelta:
        """How long after the end of an interval its points may still be invisible.

        Raises:
            SourceFailure: the source could not be read.
        """
        ...
