"""The trial of a plan's gates: every metric is asked once what a rollout would ask, before anything depends on it."""

import asyncio
from datetime import datetime, timedelta

from google.api_core.exceptions import NotFound
from pydantic import BaseModel, ConfigDict
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.clock import Clock
from activities.failures import Failure
from activities.monitoring import USER_METRIC_DOMAINS, SourceRefusal
from rollout.binding import query_for
from rollout.counting import counted
from rollout.gate_trial import GateFinding, MetricAnswer, faults, finding, stages_of
from rollout.gates import metrics_of
from rollout.measurement import MeasurementSource, SourceFailure
from rollout.plan import RolloutPlan
from rollout.power_card import forecasts, usual_of
from rollout.sample_sums import merge, times
from rollout.soak import align_down
from rollout.window_reading import size_of
from rollout.wording import duration_in_words

LONGEST_LOOK = timedelta(hours=1)
"""How much of the past is looked at; less where the plan's baseline is shorter."""


class TryGates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: RolloutPlan


class GateTrialActivities:
    def __init__(self, source: MeasurementSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    @activity.defn
    async def try_gates(self, request: TryGates) -> list[GateFinding]:
        """Try every gate; the findings, where each gate could do its work.

        Raises:
            ApplicationError: NotAllowed (not retryable) names the gates that could not, and why; SourceFailure
                (retryable) where the monitoring system failed rather than refused.
        """
        try:
            found = await try_gates(request.plan, self._source, await self._clock())
        except SourceFailure as failure:
            raise ApplicationError(str(failure), type=Failure.SOURCE_FAILURE) from failure
        if wrong := faults(found):
            raise ApplicationError("; ".join(wrong), type=Failure.NOT_ALLOWED, non_retryable=True)
        return found


async def try_gates(plan: RolloutPlan, source: MeasurementSource, now: datetime) -> list[GateFinding]:
    """A finding for each gate that some stage uses, in the order of the plan. `now` is aware.

    Raises:
        SourceFailure: the monitoring system failed. What it refuses is a finding.
    """
    used = stages_of(plan)
    metrics = sorted({metric for name in used for metric in metrics_of(plan.gates[name])})
    answers = {metric: await _asked(plan, metric, source, now) for metric in metrics}
    usual = {metric: answer.traffic for metric, answer in answers.items() if answer.traffic is not None}
    # A second of arithmetic for a plan of many gates, which must not keep other rollouts' looks waiting.
    forecast = await asyncio.to_thread(forecasts, plan, usual)
    return [finding(plan, name, stages, answers, forecast) for name, stages in used.items()]


async def _asked(plan: RolloutPlan, metric: str, source: MeasurementSource, now: datetime) -> MetricAnswer:
    query = query_for(plan, metric, {}, {})
    length = min(plan.baseline.window, LONGEST_LOOK)
    try:
        delay = await source.ingest_delay(query)
        end = align_down(now - delay, plan.check_interval)
        measured = await source.measure(query, start=end - length, end=end, interval=plan.check_interval)
    except SourceRefusal as refusal:
        if isinstance(refusal.__cause__, NotFound) and query.metric.type.startswith(USER_METRIC_DOMAINS):
            # Such a metric exists from its first point on, which may be the candidate's.
            return MetricAnswer("warn", f"{metric}: nobody has written {query.metric.type} yet")
        return MetricAnswer("bad", f"{metric}: {refusal}")
    try:
        total = merge(interval.groups["all"] for interval in measured if "all" in interval.groups)
    except SourceFailure as unlike:
        return MetricAnswer("bad", f"{metric}: {unlike}")
    if total is None:
        return MetricAnswer("warn", f"{metric}: no data in the last {duration_in_words(length)}")
    covered = sum("all" in interval.groups for interval in measured)
    return MetricAnswer(
        "ok",
        f"{metric}: {counted(size_of(total), 'observation')} in {covered} of "
        f"{counted(length // plan.check_interval, 'interval')}",
        total=total,
        baseline=times(total, plan.baseline.window / (covered * plan.check_interval)),
        usual=times(total, 1 / covered),
        traffic=usual_of([each.groups["all"] for each in measured if "all" in each.groups], plan.check_interval),
        groups={group for interval in measured for group in interval.groups},
    )
