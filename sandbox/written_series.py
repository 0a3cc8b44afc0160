"""Series that clients write with CreateTimeSeries, and the rules of Cloud Monitoring about them."""

from collections.abc import Iterable
from typing import Any

from sandbox.clock import SECOND, micros_of
from sandbox.time_series import CUMULATIVE, DISTRIBUTION, GAUGE, Series, value_of
from sandbox.time_series_filter import SeriesIdentity, TimeSeriesFilter

USER_METRICS = ("custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/")

_SERIES_PER_REQUEST = 200
_LABELS = 30
_BUCKETS = 200
_SHORTEST_GAP = 10 * SECOND
_OLDEST = 25 * 3600 * SECOND
_FURTHEST_AHEAD = 5 * 60 * SECOND

_Place = tuple[str, str, tuple[tuple[str, str], ...], str, tuple[tuple[str, str], ...]]


class WrittenSeries:
    """User-defined series by project. Their points can be read at once."""

    def __init__(self, sample_period: int) -> None:
        self._series: dict[_Place, Series] = {}
        self._shortest_gap = min(_SHORTEST_GAP, sample_period)

    def series(self, project: str, wanted: TimeSeriesFilter, end: int) -> Iterable[Series]:
        """The series of `wanted` with every point up to `end`: a delta needs the point before the window too."""
        for place, series in self._series.items():
            identity = series.identity
            if place[0] == project and identity.metric_type == wanted.metric_type and wanted.matches(identity):
                points = [point for point in series.points if point[1] <= end]
                yield Series(identity, series.kind, series.value_type, series.unit, points)

    def write(self, project: str, message: Any, now: int) -> str | None:
        """Take one series with its one point; answers what is wrong with it, or None."""
        problem = _shape_problem(message) or _time_problem(message, now)
        if problem:
            return problem
        identity = SeriesIdentity(
            message.metric.type, dict(message.metric.labels), message.resource.type, dict(message.resource.labels)
        )
        place = _place(project, identity)
        kind = message.metric_kind or GAUGE
        point = message.points[0]
        value_type, value = value_of(point.value) or (0, None)
        known = self._series.get(place)
        start, end = _start_of(point, kind), micros_of(point.interval.end_time)
        if known is not None and known.points:
            problem = self._order_problem(known, kind, value_type, end)
            if problem:
                return problem
        else:
            known = self._series[place] = Series(identity, kind, value_type, message.unit)
        known.points.append((start, end, value))
        return None

    def forget(self, metric_type: str) -> None:
        self._series = {
            place: series for place, series in self._series.items() if series.identity.metric_type != metric_type
        }

    def _order_problem(self, known: Series, kind: int, value_type: int, end: int) -> str | None:
        if (known.kind, known.value_type) != (kind, value_type):
            return "the metric kind or value type differs from that of the points before"
        newest = known.points[-1][1]
        if end <= newest:
            return "Points must be written in order. One or more of the points specified had an older end time."
        if end - newest < self._shortest_gap:
            return (
                "One or more points were written more frequently than the maximum sampling period configured for the "
                "metric."
            )
        return None


def too_many(count: int) -> bool:
    return count > _SERIES_PER_REQUEST


def _shape_problem(message: Any) -> str | None:
    if not message.metric.type.startswith(USER_METRICS):
        return f"metric.type '{message.metric.type}' is not a user-defined metric"
    if len(message.metric.labels) > _LABELS:
        return f"a metric has at most {_LABELS} labels"
    if not message.resource.type:
        return "resource.type is missing"
    if (message.metric_kind or GAUGE) not in (GAUGE, CUMULATIVE):
        return "user-defined metrics are GAUGE or CUMULATIVE"
    if len(message.points) != 1:
        return "a series must hold exactly one point"
    typed = value_of(message.points[0].value)
    if typed is None:
        return "the point has no value"
    if typed[0] == DISTRIBUTION and len(typed[1].counts) > _BUCKETS:
        return f"a distribution has at most {_BUCKETS} buckets"
    return None


def _time_problem(message: Any, now: int) -> str | None:
    interval = message.points[0].interval
    end = micros_of(interval.end_time)
    if end < now - _OLDEST:
        return "the end time is more than 25 hours in the past"
    if end > now + _FURTHEST_AHEAD:
        return "the end time is more than 5 minutes in the future"
    start = micros_of(interval.start_time) if interval.HasField("start_time") else end
    if message.metric_kind == CUMULATIVE and start >= end:
        return "the start time of a cumulative point must be before its end time"
    if message.metric_kind != CUMULATIVE and start != end:
        return "the start time of a gauge point must be its end time, or be left out"
    return None


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
