"""`google.monitoring.v3.MetricService` on loopback: reading and writing of time series."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import grpc
from google.cloud.monitoring_v3 import ListTimeSeriesRequest as PublicListRequest

from sandbox.aggregation import plan_of
from sandbox.clock import SECOND, SandboxClock, micros_of
from sandbox.faults import FaultTable
from sandbox.grpc_service import Method
from sandbox.metric_descriptors import MetricDescriptors
from sandbox.paging import offset_of, token_for
from sandbox.rpc_errors import RpcError, invalid
from sandbox.synthetic_load import LoadSettings
from sandbox.time_series import Series, point_message
from sandbox.time_series_filter import TimeSeriesFilter, parse_filter
from sandbox.wire_messages import (
    CreateTimeSeriesRequest,
    Empty,
    ListTimeSeriesRequest,
    ListTimeSeriesResponse,
)
from sandbox.written_series import WrittenSeries, too_many

SERVICE = "google.monitoring.v3.MetricService"
_SHORTEST_PERIOD = 60 * SECOND
_LARGEST_PAGE = 100_000
_HEADERS = int(PublicListRequest.TimeSeriesView.HEADERS)


class SeriesSource(Protocol):
    """Where the series of the services' own traffic come from."""

    settings: LoadSettings

    def series(self, project: str, wanted: TimeSeriesFilter, start: int, end: int, now: int) -> Iterable[Series]: ...


class CloudMonitoring:
    """ListTimeSeries over synthetic and written series, and CreateTimeSeries.

    Alignment periods below a minute are refused as at Google, unless the sandbox samples more often than that.
    """

    def __init__(
        self,
        load: SeriesSource,
        written: WrittenSeries,
        descriptors: MetricDescriptors,
        faults: FaultTable,
        clock: SandboxClock,
    ) -> None:
        self._load = load
        self._written = written
        self._descriptors = descriptors
        self._faults = faults
        self._clock = clock
        self._shortest_period = min(_SHORTEST_PERIOD, load.settings.sample_period)

    def methods(self) -> list[Method]:
        return [
            Method("ListTimeSeries", ListTimeSeriesRequest, self._list, "monitoring.timeSeries.list"),
            Method("CreateTimeSeries", CreateTimeSeriesRequest, self._create, "monitoring.timeSeries.create"),
            *self._descriptors.methods(),
        ]

    async def _list(self, request: Any) -> Any:
        project = _project(request.name)
        wanted = parse_filter(request.filter)
        if not self._descriptors.known(project, wanted.metric_type):
            raise RpcError(
                grpc.StatusCode.NOT_FOUND,
                f'Cannot find metric(s) that match type = "{wanted.metric_type}". If a metric was created recently, '
                "it could take up to 10 minutes to become available. Please try again soon.",
            )
        start, end = _interval(request.interval)
        plan = plan_of(request.aggregation, start, end, self._shortest_period)
        if request.secondary_aggregation.ByteSize():
            raise invalid("ListTimeSeriesRequest.secondaryAggregation", "The sandbox aggregates once only.")
        if request.order_by:
            raise invalid("ListTimeSeriesRequest.orderBy", "Unsupported: this field must be left blank.")
        if self._faults.metrics_outage:
            return ListTimeSeriesResponse()
        first = plan.periods.start if plan.periods else start
        now = await self._clock.now_or_after(end + self._load.settings.ingest_delay)
        found = [*self._load.series(project, wanted, first, end, now)]
        found += _within(self._written.series(project, wanted, end), None if plan.periods else start)
        return _answer(request, plan.apply(found))

    async def _create(self, request: Any) -> Any:
        """Write what is right; name every series that is not, as one INVALID_ARGUMENT at the end."""
        project = _project(request.name)
        if too_many(len(request.time_series)):
            raise invalid("timeSeries", "At most 200 series can be written in one request.")
        now = await self._clock.now()
        problems: list[str] = []
        for index, series in enumerate(request.time_series):
            problem = self._written.write(project, series, now)
            if problem is None:
                self._descriptors.ensure(project, series)
            else:
                problems.append(f"timeSeries[{index}] ({series.metric.type}): {problem}")
        if problems:
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"One or more TimeSeries could not be written: {'; '.join(problems)}",
            )
        return Empty()


def _project(name: str) -> str:
    kind, _, project = name.partition("/")
    if kind != "projects" or not project or "/" in project:
        raise invalid("name", f"'{name}' is not of the form projects/*.")
    return project


def _interval(interval: Any) -> tuple[int, int]:
    """Start and end in microseconds; without a start the interval is the end alone."""
    if not interval.HasField("end_time"):
        raise invalid("ListTimeSeriesRequest.interval.endTime", "The end of the interval is required.")
    end = micros_of(interval.end_time)
    start = micros_of(interval.start_time) if interval.HasField("start_time") else end
    if start > end:
        raise invalid("ListTimeSeriesRequest.interval", "The start of the interval is after its end.")
    return start, end


def _within(series: Iterable[Series], start: int | None) -> list[Series]:
    """Raw points are cut to the interval here; points to be aligned are sorted into their periods later."""
    found = list(series)
    for each in found:
        if start is not None:
            each.points = [point for point in each.points if point[1] > start]
    return found


def _answer(request: Any, series: Sequence[Series]) -> Any:
    """One page: newest points first. A page holds so many points, or so many series where only headers are asked."""
    if request.page_size < 0:
        raise invalid("ListTimeSeriesRequest.pageSize", "The page size must not be negative.")
    skip = offset_of(request.page_token, field="ListTimeSeriesRequest.pageToken")
    room = min(request.page_size or _LARGEST_PAGE, _LARGEST_PAGE)
    response = ListTimeSeriesResponse()
    if request.view == _HEADERS:
        response.time_series.extend(each.header() for each in series[skip : skip + room])
        response.next_page_token = token_for(skip + room) if skip + room < len(series) else ""
        return response
    passed = 0
    for each in series:
        newest_first = sorted(each.points, key=lambda point: point[1], reverse=True)
        wanted = newest_first[max(0, skip - passed) : max(0, skip + room - passed)]
        if wanted:
            message = each.header()
            message.points.extend(point_message(point, each.value_type) for point in wanted)
            response.time_series.append(message)
        passed += len(newest_first)
    response.next_page_token = token_for(skip + room) if skip + room < passed else ""
    return response
