"""What Cloud Monitoring still knows of a past time, fetched as a recording for a rehearsal."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from activities.monitoring import BUILT_IN_INGEST_DELAY, USER_METRIC_DOMAINS, USER_METRIC_INGEST_DELAY, CloudMonitoring
from config.settings import Settings
from rollout.measurement import GroupsByRevision, MeasurementSource, SourceFailure, TimeSeriesQuery
from rollout.plan import RolloutPlan
from rollout.recorded_metrics import Recorded, Recording
from starter.google_access import google_for
from starter.outcome import failed

AT_ONCE = timedelta(days=1)
"""How much of the past one question asks for; it must be answered within seconds."""


async def fetched(
    plan: RolloutPlan,
    queries: Mapping[str, TimeSeriesQuery],
    settings: Settings,
    *,
    since: datetime,
    until: datetime,
    revisions: Mapping[str, tuple[str, str]],
) -> Recording:
    """Every metric's intervals in `(since, until]`. `revisions` are treated and control of a service, by its name.

    Raises:
        CommandEnds: there are no credentials to ask with, or the monitoring system failed or refused.
    """
    recording = Recording()
    async with google_for(settings) as google:
        source = CloudMonitoring(google.metrics)
        try:
            for name, query in queries.items():
                asked = _with_revisions(query, revisions)
                recording.delays[name] = await source.ingest_delay(asked)
                recording.intervals[name] = await _past(source, asked, since, until, plan.check_interval)
        except SourceFailure as failure:
            raise failed(str(failure)) from failure
    return recording


def usual_delays(queries: Mapping[str, TimeSeriesQuery]) -> dict[str, timedelta]:
    """How late each metric is where nothing but its plan and its type is known."""
    delays = {}
    for name, query in queries.items():
        written = query.metric.type.startswith(USER_METRIC_DOMAINS)
        usual = USER_METRIC_INGEST_DELAY if written else BUILT_IN_INGEST_DELAY
        delays[name] = usual if query.metric.ingest_delay is None else query.metric.ingest_delay
    return delays


def _with_revisions(query: TimeSeriesQuery, revisions: Mapping[str, tuple[str, str]]) -> TimeSeriesQuery:
    groups = query.metric.groups
    if not isinstance(groups, GroupsByRevision) or groups.service not in revisions:
        return query
    treated, control = revisions[groups.service]
    return query.model_copy(update={"treated": treated, "control": control})


async def _past(
    source: MeasurementSource, query: TimeSeriesQuery, since: datetime, until: datetime, interval: timedelta
) -> list[Recorded]:
    rows: list[Recorded] = []
    start = since
    while start < until:
        end = min(start + AT_ONCE, until)
        rows += map(Recorded, await source.measure(query, start=start, end=end, interval=interval))
        start = end
    return rows
