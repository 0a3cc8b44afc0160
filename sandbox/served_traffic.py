"""Cloud Run's own metrics of requests that were really served: counted by the router, kept per revision and interval.

A revision has points in the intervals in which it answered a request, and none in the others.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.distributions import Histogram
from sandbox.journal import Journal, as_json
from sandbox.load_shapes import FRACTIONS, MILLISECONDS
from sandbox.resource_names import ServiceName, parse_service
from sandbox.synthetic_load import LoadSettings
from sandbox.synthetic_metrics import METRICS, Labels
from sandbox.time_series import GAUGE, Series
from sandbox.time_series_filter import SeriesIdentity, TimeSeriesFilter

_SERVED = "served"
_REMEMBERED_INTERVALS = 4096


@dataclass(slots=True)
class _Interval:
    """What one revision did in one sample interval. Latencies in milliseconds, utilisations as shares of the limit."""

    codes: Counter[int] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=lambda: Histogram.empty(MILLISECONDS))
    cpu: Histogram = field(default_factory=lambda: Histogram.empty(FRACTIONS))
    memory: Histogram = field(default_factory=lambda: Histogram.empty(FRACTIONS))


class ServedTraffic:
    """What the router and the process table saw, and the series of `run.googleapis.com` made of it."""

    def __init__(self, settings: LoadSettings, journal: Journal) -> None:
        self.settings = settings
        self._journal = journal
        self._seen: dict[tuple[ServiceName, str], dict[int, _Interval]] = {}
        for key, text in journal.held(_SERVED):
            service, revision, index = json.loads(key)
            place = (parse_service(service, field="name"), revision)
            self._seen.setdefault(place, {})[index] = _interval_of(text)

    def answered(
        self, service: ServiceName, revision: str, code: int, milliseconds: float | None, instant: int
    ) -> None:
        """Count an answer. A WebSocket is counted as it opens (code 101) and has no time of its own."""
        interval = self._interval(service, revision, instant)
        interval.codes[code] += 1
        if milliseconds is not None:
            interval.latencies.add(milliseconds)

    def used(self, service: ServiceName, revision: str, cpu: float, memory: float, instant: int) -> None:
        """Note a reading of a process; shares of what its container may use."""
        interval = self._interval(service, revision, instant)
        interval.cpu.add(cpu)
        interval.memory.add(memory)

    def series(self, project: str, wanted: TimeSeriesFilter, start: int, end: int, now: int) -> Iterable[Series]:
        """The series of `wanted` in `project` with the points that end in `(start, end]` and are visible at `now`."""
        metric = METRICS.get(wanted.metric_type)
        if metric is None or metric.by != "revision":
            return []
        visible = min(end, now - self.settings.ingest_delay)
        found: dict[tuple[ServiceName, str, Labels], Series] = {}
        for (service, revision), intervals in self._seen.items():
            if service.project != project:
                continue
            for index, interval in intervals.items():
                until = (index + 1) * self.settings.sample_period
                if not (start < until <= visible and interval.codes):
                    continue
                since = until if metric.kind == GAUGE else until - self.settings.sample_period
                for labels, value in _readings(metric.type, interval):
                    identity = _identity(metric.type, service, revision, labels)
                    if wanted.matches(identity):
                        fresh = Series(identity, metric.kind, metric.value_type, metric.unit)
                        found.setdefault((service, revision, labels), fresh).points.append((since, until, value))
        return found.values()

    def _interval(self, service: ServiceName, revision: str, instant: int) -> _Interval:
        intervals = self._seen.setdefault((service, revision), {})
        index = instant // self.settings.sample_period
        if index not in intervals:
            if len(intervals) >= _REMEMBERED_INTERVALS:
                oldest = next(iter(intervals))
                del intervals[oldest]
                self._journal.gone(_SERVED, _key(service, revision, oldest))
            intervals[index] = _Interval()
        interval = intervals[index]
        self._journal.changed(_SERVED, _key(service, revision, index), lambda: _as_json(interval))
        return interval


def _key(service: ServiceName, revision: str, index: int) -> str:
    return json.dumps([str(service), revision, index])


def _as_json(interval: _Interval) -> bytes:
    histograms = (interval.latencies, interval.cpu, interval.memory)
    return as_json(
        [list(interval.codes.items()), *([each.counts, each.total, each.squares] for each in histograms)],
    )


def _interval_of(text: bytes) -> _Interval:
    codes, latencies, *shares = json.loads(text)
    cpu, memory = (Histogram(FRACTIONS, *each) for each in shares)
    return _Interval(Counter(dict(codes)), Histogram(MILLISECONDS, *latencies), cpu, memory)


def _readings(metric_type: str, interval: _Interval) -> Iterator[tuple[Labels, Any]]:
    match metric_type.removeprefix("run.googleapis.com/"):
        case "request_count":
            for code, count in sorted(interval.codes.items()):
                yield (("response_code", str(code)), ("response_code_class", f"{code // 100}xx")), count
        case "request_latencies" if interval.latencies.count:
            yield (), interval.latencies
        case "container/cpu/utilizations" if interval.cpu.count:
            yield (), interval.cpu
        case "container/memory/utilizations" if interval.memory.count:
            yield (), interval.memory
        case "container/instance_count":
            yield (("state", "active"),), 1


def _identity(metric_type: str, service: ServiceName, revision: str, labels: Labels) -> SeriesIdentity:
    return SeriesIdentity(
        metric_type,
        dict(labels),
        "cloud_run_revision",
        {
            "project_id": service.project,
            "location": service.region,
            "service_name": service.service,
            "configuration_name": service.service,
            "revision_name": revision,
        },
    )
