from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.soak import SoakState, Suspension, Transition, begin, counts, due, fill, missing, record
from rollout.verdict import Action, Judgement, Lack, Verdict
from tests.rollout.samples import MINUTE, NOON

ACTIONS: dict[str, Action] = {"errors": "rollback", "memory": "hold", "disk": "warn"}
PAGE_AFTER = {"errors": 10 * MINUTE, "memory": 10 * MINUTE, "disk": 10 * MINUTE}


def judgement(verdict: Verdict, gate: str = "errors", lack: Lack = Lack.NOTHING) -> Judgement:
    return Judgement(gate=gate, verdict=verdict, reason="why", lack=lack, as_of=NOON)


NO_DATA = judgement(Verdict.UNKNOWN, lack=Lack.DATA)
TOO_FEW = judgement(Verdict.UNKNOWN, lack=Lack.SAMPLE)


def after(
    *judgements: Judgement, start: SoakState | None = None, counted: bool = True
) -> tuple[SoakState, list[Transition | None]]:
    """The soak after one interval per judgement, and what each was worth telling."""
    state, told = start or begin(NOON, MINUTE), []
    for found in judgements:
        end = state.judged_until + MINUTE
        state, transition = record(state, end, {found.gate: found}, ACTIONS, PAGE_AFTER, counted=counted)
        told.append(transition)
    return state, told


def passing(count: int) -> Sequence[Judgement]:
    return [judgement(Verdict.PASS)] * count


def test_only_intervals_that_pass_earn_credit() -> None:
    state, _ = after(*passing(3), judgement(Verdict.IDLE), NO_DATA, TOO_FEW, judgement(Verdict.ERROR), *passing(2))

    assert state.credit == 5 * MINUTE


def test_a_failing_rollback_gate_breaches_at_once_and_earns_nothing() -> None:
    state, told = after(*passing(2), judgement(Verdict.FAIL))

    assert told == [None, None, "breached"]
    assert (state.standing, state.causes, state.credit) == ("failed", ("errors",), 2 * MINUTE)


def test_a_failing_hold_gate_holds_at_once() -> None:
    state, told = after(*passing(1), judgement(Verdict.FAIL, "memory"))

    assert told == [None, "hold_began"]
    assert (state.standing, state.causes) == ("holding", ("memory",))


def test_a_failing_warn_gate_is_told_once_and_credit_goes_on() -> None:
    state, told = after(*[judgement(Verdict.FAIL, "disk")] * 3)

    assert told == ["warned", None, None]
    assert state.credit == 3 * MINUTE


def test_one_missing_minute_is_not_told_and_three_are_a_hold() -> None:
    _, told = after(*passing(1), NO_DATA, NO_DATA, NO_DATA)

    assert told == [None, None, None, "hold_began"]


def test_a_hold_that_lasts_calls_for_a_person_once() -> None:
    _, told = after(*[NO_DATA] * 30)

    assert [name for name in told if name] == ["hold_began", "hold_needs_a_person"]


def test_a_small_sample_is_waited_for_as_long_as_the_gate_allows() -> None:
    _, told = after(*[TOO_FEW] * 10)

    assert told == [None] * 9 + ["hold_began"]


def test_a_hold_ends_after_three_passing_intervals_and_does_not_flap_before() -> None:
    flapping = [judgement(Verdict.FAIL, "memory"), *passing(2)] * 3

    _, told = after(*flapping, *passing(1))

    assert [name for name in told if name] == ["hold_began", "hold_ended"]


def test_a_new_cause_during_a_hold_is_told() -> None:
    _, told = after(judgement(Verdict.FAIL, "memory"), *[judgement(Verdict.ERROR)] * 2)

    assert told == ["hold_began", "hold_changed", None]


def test_paused_time_earns_no_credit_but_still_breaches() -> None:
    state, told = after(*passing(5), judgement(Verdict.FAIL), counted=False)

    assert state.credit == timedelta()
    assert told[-1] == "breached"


def test_an_interval_counts_only_if_it_lies_outside_every_pause() -> None:
    pause = Suspension(since=NOON + 2 * MINUTE, until=NOON + 4 * MINUTE + timedelta(seconds=1))

    counted = [counts(NOON + step * MINUTE, MINUTE, [pause]) for step in range(1, 8)]

    assert counted == [True, True, False, False, False, True, True]


def test_an_open_pause_lets_nothing_count_after_it_began() -> None:
    assert not counts(NOON + MINUTE, MINUTE, [Suspension(since=NOON)])


def test_a_stage_begins_with_its_first_whole_interval() -> None:
    entered = NOON + timedelta(seconds=20)

    state = begin(entered, MINUTE)

    assert state.since == NOON + MINUTE
    assert due(state, NOON + 3 * MINUTE + timedelta(seconds=59)) == [NOON + 2 * MINUTE, NOON + 3 * MINUTE]


def test_data_that_arrive_late_earn_the_credit_they_would_have_earned() -> None:
    state, _ = after(*passing(2), NO_DATA, NO_DATA, *passing(2))
    late = missing(state)

    for end in late:
        state = fill(state, end, {"errors": judgement(Verdict.PASS)}, counted=True)

    assert late == [NOON + 3 * MINUTE, NOON + 4 * MINUTE]
    assert (state.credit, missing(state)) == (6 * MINUTE, [])


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.PASS])
def test_data_that_arrive_late_and_do_not_pass_earn_nothing_and_are_not_asked_for_again(verdict: Verdict) -> None:
    state, _ = after(*passing(2), NO_DATA)

    late = {"errors": judgement(Verdict.PASS), "memory": judgement(verdict)}
    filled = fill(state, NOON + 3 * MINUTE, late, counted=True)

    assert (filled.credit, missing(filled)) == (2 * MINUTE, [])


def test_data_that_arrive_late_for_a_pause_earn_nothing() -> None:
    state, _ = after(*passing(2), NO_DATA)
    filled = fill(state, NOON + 3 * MINUTE, {"errors": judgement(Verdict.PASS)}, counted=False)

    assert (filled.credit, missing(filled)) == (2 * MINUTE, [])


def test_a_gap_in_the_middle_can_be_filled_piece_by_piece() -> None:
    state, _ = after(*[NO_DATA] * 5)

    state = fill(state, NOON + 3 * MINUTE, {"errors": judgement(Verdict.PASS)}, counted=True)

    assert missing(state) == [NOON + step * MINUTE for step in (1, 2, 4, 5)]


@pytest.mark.parametrize("outage", [1, 7, 360])
def test_an_outage_moves_promotion_by_exactly_its_length(outage: int) -> None:
    """Six hours without metrics in a soak make it six hours longer, not a minute more or less."""
    needed = 480
    state, _ = after(*passing(100), *[NO_DATA] * outage, *passing(needed - 100))

    assert state.credit == needed * MINUTE
    assert state.judged_until - state.since == (needed + outage) * MINUTE


@settings(deadline=None)
@given(st.lists(st.sampled_from([Verdict.PASS, Verdict.IDLE, Verdict.UNKNOWN, Verdict.ERROR, Verdict.SUSPECT])))
def test_credit_is_the_number_of_passing_intervals_whatever_else_happens(verdicts: list[Verdict]) -> None:
    state, told = after(*(judgement(verdict, lack=Lack.DATA) for verdict in verdicts))

    assert state.credit == verdicts.count(Verdict.PASS) * MINUTE
    assert "breached" not in told


@settings(deadline=None)
@given(st.lists(st.sampled_from([Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL]), min_size=1), st.data())
def test_the_state_survives_the_way_through_json_at_any_point(verdicts: list[Verdict], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(verdicts)))
    found = [judgement(verdict, "memory", Lack.DATA) for verdict in verdicts]

    whole, _ = after(*found)
    half, _ = after(*found[:cut])
    resumed, _ = after(*found[cut:], start=SoakState.model_validate_json(half.model_dump_json()))

    assert resumed == whole
