"""What earns credit and what takes back, however late data come and whoever looks."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from rollout.measurement import Counts, Group, GroupsByLabel, Metric, Sample
from tests.activities.watched_soak import MINUTE, NOON, Clock, bound, gate, watched
from tests.rollout.samples import counts
from tests.workflows.traffic_source import Fault, TrafficSource

HOUR = timedelta(hours=1)
QUICK, SLOW = timedelta(seconds=5), timedelta(minutes=6)

COHORT = GroupsByLabel(label="metric.labels.group", treated="treated", control="control")
METRICS = {
    "requests": Metric(type="custom/request_count", value="count", groups=COHORT),
    "cascades": Metric(type="custom/cascade_failures", value="count", groups=COHORT),
    "cpu": Metric(type="run/cpu/utilizations", value="distribution"),
}
ERRORS = gate(kind="versus_control", title="Errors", metric="requests", statistic="bad_share", max_difference="1%")
CASCADES = gate(kind="zero_tolerance", title="Cascades", metric="cascades", group="all")
CPU = gate(
    kind="threshold", title="CPU", metric="cpu", statistic="mean", at_most=0.9, group="all", action="hold",
    minimum_sample=1,
)  # fmt: skip
GATES = {name: bound(asked, METRICS) for name, asked in {"errors": ERRORS, "cascades": CASCADES, "cpu": CPU}.items()}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> TrafficSource:
    """A tenth of the users treated; CPU is visible after four minutes, everything else after seconds."""

    async def a_tenth() -> float:
        return 0.1

    built = TrafficSource(a_tenth)
    built.delays = {"utilizations": SLOW}
    built.delay = QUICK
    built.clock = clock.read
    return built


def between(since: datetime, until: datetime, fault: Fault) -> Fault:
    def measured(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
        return fault(metric, group, end, healthy) if since < end <= until else healthy

    return measured


def silence(_metric: str, _group: Group, _end: datetime, _healthy: Sample) -> None:
    return None


def errors(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    fails = metric.endswith("request_count") and group == "treated" and isinstance(healthy, Counts)
    return counts(healthy.total, healthy.total // 5) if fails and isinstance(healthy, Counts) else healthy


def a_cascade(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    return counts(1) if metric.endswith("cascade_failures") and group == "all" else healthy


async def completed_at(redis: Redis, source: TrafficSource, clock: Clock, target: timedelta) -> datetime:
    async with watched(redis, source, GATES, target, clock) as soak:
        report = await soak.until_over()
        assert report.transition == "credit_complete", report
        assert report.soak.credit == target
        return clock.now


class TestSlowMetrics:
    async def test_a_breach_of_a_quick_metric_does_not_wait_for_a_slow_one(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        onset = NOON + 30 * MINUTE
        source.fault = between(onset, onset + HOUR, a_cascade)
        async with watched(redis, source, GATES, HOUR, clock) as soak:
            report = await soak.until_over()

        assert (report.transition, report.soak.causes) == ("breached", ("cascades",))
        assert report.soak.judged_until == onset + MINUTE
        assert clock.now - onset <= MINUTE + QUICK

    async def test_evidence_that_needs_several_minutes_is_gathered_ahead_too(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        onset = NOON + 30 * MINUTE
        source.fault = between(onset, onset + HOUR, errors)
        async with watched(redis, source, GATES, HOUR, clock) as soak:
            report = await soak.until_over()

        assert (report.transition, report.soak.causes) == ("breached", ("errors",))
        # The slow metric has not yet spoken of the first interval that is bad.
        assert clock.now - onset < MINUTE + SLOW
        assert any("harm is proven" in judgement.reason for judgement in report.judgements)

    async def test_an_interval_counts_only_when_the_slow_metric_has_spoken(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        assert await completed_at(redis, source, clock, HOUR) == NOON + HOUR + SLOW + QUICK

    async def test_what_only_holds_is_not_judged_before_its_interval_is_complete(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        held = ERRORS.model_copy(update={"action": "hold"})
        gates = {**GATES, "errors": bound(held, METRICS)}
        source.fault = between(NOON + 10 * MINUTE, NOON + HOUR, errors)
        async with watched(redis, source, gates, HOUR, clock) as soak:
            report = await soak.until_reported()

        assert report.transition == "hold_began"
        assert clock.now - report.soak.judged_until >= SLOW


class TestOutages:
    @pytest.mark.parametrize("source_fails", [False, True], ids=["no data", "the source fails"])
    async def test_six_hours_without_metrics_move_promotion_by_six_hours_exactly(
        self, redis: Redis, source: TrafficSource, clock: Clock, *, source_fails: bool
    ) -> None:
        undisturbed = await completed_at(redis, source, clock, 3 * HOUR)
        clock.now = NOON
        await redis.flushall()
        source.fault = between(NOON + HOUR, NOON + 7 * HOUR, silence)
        source.fails_between = (NOON + HOUR, NOON + 7 * HOUR) if source_fails else None

        assert await completed_at(redis, source, clock, 3 * HOUR) == undisturbed + 6 * HOUR

    async def test_data_that_arrive_late_are_credited_when_they_arrive(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        arrival = NOON + 2 * HOUR

        def late(_metric: str, _group: Group, end: datetime, healthy: Sample) -> Sample | None:
            return None if NOON + HOUR < end <= NOON + 2 * HOUR and clock.now < arrival else healthy

        source.fault = late
        async with watched(redis, source, GATES, 4 * HOUR, clock) as soak:
            await soak.until(arrival)
            before = soak.soak.credit
            await soak.until(arrival + 20 * MINUTE)
            after = soak.soak.credit
            await soak.until_over()

        assert before <= HOUR
        assert after >= HOUR + HOUR
        assert clock.now == NOON + 4 * HOUR + SLOW + QUICK

    async def test_a_breach_that_arrives_late_is_one_all_the_same(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        arrival = NOON + 2 * HOUR

        def late(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
            if NOON + HOUR < end <= arrival:
                return None if clock.now < arrival else a_cascade(metric, group, end, healthy)
            return healthy

        source.fault = late
        async with watched(redis, source, GATES, 4 * HOUR, clock) as soak:
            report = await soak.until_over()

        assert (report.transition, report.soak.causes) == ("breached", ("cascades",))

    async def test_late_data_of_one_metric_do_not_count_what_another_gate_spoke_against(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        def late_cpu_and_errors(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
            if not NOON + HOUR < end <= NOON + 90 * MINUTE:
                return healthy
            if metric.endswith("utilizations"):
                return healthy if clock.now > NOON + 2 * HOUR else None
            return errors(metric, group, end, healthy)

        held = gate(
            kind="threshold", metric="requests", statistic="bad_share", at_most="1%", action="hold", title="Errors"
        )
        source.fault = late_cpu_and_errors
        async with watched(redis, source, {**GATES, "errors": bound(held, METRICS)}, 3 * HOUR, clock) as soak:
            await soak.until_over()

        assert clock.now - (NOON + 3 * HOUR + SLOW + QUICK) >= 25 * MINUTE


class TestEarlyEnd:
    """`accelerate` in a plan: a minimum soak and conclusive evidence, never one without the other."""

    @staticmethod
    async def ended(redis: Redis, source: TrafficSource, clock: Clock, minimum_soak: timedelta | None) -> str:
        async with watched(redis, source, GATES, 3 * HOUR, clock) as soak:
            soak.request = soak.request.model_copy(update={"minimum_soak": minimum_soak})
            return (await soak.until_over()).transition

    async def test_conclusive_evidence_ends_a_soak_at_its_minimum_and_not_before(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        assert await self.ended(redis, source, clock, HOUR) == "conclusive"
        assert clock.now == NOON + HOUR + SLOW + QUICK

    async def test_without_a_minimum_in_the_plan_no_evidence_ends_a_soak_early(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        assert await self.ended(redis, source, clock, None) == "credit_complete"
        assert clock.now == NOON + 3 * HOUR + SLOW + QUICK

    async def test_evidence_that_is_not_conclusive_ends_nothing_early(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        def few(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
            sizes: dict[Group, int] = {"treated": 5, "control": 45, "all": 50}
            return counts(sizes[group]) if metric.endswith("request_count") else healthy

        source.fault = few

        assert await self.ended(redis, source, clock, HOUR) == "credit_complete"

    async def test_an_outage_counts_towards_no_minimum(self, redis: Redis, source: TrafficSource, clock: Clock) -> None:
        source.fault = between(NOON + HOUR / 2, NOON + HOUR, silence)

        assert await self.ended(redis, source, clock, HOUR) == "conclusive"
        assert clock.now == NOON + HOUR + HOUR / 2 + SLOW + QUICK


class TestWorkers:
    async def test_hours_without_a_worker_cost_nothing_where_the_data_are_there(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        async with watched(redis, source, GATES, 8 * HOUR, clock) as soak:
            await soak.until(NOON + HOUR)
            clock.now += 6 * HOUR
            await soak.until_over()

        assert clock.now == NOON + 8 * HOUR + SLOW + QUICK

    async def test_a_breach_during_hours_without_a_worker_is_found_by_the_next_one(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        source.fault = between(NOON + 2 * HOUR, NOON + 3 * HOUR, errors)
        async with watched(redis, source, GATES, 8 * HOUR, clock) as soak:
            await soak.until(NOON + HOUR)
            clock.now += 6 * HOUR
            report = await soak.until_over()

        assert report.transition == "breached"
        assert report.soak.judged_until < NOON + 2 * HOUR + 10 * MINUTE

    async def test_a_beat_that_was_lost_is_made_up_from_the_data(
        self, redis: Redis, source: TrafficSource, clock: Clock
    ) -> None:
        async with watched(redis, source, GATES, 8 * HOUR, clock) as soak:
            await soak.until(NOON + 2 * HOUR)
            before, evidence = soak.soak, soak.evidence
            soak.beat = None
            clock.now -= MINUTE
            await soak.look()

            assert (soak.soak, soak.evidence) == (before, evidence)

    async def test_the_watch_looks_once_per_interval(self, redis: Redis, source: TrafficSource, clock: Clock) -> None:
        async with watched(redis, source, GATES, HOUR, clock) as soak:
            looked = []
            for _ in range(10):
                await soak.look()
                looked.append(clock.now)

        assert {after - before for before, after in pairwise(looked)} == {MINUTE}
