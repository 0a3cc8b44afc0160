"""A rehearsal of a plan on metrics of the past: every look is the worker's own, only the clock is turned by hand.

Nothing is touched: no Temporal, no flags, no Cloud Run. What the looks say is followed as the workflow follows it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from temporalio.exceptions import ApplicationError

from activities.metric_reader import INTERVALS_PER_LOOK, MetricReader, pause_after
from activities.monitoring import CaptureBaseline, MonitoringActivities
from rollout import exposure as exposures
from rollout.binding import (
    baseline_queries,
    is_of_a_cohort,
    planned_share,
    treated_share,
)
from rollout.cohort_past import past_of
from rollout.flags import OFF
from rollout.foresight import Foresight
from rollout.gates import ProbeGate, VersusBaselineGate, metrics_of
from rollout.look import Look, Standing, take_in
from rollout.measurement import Sample
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.recorded_metrics import RecordedSource, Recording
from rollout.soak import WITHOUT_END, SoakState, begin, due
from rollout.soak_evidence import SoakEvidence, of_soak
from rollout.verdict import Judgement
from rollout.watch import BoundGate, Expected, WatchRequest
from rollout.what_if import Outcome, WhatIf
from rollout.wording import all_passed, duration_in_words
from starter.what_if_queries import queries_of, split_name, told_at, with_every_split
from starter.what_if_record import Record


class _Ends(Exception):  # noqa: N818  (how the rehearsal comes out, not an error of the program)
    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome: Outcome = outcome
        self.why = why


class Rehearsal:
    def __init__(self, plan: RolloutPlan, recording: Recording, start: datetime) -> None:
        """`start` is when the rollout begins. Every metric of `queries_of(plan)` needs its delay in the recording."""
        self._plan = plan
        self._now = start
        self._queries = queries_of(plan)
        recording = with_every_split(recording, self._queries)
        self._flags_off_since = start
        self._exposed_at: datetime | None = None
        self._source = RecordedSource(recording, self._queries, plan.check_interval, self._clock)
        self._reader = MetricReader(self._source, at_hand=True)
        self._all_told_at = max(told_at(recording), default=start) + plan.check_interval
        self._baseline: dict[str, Sample] = {}
        self._evidence: SoakEvidence | None = None
        self._off: set[str] = set()
        self._shown = {flag: exposures.document_of(exposures.OFF, "off") for flag in plan.flags}
        self._record = Record(plan, start)

    async def _clock(self) -> datetime:
        return self._now

    async def play(self) -> WhatIf:
        """From the baseline to the end of the plan, or of the data."""
        try:
            await self._measure_baseline()
            await self._walk()
        except _Ends as end:
            return self._record.closed(self._now, end.outcome, end.why)
        return self._record.closed(self._now, "completed", all_passed(len(self._plan.stages)))

    async def _measure_baseline(self) -> None:
        queries = {name: self._queries[name] for name in baseline_queries(self._plan)}
        if not queries:
            return
        asked = CaptureBaseline(queries=queries, window=self._plan.baseline.window)
        try:
            self._baseline = await MonitoringActivities(self._source, self._clock).capture_baseline(asked)
        except ApplicationError as failure:
            raise _Ends("refused", f"the baseline could not be measured: {failure.message}") from None

    async def _walk(self) -> None:
        before: tuple[Stage, SoakState] | None = None
        for position, stage in enumerate(self._plan.stages, start=1):
            before = await self._window_opens(before, stage.name)
            self._record.entered(self._now, stage, position)
            soak: SoakState | None = None
            for step, percent in enumerate(stage.steps):
                last = step + 1 == len(stage.steps)
                if step and soak is not None:
                    _, soak = await self._window_opens((stage, soak), f"{stage.name} at {percent} %") or (stage, soak)
                if percent is not None:
                    self._record.note(self._now, "traffic", f"{percent} % of the traffic")
                if last and self._exposes(stage):
                    # Only data measured under this exposure prove anything about it.
                    soak = None
                soak = soak or begin(self._now, self._plan.check_interval)
                held = (stage.traffic_hold or timedelta()) * (step + 1)
                soak = await self._soak(stage, soak, stage.soak if last else held)
            assert soak is not None, "a stage has at least one step"  # noqa: S101
            self._record.passed(self._now, soak)
            before = (stage, soak)
        if self._plan.watch is not None and before is not None:
            ends = self._now + self._plan.watch
            self._record.note(self._now, "stage", f"watched for {duration_in_words(self._plan.watch)}")
            await self._keep_watch(*before, ends)

    def _exposes(self, stage: Stage) -> bool:
        """Whether the stage shows anything to others than the one before."""
        wanted = {
            flag: exposures.document_of(exposures.exposure_of(stage.exposure, flag), stage.name)
            for flag in self._plan.flags
            if flag not in self._off
        }
        wanted |= dict.fromkeys(self._off, OFF)
        if self._exposed_at is None and any(document.exposure == "percent" for document in wanted.values()):
            self._exposed_at = self._now
        same = all(self._shown[flag].shows_the_same(document) for flag, document in wanted.items())
        self._shown = wanted
        return not same

    async def _window_opens(self, before: tuple[Stage, SoakState] | None, what: str) -> tuple[Stage, SoakState] | None:
        """Wait for the plan's window; what was entered before goes on being judged."""
        windows = self._plan.windows
        if windows is None:
            return before
        zone = ZoneInfo(windows.time_zone)
        while (why := windows.why_closed(self._now, zone)) is not None:
            opens = windows.next_opening(self._now, zone)
            self._record.note(self._now, "window", f"{what} waits: {why}")
            if before is None:
                self._now = opens
            else:
                before = (before[0], await self._keep_watch(*before, opens))
        return before

    async def _soak(self, stage: Stage, soak: SoakState, target: timedelta) -> SoakState:
        while True:
            soak, transition = await self._watch(stage, soak, target, lambda _soak: False)
            if transition == "conclusive":
                self._record.note(self._now, "stage", "ends early: every comparison passes beyond doubt")
            if transition in ("credit_complete", "conclusive"):
                return soak

    async def _keep_watch(self, stage: Stage, soak: SoakState, until: datetime) -> SoakState:
        """Judge on until then, and for as long as it holds."""
        while self._now < until or soak.standing == "holding":
            soak, _ = await self._watch(
                stage, soak, WITHOUT_END, lambda now: self._now >= until and now.standing != "holding", until
            )
        return soak

    async def _watch(
        self,
        stage: Stage,
        soak: SoakState,
        target: timedelta,
        over: Callable[[SoakState], bool],
        until: datetime | None = None,
    ) -> tuple[SoakState, str]:
        """Look again and again until a look has something to tell, or the watch is over; then what it told."""
        request = self._request(stage, soak, target)
        standing = Standing(soak, of_soak(self._evidence, soak.since, request.gates), ())
        foresight = Foresight()
        while True:
            self._must_have_data(stage, standing)
            before = standing
            standing, transition, pause = await self._look(request, standing, foresight)
            self._evidence = standing.evidence
            self._record.judged(self._now, request.gates, before, standing)
            if transition is not None:
                self._follow(request, standing, transition)
                return standing.soak, transition
            if over(standing.soak):
                return standing.soak, ""
            ahead = self._now + pause
            self._now = min(ahead, until) if until is not None and until > self._now else ahead

    async def _look(
        self, request: WatchRequest, standing: Standing, foresight: Foresight
    ) -> tuple[Standing, str | None, timedelta]:
        """As `GateWatchActivities` looks, at the metrics alone."""
        soak = standing.soak
        visibility = await self._reader.visibility(request, self._now)
        standing, unreadable = await self._reader.learn_the_past(request, standing, visibility)
        all_ends = due(soak, visibility.complete_until)
        ends = all_ends[:INTERVALS_PER_LOOK]
        answers = await self._reader.ask(request, soak, ends, visibility, unreadable)
        after, transition = take_in(Look(request, answers, ends, {}, visibility, foresight), standing)
        return after, transition, pause_after(visibility, soak, caught_up=ends == all_ends)

    def _follow(self, request: WatchRequest, standing: Standing, transition: str) -> None:
        why = "; ".join(_causes(standing.judgements, standing.soak.causes)) or ", ".join(standing.soak.causes)
        if transition != "breached":
            self._record.told(self._now, standing.soak, transition, why)
            for flag, gate in standing.switch_off.items():
                self._off.add(flag)
                self._shown[flag] = OFF
                self._record.turned_off(self._now, flag, gate)
            return
        failed = standing.soak.causes
        mild = all(request.gates[name].gate.action != "rollback" for name in failed)
        back: Outcome = "stepped_back" if mild and self._record.passed_stages else "rolled_back"
        self._record.went_back(self._now, standing.soak)
        raise _Ends(back, f"{request.stage} failed: {why}")

    def _must_have_data(self, stage: Stage, standing: Standing) -> None:
        if self._now <= self._all_told_at:
            return
        soak, standing_in_words = standing.soak, ""
        if soak.standing == "holding":
            standing_in_words = f", holding for {', '.join(soak.causes)}"
        credit = f"{duration_in_words(soak.credit)} of {duration_in_words(stage.soak)}"
        self._record.credited(soak)
        raise _Ends("unfinished", f"the data end in {stage.name}, with {credit} of soak credit{standing_in_words}")

    def _request(self, stage: Stage, soak: SoakState, target: timedelta) -> WatchRequest:
        plan = self._plan
        bound = {}
        past = None
        if self._exposed_at is not None:
            past = past_of(self._flags_off_since, self._exposed_at, plan.baseline.window, plan.check_interval)
        for name in stage.gates:
            gate = plan.gates[name]
            if not isinstance(gate, ProbeGate):
                queries = {metric: self._queries[split_name(plan, metric, stage)] for metric in metrics_of(gate)}
                baseline = self._baseline.get(gate.metric) if isinstance(gate, VersusBaselineGate) else None
                bound[name] = BoundGate(
                    gate=gate,
                    queries=queries,
                    baseline=baseline,
                    planned_share=planned_share(plan, stage, gate),
                    users=plan.users,
                    past=past if is_of_a_cohort(plan, gate) else None,
                    treated_share=treated_share(plan, stage, gate),
                )
        return WatchRequest(
            stage=stage.name,
            soak=soak,
            target=target,
            minimum_soak=stage.accelerate.minimum_soak if stage.accelerate and target == stage.soak else None,
            gates=bound,
            expected=Expected(environment=plan.environment, group=plan.name, fence=0, flags=self._shown, traffic=()),
        )


def _causes(judgements: tuple[Judgement, ...], causes: tuple[str, ...]) -> list[str]:
    said: Mapping[str, str] = {judgement.gate: judgement.reason for judgement in judgements}
    return [said[name] for name in causes if name in said]
