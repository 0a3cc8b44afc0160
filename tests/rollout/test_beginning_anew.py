"""While nothing speaks against the new code the first key keeps all of its cash: hours of health cost nothing."""

from datetime import UTC, datetime, timedelta
from math import log

import pytest

from rollout.best_run import LESS_WHERE_SETTLED, BestRun, spread_needed
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate
from rollout.sequential_state import HARMLESS, SequentialState
from rollout.share_evidence import harm_onset, settled

GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
START = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY_HOURS = 4
WORSE, LONGEST = 6, 60
"""Bad events of 120 a minute where the treated are worse, and the minutes for which that is looked for."""


def minute(number: int, bad: int) -> Interval:
    """Control has six bad events of 1,080, a seventh each second minute."""
    return Interval(
        end=START + timedelta(minutes=number),
        treated=GroupCounts(total=120, bad=bad),
        control=GroupCounts(total=1_080, bad=6 + number % 2),
    )


def healthy(hours: float) -> SequentialState:
    state = begin(GATE)
    for number in range(int(60 * hours)):
        state, _ = step(GATE, state, minute(number, bad=number % 2))
    return state


def after_bad_minutes(state: SequentialState, hours: float, count: int) -> SequentialState:
    for later in range(count):
        state, _ = step(GATE, state, minute(int(60 * hours) + later, bad=WORSE))
    return state


def minutes_to_a_rollback(state: SequentialState, hours: float) -> int:
    for later in range(LONGEST):
        state, judged = step(GATE, state, minute(int(60 * hours) + later, bad=WORSE))
        if judged.decision == "rollback":
            return later + 1
    raise AssertionError(f"not found within {LONGEST} minutes")


def test_what_begins_on_the_second_day_is_found_as_soon_as_what_begins_after_hours() -> None:
    soon, late = (healthy(hours) for hours in (HEALTHY_HOURS, 40))
    odds = [after_bad_minutes(state, hours, 5).harm_odds for state, hours in ((soon, HEALTHY_HOURS), (late, 40))]

    assert odds[0] > 100
    assert odds[1] == pytest.approx(odds[0], rel=0.1)
    assert minutes_to_a_rollback(late, 40) == minutes_to_a_rollback(soon, HEALTHY_HOURS)


def test_days_without_any_error_leave_as_much_cash_as_bets_of_once_a_day() -> None:
    """Nothing has told of bursts then, so nothing is filled up, and nothing may be staked sooner."""
    state, cash = begin(GATE), 0.5
    for number in range(60 * 40):
        quiet = minute(number, bad=0).model_copy(update={"control": _of_control(0)})
        state, _ = step(GATE, state, quiet)
        cash *= 1 - 1 / 1_440

    assert state.keys[0].harm.cash >= cash > 0.09


def test_the_cash_of_both_bettors_is_whole_after_hours_of_health_and_that_of_the_second_key_is_not() -> None:
    keys = healthy(HEALTHY_HOURS).keys[0]

    assert keys.capped is not None
    assert keys.harm.cash == keys.capped[0].cash == 1.0
    assert keys.beyond.cash < 1.0


def test_cash_is_not_filled_up_while_something_speaks_against_the_new_code() -> None:
    state = healthy(HEALTHY_HOURS)
    while state.harm_odds < HARMLESS:
        state, _ = step(GATE, state, minute(60 * HEALTHY_HOURS + state.keys[0].average.intervals, bad=WORSE))
    before = state.keys[0].harm

    after, _ = step(GATE, state, minute(90 * HEALTHY_HOURS, bad=WORSE))

    assert after.harm_odds > HARMLESS
    assert after.keys[0].harm.cash < before.cash + sum(before.arms) / 240


@pytest.mark.parametrize(
    ("phi", "events", "at_limit", "found"),
    [
        (1.0, 400, 0.5, 1.0),
        (6.0, 400, 1.2, 1.0),
        (7.5, 400, 1.2, 0.5),
        (9.0, 10_000, 1.2, 0.0),
        (40.0, 10_000, 1.2, 0.0),
        (1.0, 399, 1.2, 0.0),
        (1.0, 10_000, 0.25, 0.0),
        (1.0, 10_000, 0.375, 0.5),
    ],
)
def test_that_bursts_are_small_is_settled_by_enough_bad_events_that_show_it(
    phi: float, events: int, at_limit: float, found: float
) -> None:
    assert settled(phi, events, at_limit) == found


def test_among_large_bursts_hours_of_health_leave_no_more_cash_than_there_was() -> None:
    state = begin(GATE)
    for number in range(60 * HEALTHY_HOURS):
        burst = 120 if number % 20 == 0 else 0
        state, _ = step(GATE, state, minute(number, bad=0).model_copy(update={"control": _of_control(3 + burst)}))
    keys = state.keys[0]

    assert keys.dispersion.phi > 9
    assert keys.harm.cash < 0.5


def _of_control(bad: int) -> GroupCounts:
    return GroupCounts(total=1_080, bad=bad)


@pytest.mark.parametrize(("bursts_settled", "minutes"), [(0.0, 1_440.0), (0.5, 960.0), (1.0, 480.0)])
def test_harm_is_taken_to_begin_three_times_a_day_where_cash_is_filled_up_and_once_elsewhere(
    bursts_settled: float, minutes: float
) -> None:
    assert harm_onset(bursts_settled) == minutes


def test_less_must_remain_for_bursts_that_are_settled_and_never_less_than_without_any() -> None:
    assert spread_needed(5.0, 1.2) - spread_needed(5.0, 1.2, settled=1.0) == pytest.approx(LESS_WHERE_SETTLED)
    assert spread_needed(1.5, 1.2, settled=1.0) == spread_needed(1.5, 1.2)


def test_the_best_run_begins_once_something_speaks_against_the_new_code() -> None:
    run = BestRun().after(0.6, 1.0, harmless=log(HARMLESS)).after(3.0, 1.0, harmless=log(HARMLESS))

    assert run.largest == pytest.approx(2.4)
    assert run.after(0.6, 1.0, harmless=log(HARMLESS)).largest == 0.0
    assert run.after(0.6, 1.0).largest == pytest.approx(2.4)


def test_what_must_remain_is_less_while_bursts_are_small_and_well_known() -> None:
    state = begin(GATE)
    for number in range(60 * HEALTHY_HOURS):
        burst = 14 if number % 5 == 0 else 0
        phi = state.keys[0].dispersion.phi
        state, _ = step(GATE, state, minute(number, bad=0).model_copy(update={"control": _of_control(5 + burst)}))
    best_run = state.keys[0].best_run

    assert best_run is not None
    assert 2.75 < phi < 6
    assert best_run.needed == pytest.approx(spread_needed(phi, 1.2, settled=1.0), abs=1e-6)


@pytest.mark.parametrize("bad", [2, 4])
def test_a_rollout_holds_at_a_thousand_to_one(bad: int) -> None:
    state, held = healthy(HEALTHY_HOURS), []
    for later in range(LONGEST):
        state, judged = step(GATE, state, minute(60 * HEALTHY_HOURS + later, bad=bad))
        if judged.decision == "rollback":
            break
        held.append((judged.evidence.harm >= 1_000, judged.decision == "hold"))

    assert {wanted for wanted, _ in held} == {True, False}
    assert all(wanted == done for wanted, done in held)


@pytest.mark.parametrize(
    "gate",
    [{"kind": "versus_control", "statistic": "p95", "max_increase": "10%"}, {"kind": "threshold", "at_most": "1%"}],
)
def test_latencies_and_limits_hold_at_three_hundred_to_one_as_ever(gate: dict[str, str]) -> None:
    state = begin(SequentialGate.model_validate(gate))

    assert state.hold_needed == 300
    assert not any(keys.begins_anew for keys in state.keys)
