"""The catalogue of metrics: what kind each one is, and how late its points become visible."""

import re
from collections.abc import Callable
from typing import Any

import grpc

from sandbox.clock import SECOND
from sandbox.grpc_service import Method
from sandbox.journal import Journal
from sandbox.paging import page_of
from sandbox.rpc_errors import RpcError, invalid, invalid_value
from sandbox.synthetic_load import LoadSettings
from sandbox.synthetic_metrics import METRICS
from sandbox.time_series import kind_name, type_name
from sandbox.wire_messages import (
    CreateMetricDescriptorRequest,
    DeleteMetricDescriptorRequest,
    Duration,
    Empty,
    GetMetricDescriptorRequest,
    ListMetricDescriptorsRequest,
    ListMetricDescriptorsResponse,
    MetricDescriptor,
    copy_of,
)
from sandbox.written_series import USER_METRICS, WrittenSeries

_NAME = re.compile(r"projects/(?P<project>[^/]+)/metricDescriptors/(?P<type>.+)")
_PREFIX_FILTER = re.compile(r'metric\.type\s*=\s*(?:starts_with\(\s*"(?P<prefix>[^"]*)"\s*\)|"(?P<type>[^"]*)")')
_DESCRIPTOR = "metric descriptor"
_LARGEST_PAGE = 10_000


class MetricDescriptors:
    """Descriptors by project and type: those of the synthetic metrics, and what clients made."""

    def __init__(self, settings: LoadSettings, written: WrittenSeries, journal: Journal) -> None:
        self._settings = settings
        self._written = written
        self._journal = journal
        kept = (MetricDescriptor.FromString(text) for _, text in journal.held(_DESCRIPTOR))
        self._made: dict[tuple[str, str], Any] = {_parse(each.name): each for each in kept}

    def methods(self) -> list[Method]:
        return [
            Method("GetMetricDescriptor", GetMetricDescriptorRequest, self._get, "monitoring.metricDescriptors.get"),
            Method(
                "ListMetricDescriptors", ListMetricDescriptorsRequest, self._list, "monitoring.metricDescriptors.list"
            ),
            Method(
                "CreateMetricDescriptor",
                CreateMetricDescriptorRequest,
                self._create,
                "monitoring.metricDescriptors.create",
            ),
            Method(
                "DeleteMetricDescriptor",
                DeleteMetricDescriptorRequest,
                self._delete,
                "monitoring.metricDescriptors.delete",
            ),
        ]

    def known(self, project: str, metric_type: str) -> bool:
        return metric_type in METRICS or (project, metric_type) in self._made

    def problem(self, project: str, series: Any, place: str) -> str | None:
        """What of a well-formed series, at `place` in its request, does not fit the descriptor its metric has."""
        metric = series.metric.type
        known = self._known(project, metric)
        if known is None:
            return None
        kind = series.metric_kind or MetricDescriptor.GAUGE
        if kind != known.metric_kind:
            problem = f"The metric kind for metric {metric} must be {kind_name(known.metric_kind)}."
            return invalid_value(f"{place}.metricKind", kind_name(kind), problem)
        value_type = _type_of(series)
        if value_type != known.value_type:
            problem = (
                f"Value type for metric {metric} must be {type_name(known.value_type)}, but is {type_name(value_type)}."
            )
            return invalid_value(f"{place}.points[0].value", type_name(value_type), problem)
        labels = {label.key for label in known.labels}
        for index, label in enumerate(sorted(series.metric.labels)):
            if label not in labels:
                return invalid_value(f"{place}.metric.labels[{index}]", label, "Unrecognized metric label.")
        return None

    def ensure(self, project: str, series: Any) -> None:
        """A first point makes the descriptor of its metric, as the real service does."""
        if self.known(project, series.metric.type):
            return
        descriptor = MetricDescriptor(
            type=series.metric.type,
            metric_kind=series.metric_kind or MetricDescriptor.GAUGE,
            value_type=_type_of(series),
            unit=series.unit,
        )
        for label in series.metric.labels:
            descriptor.labels.add(key=label)
        self._keep(project, descriptor)

    def _keep(self, project: str, descriptor: Any) -> Any:
        descriptor.name = f"projects/{project}/metricDescriptors/{descriptor.type}"
        descriptor.metadata.sample_period.CopyFrom(_duration(self._settings.sample_period))
        descriptor.metadata.ingest_delay.CopyFrom(Duration())
        self._made[project, descriptor.type] = descriptor
        self._journal.changed(_DESCRIPTOR, descriptor.name, descriptor.SerializeToString)
        return descriptor

    async def _get(self, request: Any) -> Any:
        project, metric_type = _parse(request.name)
        known = self._known(project, metric_type)
        if known is None:
            raise _missing(metric_type)
        return known

    async def _list(self, request: Any) -> Any:
        project = request.name.removeprefix("projects/")
        made = {metric_type: descriptor for (owner, metric_type), descriptor in self._made.items() if owner == project}
        everything = {name: self._synthetic(project, name) for name in METRICS} | made
        wanted = _wanted_type(request.filter)
        found = [everything[name] for name in sorted(everything) if wanted(name)]
        page, token = page_of(found, request, field="ListMetricDescriptorsRequest.page_token", largest=_LARGEST_PAGE)
        return ListMetricDescriptorsResponse(metric_descriptors=page, next_page_token=token)

    async def _create(self, request: Any) -> Any:
        """Make a descriptor, or extend one that is there: its labels grow and are never taken away."""
        project = request.name.removeprefix("projects/")
        given = request.metric_descriptor
        if not given.type.startswith(USER_METRICS):
            raise invalid("metricDescriptor.type", f"'{given.type}' is not a user-defined metric.")
        descriptor = copy_of(given)
        before = self._made.get((project, given.type))
        if before is not None:
            names = {label.key for label in given.labels}
            descriptor.labels.extend(label for label in before.labels if label.key not in names)
        return self._keep(project, descriptor)

    async def _delete(self, request: Any) -> Any:
        project, metric_type = _parse(request.name)
        if self._made.pop((project, metric_type), None) is None:
            raise _missing(metric_type)
        self._journal.gone(_DESCRIPTOR, request.name)
        self._written.forget(metric_type)
        return Empty()

    def _known(self, project: str, metric_type: str) -> Any:
        made = self._made.get((project, metric_type))
        if made is None and metric_type in METRICS:
            return self._synthetic(project, metric_type)
        return made

    def _synthetic(self, project: str, metric_type: str) -> Any:
        metric = METRICS[metric_type]
        descriptor = MetricDescriptor(
            name=f"projects/{project}/metricDescriptors/{metric_type}",
            type=metric_type,
            metric_kind=metric.kind,
            value_type=metric.value_type,
            unit=metric.unit,
            description=metric.description,
        )
        labels = dict.fromkeys(("group", *metric.labels)) if metric.by == "group" else metric.labels
        for label in labels:
            descriptor.labels.add(key=label)
        descriptor.metadata.sample_period.CopyFrom(_duration(self._settings.sample_period))
        descriptor.metadata.ingest_delay.CopyFrom(_duration(self._settings.ingest_delay))
        return descriptor


def _parse(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid("name", f"'{name}' is not of the form projects/*/metricDescriptors/*.")
    return match["project"], match["type"]


def _type_of(series: Any) -> int:
    point = series.points[0].value.WhichOneof("value")
    return int(MetricDescriptor.ValueType.Value(point.removesuffix("_value").upper()))


def _missing(metric_type: str) -> RpcError:
    return RpcError(grpc.StatusCode.NOT_FOUND, f"Could not find descriptor for metric '{metric_type}'.")


def _wanted_type(text: str) -> Callable[[str], bool]:
    if not text:
        return lambda _: True
    match = _PREFIX_FILTER.fullmatch(text.strip())
    if match is None:
        raise invalid("filter", f'Only metric.type = "…" and metric.type = starts_with("…") are understood: {text}')
    if match["type"] is not None:
        return lambda name: name == match["type"]
    return lambda name: name.startswith(match["prefix"])


def _duration(micros: int) -> Duration:
    return Duration(seconds=micros // SECOND, nanos=micros % SECOND * 1000)
