"""What a rehearsal asks of metrics of the past, and by which names a recording has the answers."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from rollout.binding import cohort_share, first_cohort_share, query_for
from rollout.gates import metrics_of
from rollout.measurement import GroupsByCohort, TimeSeriesQuery
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.quantity import format_share
from rollout.recorded_metrics import Recording

AT = "@"


def queries_of(plan: RolloutPlan) -> dict[str, TimeSeriesQuery]:
    """The metrics that some stage's gates ask, by name; revisions, which only a rollout has, are not in them.

    A metric that is labelled by cohort is asked for at each percentage: the first by the metric's own name.
    """
    asked = {
        split_name(plan, metric, stage): query_for(plan, metric, {}, {}, stage)
        for stage in plan.stages
        for gate in stage.gates
        for metric in metrics_of(plan.gates[gate])
    }
    return dict(sorted(asked.items()))


def split_name(plan: RolloutPlan, metric: str, stage: Stage) -> str:
    """How a recording names a metric at a stage, such as `requests`, or `requests@50%` where the cohort is larger."""
    if not isinstance(plan.metrics[metric].groups, GroupsByCohort):
        return metric
    share = cohort_share(plan, stage)
    return metric if share in (None, first_cohort_share(plan)) else f"{metric}{AT}{format_share(share or 0.0)}"


def with_every_split(recording: Recording, queries: Mapping[str, TimeSeriesQuery]) -> Recording:
    """Where a metric was written down once only, its groups are taken for those of every stage."""
    intervals, delays = dict(recording.intervals), dict(recording.delays)
    for name in queries:
        metric = name.partition(AT)[0]
        if name not in intervals and metric in intervals:
            intervals[name] = intervals[metric]
        if (delay := delays.get(name, delays.get(metric))) is not None:
            delays = {name: delay, metric: delay} | delays
    return Recording(intervals, delays)


def told_at(recording: Recording) -> Iterator[datetime]:
    """When the last interval of each metric, and each late one, could be read."""
    for metric, rows in recording.intervals.items():
        delay = recording.delays[metric]
        yield from (row.arrived for row in rows if row.arrived is not None)
        if rows:
            yield rows[-1].measured.end + delay
