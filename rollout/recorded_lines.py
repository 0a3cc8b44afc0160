"""Recorded metrics as text: one line per metric and interval, read and written.

A line is {"metric": name in the plan, "end": RFC 3339, "treated": …, "control": …, "all": …}. A group is {"total",
"bad"}, {"bounds_ms", "counts"} or {"score", "total"}; one that is missing had no data. Where `all` is missing it is
treated and control together. "arrived" says when the interval could be read, where that was later than usual. A line
{"metric": …, "ingest_delay": "240s"} says what usual is.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from rollout.field_problems import in_plain_words, shown, truth_for_a_number
from rollout.json_reading import names_each_field_once, read_json
from rollout.measurement import (
    LARGEST_COUNT,
    Counts,
    Group,
    Histogram,
    IntervalMeasurement,
    Level,
    Sample,
    SourceFailure,
)
from rollout.quantity import Duration, format_duration
from rollout.recorded_metrics import GROUPS, Recorded, Recording
from rollout.sample_sums import merge
from rollout.soak import align_down
from rollout.written_time import WrittenTime

BOUNDS_KEPT = 64
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Intervals are counted from the one, and clocks turned beyond the other end in errors of arithmetic."""

Moment = Annotated[WrittenTime, Field(ge=EARLIEST, lt=LATEST)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Counts(_Written):
    total: int = Field(ge=0, le=LARGEST_COUNT)
    bad: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bad_are_among_all(self) -> "_Counts":
        if self.bad > self.total:
            raise ValueError(f"bad is at most total ({self.total}), got {self.bad}")
        return self

    def sample(self) -> Sample:
        return Counts(total=self.total, bad=self.bad)


class _Buckets(_Written):
    bounds_ms: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(min_length=1)
    counts: tuple[int, ...]
    sum: float = Field(default=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_bucket_more_than_bounds(self) -> "_Buckets":
        if len(self.counts) != len(self.bounds_ms) + 1:
            raise ValueError(
                f"counts has {len(self.bounds_ms) + 1} entries for these bounds_ms, got {len(self.counts)}"
            )
        if min(self.counts) < 0:
            raise ValueError("counts has no entry below 0")
        if sum(self.counts) > LARGEST_COUNT:
            raise ValueError(f"counts are at most {LARGEST_COUNT:,} in all")
        if not _ascends(self.bounds_ms):
            raise ValueError("bounds_ms ascends")
        return self

    def sample(self) -> Sample:
        return Histogram(bounds=self.bounds_ms, counts=self.counts, sum=self.sum)


@lru_cache(maxsize=BOUNDS_KEPT)
def _ascends(bounds: tuple[float, ...]) -> bool:
    """The same bounds stand on nearly every line of a metric."""
    return list(bounds) == sorted(set(bounds))


class _Score(_Written):
    score: float = Field(allow_inf_nan=False)
    total: int = Field(default=1, ge=1, le=LARGEST_COUNT)

    def sample(self) -> Sample:
        return Level(value=self.score, samples=self.total)


class _Line(_Written):
    metric: str
    end: Moment | None = None
    treated: dict[str, Any] | None = None
    control: dict[str, Any] | None = None
    all: dict[str, Any] | None = None
    arrived: Moment | None = None
    ingest_delay: Duration | None = None


Form = TypeVar("Form", bound=_Written)


def read_recording(lines: Iterable[str], metrics: Iterable[str], interval: timedelta) -> Recording:
    """The recording that the lines hold. `metrics` are the plan's names.

    Raises:
        ValueError: a line is wrong; the text names it, the field, the value and what is allowed.
    """
    known, recording = sorted(metrics), Recording()
    placed: dict[tuple[str, datetime], int] = {}
    for number, text in enumerate(lines, start=1):
        try:
            line = _parsed(text)
            if line.metric not in known:
                raise ValueError(f"metric: {line.metric!r} is none of the plan's metrics: {', '.join(known)}")  # noqa: TRY301
            if line.end is None:
                recording.delays[line.metric] = _delay(line)
                continue
            end = _quick(line.end)
            recorded = _recorded(line, end, interval)
            first = placed.setdefault((line.metric, end), number)
            if first != number:
                raise ValueError(f"end: {line.metric} has this interval on line {first} already, got {end}")  # noqa: TRY301
        except ValueError as problem:
            raise ValueError(f"line {number}: {problem}") from None
        recording.intervals.setdefault(line.metric, []).append(recorded)
    for rows in recording.intervals.values():
        rows.sort(key=lambda row: row.measured.end)
    return recording


def written(recording: Recording) -> Iterator[str]:
    """The lines that `read_recording` reads, one after the other."""
    for metric, delay in recording.delays.items():
        yield json.dumps({"metric": metric, "ingest_delay": format_duration(delay)})
    rows = [(row.measured.end, metric, row) for metric, known in recording.intervals.items() for row in known]
    for end, metric, row in sorted(rows, key=lambda each: each[:2]):
        line: dict[str, Any] = {"metric": metric, "end": end.isoformat()}
        line |= {group: _as_written(row.measured.groups[group]) for group in GROUPS if group in row.measured.groups}
        if row.arrived is not None:
            line["arrived"] = row.arrived.isoformat()
        yield json.dumps(line)


def _parsed(text: str) -> _Line:
    try:
        given = from_json(text)
        understood = names_each_field_once(text, given)
    except ValueError:
        understood = False
    if not understood:
        # Twice as quick, but known to read less, to keep the last of two alike, and without words for what is wrong.
        given = _with_what_is_wrong(text)
    if not isinstance(given, dict):
        raise ValueError(f'{shown(given)} is no interval, which is {{"metric": …, "end": …, "treated": …}}')  # noqa: TRY004
    return _validated(_Line, given, "")


def _with_what_is_wrong(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as problem:
        raise ValueError(f"{problem}; each line is one interval of one metric") from None


def _quick(moment: datetime) -> datetime:
    """The same time, written alike; of UTC Python's own is ten times as quick to compare as that of a parser."""
    return moment if moment.utcoffset() else moment.astimezone(UTC)


def _delay(line: _Line) -> timedelta:
    if line.ingest_delay is None:
        raise ValueError("end: is missing; when the interval ended, such as 2026-11-24T12:00:00Z")
    if line.treated or line.control or line.all or line.arrived:
        raise ValueError("end: is missing; a line with ingest_delay holds nothing else but its metric")
    return line.ingest_delay


def _recorded(line: _Line, end: datetime, interval: timedelta) -> Recorded:
    if line.ingest_delay is not None:
        raise ValueError("ingest_delay: stands on a line of its own, without an end")
    if align_down(end, interval) != end:
        raise ValueError(f"end: intervals end at multiples of the plan's {format_duration(interval)}, got {end}")
    if line.arrived is not None and line.arrived < end:
        raise ValueError(f"arrived: not before the interval's end, got {line.arrived}")
    groups: dict[Group, Sample] = {}
    for group in GROUPS:
        given = getattr(line, group)
        if given is not None:
            groups[group] = _sample(group, given)
    if groups and "all" not in groups:
        try:
            together = merge(groups.values())
        except SourceFailure as unlike:
            raise ValueError(f"treated and control: {unlike}") from None
        if together is not None:
            groups["all"] = together
    return Recorded(IntervalMeasurement(end=end, groups=groups), line.arrived)


def _sample(group: str, given: Mapping[str, Any]) -> Sample:
    if truth := truth_for_a_number(given):
        raise ValueError(f"{group}.{truth}")
    if "bounds_ms" in given or "counts" in given:
        return _validated(_Buckets, given, f"{group}.").sample()
    if "score" in given:
        return _validated(_Score, given, f"{group}.").sample()
    return _validated(_Counts, given, f"{group}.").sample()


def _validated(form: type[Form], given: Mapping[str, Any], within: str) -> Form:
    try:
        return form.model_validate(given)
    except ValidationError as invalid:
        problems = [
            f"{within}{'.'.join(map(str, error['loc']))}".rstrip(".")
            + f": {in_plain_words(error)}, got {shown(error['input'])}"
            for error in invalid.errors()
        ]
        raise ValueError("; ".join(problems)) from None


def _as_written(sample: Sample) -> dict[str, Any]:
    match sample:
        case Counts():
            return {"total": sample.total, "bad": sample.bad}
        case Histogram():
            return {"bounds_ms": sample.bounds, "counts": sample.counts, "sum": sample.sum}
        case Level():
            return {"score": sample.value, "total": sample.samples}
