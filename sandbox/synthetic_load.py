"""Synthetic users of every service: time series that follow the observed split and the flags, for any past interval.

Nothing is produced while time passes. What is kept is the past (who served whom, since when), and a question about
an interval is answered from it; a clock that jumps hours ahead leaves no gap.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from sandbox.behaviours import Behaviours
from sandbox.history import History
from sandbox.journal import Journal, as_json
from sandbox.kept_services import traffic_as_json, traffic_of
from sandbox.populations import Population, ServicePast, populations_of
from sandbox.resource_names import ServiceName, parse_service
from sandbox.run_services import ObservedTraffic, ServiceRecord
from sandbox.synthetic_metrics import METRICS, Labels, SyntheticMetric
from sandbox.time_series import GAUGE, Series
from sandbox.time_series_filter import SeriesIdentity, TimeSeriesFilter

_PAST = "past"
_REMEMBERED_INTERVALS = 4096
_EVERYBODY = "all"
_DEFAULT_ENVIRONMENT = "production"


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Times in microseconds; requests per second and service."""

    sample_period: int
    ingest_delay: int
    requests_per_second: float
    seed: int


class SyntheticLoad:
    """The synthetic users, and the series they leave behind."""

    def __init__(self, settings: LoadSettings, behaviours: Behaviours, journal: Journal) -> None:
        self.settings = settings
        self._journal = journal
        self._behaviours = behaviours
        self._pasts: dict[ServiceName, ServicePast] = {}
        self._populations: dict[tuple[ServiceName, int], list[Population]] = {}

    def serve(
        self, name: ServiceName, since: int, flag_group: str | None = None, treated_share: History[float] | None = None
    ) -> None:
        """Begin to record a service; its users belong to `flag_group` (`ENV:GROUP`), or to none."""
        environment = flag_group.partition(":")[0] if flag_group else _DEFAULT_ENVIRONMENT
        known = self._pasts.get(name)
        traffic: History[ObservedTraffic] = known.traffic if known else History(ObservedTraffic())
        self._pasts[name] = ServicePast(name, since, environment, flag_group, traffic, treated_share)
        self._populations.clear()
        self._keep(self._pasts[name])

    async def restore(self, follow: Callable[[str], Awaitable[History[float]]]) -> None:
        """Take the pasts that were kept; `follow` gives the share of a flag group."""
        for key, text in self._journal.held(_PAST):
            kept = json.loads(text)
            name, group = parse_service(key, field="name"), kept["flag_group"]
            traffic = History.of([(instant, traffic_of(each)) for instant, each in kept["traffic"]])
            share = await follow(group) if group else None
            self._pasts[name] = ServicePast(name, kept["since"], kept["environment"], group, traffic, share)

    def _keep(self, past: ServicePast) -> None:
        self._journal.changed(_PAST, str(past.name), lambda: _as_json(past))

    def flag_group_of(self, name: ServiceName) -> str | None:
        past = self._pasts.get(name)
        return past.flag_group if past else None

    def observe(self, record: ServiceRecord, instant: int) -> None:
        """Record the traffic a service shows from `instant` on. A service seen for the first time has no flag group."""
        if record.name not in self._pasts:
            self.serve(record.name, instant)
        past = self._pasts[record.name]
        past.traffic.record(instant, record.observed_traffic())
        self._keep(past)

    def series(self, project: str, wanted: TimeSeriesFilter, start: int, end: int, now: int) -> Iterable[Series]:
        """The series of `wanted` in `project` with the points that end in `(start, end]` and are visible at `now`."""
        metric = METRICS.get(wanted.metric_type)
        if metric is None:
            return []
        visible = min(end, now - self.settings.ingest_delay)
        found: dict[tuple[ServiceName, str, Labels], Series | None] = {}
        # Most questions are about one service; the users of all others need not be made up to answer them.
        service = wanted.demanded.get("job" if metric.by == "group" else "service_name")
        for past in self._pasts.values():
            if past.name.project == project and service in (None, past.name.service):
                self._collect(past, metric, wanted, range(*self._indices(past, start, visible)), found)
        return [series for series in found.values() if series is not None]

    def _indices(self, past: ServicePast, start: int, end: int) -> tuple[int, int]:
        """The sample intervals that end in `(start, end]`, none from before the service was there."""
        period = self.settings.sample_period
        return max(start, past.since) // period, end // period

    def _collect(
        self,
        past: ServicePast,
        metric: SyntheticMetric,
        wanted: TimeSeriesFilter,
        indices: Iterable[int],
        found: dict[tuple[ServiceName, str, Labels], Series | None],
    ) -> None:
        period = self.settings.sample_period
        for index in indices:
            end = (index + 1) * period
            start = end if metric.kind == GAUGE else end - period
            for key, members in _families(metric, self._populations_in(past, index)).items():
                for labels, value in metric.read(members):
                    place = (past.name, key, labels)
                    if place not in found:
                        identity = _identity(past, metric, key, labels)
                        fresh = Series(identity, metric.kind, metric.value_type, metric.unit)
                        found[place] = fresh if wanted.matches(identity) else None
                    series = found[place]
                    if series is not None:
                        series.points.append((start, end, value()))

    def _populations_in(self, past: ServicePast, index: int) -> list[Population]:
        place = (past.name, index)
        known = self._populations.get(place)
        if known is None:
            known = populations_of(
                past,
                self._behaviours,
                index=index,
                period=self.settings.sample_period,
                requests_per_second=self.settings.requests_per_second,
                seed=self.settings.seed,
            )
            if len(self._populations) >= _REMEMBERED_INTERVALS:
                del self._populations[next(iter(self._populations))]
            self._populations[place] = known
        return known


def _as_json(past: ServicePast) -> bytes:
    return as_json(
        {
            "since": past.since,
            "environment": past.environment,
            "flag_group": past.flag_group,
            "traffic": [[instant, traffic_as_json(value)] for instant, value in past.traffic.changes()],
        }
    )


def _families(metric: SyntheticMetric, populations: Sequence[Population]) -> dict[str, list[Population]]:
    families: dict[str, list[Population]] = {}
    for population in populations:
        key = {"group": population.group, "revision": population.revision, "cohort": _EVERYBODY}[metric.by]
        families.setdefault(key, []).append(population)
    return families


def _identity(past: ServicePast, metric: SyntheticMetric, key: str, labels: Labels) -> SeriesIdentity:
    name = past.name
    place = {"project_id": name.project, "location": name.region}
    if metric.by != "revision":
        return SeriesIdentity(
            metric.type,
            {"group": key, **dict(labels)} if metric.by == "group" else dict(labels),
            "generic_task",
            {**place, "namespace": past.environment, "job": name.service, "task_id": "all"},
        )
    return SeriesIdentity(
        metric.type,
        dict(labels),
        "cloud_run_revision",
        {**place, "service_name": name.service, "configuration_name": name.service, "revision_name": key},
    )
