"""Streams that say nothing of their intervals' length and come late or in another order: each interval counts once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.gates import judge_stream
from rollout.sequential_gate import GAPS_KEPT
from rollout.sequential_model import SequentialJudgement

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERRORS = {"kind": "versus_control", "statistic": "bad_share", "max_difference": "1%"}
NONE_AT_ALL = {"kind": "zero_tolerance"}

PACES = [1, 10, 30, 60, 90, 300, 3600]


def judged(
    gate: dict[str, Any], order: list[int], seconds: int, *, bad: int | None = None
) -> list[SequentialJudgement]:
    """What is said of intervals that come in this order; the one numbered `bad` has a bad event among the treated."""
    return list(
        judge_stream(
            gate,
            (
                {
                    "end": NOON + timedelta(seconds=seconds * number),
                    "treated": {"total": 100, "bad": int(number == bad)},
                    "control": {"total": 900, "bad": 3},
                }
                for number in order
            ),
        )
    )


def backfilled(missed: int) -> list[int]:
    """A collector that stands still for so many intervals goes on with new ones, and sends the missed ones later."""
    return [*range(20), *range(20 + missed, 50), *range(20, 20 + missed), *range(50, 60)]


@pytest.mark.parametrize("seconds", PACES)
@pytest.mark.parametrize("missed", [3, 6, 20])
def test_a_backfill_is_counted_whole_however_short_or_long_the_intervals_are(seconds: int, missed: int) -> None:
    assert "; 6,000 and 54,000 requests" in judged(ERRORS, backfilled(missed), seconds)[-1].reason


@pytest.mark.parametrize("seconds", PACES)
def test_a_backfill_that_comes_backwards_is_counted_whole_too(seconds: int) -> None:
    order = [*range(20), *range(32, 50), *reversed(range(20, 32)), *range(50, 60)]
    assert "; 6,000 and 54,000 requests" in judged(ERRORS, order, seconds)[-1].reason


@pytest.mark.parametrize("seconds", PACES)
def test_intervals_that_change_places_two_by_two_are_all_counted(seconds: int) -> None:
    order = [number ^ 1 for number in range(60)]
    assert "; 6,000 and 54,000 requests" in judged(ERRORS, order, seconds)[-1].reason


@pytest.mark.parametrize("seconds", PACES)
@pytest.mark.parametrize("bad", range(20, 26))
def test_an_event_that_must_not_happen_is_found_wherever_in_a_backfill_it_is(seconds: int, bad: int) -> None:
    assert judged(NONE_AT_ALL, backfilled(6), seconds, bad=bad)[-1].decision == "rollback"


def test_what_comes_after_its_gap_was_given_up_is_not_said_to_have_been_judged() -> None:
    with_holes = [number for number in range(50) if number % 2 == 0 or number > 2 * GAPS_KEPT + 10]
    *_, late = judged(ERRORS, [*with_holes, 1], 60)
    assert late.reason == "gate: the interval that ended at 12:01 was judged, or comes too late to be judged"
