"""Treated users who alone are silent make a rollout hold and page; nights and small numbers do not."""

# ruff: noqa: S311  (seeded data for tests, no secrets)
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from random import Random

import pytest

from rollout.binding import treated_share
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import Look, Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import Group, IntervalMeasurement, Sample
from rollout.soak import begin, due
from rollout.soak_evidence import of_soak
from rollout.verdict import Judgement, Lack, Verdict
from rollout.watch import BoundGate, Expected, WatchBeat, WatchRequest, WorthTelling
from rollout.window_reading import size_of
from starter.plan_file import load_plan
from tests.checkout import PLANS
from tests.rollout.samples import MINUTE, NOON, counts, latencies
from tests.rollout.soaked_gates import gate

EVENTS = gate(kind="threshold", statistic="p95", at_most="100ms", action="hold", metric="events", title="Events")
ERRORS = gate(kind="versus_control", statistic="bad_share", max_difference="1%", metric="requests", title="Errors")
PAGE_AFTER = EVENTS.page_after

Minute = Mapping[str, Mapping[Group, Sample]]


def asking(share: float | None, interval: timedelta) -> WatchRequest:
    bound = {"events": BoundGate(gate=EVENTS, treated_share=share), "errors": BoundGate(gate=ERRORS)}
    nothing = Expected(environment="test", group="shop", fence=1, flags={}, traffic=())
    return WatchRequest(
        stage="canary", soak=begin(NOON, interval), target=timedelta(days=30), gates=bound, expected=nothing
    )


def minute(*, events: tuple[int, int] | None, requests: tuple[int, int]) -> Minute:
    """(treated, control) of both metrics; a group of nobody is absent."""
    groups: dict[str, Mapping[Group, Sample]] = {}
    if events is not None:
        groups["events"] = _present(latencies(events[0], 10), latencies(events[1], 10))
    groups["requests"] = _present(counts(requests[0]), counts(requests[1]))
    return groups


def _present(treated: Sample, control: Sample) -> Mapping[Group, Sample]:
    named: Mapping[Group, Sample] = {"treated": treated, "control": control}
    return {group: sample for group, sample in named.items() if size_of(sample)}


USUAL = minute(events=(400, 3_600), requests=(120, 1_080))
SILENT = minute(events=(0, 3_600), requests=(120, 1_080))
NIGHT = minute(events=(0, 3_600), requests=(0, 1_080))
NOBODY = latencies(0, 10)
ALL_SILENT: Minute = {**SILENT, "events": {"treated": NOBODY, "control": NOBODY}}


def watched(
    minutes: Iterable[Minute],
    share: float | None = None,
    restarts: Sequence[int] = (),
    interval: timedelta = MINUTE,
) -> tuple[Standing, list[tuple[int, WorthTelling]], list[Judgement]]:
    """The last standing, what was told and in which minute, and each minute's judgement of the events."""
    request, told, judged = asking(share, interval), list[tuple[int, WorthTelling]](), list[Judgement]()
    standing = Standing(request.soak, of_soak(None, NOON, request.gates), ())
    known = {"events": IntervalSeries(), "requests": IntervalSeries()}
    for number, found in enumerate(minutes, start=1):
        now = NOON + number * interval
        for metric, groups in found.items():
            known[metric].extend([IntervalMeasurement(end=now, groups=dict(groups))])
        visibility = Visibility(now, {"events": timedelta(), "requests": timedelta()})
        answers = Answers(now, known)
        standing, transition = take_in(Look(request, answers, due(standing.soak, now), {}, visibility), standing)
        judged.append(next(each for each in standing.judgements if each.gate == "events"))
        if transition is not None:
            told.append((number, transition))
        if number in restarts:
            read = WatchBeat.model_validate_json(standing.beat(now).model_dump_json())
            standing = Standing(read.soak, of_soak(read.evidence, NOON, request.gates), read.judgements)
    return standing, told, judged


def test_events_that_stop_for_treated_users_alone_hold_and_page_after_the_gates_time() -> None:
    _, told, judged = watched([*[USUAL] * 32, *[SILENT] * 40])

    assert told == [(32 + 30, "hold_began"), (32 + 31, "hold_needs_a_person")]
    assert judged[-1].verdict is Verdict.UNKNOWN
    assert judged[-1].reason == (
        "Events: control had 144,000, treated none since 12:32, with 4,800 of treated users elsewhere; "
        "data until 13:12, 0 s old"
    )


def test_it_is_so_where_treated_users_were_never_heard_at_all() -> None:
    assert watched([SILENT] * 40)[1] == [(30, "hold_began"), (31, "hold_needs_a_person")]


def test_events_that_stop_for_everybody_while_the_source_goes_on_hold_and_page_too() -> None:
    _, told, judged = watched([*[USUAL] * 32, *[ALL_SILENT] * 40])

    assert [what for _, what in told] == ["hold_began", "hold_needs_a_person"]
    assert "Events: nobody had any since 12:32, with " in judged[-1].reason


def test_the_hold_ends_when_they_are_heard_again_and_no_credit_was_earned_meanwhile() -> None:
    standing, told, _ = watched([*[USUAL] * 32, *[SILENT] * 40, *[USUAL] * 10])

    assert told[-1] == (32 + 40 + 3, "hold_ended")
    assert standing.soak.credit == 42 * MINUTE


def test_an_audience_that_sleeps_is_idle_and_nobody_is_paged() -> None:
    _, told, judged = watched([*[USUAL] * 10, *[NIGHT] * 60 * 14])

    assert told == []
    assert judged[-1].verdict is Verdict.IDLE


def test_an_audience_that_stays_away_for_longer_than_a_weekend_is_asked_for() -> None:
    _, told, judged = watched([USUAL, *[NIGHT] * 150], interval=30 * MINUTE)

    assert [what for _, what in told] == ["hold_began", "hold_needs_a_person"]
    assert "treated none since 2026-11-23 12:30" in judged[-1].reason


def test_a_share_of_the_users_that_is_silent_everywhere_holds_although_nobody_of_them_is_elsewhere() -> None:
    assert [what for _, what in watched([NIGHT] * 40, share=0.1)[1]] == ["hold_began", "hold_needs_a_person"]


def test_where_few_were_to_be_expected_nobody_is_asked() -> None:
    few = minute(events=(0, 3), requests=(0, 9))

    assert watched([few] * 500, share=0.1)[1] == []


def test_a_minute_without_treated_users_is_idle_and_starts_no_clock() -> None:
    _, told, judged = watched([*[USUAL, NIGHT] * 60])

    assert told == []
    assert {each.verdict for each in judged[1::2]} == {Verdict.IDLE}


def test_time_in_which_nobody_did_anything_is_no_silence() -> None:
    nothing: Minute = {"events": {"treated": latencies(0, 10)}, "requests": {"treated": counts(0)}}

    assert watched([*[USUAL] * 10, *[nothing] * 600], share=0.1)[1] == []


@pytest.mark.parametrize("seed", range(3))
def test_users_who_come_and_go_in_sessions_are_asked_for_twice_a_day_at_most(seed: int) -> None:
    """Ten users at a time, one of them treated on average, for ten minutes each."""
    random = Random(seed)
    _, told, _ = watched(_sessions(random, 1440), share=0.1)

    assert [what for _, what in told].count("hold_needs_a_person") <= 2


def _sessions(random: Random, count: int) -> Iterator[Minute]:
    treated: list[bool] = [random.random() < 0.1 for _ in range(10)]
    for _ in range(count):
        treated = [random.random() < 0.1 if left else one for one, left in zip(treated, _leaving(random), strict=True)]
        here = sum(treated)
        yield minute(events=(here * 20, (10 - here) * 20), requests=(here * 6, (10 - here) * 6))


def _leaving(random: Random) -> list[bool]:
    return [random.random() < 0.1 for _ in range(10)]


def test_what_is_known_of_a_silence_survives_a_restart_in_every_minute() -> None:
    minutes = [*[USUAL] * 5, *[SILENT] * 40]

    assert watched(minutes, restarts=range(50))[1:] == watched(minutes)[1:]


def test_a_silence_is_a_lack_of_sample_which_makes_no_gap_for_late_data_to_fill() -> None:
    standing, _, judged = watched([*[USUAL] * 5, *[SILENT] * 40])

    assert judged[-1].lack is Lack.SAMPLE
    assert standing.soak.gaps == ()


def test_the_shipped_plans_stages_know_their_share_where_it_is_one_of_all_users() -> None:
    plan = load_plan(PLANS / "request-isolation.yaml")
    events = plan.gates["websocket_events"]

    told = {stage.name: treated_share(plan, stage, events) for stage in plan.stages}
    assert told == {"deploy-off": None, "internal": None, "canary": 0.1, "staged": 0.5, "full": 1.0}


def test_where_revisions_are_compared_it_is_the_smallest_step_of_the_traffic() -> None:
    plan = load_plan(PLANS / "traffic-canary.yaml")
    by_revision = next(g for g in plan.gates.values() if getattr(g, "group", "all") == "treated")

    shares = [treated_share(plan, stage, by_revision) for stage in plan.stages]
    assert all(share is None or 0 < share <= 1 for share in shares)
    assert any(shares)


@pytest.mark.parametrize(("minutes", "holds"), [(70, 1), (130, 2)])
def test_after_a_silence_that_ended_by_itself_one_less_than_twice_as_long_is_usual(minutes: int, holds: int) -> None:
    _, told, _ = watched([*[USUAL] * 5, *[SILENT] * 40, *[USUAL] * 10, *[SILENT] * minutes])

    assert [what for _, what in told].count("hold_began") == holds
