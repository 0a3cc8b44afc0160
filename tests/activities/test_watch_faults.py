"""Whatever goes wrong on the way to Cloud Monitoring: never a pass, never a rollback, no credit that was not earned.

The unmodified client, over gRPC, against the sandbox; its clock is the test's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import nan

import pytest
from google.cloud import monitoring_v3
from redis.asyncio import Redis

from activities import monitoring
from activities.monitoring import CloudMonitoring
from rollout.gates import Gate
from rollout.measurement import Metric
from rollout.verdict import Judgement, Lack, Verdict
from sandbox.faults import Fault
from tests.activities.cloud_run_ground import BACKEND, Ground
from tests.activities.monitored_ground import INGEST_DELAY, REQUESTS_BY_REVISION
from tests.activities.watched_soak import MINUTE, NOON, Clock, WatchedSoak, bound, gate, watched

HOUR = timedelta(hours=1)
SCORES = Metric(type="custom.googleapis.com/checkout/score", value="level", ingest_delay=timedelta())
ERRORS = gate(kind="versus_control", title="Errors", metric="requests", statistic="bad_share", max_difference="1%")
SCORE = gate(
    kind="threshold", title="Score", metric="score", statistic="level", at_least="99%", group="all", minimum_sample=1
)
METRICS = {"requests": REQUESTS_BY_REVISION, "score": SCORES}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are for a service far away."""
    monkeypatch.setattr(monitoring, "PAUSE_SECONDS", 0.001)


@dataclass(frozen=True)
class Soaking:
    """A candidate with 30 % of the traffic, at a service whose metrics the watch reads by revision."""

    ground: Ground
    clock: Clock
    soak: WatchedSoak
    stable: str
    candidate: str

    async def minutes(self, count: int) -> None:
        await self.soak.until(self.clock.now + count * MINUTE)

    def said(self) -> Judgement:
        return self.soak.judgements["errors"]


@asynccontextmanager
async def soaking(
    redis: Redis, asked: Gate = ERRORS, *, percent: int = 30, ahead: timedelta = timedelta()
) -> AsyncIterator[Soaking]:
    """`ahead` is how much the worker's clock is before Google's."""
    clock = Clock()

    async def googles_clock() -> datetime:
        return clock.now - ahead

    async with Ground.laid(clock=googles_clock) as ground:
        anchor = await ground.anchor()
        candidate = await ground.deploy(anchor)
        await ground.shift(anchor, candidate, percent)
        gates = {"errors": bound(asked, METRICS, treated=candidate.revision, control=anchor.stable)}
        async with watched(redis, CloudMonitoring(ground.stranger.metrics), gates, HOUR, clock) as soak:
            yield Soaking(ground, clock, soak, anchor.stable, candidate.revision)


async def test_a_healthy_candidate_earns_its_credit_over_the_wire(redis: Redis) -> None:
    async with soaking(redis) as rollout:
        report = await rollout.soak.until_over()

        assert report.transition == "credit_complete"
        assert rollout.clock.now == NOON + HOUR + INGEST_DELAY


async def test_errors_of_the_candidate_take_it_back_within_minutes_over_the_wire(redis: Redis) -> None:
    async with soaking(redis) as rollout:
        await rollout.minutes(10)
        await rollout.ground.behaves(error_rate=0.1)
        report = await rollout.soak.until_over()

        assert report.transition == "breached"
        # A minute more than beside a control that has shown how errors come: this one has had hardly any.
        assert rollout.clock.now - NOON <= 10 * MINUTE + INGEST_DELAY + 6 * MINUTE


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"])
async def test_a_source_that_fails_holds_as_an_error_and_its_time_counts_once_it_answers(
    redis: Redis, code: str
) -> None:
    async with soaking(redis) as rollout:
        await rollout.minutes(10)
        earned = rollout.soak.soak.credit
        rollout.ground.fails("ListTimeSeries", code)
        await rollout.minutes(10)
        failing, credit = rollout.said(), rollout.soak.soak.credit
        rollout.ground.sandbox.faults.clear()
        report = await rollout.soak.until_over()

        assert (failing.verdict, credit) == (Verdict.ERROR, earned)
        assert code in failing.reason
        assert rollout.soak.told[0] == "hold_began"
        assert report.transition == "credit_complete"
        assert rollout.clock.now <= NOON + HOUR + INGEST_DELAY + 5 * MINUTE


async def test_a_source_that_does_not_answer_in_time_is_an_error(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "ANSWER_SECONDS", 0.2)
    async with soaking(redis) as rollout:
        await rollout.minutes(10)
        earned = rollout.soak.soak.credit
        rollout.ground.sandbox.faults.put(Fault(method="ListTimeSeries", delay_seconds=5.0))
        await rollout.minutes(2)

        assert rollout.said().verdict is Verdict.ERROR
        assert "within 0.2 s" in rollout.said().reason
        assert rollout.soak.soak.credit == earned


async def test_an_empty_answer_is_silence_that_holds_and_not_zero_errors(redis: Redis) -> None:
    async with soaking(redis) as rollout:
        await rollout.minutes(10)
        earned = rollout.soak.soak.credit
        rollout.ground.sandbox.faults.metrics_outage = True
        await rollout.minutes(15)

        assert (rollout.said().verdict, rollout.said().lack) == (Verdict.UNKNOWN, Lack.DATA)
        assert rollout.soak.soak.credit - earned <= INGEST_DELAY
        assert rollout.soak.told == ["hold_began"]


async def test_a_metric_that_was_renamed_is_an_error_with_its_name(redis: Redis) -> None:
    async with soaking(redis) as rollout:
        asked = rollout.soak.request.gates["errors"]
        metric = REQUESTS_BY_REVISION.model_copy(update={"type": "run.googleapis.com/requests"})
        queries = {"requests": asked.queries["requests"].model_copy(update={"metric": metric})}
        gates = {"errors": asked.model_copy(update={"queries": queries})}
        rollout.soak.request = rollout.soak.request.model_copy(update={"gates": gates})
        await rollout.minutes(10)

        assert rollout.said().verdict is Verdict.ERROR
        assert "run.googleapis.com/requests" in rollout.said().reason
        assert rollout.soak.soak.credit == timedelta()


async def test_a_clock_that_is_ahead_earns_nothing_ahead_of_the_data(redis: Redis) -> None:
    ahead = 10 * MINUTE
    async with soaking(redis, ahead=ahead) as rollout:
        await rollout.minutes(45)

        assert 20 * MINUTE <= rollout.soak.soak.credit <= 45 * MINUTE - ahead - INGEST_DELAY
        assert rollout.soak.told[0] == "hold_began"
        assert "breached" not in rollout.soak.told


async def test_time_before_the_candidate_had_traffic_is_idle_and_its_first_interval_counts_for_what_it_holds(
    redis: Redis,
) -> None:
    async with soaking(redis, percent=0) as rollout:
        await rollout.minutes(10)
        idle, credit = rollout.said(), rollout.soak.soak.credit
        rollout.clock.now += MINUTE / 2
        await rollout.ground.splits({rollout.stable: 70, rollout.candidate: 30})
        await rollout.ground.settled()
        await rollout.minutes(10)

        assert (idle.verdict, credit) == (Verdict.IDLE, timedelta())
        assert rollout.said().verdict is Verdict.PASS
        assert timedelta() < rollout.soak.soak.credit <= 10 * MINUTE


async def test_a_revision_of_another_name_is_not_taken_for_the_candidate(redis: Redis) -> None:
    async with soaking(redis) as rollout:
        await rollout.minutes(10)
        earned = rollout.soak.soak.credit
        await rollout.ground.splits({rollout.stable: 100})
        await rollout.ground.settled()
        await rollout.minutes(20)

        assert rollout.said().verdict is Verdict.IDLE
        assert rollout.soak.soak.credit - earned <= INGEST_DELAY + MINUTE


@pytest.mark.parametrize(("value", "verdict"), [(1.0, Verdict.PASS), (nan, Verdict.ERROR), (2.5, Verdict.ERROR)])
async def test_a_score_that_is_no_number_between_zero_and_one_is_an_error(
    redis: Redis, value: float, verdict: Verdict
) -> None:
    async with soaking(redis, SCORE) as rollout:
        for _ in range(5):
            rollout.clock.now += MINUTE
            await rollout.ground.stranger.metrics.create_time_series(
                name=f"projects/{BACKEND.project}",
                time_series=[
                    monitoring_v3.TimeSeries(
                        metric={"type": SCORES.type},
                        resource={"type": "global", "labels": {"project_id": BACKEND.project}},
                        points=[{"interval": {"end_time": rollout.clock.now}, "value": {"double_value": value}}],
                    )
                ],
            )
        await rollout.soak.look()

        assert rollout.said().verdict is verdict
        assert (rollout.soak.soak.credit > timedelta()) is (verdict is Verdict.PASS)
