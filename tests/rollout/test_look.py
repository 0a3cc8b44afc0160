"""A look decides from what was fetched alone: how intervals are dealt out over looks changes nothing."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.drift import DRIFT
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import Counts, IntervalMeasurement
from rollout.soak import begin, due
from rollout.soak_evidence import of_soak
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate, Expected, WatchReport, WatchRequest, WorthTelling
from tests.rollout.samples import MINUTE, NOON
from tests.rollout.test_soak_evidence import ERRORS, HELD_ERRORS

SOAK = begin(NOON, MINUTE)
HOURS = timedelta(hours=3)
REQUEST = WatchRequest(
    stage="canary",
    soak=SOAK,
    target=HOURS,
    gates={name: BoundGate(gate=asked) for name, asked in {"errors": ERRORS, "held": HELD_ERRORS}.items()},
    expected=Expected(environment="test", group="shop", fence=1, flags={}, traffic=()),
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


def watched(errors: Errors, looks: list[int]) -> tuple[Standing, list[WorthTelling]]:
    """The standing after all minutes, looked at when `looks` says; each look goes on after what it had to tell."""
    found, told = answers(errors), []
    standing = Standing(SOAK, of_soak(None, SOAK.since, REQUEST.gates), ())
    for minutes in [*looks, len(errors)]:
        until = NOON + minutes * MINUTE
        while ends := due(standing.soak, until):
            nothing_else = {DRIFT: Judgement(gate=DRIFT, verdict=Verdict.PASS, reason="as set", as_of=until)}
            visibility = Visibility(until, {"m": timedelta()})
            standing, transition = take_in(REQUEST, standing, found, ends, nothing_else, visibility)
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
