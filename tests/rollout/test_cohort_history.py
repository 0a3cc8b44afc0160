"""A cohort that was worse before it had the features is not held for that; what the features add is found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from bench.gate_cohorts import fleet
from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_traffic import FAMILIES
from bench.gates import MAX_DIFFERENCE
from rollout.cohort_history import CohortHistory
from rollout.gates import judge_stream
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState

START = datetime(2026, 11, 23, tzinfo=UTC)
ERRORS = {"kind": "versus_control", "max_difference": "1%", "title": "Errors"}
P95 = {"kind": "versus_control", "statistic": "p95", "max_increase": "10%"}
BEFORE = 200
TWICE_AS_BAD = next(family for family in FAMILIES if family.name == "diurnal")


def cohort(excess: float, *, exposed_from: int, minutes: int) -> Iterator[dict[str, Any]]:
    """Treated users have 2 % errors and the others 0.5 %, before and after; `excess` comes with the features."""
    random = np.random.default_rng(5)
    for minute in range(minutes):
        exposed = minute >= exposed_from
        bad = random.binomial([1_200, 10_800], [0.02 + (excess if exposed else 0.0), 0.005])
        yield {
            "end": (START + timedelta(minutes=minute + 1)).isoformat(),
            "exposed": exposed,
            "treated": {"total": 1_200, "bad": int(bad[0])},
            "control": {"total": 10_800, "bad": int(bad[1])},
        }


def judged(intervals: Iterator[dict[str, Any]]) -> list[SequentialJudgement]:
    return list(judge_stream(ERRORS, intervals))


def test_without_a_history_a_cohort_that_is_worse_is_taken_for_a_bad_release() -> None:
    assert judged(cohort(0.0, exposed_from=0, minutes=120))[-1].decision == "rollback"


def test_a_difference_that_was_there_before_neither_holds_nor_rolls_back() -> None:
    found = judged(cohort(0.0, exposed_from=BEFORE, minutes=BEFORE + 300))

    assert {judgement.decision for judgement in found} <= {"continue", "advance"}


def test_what_the_features_add_to_it_is_rolled_back() -> None:
    found = judged(cohort(0.02, exposed_from=BEFORE, minutes=BEFORE + 60))

    assert found[BEFORE - 1].decision == "continue"
    assert found[-1].decision == "rollback"


def test_an_interval_without_exposure_is_not_judged_however_bad_it_is() -> None:
    found = judged(cohort(0.5, exposed_from=30, minutes=30))

    assert {judgement.decision for judgement in found} == {"continue"}
    assert found[-1].reason == "Errors: nobody was exposed, so nothing is judged"


def test_a_history_that_is_too_short_to_know_allows_nothing() -> None:
    state = after(cohort(0.0, exposed_from=1, minutes=1))
    assert state.keys[0].allowed_ratio == 1.0

    state = after(cohort(0.0, exposed_from=BEFORE, minutes=BEFORE))
    assert state.keys[0].allowed_ratio == pytest.approx(4, rel=0.1)


def after(intervals: Iterator[dict[str, Any]]) -> SequentialState:
    gate = SequentialGate.model_validate(ERRORS)
    state = begin(gate)
    for interval in intervals:
        state, _ = step(gate, state, Interval.model_validate(interval))
    written = state.model_dump_json()
    assert len(written) < 4_000
    return SequentialState.model_validate_json(written)


def test_latencies_of_a_slower_cohort_are_compared_with_what_they_were() -> None:
    def intervals(exposed_from: int) -> Iterator[dict[str, Any]]:
        bounds, slow = (10, 20, 40, 80, 160, 320), (0, 150, 400, 300, 120, 25, 5)
        quick = (0, 1_800, 4_500, 2_000, 600, 80, 20)
        for minute in range(exposed_from + 120):
            yield {
                "end": (START + timedelta(minutes=minute + 1)).isoformat(),
                "exposed": minute >= exposed_from,
                "treated": {"bounds_ms": bounds, "counts": slow},
                "control": {"bounds_ms": bounds, "counts": quick},
            }

    assert [*judge_stream(P95, intervals(0))][-1].decision == "rollback"
    assert "rollback" not in {judgement.decision for judgement in judge_stream(P95, intervals(60))}


def test_the_fleet_and_the_judge_name_the_same_minute_after_a_history() -> None:
    data = fleet(TWICE_AS_BAD, 20.0, before=120, length=60, excess=0.03, trials=3)
    fleet_says = judge_fleet(data, max_difference=MAX_DIFFERENCE, unexposed=120).rolled_back

    assert (fleet_says > 120).all()
    assert [minute_of(data, row, 120) for row in range(3)] == fleet_says.tolist()


def minute_of(data: FleetCounts, row: int, unexposed: int) -> int | None:
    gate = SequentialGate.model_validate(ERRORS)
    state = begin(gate)
    for minute in range(data.treated.shape[1]):
        interval = Interval(
            end=START + timedelta(minutes=minute + 1),
            exposed=minute >= unexposed,
            treated=GroupCounts(total=int(data.treated[row, minute]), bad=int(data.treated_bad[row, minute])),
            control=GroupCounts(total=int(data.control[row, minute]), bad=int(data.control_bad[row, minute])),
        )
        state, judgement = step(gate, state, interval)
        if judgement.decision == "rollback":
            return minute + 1
    return None


def test_groups_that_are_millions_of_times_apart_in_size_allow_nothing_and_say_so() -> None:
    known = CohortHistory()
    for _ in range(3):
        known = known.after(500, 1_000, 500, 10**13, phi=1.0)

    assert known.allowed == 1
    assert known.in_words() == "nothing is known of the cohort before"
