"""Evidence without its best few minutes: a burst of errors holds a rollout, a regression that stays takes it back."""

from datetime import UTC, datetime, timedelta

import pytest

from rollout.best_run import RUN, BestRun, spread_needed
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement, SequentialState

GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
START = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY = (1, 0) * 30
BURST = (26, 17, 10, 7, 5, 4)
"""Some seventy errors that begin together, of 120 requests a minute; healthy is one in two minutes."""


def judged(state: SequentialState, errors: tuple[int, ...]) -> tuple[SequentialState, list[SequentialJudgement]]:
    said = []
    for minute, bad in enumerate(errors):
        interval = Interval(
            end=START + timedelta(minutes=minute + 1),
            treated=GroupCounts(total=120, bad=bad),
            control=GroupCounts(total=1_080, bad=5 + minute % 2),
        )
        state, judgement = step(GATE, state, interval)
        said.append(judgement)
    return state, said


def without_best_run() -> SequentialState:
    before = begin(GATE)
    return before.model_copy(update={"keys": (before.keys[0].model_copy(update={"best_run": None}),)})


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
    assert "best_run" not in after.model_dump_json()
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


@pytest.mark.parametrize(("phi", "at_limit"), [(8.0, 2.0), (1.5, 0.1)])
def test_more_must_remain_where_bursts_are_large_or_bad_events_are_few(phi: float, at_limit: float) -> None:
    assert spread_needed(phi, at_limit) > spread_needed(1.5, 2.0) == 0.5
