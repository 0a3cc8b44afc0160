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
from sandbox.rpc_errors import RpcError, refused_value
from sandbox.synthetic_load import LoadSettings
from sandbox.time_series import Series, point_message
from sandbox.time_series_filter import TimeSeriesFilter, parse_filter
from sandbox.wire_messages import (
    CreateTimeSeriesRequest,
    CreateTimeSeriesSummary,
    Empty,
    ListTimeSeriesRequest,
    ListTimeSeriesResponse,
)
from sandbox.written_series import SERIES_PER_REQUEST, WrittenSeries, malformed, same_series, too_many

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
            raise refused_value("secondaryAggregation", "", "The sandbox aggregates once only.")
        if request.order_by:
            raise refused_value("orderBy", request.order_by, "It is unsupported and must be left blank.")
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
        count = len(request.time_series)
        if too_many(count):
            raise refused_value("timeSeries", count, f"At most {SERIES_PER_REQUEST} series can be written at once.")
        now = await self._clock.now()
        problems: list[str] = []
        written: set[tuple[Any, ...]] = set()
        for index, series in enumerate(request.time_series):
            place = f"timeSeries[{index}]"
            problem = _repeated(series, place, written) or self._problem(project, series, place, now)
            if problem is not None:
                problems.append(problem)
        if problems:
            raise _not_written(count, problems)
        return Empty()

    def _problem(self, project: str, series: Any, place: str, now: int) -> str | None:
        """What kept a series from being written; None once it is."""
        problem = malformed(series, place, now) or self._descriptors.problem(project, series, place)
        if problem is not None:
            return f"{problem}: {place}"
        problem = self._written.write(project, series, place)
        if problem is None:
            self._descriptors.ensure(project, series)
        return problem


def _repeated(series: Any, place: str, written: set[tuple[Any, ...]]) -> str | None:
    same = same_series(series)
    if same in written:
        problem = "Duplicate TimeSeries encountered. Only one point can be written per TimeSeries per request."
        return f"Field {place} had an invalid value: {problem}: {place}"
    written.add(same)
    return None


def _not_written(count: int, problems: Sequence[str]) -> RpcError:
    """How many points were not written, and why; the others were."""
    summary = CreateTimeSeriesSummary(total_point_count=count, success_point_count=count - len(problems))
    refused = summary.errors.add(point_count=len(problems))
    refused.status.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"One or more TimeSeries could not be written: {'; '.join(problems)}",
        summary,
    )


def _project(name: str) -> str:
    kind, _, project = name.partition("/")
    if kind != "projects" or not project or "/" in project:
        raise refused_value("name", name, "It is not of the form projects/*.")
    return project


def _interval(interval: Any) -> tuple[int, int]:
    """Start and end in microseconds; without a start the interval is the end alone."""
    if not interval.HasField("end_time"):
        raise refused_value("interval.endTime", "", "The end of the interval is required.")
    end = micros_of(interval.end_time)
    start = micros_of(interval.start_time) if interval.HasField("start_time") else end
    if start > end:
        began = interval.start_time.ToJsonString()
        raise refused_value("interval.startTime", began, "The start of the interval is after its end.")
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
        raise refused_value("pageSize", request.page_size, "The page size must not be negative.")
    skip = offset_of(request.page_token, field="pageToken")
    room = min(request.page_size or _LARGEST_PAGE, _LARGEST_PAGE)
    units = {each.unit for each in series}
    response = ListTimeSeriesResponse(unit=units.pop() if len(units) == 1 else "{not_a_unit}" if units else "")
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
