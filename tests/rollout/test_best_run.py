"""Evidence without its best few minutes: a burst of errors holds a rollout, a regression that stays takes it back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pytest

from rollout.best_run import MOST_UNEVEN, PER_UNEVEN, RUN, BestRun, even_needed, spread_needed, times_left_out
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState

GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
START = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY = (1, 0) * 30
BURST = (26, 17, 10, 7, 5, 4)
"""Some seventy errors that begin together, of 120 requests a minute; healthy is one in two minutes."""


def judged(
    state: SequentialState,
    errors: tuple[int, ...],
    of_control: tuple[int, ...] = (5, 6),
    *,
    sizes: tuple[int, int] = (120, 1_080),
    since: int = 0,
) -> tuple[SequentialState, list[SequentialJudgement]]:
    said = []
    for minute, (bad, control_bad) in enumerate(zip(errors, cycle(of_control), strict=False)):
        interval = Interval(
            end=START + timedelta(minutes=since + minute + 1),
            treated=GroupCounts(total=sizes[0], bad=bad),
            control=GroupCounts(total=sizes[1], bad=control_bad),
        )
        state, judgement = step(GATE, state, interval)
        said.append(judgement)
    return state, said


def without_best_run() -> SequentialState:
    before = begin(GATE)
    return before.model_copy(update={"keys": (before.keys[0].model_copy(update={"best_run": None}),)})


def without_singly(state: SequentialState) -> SequentialState:
    """The same, and nobody takes bad events for single ones, nor asks in the first intervals how even they are."""
    return state.model_copy(update={"keys": (state.keys[0].model_copy(update={"singly": None}),)})


def without_times(state: SequentialState) -> SequentialState:
    """The same, with the best run left out once."""
    best_run = state.keys[0].best_run
    assert best_run is not None
    once = BestRun(best_run.recent, largest=best_run.largest, needed=best_run.needed)
    return state.model_copy(update={"keys": (state.keys[0].model_copy(update={"best_run": once}),)})


def test_one_burst_larger_than_any_before_holds_and_does_not_roll_back() -> None:
    _, said = judged(begin(GATE), HEALTHY + BURST + HEALTHY)
    _, alone = judged(without_best_run(), HEALTHY + BURST + HEALTHY)

    assert "rollback" in {judgement.decision for judgement in alone}
    assert "hold" in {judgement.decision for judgement in said}
    assert "rollback" not in {judgement.decision for judgement in said}
    assert any(f"one run of {RUN} intervals" in judgement.reason for judgement in said)


def test_a_regression_that_stays_is_rolled_back_no_more_than_a_few_minutes_later() -> None:
    worse = HEALTHY + (4, 3) * 60
    with_it, without = (
        [judgement.decision for judgement in judged(state, worse)[1]].index("rollback")
        for state in (begin(GATE), without_best_run())
    )
    assert without <= with_it <= without + 5


def test_gross_failure_waits_for_nothing() -> None:
    _, said = judged(begin(GATE), (60, 60, 60))
    assert said[-1].decision == "rollback"


def test_a_state_without_a_best_run_goes_on_without_and_learns_bursts_as_it_did() -> None:
    after, said = judged(without_best_run(), HEALTHY + BURST + HEALTHY[:40])
    fresh, _ = judged(begin(GATE), HEALTHY + BURST + HEALTHY[:40])

    assert after.keys[0].best_run is None
    assert SequentialState.model_validate_json(after.model_dump_json()).keys[0].best_run is None
    assert said[-1].decision == "rollback"
    assert after.keys[0].largest_term < fresh.keys[0].largest_term


def test_what_is_kept_is_a_few_numbers_however_long_the_soak_and_is_read_back_as_it_was() -> None:
    state, _ = judged(begin(GATE), (1, 0, 2, 4) * 100)
    best_run = state.keys[0].best_run

    assert best_run is not None
    assert len(best_run.recent) <= RUN + 1
    assert SequentialState.model_validate_json(state.model_dump_json()) == state


def test_the_best_run_is_left_out_and_forgotten_once_the_odds_speak_for_the_new_code() -> None:
    run = BestRun()
    for odds in (1.0, 4.0, 7.0, 9.0):
        run = run.after(odds, 1.0)
    assert (run.largest, run.is_enough) == (9.0, False)
    for odds in (9.0,) * RUN + (9.5, 10.0):
        run = run.after(odds, 1.0)
    assert (run.largest, run.is_enough) == (9.0, True)
    assert run.after(-0.1, 1.0).largest == 0.0


@pytest.mark.parametrize(
    ("phi", "of_both", "times"),
    [(1.5, 12.0, 1.0), (6.0, 12.0, 1.0), (12.0, 12.0, 2.0), (40.0, 12.0, 3.0), (1.5, 0.6, 2.0), (1.5, 1.5, 1.5)],
)
def test_the_best_run_is_left_out_more_often_where_bursts_are_large_or_too_few_to_be_known(
    phi: float, of_both: float, times: float
) -> None:
    assert times_left_out(phi, of_both) == times


def test_more_must_remain_until_control_has_shown_how_errors_come() -> None:
    assert spread_needed(1.5, 2.0, 0) == spread_needed(1.5, 2.0, 30) == 3.5
    assert spread_needed(1.5, 2.0, 45) == 2.0
    assert spread_needed(1.5, 2.0, 60) == spread_needed(1.5, 2.0) == 0.5


def test_three_bursts_in_little_traffic_hold_and_do_not_roll_back() -> None:
    """Thirty-three errors that begin together, three times; were the best left out once, it would do."""
    healthy, burst = (0, 0, 0, 0, 1, 0, 0, 0, 0), (14, 8, 5, 3, 2, 1)
    state, _ = judged(begin(GATE), healthy * 10, of_control=healthy, sizes=(30, 30))
    once, said = (
        judged(each, (burst + healthy) * 3, of_control=healthy, sizes=(30, 30), since=90)[1]
        for each in (without_times(state), state)
    )

    assert "rollback" in {judgement.decision for judgement in once}
    assert {judgement.decision for judgement in said} >= {"hold"}
    assert "rollback" not in {judgement.decision for judgement in said}


@pytest.mark.parametrize(("phi", "at_limit"), [(8.0, 2.0), (1.5, 0.1)])
def test_more_must_remain_where_bursts_are_large_or_bad_events_are_few(phi: float, at_limit: float) -> None:
    assert spread_needed(phi, at_limit) > spread_needed(1.5, 2.0) == 0.5


def without_counts(state: SequentialState) -> SequentialState:
    """The same, and nobody asks how even the last intervals are."""
    best_run = state.keys[0].best_run
    assert best_run is not None
    blind = replace(best_run, counts=None)
    return state.model_copy(update={"keys": (state.keys[0].model_copy(update={"best_run": blind}),)})


def test_bursts_in_the_first_minutes_hold_before_the_past_has_told_of_them() -> None:
    """Bursts of a dozen, as they came in a simulated rollout that was rolled back after a quarter of an hour."""
    bursts = (0, 7, 4, 6, 7, 4, 3, 1, 1, 0, 0, 1, 42, 25, 7, 10, 3, 6)
    of_control = (1, 0, 1, 4, 17, 30, 18, 12, 9, 15, 10, 5, 5, 3, 1, 2, 1, 1)
    seeing = without_singly(begin(GATE))
    blind, *said = (
        {judgement.decision for judgement in judged(state, bursts, of_control, sizes=(100, 933))[1]}
        for state in (without_counts(seeing), seeing, begin(GATE))
    )
    assert "rollback" in blind
    assert said == [{"continue", "hold"}] * 2


def test_a_regression_that_begins_is_even_however_much_traffic_there_is() -> None:
    assert even_needed(((75, 15_000),) * 8 + ((375, 15_000),) * 7) == 0.0
    assert even_needed(((3, 600),) * 8 + ((15, 3_000),) * 7) == 0.0, "five times the load is no jump"


def test_more_must_remain_the_deeper_bad_events_fall_between_bursts_and_not_without_end() -> None:
    bursts = ((0, 120), (9, 120), (6, 120), (1, 120), (0, 120)) * 3
    one = ((1, 120), (2, 120), (0, 120), (7, 120), (4, 120), (1, 120), (0, 120))

    assert even_needed(()) == even_needed(bursts[:2]) == 0.0
    assert 0.0 < even_needed(one) < even_needed(bursts) == PER_UNEVEN * MOST_UNEVEN


def test_a_burst_that_is_long_over_is_not_evidence_that_the_next_one_adds_to() -> None:
    """A state that began before what ended was forgotten goes on with the odds of it for days."""
    keeping = begin(GATE)
    keeping = keeping.model_copy(update={"keys": (keeping.keys[0].model_copy(update={"forgets_ended_bets": False}),)})
    later = []
    for state in (keeping, begin(GATE)):
        after, said = judged(state, HEALTHY * 12 + BURST + HEALTHY * 12)
        assert max(judgement.evidence.harm for judgement in said) > 3_000
        assert max(bets.cash for bets in (after.keys[0].harm, after.keys[0].beyond)) <= after.keys[0].largest_cash
        later.append(said[-1].evidence.harm)

    assert later[0] > 100
    assert later[1] < 1.5


def test_a_burst_beside_a_quiet_group_holds_and_does_not_roll_back() -> None:
    """Evenly spread over nine minutes, as simulated; in control two bad events told nothing yet of how errors come."""
    errors = ((0,) * 11) + (3, 5, 2, 2, 2, 2, 2, 3, 3, 1, 0, 0, 0)
    quiet = (0,) * 6 + (1, 1) + (0,) * 16
    after = without_singly(begin(GATE))
    before = after.model_copy(update={"keys": (after.keys[0].model_copy(update={"by_own_rates": False}),)})
    rolled_back, *said = (
        {judgement.decision for judgement in judged(state, errors, quiet, sizes=(50, 450))[1]}
        for state in (before, after, begin(GATE))
    )

    assert "rollback" in rolled_back
    assert said == [{"continue", "hold"}] * 2


def test_what_begins_late_is_rolled_back_about_as_soon_as_what_begins_at_once() -> None:
    """The second key begins with the harm that the first finds: its bets have not lost all they had on the way."""
    regression = (3, 2, 2, 3) * 20
    found = []
    for healthy in (0, 2_400):
        state, _ = judged(without_singly(begin(GATE)), (0, 1, 0, 1) * (healthy // 4), of_control=(5, 6, 5, 4))
        assert state.keys[0].beyond_odds < 1.5
        _, said = judged(state, regression, of_control=(5, 6, 5, 4), since=healthy)
        found.append(next(minute for minute, judgement in enumerate(said, start=1) if judgement.decision == "rollback"))

    assert found[1] <= 1.5 * found[0], found
