"""Time series as the sandbox holds them, between their sources, their aggregation and the wire."""

from dataclasses import dataclass, field
from typing import Any

from google.api.metric_pb2 import MetricDescriptor  # type: ignore[import-untyped]

from sandbox.clock import timestamp
from sandbox.distributions import Histogram, from_message
from sandbox.time_series_filter import SeriesIdentity
from sandbox.wire_messages import Point, TimeSeries

GAUGE: int = MetricDescriptor.GAUGE
DELTA: int = MetricDescriptor.DELTA
CUMULATIVE: int = MetricDescriptor.CUMULATIVE

BOOL: int = MetricDescriptor.BOOL
INT64: int = MetricDescriptor.INT64
DOUBLE: int = MetricDescriptor.DOUBLE
STRING: int = MetricDescriptor.STRING
DISTRIBUTION: int = MetricDescriptor.DISTRIBUTION

Value = bool | int | float | str | Histogram
DataPoint = tuple[int, int, Any]
"""Start and end in microseconds, equal for a gauge, and a `Value`."""

_VALUE_FIELDS = {BOOL: "bool_value", INT64: "int64_value", DOUBLE: "double_value", STRING: "string_value"}
_VALUE_TYPES = {name: value_type for value_type, name in _VALUE_FIELDS.items()} | {"distribution_value": DISTRIBUTION}


def kind_name(kind: int) -> str:
    return str(MetricDescriptor.MetricKind.Name(kind))


def type_name(value_type: int) -> str:
    return str(MetricDescriptor.ValueType.Name(value_type))


@dataclass(slots=True)
class Series:
    """Points of one identity, ascending by end time."""

    identity: SeriesIdentity
    kind: int
    value_type: int
    unit: str
    points: list[DataPoint] = field(default_factory=list)

    def header(self) -> Any:
        """The series as a message without points."""
        message = TimeSeries(metric_kind=self.kind, value_type=self.value_type, unit=self.unit)
        message.metric.type = self.identity.metric_type
        message.metric.labels.update(self.identity.metric_labels)
        message.resource.type = self.identity.resource_type
        message.resource.labels.update(self.identity.resource_labels)
        return message


def point_message(point: DataPoint, value_type: int) -> Any:
    start, end, value = point
    message = Point()
    message.interval.start_time.CopyFrom(timestamp(start))
    message.interval.end_time.CopyFrom(timestamp(end))
    if value_type == DISTRIBUTION:
        message.value.distribution_value.CopyFrom(value.to_message())
    else:
        setattr(message.value, _VALUE_FIELDS[value_type], value)
    return message


def value_of(typed_value: Any) -> tuple[int, Any] | None:
    """The type and the value a point carries, or None where it carries none."""
    name = typed_value.WhichOneof("value")
    if name is None:
        return None
    value = getattr(typed_value, name)
    return _VALUE_TYPES[name], from_message(value) if name == "distribution_value" else value
