"""A soak under the real watch, without a workflow: a test is the server that tries the activity again and again.

The flag store is a real one; measurements come from any `MeasurementSource`; time is the test's.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import TypeAdapter
from redis.asyncio import Redis
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.cloud_run import CloudRunActivities
from activities.feature_flags import FeatureFlagActivities
from activities.gate_watch import STILL_SOAKING, GateWatchActivities
from activities.google_clients import google_clients
from activities.health import HealthActivities
from flagstore.store import FlagStore
from rollout.gates import Gate, metrics_of
from rollout.measurement import MeasurementSource, Metric, TimeSeriesQuery
from rollout.soak import SoakState, begin
from rollout.soak_evidence import SoakEvidence
from rollout.verdict import Judgement
from rollout.watch import BoundGate, Expected, WatchBeat, WatchReport, WatchRequest
from tests.flagstore import ground

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROJECT = "shop-production"
NOWHERE = "127.0.0.1:9"
"""No service's traffic is expected, so Cloud Run is never asked."""

ADAPTER: TypeAdapter[Gate] = TypeAdapter(Gate)


def gate(**fields: Any) -> Gate:
    measured = {"window": "10m", "minimum_sample": 100} if "statistic" in fields else {}
    common = {"title": "Gate", "action": "rollback", "page_after": "30m", "group": "treated", **measured}
    return ADAPTER.validate_python({**common, **fields})


def bound(
    asked: Gate, metrics: Mapping[str, Metric], *, treated: str | None = None, control: str | None = None
) -> BoundGate:
    queries = {
        name: TimeSeriesQuery(project=PROJECT, metric=metrics[name], treated=treated, control=control)
        for name in metrics_of(asked)
    }
    return BoundGate(gate=asked, queries=queries)


@dataclass
class Clock:
    now: datetime = NOON

    async def read(self) -> datetime:
        return self.now


@dataclass
class WatchedSoak:
    """Looks as the server would have them: again when the watch asks for it, anew after each report."""

    watch: GateWatchActivities
    clock: Clock
    request: WatchRequest
    beat: Any = None
    told: list[str] = field(default_factory=list)
    judgements: dict[str, Judgement] = field(default_factory=dict)
    text: str = ""

    @property
    def soak(self) -> SoakState:
        return WatchBeat.model_validate(self.beat).soak if self.beat else self.request.soak

    @property
    def evidence(self) -> SoakEvidence | None:
        return WatchBeat.model_validate(self.beat).evidence if self.beat else self.request.evidence

    async def look(self) -> WatchReport | None:
        """One attempt; the clock is moved to when the watch wants the next one."""
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, heartbeat_details=[self.beat] if self.beat else [])
        beats: list[WatchBeat] = []
        environment.on_heartbeat = beats.append
        try:
            report: WatchReport = await environment.run(self.watch.watch_gates, self.request)
        except ApplicationError as error:
            still = error
        else:
            self.judgements = {judgement.gate: judgement for judgement in report.judgements}
            return report
        assert still.type == STILL_SOAKING, still
        assert still.next_retry_delay is not None
        self.clock.now += still.next_retry_delay
        self.beat, self.text = beats[-1].model_dump(mode="json"), str(still)
        self.judgements = {judgement.gate: judgement for judgement in beats[-1].judgements}
        return None

    async def until_reported(self) -> WatchReport:
        while (report := await self.look()) is None:
            pass
        self._go_on_from(report)
        return report

    async def until_over(self) -> WatchReport:
        """Through every hold, to full credit or a breach."""
        while True:
            report = await self.until_reported()
            if report.transition in ("credit_complete", "conclusive", "breached", "latched"):
                return report

    async def until(self, moment: datetime) -> None:
        """Look until then, through whatever is reported."""
        while self.clock.now < moment:
            if (report := await self.look()) is not None:
                self._go_on_from(report)

    def _go_on_from(self, report: WatchReport) -> None:
        self.told.append(report.transition)
        self.request = self.request.model_copy(update={"soak": report.soak, "evidence": report.evidence})
        self.beat = None


@asynccontextmanager
async def watched(
    redis: Redis,
    source: MeasurementSource,
    gates: Mapping[str, BoundGate],
    target: timedelta,
    clock: Clock | None = None,
) -> AsyncIterator[WatchedSoak]:
    """A soak that begins at noon, with the flags of a rollout in a store of their own."""
    clock = clock or Clock()
    begun = await ground.begin(FlagStore(redis, ground.ENVIRONMENT, ground.GROUP))
    google = google_clients(NOWHERE)
    async with httpx.AsyncClient() as http:
        watch = GateWatchActivities(
            source=source,
            flags=FeatureFlagActivities(redis),
            traffic=CloudRunActivities(google.services, google.revisions),
            prober=HealthActivities(http),
            clock=clock.read,
        )
        expected = Expected(
            environment=ground.ENVIRONMENT,
            group=ground.GROUP,
            fence=begun.epoch,
            flags=dict.fromkeys(ground.FLAGS, ground.OFF),
            traffic=(),
        )
        request = WatchRequest(
            stage="canary", soak=begin(clock.now, MINUTE), target=target, gates=dict(gates), expected=expected
        )
        try:
            yield WatchedSoak(watch, clock, request)
        finally:
            await google.close()
