"""Series that clients write with CreateTimeSeries, and the rules of Cloud Monitoring about them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.clock import SECOND, micros_of
from sandbox.distributions import layout_of
from sandbox.journal import Journal
from sandbox.rpc_errors import invalid_value
from sandbox.time_series import CUMULATIVE, DISTRIBUTION, GAUGE, Series, kind_name, value_of
from sandbox.time_series_filter import SeriesIdentity, TimeSeriesFilter
from sandbox.wire_messages import TimeSeries

USER_METRICS = ("custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/")

SERIES_PER_REQUEST = 200
MOST_LABELS = 30
_POINT = "point"
_BUCKETS = 200
_SHORTEST_GAP = 10 * SECOND
_OLDEST = 25 * 3600 * SECOND
_FURTHEST_AHEAD = 5 * 60 * SECOND

_Place = tuple[str, str, tuple[tuple[str, str], ...], str, tuple[tuple[str, str], ...]]


class WrittenSeries:
    """User-defined series by project. Their points can be read at once."""

    def __init__(self, sample_period: int, journal: Journal) -> None:
        self._series: dict[_Place, Series] = {}
        self._journal = journal
        self._shortest_gap = min(_SHORTEST_GAP, sample_period)
        for key, text in journal.held(_POINT):
            project, message = json.loads(key)[0], TimeSeries.FromString(text)
            self._take(project, _identity_of(project, message), message)

    def series(self, project: str, wanted: TimeSeriesFilter, end: int) -> Iterable[Series]:
        """The series of `wanted` with every point up to `end`: a delta needs the point before the window too."""
        for place, series in self._series.items():
            identity = series.identity
            if place[0] == project and identity.metric_type == wanted.metric_type and wanted.matches(identity):
                points = [point for point in series.points if point[1] <= end]
                yield Series(identity, series.kind, series.value_type, series.unit, points)

    def write(self, project: str, message: Any, place: str) -> str | None:
        """Take one series that is well formed, at `place` in its request; answers what is wrong with it, or None."""
        identity = _identity_of(project, message)
        problem = self._take(project, identity, message)
        if problem:
            resource = f"{identity.resource_type}{_in_words(identity.resource_labels)}"
            return f"{problem}: {resource} {place}: {identity.metric_type}{_in_words(identity.metric_labels)}"
        end = micros_of(message.points[0].interval.end_time)
        self._journal.changed(_POINT, _key(_place(project, identity), end), message.SerializeToString)
        return None

    def _take(self, project: str, identity: SeriesIdentity, message: Any) -> str | None:
        key = _place(project, identity)
        kind = message.metric_kind or GAUGE
        point = message.points[0]
        value_type, value = value_of(point.value) or (0, None)
        known = self._series.get(key)
        start, end = _start_of(point, kind), micros_of(point.interval.end_time)
        if known is not None and known.points:
            problem = self._order_problem(known, end)
            if problem:
                return problem
        else:
            known = self._series[key] = Series(identity, kind, value_type, message.unit)
        known.points.append((start, end, value))
        return None

    def forget(self, metric_type: str) -> None:
        for place, series in list(self._series.items()):
            if series.identity.metric_type == metric_type:
                del self._series[place]
                for _, end, _ in series.points:
                    self._journal.gone(_POINT, _key(place, end))

    def _order_problem(self, known: Series, end: int) -> str | None:
        newest = known.points[-1][1]
        if end <= newest:
            return (
                "Points must be written in order. One or more of the points specified had an older start time than the "
                "most recent point."
            )
        if end - newest < self._shortest_gap:
            return (
                "One or more points were written more frequently than the maximum sampling period configured for the "
                "metric."
            )
        return None


def _identity_of(project: str, message: Any) -> SeriesIdentity:
    return SeriesIdentity(
        message.metric.type,
        dict(message.metric.labels),
        message.resource.type,
        {"project_id": project, **message.resource.labels},
    )


def _key(place: _Place, end: int) -> str:
    return json.dumps([*place, end])


def too_many(count: int) -> bool:
    return count > SERIES_PER_REQUEST


def malformed(message: Any, place: str, now: int) -> str | None:
    """What is wrong with a series, whatever was written before it; None where nothing is."""
    return _shape_problem(message, place) or _time_problem(message, place, now)


def same_series(message: Any) -> tuple[Any, ...]:
    """What two messages about one series have in common."""
    return (
        message.metric.type,
        tuple(sorted(message.metric.labels.items())),
        message.resource.type,
        tuple(sorted(message.resource.labels.items())),
    )


def _shape_problem(message: Any, place: str) -> str | None:
    if not message.metric.type.startswith(USER_METRICS):
        problem = "The metric is not a user-defined one."
        return invalid_value(f"{place}.metric.type", message.metric.type, problem)
    if len(message.metric.labels) > MOST_LABELS:
        problem = f"The metric has more than {MOST_LABELS} labels."
        return invalid_value(f"{place}.metric.labels", str(len(message.metric.labels)), problem)
    if not message.resource.type:
        return invalid_value(f"{place}.resource.type", "", "The monitored resource type is required.")
    kind = message.metric_kind or GAUGE
    if kind not in (GAUGE, CUMULATIVE):
        problem = "User-defined metrics are GAUGE or CUMULATIVE."
        return invalid_value(f"{place}.metricKind", kind_name(kind), problem)
    if len(message.points) != 1:
        problem = "A time series must contain exactly one point."
        return invalid_value(f"{place}.points", str(len(message.points)), problem)
    typed = value_of(message.points[0].value)
    if typed is None:
        return invalid_value(f"{place}.points[0].value", "", "The point has no value.")
    if typed[0] == DISTRIBUTION:
        return _distribution_problem(message.points[0].value.distribution_value, f"{place}.points[0].value")
    return None


def _distribution_problem(distribution: Any, field: str) -> str | None:
    counts = distribution.bucket_counts
    if len(counts) > _BUCKETS:
        problem = f"A distribution has at most {_BUCKETS} buckets."
        return invalid_value(f"{field}.distributionValue.bucketCounts", str(len(counts)), problem)
    if distribution.HasField("bucket_options"):
        room = len(layout_of(distribution.bucket_options.SerializeToString()).edges) + 1
        if len(counts) > room:
            problem = f"The bucket options describe {room} buckets."
            return invalid_value(f"{field}.distributionValue.bucketCounts", str(len(counts)), problem)
        if sum(counts) != distribution.count:
            problem = f"The bucket counts sum to {sum(counts)}."
            return invalid_value(f"{field}.distributionValue.count", str(distribution.count), problem)
    return None


def _time_problem(message: Any, place: str, now: int) -> str | None:
    interval, field = message.points[0].interval, f"{place}.points[0].interval"
    end, said = micros_of(interval.end_time), interval.end_time.ToJsonString()
    if end < now - _OLDEST:
        return invalid_value(f"{field}.end_time", said, "Data points cannot be written more than 25h in the past.")
    if end > now + _FURTHEST_AHEAD:
        problem = "Data points cannot be written more than 5 minutes in the future."
        return invalid_value(f"{field}.end_time", said, problem)
    start = micros_of(interval.start_time) if interval.HasField("start_time") else end
    began = (interval.start_time if interval.HasField("start_time") else interval.end_time).ToJsonString()
    metric = message.metric.type
    if message.metric_kind == CUMULATIVE and start >= end:
        problem = f"The start time must be before the end time ({said}) for the non-gauge metric '{metric}'."
        return invalid_value(f"{field}.start_time", began, problem)
    if message.metric_kind != CUMULATIVE and start != end:
        problem = f"The start time must be equal to the end time ({said}) for the gauge metric '{metric}'."
        return invalid_value(f"{field}.start_time", began, problem)
    return None


def _in_words(labels: Mapping[str, str]) -> str:
    return f"{{{','.join(f'{name}:{value}' for name, value in sorted(labels.items()))}}}"


def _start_of(point: Any, kind: int) -> int:
    return micros_of(point.interval.start_time if kind == CUMULATIVE else point.interval.end_time)


def _place(project: str, identity: SeriesIdentity) -> _Place:
    return (
        project,
        identity.metric_type,
        tuple(sorted(identity.metric_labels.items())),
        identity.resource_type,
        tuple(sorted(identity.resource_labels.items())),
    )
