"""Of one thing nothing is said in the plural, wherever its number is told."""

import pytest

from rollout.counting import counted
from rollout.gates import judge_stream
from rollout.wording import all_passed


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 intervals"), (1, "1 interval"), (2, "2 intervals"), (1200, "1,200 intervals")]
)
def test_a_number_of_things_is_in_the_singular_for_one(count: int, said: str) -> None:
    assert counted(count, "interval") == said


def test_what_has_another_plural_is_told_with_it() -> None:
    assert [counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]


def test_a_plan_of_one_stage_has_passed_that_one() -> None:
    assert [all_passed(stages) for stages in (1, 5)] == ["its one stage passed", "all 5 stages passed"]


def test_a_score_of_one_interval_is_told_as_of_one() -> None:
    gate = {"kind": "threshold", "statistic": "level", "at_least": "99.5%"}
    one, two = ({"end": f"2026-11-23T12:0{minute}:00Z", "treated": {"score": 1, "total": 10}} for minute in (0, 1))
    told = [judgement.reason.split("; ") for judgement in judge_stream(gate, [one, two])]
    assert "1 interval" in told[0]
    assert "2 intervals" in told[1]
