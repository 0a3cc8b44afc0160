"""A rollout that runs while the worker is replaced: a state written before goes on being read, to the same end."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from rollout.sequential_gate import step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialState

RECORDED, OF_THREE_BLOCKS = (
    (Path(__file__).parent / name).read_text().strip()
    for name in ("recorded_state.json", "recorded_state_of_three_blocks.json")
)
"""Of six intervals from 12:00 to 12:06, the one that ended at 12:04 missing."""
GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})


def interval(minute: int) -> Interval:
    return Interval(
        end=datetime(2026, 11, 23, 12, minute, tzinfo=UTC),
        treated=GroupCounts(total=120, bad=minute % 3),
        control=GroupCounts(total=1_080, bad=5 + minute % 2),
    )


def test_a_state_that_was_written_before_is_read_and_written_letter_for_letter() -> None:
    assert SequentialState.model_validate_json(RECORDED).model_dump_json() == RECORDED


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

    assert len(before.keys[0].dispersion.blocks) == len(after.keys[0].dispersion.blocks) == 3
    assert after.keys[0].total == before.keys[0].total + 120
    assert 0.5 * before.keys[0].harm.wealth < judged.evidence.harm < 2 * before.keys[0].harm.wealth


@pytest.mark.parametrize("part", ["arms", "blocks", "tuned"])
def test_a_state_with_a_field_nobody_knows_is_refused(part: str) -> None:
    with pytest.raises(ValidationError, match="stray"):
        SequentialState.model_validate_json(RECORDED.replace(f'"{part}"', f'"stray":1,"{part}"', 1))
