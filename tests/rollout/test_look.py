"""A look decides from what was fetched alone: how intervals are dealt out over looks changes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.drift import DRIFT
from rollout.foresight import Foresight
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import Look, Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import Counts, IntervalMeasurement
from rollout.soak import begin, due
from rollout.soak_evidence import of_soak
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate, Expected, WatchBeat, WatchReport, WatchRequest, WorthTelling
from tests.rollout.samples import MINUTE, NOON
from tests.rollout.soaked_gates import ERRORS, HELD_ERRORS

SOAK = begin(NOON, MINUTE)
HOURS = timedelta(hours=3)
REQUEST = WatchRequest(
    stage="canary",
    soak=SOAK,
    target=HOURS,
    gates={name: BoundGate(gate=asked) for name, asked in {"errors": ERRORS, "held": HELD_ERRORS}.items()},
    expected=Expected(environment="test", group="shop", fence=1, flags={}, traffic=()),
)
TWO = REQUEST.model_copy(
    update={"gates": REQUEST.gates | {"late": BoundGate(gate=HELD_ERRORS.model_copy(update={"metric": "slow"}))}}
)

Errors = Sequence[int | None]
MINUTES = st.lists(st.none() | st.integers(0, 40) | st.just(2), min_size=30, max_size=90)


def answers(errors: Errors) -> Answers:
    """One minute per entry: errors among a thousand treated requests; None is a minute without data."""
    measured = [
        IntervalMeasurement(
            end=NOON + number * MINUTE,
            groups={"treated": Counts(total=1_000, bad=bad), "control": Counts(total=9_000, bad=18)},
        )
        for number, bad in enumerate(errors, start=1)
        if bad is not None
    ]
    return Answers(NOON + (len(errors) + 1) * MINUTE, {"m": IntervalSeries(measured)})


def watched_ahead(errors: Errors, *, remembering: bool) -> list[Standing]:
    """The standings after each minute, where one metric is three minutes later than the one that rolls back."""
    both = answers(errors).intervals["m"]
    found = Answers(NOON + (len(errors) + 1) * MINUTE, {"m": both, "slow": both})
    standing, standings, foresight = Standing(SOAK, of_soak(None, SOAK.since, TWO.gates), ()), [], Foresight()
    for minutes in range(1, len(errors) + 1):
        visibility = Visibility(NOON + minutes * MINUTE, {"m": timedelta(), "slow": 3 * MINUTE})
        ends = due(standing.soak, visibility.complete_until)
        answered = replace(found, at=visibility.now)
        kept = foresight if remembering else Foresight()
        standing, transition = take_in(Look(TWO, answered, ends, {}, visibility, kept), standing)
        standings.append(standing)
        if transition == "breached":
            break
        # As a heartbeat brings it to the next look.
        read = WatchBeat.model_validate_json(standing.beat(visibility.now).model_dump_json())
        standing = Standing(read.soak, of_soak(read.evidence, SOAK.since, TWO.gates), read.judgements)
    return standings


def watched(errors: Errors, looks: list[int]) -> tuple[Standing, list[WorthTelling]]:
    """The standing after all minutes, looked at when `looks` says; each look goes on after what it had to tell."""
    found, told = answers(errors), []
    standing = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ())
    for minutes in [*looks, len(errors)]:
        until = NOON + minutes * MINUTE
        while ends := due(standing.soak, until):
            nothing_else = {DRIFT: Judgement(gate=DRIFT, verdict=Verdict.PASS, reason="as set", as_of=until)}
            visibility = Visibility(until, {"m": timedelta()})
            standing, transition = take_in(Look(REQUEST, found, ends, nothing_else, visibility), standing)
            report = standing.report(transition) if transition is not None else None
            if report is not None:
                told.append(report.transition)
                read = WatchReport.model_validate_json(report.model_dump_json())
                standing = Standing(read.soak, of_soak(read.evidence, SOAK.since, REQUEST.gates), read.judgements)
            if transition == "breached":
                return standing, told
    return standing, told


@settings(max_examples=40, deadline=None)
@given(MINUTES, st.lists(st.integers(1, 90), max_size=20))
def test_neither_the_cadence_of_looks_nor_a_restart_changes_what_is_decided(errors: Errors, looks: list[int]) -> None:
    every_minute, told = watched(errors, list(range(1, len(errors) + 1)))
    now_and_then, told_then = watched(errors, sorted(look for look in looks if look < len(errors)))

    assert now_and_then.soak == every_minute.soak
    assert now_and_then.evidence == every_minute.evidence
    assert told_then == told


@settings(max_examples=8, deadline=None)
@given(MINUTES, st.integers(0, 90))
def test_what_is_remembered_of_intervals_ahead_says_what_judging_them_again_says(errors: Errors, bad_from: int) -> None:
    failing = [*errors[:bad_from], *(400 if bad is not None else None for bad in errors[bad_from:])]

    assert watched_ahead(failing, remembering=True) == watched_ahead(failing, remembering=False)


@settings(max_examples=40, deadline=None)
@given(MINUTES)
def test_minutes_without_data_never_earn_and_never_breach(errors: Errors) -> None:
    silent: Errors = [None] * len(errors)

    standing, told = watched(silent, [])

    assert standing.soak.credit == timedelta()
    assert "breached" not in told


def test_a_breach_ends_the_look_with_the_interval_it_happened_in() -> None:
    standing, told = watched([2] * 30 + [400] * 30, [])

    assert told[-1] == "breached"
    assert standing.soak.judged_until <= NOON + 36 * MINUTE


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.ERROR])
def test_while_flags_are_not_as_set_no_interval_of_a_long_look_ends_the_hold_or_the_soak(verdict: Verdict) -> None:
    """After an outage a look takes many intervals in at once; what is wrong around it was asked once, now."""
    found, until = answers([2] * 20), NOON + 20 * MINUTE
    amiss = {DRIFT: Judgement(gate=DRIFT, verdict=verdict, reason="one flag is off", as_of=until)}
    request = REQUEST.model_copy(update={"target": 5 * MINUTE})
    standing, told = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ()), []

    while ends := due(standing.soak, until):
        visibility = Visibility(until, {"m": timedelta()})
        standing, transition = take_in(Look(request, found, ends, amiss, visibility), standing)
        told.append(transition)

    assert standing.soak.standing == ("holding" if verdict is Verdict.FAIL else "waiting")
    assert set(told) <= {"hold_began", "hold_needs_a_person", None}
    assert standing.soak.credit == timedelta()


def test_what_a_gate_says_of_an_interval_of_a_long_look_is_told_whatever_is_amiss_now() -> None:
    """Somebody's change of flags, or one that a command has not heard the end of, hides no failure."""
    found, until = answers([2] * 10 + [400] * 10), NOON + 20 * MINUTE
    amiss = {DRIFT: Judgement(gate=DRIFT, verdict=Verdict.FAIL, reason="one flag is off", as_of=until)}
    standing, ends = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ()), due(SOAK, until)

    standing, transition = take_in(Look(REQUEST, found, ends, amiss, Visibility(until, {"m": timedelta()})), standing)

    assert transition == "breached"
    assert DRIFT not in standing.soak.causes


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.ERROR])
def test_data_that_arrive_late_fail_whatever_is_amiss_beside_them(verdict: Verdict) -> None:
    """A few percent more errors, which no single interval proves."""
    until = NOON + 60 * MINUTE
    around = {DRIFT: Judgement(gate=DRIFT, verdict=verdict, reason="as the store says", as_of=until)}
    silent, _ = watched([None] * 60, [])
    standing = replace(silent, judgements=())

    standing, transition = take_in(
        Look(REQUEST, answers([60] * 60), [], around, Visibility(until, {"m": timedelta()})), standing
    )

    assert transition == "breached"


def test_minutes_that_nobody_looked_at_are_credited_once_the_flags_can_be_read_and_not_before() -> None:
    found, until = answers([2] * 30), NOON + 20 * MINUTE
    standing = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ())
    earned = []

    for verdict in (Verdict.ERROR, Verdict.ERROR, Verdict.PASS):
        around = {DRIFT: Judgement(gate=DRIFT, verdict=verdict, reason="as the store says", as_of=until)}
        visibility, ends = Visibility(until, {"m": timedelta()}), due(standing.soak, until)
        standing, _ = take_in(Look(REQUEST, found, ends, around, visibility), standing)
        earned.append(standing.soak.credit)
        until += MINUTE

    assert earned == [timedelta(), timedelta(), 20 * MINUTE]


def test_where_a_hold_over_flags_is_judged_anew_none_of_its_time_is_credited_and_the_present_ends_it() -> None:
    """A new watch knows of the hold, and no longer what each of its intervals was like."""
    found, until = answers([2] * 40), NOON + 30 * MINUTE
    held = SOAK.model_copy(update={"standing": "holding", "causes": (DRIFT,), "told_a_person": True})
    standing, looks = Standing(held, of_soak(None, held.since, REQUEST.gates), ()), 0

    while standing.soak.standing == "holding":
        as_set = {DRIFT: Judgement(gate=DRIFT, verdict=Verdict.PASS, reason="as set", as_of=until)}
        visibility = Visibility(until, {"m": timedelta()})
        ends = due(standing.soak, until)
        standing, _ = take_in(Look(REQUEST, found, ends, as_set, visibility), standing)
        looks, until = looks + 1, until + MINUTE

    assert looks == 3
    assert standing.soak.credit == 3 * MINUTE


def test_a_hold_over_flags_ends_also_where_every_look_takes_several_intervals_in() -> None:
    found, until = answers([2] * 40), NOON + 3 * MINUTE
    held = SOAK.model_copy(update={"standing": "holding", "causes": (DRIFT,), "told_a_person": True})
    standing, looks = Standing(held, of_soak(None, held.since, REQUEST.gates), ()), 0

    while standing.soak.standing == "holding" and looks < 10:
        as_set = {DRIFT: Judgement(gate=DRIFT, verdict=Verdict.PASS, reason="as set", as_of=until)}
        ends, visibility = due(standing.soak, until), Visibility(until, {"m": timedelta()})
        standing, _ = take_in(Look(REQUEST, found, ends, as_set, visibility), standing)
        looks, until = looks + 1, until + 3 * MINUTE

    assert looks == 2


def test_minutes_in_which_the_flags_could_not_be_read_earn_nothing_later_by_metrics_alone() -> None:
    """Nothing that arrives late says who saw the features then."""
    found, silent = answers([2] * 20), range(5, 11)
    standing = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ())

    for minute in range(1, 21):
        until = NOON + minute * MINUTE
        verdict = Verdict.ERROR if minute in silent else Verdict.PASS
        around = {DRIFT: Judgement(gate=DRIFT, verdict=verdict, reason="as the store says", as_of=until)}
        visibility, ends = Visibility(until, {"m": timedelta()}), due(standing.soak, until)
        standing, _ = take_in(Look(REQUEST, found, ends, around, visibility), standing)

    assert standing.soak.standing == "passing"
    assert standing.soak.credit == (20 - len(silent)) * MINUTE
