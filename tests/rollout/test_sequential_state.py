"""A rollout that runs while the worker is replaced: a state written before goes on being read, to the same end."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from rollout.dispersion import Dispersion
from rollout.sequential_gate import step
from rollout.sequential_model import GroupCounts, GroupLatencies, Interval, SequentialGate
from rollout.sequential_state import SequentialState

(
    RECORDED,
    OF_THREE_BLOCKS,
    LEFT_OUT_ONCE,
    OF_LATENCIES,
    THAT_WANDER,
    PACKED,
    PACKED_LATENCIES,
    WHAT_ENDED,
    COMMON_RATE,
    BEFORE_SINGLE,
    BEFORE_ANEW,
) = (
    (Path(__file__).parent / name).read_text().strip()
    for name in (
        "recorded_state.json",
        "recorded_state_of_three_blocks.json",
        "recorded_state_left_out_once.json",
        "recorded_state_of_latencies.json",
        "recorded_state_of_latencies_that_wander.json",
        "recorded_state_packed.json",
        "recorded_state_of_latencies_packed.json",
        "recorded_state_that_keeps_what_ended.json",
        "recorded_state_by_the_common_rate.json",
        "recorded_state_before_single_errors.json",
        "recorded_state_before_it_began_anew.json",
    )
)
"""Of six intervals from 12:00 to 12:06, the one that ended at 12:04 missing; the last but one of all six."""
GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
OF_P95 = SequentialGate.model_validate({"kind": "versus_control", "statistic": "p95", "max_increase": "10%"})


def interval(minute: int) -> Interval:
    return Interval(
        end=datetime(2026, 11, 23, 12, minute, tzinfo=UTC),
        treated=GroupCounts(total=120, bad=minute % 3),
        control=GroupCounts(total=1_080, bad=5 + minute % 2),
    )


@pytest.mark.parametrize("written", [RECORDED, OF_LATENCIES, THAT_WANDER, PACKED, PACKED_LATENCIES, COMMON_RATE])
def test_a_state_that_was_written_before_is_the_same_once_it_is_written_again(written: str) -> None:
    state = SequentialState.model_validate_json(written)

    assert SequentialState.model_validate_json(state.model_dump_json()) == state
    assert not any(keys.by_own_rates for keys in state.keys)


@pytest.mark.parametrize("written", [RECORDED, OF_THREE_BLOCKS, LEFT_OUT_ONCE])
def test_a_state_of_before_numbers_were_packed_is_packed_from_its_next_interval_on(written: str) -> None:
    state, _ = step(GATE, SequentialState.model_validate_json(written), interval(7))

    assert len(state.model_dump_json()) < len(written) / 2
    assert SequentialState.model_validate_json(state.model_dump_json()) == state


@pytest.mark.parametrize("silent", [{"treated": None}, {"treated": None, "control": None}, {"exposed": False}])
def test_a_state_of_latencies_of_before_keeps_control_s_curve_while_there_is_nothing_to_judge(
    silent: dict[str, object],
) -> None:
    straight = stored = SequentialState.model_validate_json(THAT_WANDER)
    for minute in (7, 8):
        nobody = Interval(end=latencies(minute).end).model_copy(update={**silent, "control": None})
        straight, _ = step(OF_P95, straight, nobody)
        stored, _ = step(OF_P95, SequentialState.model_validate_json(stored.model_dump_json()), nobody)

    expected = step(OF_P95, straight, latencies(9))[1]
    found = step(OF_P95, SequentialState.model_validate_json(stored.model_dump_json()), latencies(9))[1]
    assert found == expected
    assert " ms against " in found.reason


def packed_interval(minute: int, *, of_latencies: bool) -> Interval:
    """Nobody was exposed in the first two, which told of the cohort."""
    one = latencies(minute) if of_latencies else interval(minute)
    return one.model_copy(update={"exposed": minute > 2})


@pytest.mark.parametrize(
    ("written", "gate", "harm", "beyond"),
    [
        (PACKED, GATE, 0.8402714734526129, 0.623927696148923),
        (PACKED_LATENCIES, OF_P95, 1.2924957744025565, 0.8464023221342375),
    ],
)
def test_a_state_that_was_packed_goes_on_to_the_evidence_it_would_have_had(
    written: str, gate: SequentialGate, harm: float, beyond: float
) -> None:
    asked = gate.model_copy(update={"planned_share": 0.1})
    state = SequentialState.model_validate_json(written)
    for minute in (7, 8, 4):
        state, judged = step(asked, state, packed_interval(minute, of_latencies=gate is OF_P95))

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx((harm, beyond), rel=1e-9)
    assert state.gaps == ()


def test_a_state_that_was_written_before_goes_on_to_the_evidence_it_would_have_had() -> None:
    state = SequentialState.model_validate_json(RECORDED)

    state, newer = step(GATE, state, interval(7))
    state, late = step(GATE, state, interval(4))

    assert (newer.evidence.harm, newer.evidence.beyond) == pytest.approx(
        (0.7104395409015354, 0.5648220929062829), rel=1e-9
    )
    assert (late.evidence.harm, late.evidence.beyond) == pytest.approx(
        (0.7180685944884942, 0.559314570438203), rel=1e-9
    )
    assert state.gaps == ()


def test_a_state_of_before_bursts_of_an_hour_were_looked_for_goes_on_as_it_began() -> None:
    before = SequentialState.model_validate_json(OF_THREE_BLOCKS)

    after, judged = step(GATE, before, interval(7))

    learnt = [state.keys[0].dispersion for state in (before, after)]
    assert [len(each.blocks) for each in learnt if isinstance(each, Dispersion)] == [3, 3]
    assert after.keys[0].total == before.keys[0].total + 120
    assert 0.5 * before.keys[0].harm.wealth < judged.evidence.harm < 2 * before.keys[0].harm.wealth


def test_a_state_of_before_large_bursts_were_left_out_more_than_once_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(LEFT_OUT_ONCE)
    for minute in range(7, 30):
        worse = interval(minute).model_copy(update={"treated": GroupCounts(total=120, bad=4 if minute < 27 else 41)})
        state, judged = step(GATE, state, worse)

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx(
        (276219.26099606254, 58.820093672769914), rel=1e-9
    )
    assert judged.decision == "rollback"
    assert (state.gross_in_a_row, state.gross_bad) == (3, None), "three in a row were enough for the fuse"


def test_a_state_of_before_ended_bets_were_forgotten_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(WHAT_ENDED)
    for minute in range(7, 60):
        burst = {"treated": GroupCounts(total=120, bad=12)} if 10 <= minute < 14 else {}
        state, judged = step(GATE, state, interval(minute).model_copy(update=burst))

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx(
        (407.21595567570773, 7.365676847439558), rel=1e-9
    )
    assert state.keys[0].harm.cash > 100
    best_run = state.keys[0].best_run
    assert best_run is not None
    assert best_run.counts is None
    assert "forgets_ended_bets" not in state.model_dump_json()


def test_a_state_of_before_bursts_were_told_by_each_group_s_own_rate_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(COMMON_RATE)
    for minute in range(7, 60):
        burst = {"treated": GroupCounts(total=120, bad=12)} if 10 <= minute < 14 else {}
        state, judged = step(GATE, state, interval(minute).model_copy(update=burst))

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx(
        (341.52352698114385, 5.617013559388339), rel=1e-9
    )
    assert state.keys[0].dispersion.phi == pytest.approx(22.349581125, rel=1e-9)
    assert not state.keys[0].by_own_rates


def test_a_state_of_before_errors_were_taken_one_by_one_goes_on_without_that() -> None:
    state = SequentialState.model_validate_json(BEFORE_SINGLE)
    for minute in (7, 8, 4):
        state, judged = step(GATE, state, interval(minute))

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx(
        (0.951830399911735, 0.6245164410155044), rel=1e-9
    )
    assert state.keys[0].singly is None
    assert state.keys[0].even_enough


def test_a_state_of_before_the_first_key_began_anew_goes_on_with_what_cash_it_has() -> None:
    state = SequentialState.model_validate_json(BEFORE_ANEW)
    for minute in (*range(7, 60), 4):
        burst = {"treated": GroupCounts(total=120, bad=12)} if 10 <= minute < 14 else {}
        state, judged = step(GATE, state, interval(minute).model_copy(update=burst))

    assert (judged.evidence.harm, judged.evidence.beyond) == pytest.approx(
        (436.63297718170645, 3.1563062476139714), rel=1e-9
    )
    assert judged.decision == "hold", "300 to 1 were enough"
    assert "begins_anew" not in state.model_dump_json()
    assert not state.keys[0].begins_anew


def latencies(minute: int) -> Interval:
    bounds = (50.0, 100.0, 200.0, 400.0)
    return Interval(
        end=datetime(2026, 11, 23, 12, minute, tzinfo=UTC),
        treated=GroupLatencies(bounds_ms=bounds, counts=(60, 40, 14, 5 + minute % 2, 1)),
        control=GroupLatencies(bounds_ms=bounds, counts=(560, 380, 90, 40 + minute % 5, 10)),
    )


def test_a_p95_of_before_groups_were_seen_to_wander_apart_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(OF_LATENCIES)
    for minute in range(7, 30):
        state, judged = step(OF_P95, state, latencies(minute))

    assert (judged.evidence.harm, judged.evidence.beyond, judged.evidence.beyond_needed) == pytest.approx(
        (87.42500356948062, 5.567890511788411, 3.0), rel=1e-9
    )
    assert SequentialState.model_validate_json(state.model_dump_json()) == state


def test_a_p95_of_before_stakes_followed_how_far_groups_wander_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(THAT_WANDER)
    for minute in range(7, 50):
        state, judged = step(OF_P95, state, latencies(minute))

    assert (judged.evidence.harm, judged.evidence.beyond, judged.evidence.beyond_needed) == pytest.approx(
        (331.05723235846517, 5.817521747151704, 1.5), rel=1e-9
    )
    assert judged.decision == "rollback"
    assert SequentialState.model_validate_json(state.model_dump_json()) == state


@pytest.mark.parametrize("part", ["arms", "blocks", "tuned"])
def test_a_state_with_a_field_nobody_knows_is_refused(part: str) -> None:
    with pytest.raises(ValidationError, match="stray"):
        SequentialState.model_validate_json(RECORDED.replace(f'"{part}"', f'"stray":1,"{part}"', 1))
