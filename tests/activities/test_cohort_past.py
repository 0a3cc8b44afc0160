"""A stage that compares a cohort asks once what it was before it was exposed, and allows that much."""

from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from rollout.measurement import (
    Counts,
    Group,
    GroupsByCohort,
    IntervalMeasurement,
    Metric,
    Sample,
    SourceFailure,
    UnfitAnswer,
)
from rollout.measurement import TimeSeriesQuery as Query
from rollout.soak_evidence import SoakEvidence
from rollout.verdict import Verdict
from rollout.watch import BoundGate, Past, WatchBeat
from tests.activities.watched_soak import MINUTE, NOON, Clock, bound, gate, watched
from tests.workflows.traffic_source import Fault, TrafficSource

HOUR = 60 * MINUTE
BY_COHORT = Metric(
    type="custom.googleapis.com/rollout/cohort_request_count",
    value="count",
    groups=GroupsByCohort.model_validate({"label": "metric.labels.cohort", "steps": ["10%", "50%"]}),
)
ERRORS = gate(kind="versus_control", title="Errors", metric="requests", statistic="bad_share", max_difference="1%")
UNTIL = NOON - MINUTE
PAST = Past(since=UNTIL - 10 * HOUR, until=UNTIL)


def asking(past: Past | None, share: float = 0.1) -> dict[str, BoundGate]:
    found = bound(ERRORS, {"requests": BY_COHORT})
    queries = {name: query.model_copy(update={"cohort": share}) for name, query in found.queries.items()}
    return {"errors": found.model_copy(update={"past": past, "queries": queries})}


def worse(extra: float = 0.0) -> Fault:
    """Treated users have 3 % errors and others 1 %, before and after; `extra` comes with the features."""

    def measured(_metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
        assert isinstance(healthy, Counts)
        share = 0.01 if group == "control" else 0.03 + (extra if end > NOON else 0.0)
        return Counts(total=healthy.total, bad=round(healthy.total * share))

    return measured


class Asked(TrafficSource):
    """Remembers which windows were asked for, and fails those that end before `broken_until`."""

    def __init__(self, clock: Clock) -> None:
        async def a_tenth() -> float:
            return 0.1

        super().__init__(a_tenth)
        self.clock, self.delay = clock.read, timedelta(seconds=5)
        self.windows: list[tuple[datetime, datetime]] = []
        self.broken = False
        self.unfit_until: datetime | None = None

    async def measure(
        self, query: Query, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        self.windows.append((start, end))
        if self.broken and end <= NOON:
            raise SourceFailure("Cloud Monitoring answers 503")
        if self.unfit_until is not None and end <= self.unfit_until:
            raise UnfitAnswer("requests answers with a count of -1")
        return await super().measure(query, start=start, end=end, interval=interval)

    @property
    def of_the_past(self) -> list[tuple[datetime, datetime]]:
        return [window for window in self.windows if window[1] <= NOON]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Asked:
    built = Asked(clock)
    built.fault = worse()
    return built


async def test_without_a_past_a_cohort_that_was_worse_is_rolled_back(redis: Redis, source: Asked, clock: Clock) -> None:
    async with watched(redis, source, asking(None), 2 * HOUR, clock) as soak:
        assert (await soak.until_over()).transition == "breached"


async def test_what_the_cohort_was_worse_by_before_is_allowed_and_said(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        report = await soak.until_over()

    assert (report.transition, soak.told) == ("credit_complete", ["credit_complete"])
    assert (
        "; the cohort had 3.00 times control's share before, on 21,600 bad events: 3.0" in report.judgements[0].reason
    )


async def test_what_the_features_add_to_it_is_rolled_back(redis: Redis, source: Asked, clock: Clock) -> None:
    source.fault = worse(0.03)
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        assert (await soak.until_over()).transition == "breached"


async def test_the_past_is_asked_for_once_and_a_few_hours_at_a_time(redis: Redis, source: Asked, clock: Clock) -> None:
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        await soak.until_over()

    assert source.of_the_past == [
        (PAST.since, PAST.since + 4 * HOUR),
        (PAST.since + 4 * HOUR, PAST.since + 8 * HOUR),
        (PAST.since + 8 * HOUR, PAST.until),
    ]


async def test_a_lost_heartbeat_costs_the_question_and_changes_nothing(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        await soak.until(NOON + 10 * MINUTE)
        before = _written(soak.evidence)
        soak.beat = None
        clock.now -= MINUTE
        await soak.until(NOON + 10 * MINUTE)

        assert _written(soak.evidence) == before
    assert len(source.of_the_past) == 6


def _written(evidence: SoakEvidence | None) -> str:
    assert evidence is not None
    return evidence.model_dump_json()


async def test_a_past_that_cannot_be_read_is_an_error_that_holds_and_is_judged_once_it_can(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    source.broken = True
    async with watched(redis, source, asking(PAST), HOUR, clock) as soak:
        await soak.until(NOON + 10 * MINUTE)
        assert soak.told == ["hold_began"]
        assert soak.judgements["errors"].verdict is Verdict.ERROR
        assert soak.judgements["errors"].reason == (
            "Errors: the cohort's past could not be read: Cloud Monitoring answers 503"
        )
        assert soak.soak.credit == timedelta()

        source.broken = False
        report = await soak.until_over()
    # What waited was judged when the past was known, and is credited: the soak ends when it would have ended.
    assert report.transition == "credit_complete"
    assert report.soak.judged_until <= NOON + HOUR + 15 * MINUTE
    assert report.soak.gaps == ()


async def test_a_silent_past_is_no_error_and_allows_nothing(redis: Redis, source: Asked, clock: Clock) -> None:
    def silent_before(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
        return healthy if end > NOON else None

    source.fault = silent_before
    async with watched(redis, source, asking(PAST), HOUR, clock) as soak:
        report = await soak.until_over()

    assert report.transition == "credit_complete"
    assert "nothing is known of the cohort before" in report.judgements[0].reason


async def test_a_past_with_holes_teaches_what_it_holds(redis: Redis, source: Asked, clock: Clock) -> None:
    whole = worse()

    def every_other_hour(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample | None:
        return whole(metric, group, end, healthy) if end > NOON or end.hour % 2 else None

    source.fault = every_other_hour
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        assert (await soak.until_over()).transition == "credit_complete"


async def test_hours_of_the_past_that_no_metric_can_have_teach_nothing_and_keep_nobody_waiting(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    """They will answer the same for ever; what the other hours hold is still allowed."""
    source.unfit_until = PAST.since + 4 * HOUR
    async with watched(redis, source, asking(PAST), 2 * HOUR, clock) as soak:
        assert (await soak.until_over()).transition == "credit_complete"


async def test_beside_a_past_that_cannot_be_read_gates_that_need_none_are_judged(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    source.broken, source.fault = True, worse(0.5)
    at_most = gate(kind="threshold", title="Errors", metric="requests", statistic="bad_share", at_most="20%")
    gates = asking(PAST)
    gates["limit"] = gates["errors"].model_copy(update={"gate": at_most, "past": None})
    async with watched(redis, source, gates, HOUR, clock) as soak:
        report = await soak.until_over()

    assert report.transition == "breached"
    assert report.soak.causes == ("limit",)


async def test_the_next_stage_learns_of_its_own_larger_cohort_and_keeps_its_evidence(
    redis: Redis, source: Asked, clock: Clock
) -> None:
    async with watched(redis, source, asking(PAST), HOUR, clock) as soak:
        first = await soak.until_over()
        soak.request = soak.request.model_copy(
            update={
                "gates": asking(PAST, share=0.5),
                "soak": soak.request.soak.model_copy(update={"since": clock.now, "judged_until": clock.now}),
                "evidence": first.evidence,
            }
        )
        soak.beat = None
        source.windows.clear()
        await soak.until(clock.now + 5 * MINUTE)

        beat = WatchBeat.model_validate(soak.beat)
    assert len(source.of_the_past) == 3
    assert first.evidence is not None
    assert beat.evidence is not None
    then, now = first.evidence.states["errors"].keys[0], beat.evidence.states["errors"].keys[0]
    assert now.history is not None
    assert then.history is not None
    # Half of the users, all of them: five times as many bad events of the cohort were seen before.
    assert now.history.bad == 5 * then.history.bad
    assert now.dispersion.events >= then.dispersion.events
