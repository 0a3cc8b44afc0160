"""Entering a stage: checks, a person's approval, the deployment at 0 %, then traffic and flags step by step."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.changing import Changing
from workflows.context import RolloutContext
from workflows.deployment import Deployment
from workflows.exposure import Exposing
from workflows.forward import call_forward
from workflows.promotion_window import PromotionWindow
from workflows.soaking import leave
from workflows.traffic_rise import TrafficRise
from workflows.waiting import Waiting

with workflow.unsafe.imports_passed_through():
    from activities.feature_flags import CheckStore, FeatureFlagActivities
    from activities.health import EndpointCheck, HealthActivities
    from activities.load_test import run_load_test
    from activities.monitoring import CaptureBaseline, MonitoringActivities
    from activities.secrets import CheckSecret, SecretActivities
    from rollout import exposure as exposures
    from rollout.binding import query_for
    from rollout.counting import counted
    from rollout.load_test import LoadProfile, LoadReport, LoadTest, in_a_line
    from rollout.plan_parts import (
        AttestCheck,
        Check,
        HttpCheck,
        LoadTestCheck,
        MonitoringCheck,
        RedisCheck,
        SecretCheck,
        Stage,
    )
    from rollout.progress import RolloutStatus, StageProgress
    from rollout.soak import begin
    from rollout.wording import duration_in_words


class StageEntry:
    def __init__(
        self,
        context: RolloutContext,
        exposing: Exposing,
        waiting: Waiting,
        window: PromotionWindow,
        changing: Changing,
    ) -> None:
        self._context = context
        self._exposing = exposing
        self._waiting = waiting
        self._window = window
        self._changing = changing
        self._deployment = Deployment(context, waiting, window)
        self._rise = TrafficRise(context, waiting, window, changing)
        self._plan = context.plan
        self._progress = context.progress

    async def enter(self, stage: Stage, state: StageProgress) -> None:
        """Everything up to the first change of traffic or flags. Only the first stage deploys.

        Returns early, with nothing entered, when a person interrupts the waiting. What a run before this one has done
        of it, and told, is not done again.
        """
        context = self._context
        if state.entered_at is not None:
            return
        position = f"stage {self._progress.stage + 1} of {len(self._plan.stages)}, {stage.name}"
        # A candidate has an address of its own only once it is deployed: its smoke tests wait for that.
        smoke_tests = [check for check in stage.checks.before if stage.deploy and asks_the_candidate(check)]
        at_once = [check for check in stage.checks.before if check not in smoke_tests]
        if not state.asked_for_approval:
            await self._waiting.not_paused()
            await self._window.opens(state, stage.name)
            if self._waiting.interrupted():
                return
            state.state = "entering"
            context.stand(RolloutStatus.ENTERING, f"entering {position}", what_entering_does(stage))
            await self.check(stage, state, at_once)
        if state.asked_for_approval or self._needs_approval(stage):
            await self._approval(stage, state)
            # It may have closed while a person made up their mind.
            await self._window.opens(state, stage.name)
        if self._waiting.interrupted():
            state.state, state.checked, state.asked_for_approval = "pending", 0, False
            return
        if stage.deploy:
            await self._deployment.take(stage, state)
            if not self._waiting.interrupted():
                await self.check(stage, state, [*at_once, *smoke_tests])
            if self._waiting.interrupted():
                return
        state.entered_at, state.checked = workflow.now(), 0
        context.note("stage", f"entered {position}")

    async def take_step(self, stage: Stage, state: StageProgress, percent: int | None, *, last: bool) -> None:
        """One traffic step of all services, and with the last one the flags. Then the soak begins or goes on.

        Returns early, with the step not taken, when a person or a gate asks to turn back.
        """
        if percent is not None and not await self._rise.to(stage, percent, state):
            return
        # Only data measured under this exposure prove anything about it.
        exposed = last and await self._changing.to(stage, self._exposing.expose(stage))
        if exposed or state.step_entered is None:
            state.soak_state = begin(workflow.now(), self._plan.check_interval)
        state.step_entered = state.step
        state.state = "soaking"

    async def check(self, stage: Stage, state: StageProgress, checks: Sequence[Check]) -> None:
        """One after the other, but for those that have passed; until a person or a gate interrupts them.

        A hold that began meanwhile is waited out.
        """
        beside = bool(checks) and self._context.judges_beside_what_takes_long()
        held, since = self._waiting.why_held(), workflow.now()
        for check in checks[state.checked :]:
            if not beside:
                await self._check(stage, check)
            elif not await self._passed_beside_gates(stage, check, since):
                return
            state.checked += 1
        if beside and held is None:
            await self._waiting.while_held()

    async def _passed_beside_gates(self, stage: Stage, check: Check, since: datetime) -> bool:
        running = asyncio.create_task(self._check(stage, check))
        try:
            await self._waiting.beside(running, since, at_once=isinstance(check, LoadTestCheck))
        finally:
            leave(running)
        if not running.done():
            self._context.note("stage", f"{stage.name}: its checks ended before their time")
            return False
        running.result()
        return True

    async def _check(self, stage: Stage, check: Check) -> None:
        match check:
            case HttpCheck():
                await self._check_endpoint(stage, check)
            case RedisCheck():
                await self._check_store(stage)
            case MonitoringCheck():
                await self._check_metric(stage, check)
            case SecretCheck():
                await self._check_secret(stage, check)
            case LoadTestCheck():
                await self._load(stage, check)
            case AttestCheck():
                # Confirmed by the approval, which names every statement of the stage.
                pass

    async def _check_endpoint(self, stage: Stage, check: HttpCheck) -> None:
        title = f"{check.service} {check.path}"
        self._context.waiting_for(f"{stage.name}: {title} answers")
        url = self._progress.candidates[check.service].url
        await call_forward(
            self._context,
            HealthActivities.check_endpoint,
            EndpointCheck(url=f"{url}{check.path}", title=title),
            summarised(activity_options.CHECK, f"{title} answers 200"),
        )

    async def _check_store(self, stage: Stage) -> None:
        self._context.waiting_for(f"{stage.name}: the flag store answers")
        await call_forward(
            self._context,
            FeatureFlagActivities.check_store,
            CheckStore(environment=self._plan.environment, group=self._plan.name),
            summarised(activity_options.FLAG_STORE, "the flag store answers"),
        )

    async def _check_metric(self, stage: Stage, check: MonitoringCheck) -> None:
        self._context.waiting_for(f"{stage.name}: {check.metric} has data")
        query = query_for(self._plan, check.metric, self._progress.anchors, self._progress.candidates)
        await call_forward(
            self._context,
            MonitoringActivities.capture_baseline,
            CaptureBaseline(queries={check.metric: query}, window=self._plan.baseline.window),
            summarised(activity_options.READ_MONITORING, f"{check.metric} has data"),
        )

    async def _check_secret(self, stage: Stage, check: SecretCheck) -> None:
        title = f"secret {check.name} ({check.version})"
        self._context.waiting_for(f"{stage.name}: {title} is enabled")
        await call_forward(
            self._context,
            SecretActivities.check_secret,
            CheckSecret(name=check.version_name, title=title),
            summarised(activity_options.CHECK, f"{title} is enabled"),
        )

    async def _load(self, stage: Stage, check: LoadTestCheck) -> None:
        """It takes its time: gates go on being judged, and whatever interrupts a waiting ends the load test."""
        url = check.url if check.service is None else self._progress.candidates[check.service].url
        profile = check.model_dump(mode="json", include=set(LoadProfile.model_fields))
        target = check.service or url
        users = counted(check.concurrent_users, "user")
        title = f"{target} under the load of {users} for {duration_in_words(check.duration)}"
        self._context.note("stage", f"{stage.name}: load test of {title} began")
        running = workflow.start_activity(
            run_load_test,
            LoadTest.model_validate({**profile, "urls": [url]}),
            **summarised(activity_options.load_test(check.duration), f"{stage.name}: {title}"),
        )
        try:
            if self._context.judges_beside_what_takes_long():
                await workflow.wait_condition(running.done)
            else:
                await self._waiting.until(running.done, broken=lambda: running.done() and failed(running))
        finally:
            leave(running)
        if not running.done():
            self._context.note("stage", f"{stage.name}: load test of {target} ended before its time")
            return
        met = in_a_line(check, running.result())
        self._context.note("stage", f"{stage.name}: load test of {target} passed: {met}")

    def _needs_approval(self, stage: Stage) -> bool:
        needed = stage.needs_approval or stage.name in self._progress.stepped_back_from
        return needed and stage.name not in self._progress.approved

    async def _approval(self, stage: Stage, state: StageProgress) -> None:
        context, progress = self._context, self._progress
        confirms = f", which confirms: {'; '.join(stage.statements)}" if stage.statements else ""
        following = f"`rollout approve {self._plan.name}`{confirms}"
        stood_at = progress.status if state.asked_for_approval else None
        if not state.asked_for_approval:
            context.tell("warning", f"Approval needed for {stage.name}", following)
            state.asked_for_approval = True
        while stage.name not in progress.approved and not self._waiting.interrupted():
            if stood_at is not RolloutStatus.PAUSED:
                context.stand(RolloutStatus.AWAITING_APPROVAL, f"{stage.name} needs a person's approval", following)
            stood_at = None
            await self._waiting.until(
                lambda: stage.name in progress.approved or progress.paused,
                then=f"{stage.name} is approved and entered",
            )
            if progress.paused:
                # What holds the stage before this one keeps nobody from approving it.
                held_or_not = workflow.patched("resumed-to-its-approval")
                await self._waiting.not_paused(held_or_not=held_or_not)
        context.stand(RolloutStatus.ENTERING, f"{stage.name} was approved", what_entering_does(stage))


def asks_the_candidate(check: Check) -> bool:
    """Whether a check needs the address that a candidate has once it is deployed."""
    return isinstance(check, HttpCheck) or (isinstance(check, LoadTestCheck) and check.service is not None)


def failed(running: "asyncio.Task[LoadReport]") -> bool:
    return running.cancelled() or running.exception() is not None


def what_entering_does(stage: Stage) -> str:
    """The changes a stage begins with, in words."""
    deploy = ["deploy at 0 %"] if stage.deploy else []
    traffic = [f"traffic {' → '.join(f'{percent} %' for percent in stage.percents)}"] if stage.percents else []
    seen_by = exposures.who_sees(exposures.in_words(stage.exposure))
    exposed = [f"features for {seen_by}", f"a soak of {duration_in_words(stage.soak)}"]
    return ", then ".join([*deploy, *traffic, *exposed])
