# ruff: noqa: S311  (seeded data for tests, no secrets)
"""The judge over a stream: it finds what is wrong, leaves alone what is well, and counts every interval once."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rollout.dispersion import Dispersion
from rollout.gates import judge_stream
from rollout.sequential_gate import begin, step
from rollout.sequential_model import Interval as ParsedInterval
from rollout.sequential_model import SequentialGate
from rollout.sequential_state import SequentialState
from rollout.statistics import Mixture, log_factor, log_won, stake_for
from rollout.verdict import Verdict

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERRORS = {"kind": "versus_control", "statistic": "bad_share", "max_difference": "1%", "title": "error rate"}
P95 = {"kind": "versus_control", "statistic": "p95", "max_increase": "10%"}
SCORE = {"kind": "threshold", "statistic": "level", "at_least": "99.5%"}
CASCADES = {"kind": "zero_tolerance"}
EDGES = tuple(round(10 * 2 ** (step / 2), 3) for step in range(16))

READ_MIXTURE = TypeAdapter(Mixture)

Interval = dict[str, Any]


def end(minute: int) -> str:
    return (NOON + timedelta(minutes=minute)).isoformat()


def near(source: random.Random, mean: float) -> int:
    """A count that scatters as independent events do."""
    return max(0, round(source.gauss(mean, math.sqrt(mean))))


def traffic(seed: int, minutes: int, excess: float = 0.0, onset: int = 0) -> Iterator[Interval]:
    """20 requests a second, 10 % treated, 0.3 % errors, and `excess` for treated users from `onset` on."""
    source = random.Random(seed)
    for minute in range(minutes):
        share = 0.003 + (excess if minute >= onset else 0.0)
        yield {
            "end": end(minute),
            "treated": {"total": 120, "bad": near(source, 120 * share)},
            "control": {"total": 1080, "bad": near(source, 1080 * 0.003)},
        }


def histogram(source: random.Random, total: int, factor: float) -> dict[str, Any]:
    """A lognormal around 50 ms times `factor`, counted in buckets that are 41 % wide."""
    below = [0.5 * (1 + math.erf(math.log(edge / (50 * factor)) / (0.8 * math.sqrt(2)))) for edge in EDGES]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    return {"bounds_ms": EDGES, "counts": [near(source, total * share) for share in shares]}


def latencies(seed: int, minutes: int, factor: float = 1.0) -> Iterator[Interval]:
    source = random.Random(seed)
    for minute in range(minutes):
        treated, control = histogram(source, 1_200, factor), histogram(source, 10_800, 1.0)
        yield {"end": end(minute), "treated": treated, "control": control}


def decisions(gate: dict[str, Any], intervals: Iterator[Interval] | list[Interval]) -> list[str]:
    return [judgement.decision for judgement in judge_stream(gate, intervals)]


@pytest.mark.parametrize("onset", [0, 720])
def test_two_points_more_errors_are_rolled_back_within_the_hour_whenever_they_begin(onset: int) -> None:
    found = decisions(ERRORS, traffic(1, onset + 60, excess=0.02, onset=onset))
    assert "rollback" in found
    assert found.index("rollback") >= onset


@pytest.mark.parametrize("seed", range(5))
def test_two_healthy_days_are_never_held_nor_rolled_back_and_may_advance(seed: int) -> None:
    found = decisions(ERRORS, traffic(seed, 2 * 1440))
    assert not {"hold", "rollback"} & {*found}
    assert found[-1] == "advance"


def test_a_p95_that_rises_by_half_is_rolled_back_and_one_that_stays_is_not() -> None:
    assert "rollback" in decisions(P95, latencies(1, 120, factor=1.5))
    assert "rollback" not in decisions(P95, latencies(2, 600))


def test_a_score_below_its_limit_is_rolled_back_and_one_above_advances() -> None:
    low = [{"end": end(minute), "treated": {"score": 0.98, "total": 50}} for minute in range(30)]
    assert "rollback" in decisions(SCORE, low)
    high = [{"end": end(minute), "treated": {"score": 0.9995, "total": 50}} for minute in range(300)]
    assert decisions(SCORE, high)[-1] == "advance"


def test_the_first_event_that_must_not_happen_rolls_back_and_stays_rolled_back() -> None:
    counts = [{"end": end(minute), "treated": {"total": 10, "bad": int(minute == 3)}} for minute in range(6)]
    assert decisions(CASCADES, counts) == ["continue"] * 3 + ["rollback"] * 3


def gross(minute: int, bad: int, total: int = 120) -> Interval:
    return {
        "end": end(minute),
        "treated": {"total": total, "bad": bad},
        "control": {"total": 1080, "bad": 4},
    }


def test_three_intervals_in_a_row_that_are_twenty_points_worse_trip_the_fuse_at_once() -> None:
    judged = list(judge_stream(ERRORS, [gross(0, 0), gross(1, 51), gross(2, 51), gross(3, 51)]))

    assert [judgement.decision for judgement in judged] == ["continue", "continue", "continue", "rollback"]
    assert judged[-1].reason.endswith("20 points or more beyond it in 3 intervals in a row")


@pytest.mark.parametrize(
    "intervals",
    [
        [gross(0, 25), gross(1, 25), gross(2, 0), gross(3, 25)],
        [gross(0, 12, total=49), gross(1, 12, total=49), gross(2, 12, total=49)],
        [gross(0, 22), gross(1, 22), gross(2, 22)],
        [gross(0, 50), gross(1, 50), gross(2, 49)],
    ],
    ids=["never three in a row", "fewer than fifty requests", "less than twenty points", "no more than one burst"],
)
def test_nothing_less_trips_the_fuse(intervals: list[Interval]) -> None:
    assert "rollback" not in decisions(ERRORS, intervals)


def test_an_interval_that_comes_late_neither_trips_the_fuse_nor_mends_it() -> None:
    late_and_gross = [gross(0, 0), gross(2, 60), gross(3, 60), gross(1, 60), gross(4, 0)]
    late_and_well = [gross(0, 0), gross(2, 60), gross(3, 60), gross(1, 0), gross(4, 60)]

    assert "rollback" not in decisions(ERRORS, late_and_gross)
    assert decisions(ERRORS, late_and_well)[-1] == "rollback"


def test_silence_is_not_health() -> None:
    judged = list(judge_stream(ERRORS, [*traffic(1, 3), *({"end": end(minute)} for minute in range(3, 12))]))
    assert judged[-1].decision == "hold"
    assert judged[-1].verdict is Verdict.UNKNOWN
    assert "silence is not health" in judged[-1].reason


def test_what_only_warns_never_holds_or_rolls_back() -> None:
    warned = list(judge_stream({**ERRORS, "action": "warn"}, traffic(1, 60, excess=0.05)))
    assert {judgement.decision for judgement in warned} <= {"continue", "advance"}
    assert warned[-1].verdict is Verdict.FAIL


def test_a_reason_gives_both_shares_their_difference_the_limit_and_what_it_rests_on() -> None:
    (*_, judgement) = judge_stream(ERRORS, traffic(1, 60, excess=0.02))
    assert judgement.reason.startswith("error rate: ")
    for part in (" in control: +", " points, 99 % interval +", "limit +1.00; ", " requests"):
        assert part in judgement.reason


def test_what_comes_too_late_to_be_judged_is_not_said_to_have_been_judged() -> None:
    whole = list(traffic(1, 60))
    taken, missing = whole[::2], whole[1::2]
    (*_, given_up, again, kept) = judge_stream(ERRORS, [*taken, missing[0], taken[-1], missing[-2]])

    assert given_up.reason == (
        "error rate: the interval that ended at 12:01 was judged, or comes too late to be judged"
    )
    assert again.reason.endswith("the interval that ended at 12:58 was judged")
    assert kept.reason.startswith("error rate: 0.")


class TestEveryIntervalCountsOnce:
    def final(self, intervals: list[Interval]) -> SequentialState:
        gate = SequentialGate.model_validate(ERRORS)
        state = begin(gate)
        for interval in intervals:
            state, _ = step(gate, state, ParsedInterval.model_validate(interval))
        return state

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.integers(0, 19), max_size=12))
    def test_a_duplicate_changes_nothing(self, again: list[int]) -> None:
        intervals = list(traffic(3, 20))
        assert self.final([*intervals, *(intervals[index] for index in again)]) == self.final(intervals)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 18), st.integers(1, 5))
    def test_late_data_are_counted_when_they_arrive(self, first: int, missed: int) -> None:
        intervals = list(traffic(4, 25))
        late = intervals[first : first + missed]
        state = self.final([*intervals[:first], *intervals[first + missed :], *late])
        whole = self.final(intervals)
        assert (state.keys[0].total, state.keys[0].bad) == (whole.keys[0].total, whole.keys[0].bad)
        assert state.gaps == ()

    def test_the_state_survives_being_written_and_stays_below_four_kilobytes(self) -> None:
        state = self.final(list(traffic(5, 500)))
        written = state.model_dump_json()
        assert SequentialState.model_validate_json(written) == state
        assert len(written) < 4_000


class TestTheBet:
    @settings(max_examples=60, deadline=None)
    @given(st.floats(0.001, 0.2), st.floats(0.05, 3), st.floats(1.05, 25), st.floats(0, 0.01))
    def test_its_mean_is_at_most_one_where_treated_is_exactly_as_bad_as_allowed(
        self, control_rate: float, share: float, risk_ratio: float, margin: float
    ) -> None:
        """For Poisson counts the mean of the factor is known exactly: exp of the sum of rate times (base - 1)."""
        control_total = 1_000
        total = round(control_total * share)
        stake = stake_for(risk_ratio, total / control_total, 1.0)
        won = (
            log_won(bad, control_bad, share=total / control_total, stake=stake, burst=1.0)
            for bad, control_bad in ((1, 0), (0, 1), (0, 0))
        )
        up, down, idle = (math.exp(log_factor(each, margin=margin, stake=stake, total=total)) for each in won)
        treated_rate = margin + control_rate
        exponent = total * treated_rate * (up / idle - 1) + control_total * control_rate * (down / idle - 1)
        assert idle * math.exp(exponent) == pytest.approx(1.0, abs=1e-6)

    def test_wealth_begins_at_one_and_nothing_happening_leaves_it_there(self) -> None:
        mixture = Mixture.fresh(8)
        assert mixture.wealth == pytest.approx(1)
        assert mixture.after([0.0] * 8, 1.0).wealth == pytest.approx(1)

    def test_evidence_that_grows_for_days_can_still_be_written_and_read(self) -> None:
        mixture = Mixture.fresh(2)
        for _ in range(3_000):
            mixture = mixture.after((50.0, 50.0), 1.0)

        assert READ_MIXTURE.validate_json(READ_MIXTURE.dump_json(mixture)) == mixture

    def test_no_single_interval_convicts(self) -> None:
        assert Mixture.fresh(8).after([100.0] * 8, 1.0).wealth < 300

    def test_bursts_are_learnt_and_independent_errors_are_told_from_them(self) -> None:
        source = random.Random(1)
        lone = bursty = Dispersion()
        for _ in range(600):
            lone = lone.after(near(source, 12), 120, near(source, 108), 1080, 1.0)
            bursty = bursty.after(8 * near(source, 1.5), 120, 8 * near(source, 13.5), 1080, 1.0)
        assert lone.phi < 2.5
        assert bursty.phi > 5


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"kind": "versus_control"}, "has exactly one limit, max_difference; got none"),
        (
            {"kind": "zero_tolerance", "statistic": "level"},
            "statistic: zero_tolerance judges bad_share or good_share, got level",
        ),
        (
            {"kind": "versus_control", "statistic": "level", "at_least": "99%"},
            "statistic: versus_control judges bad_share or p95, got level",
        ),
        ({**CASCADES, "at_most": "1%"}, "at_most: zero_tolerance has no limit but 0"),
        ({**ERRORS, "max_difference": 0.01}, "gate: max_difference: a share is written with its percent"),
        ({**ERRORS, "threshold": 3}, "gate: threshold: there is no such field, got 3"),
        (
            {"kind": "median"},
            "gate: kind: Input should be 'versus_control', 'threshold' or 'zero_tolerance', got 'median'",
        ),
    ],
)
def test_a_gate_that_is_wrong_is_refused_with_the_field_the_value_and_what_is_allowed(
    gate: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match="gate") as refused:
        list(judge_stream(gate, []))
    assert said in str(refused.value)


def test_an_interval_that_is_wrong_is_named_by_its_number() -> None:
    wrong = {"end": end(1), "treated": {"total": 3, "bad": 4}}
    with pytest.raises(ValueError, match=r"interval 2: treated.*bad: at most total \(3\), got 4"):
        list(judge_stream(ERRORS, [*traffic(1, 1), wrong]))
    a_score = {"end": end(9), "treated": {"score": 1.0}, "control": {"total": 2, "bad": 0}}
    with pytest.raises(ValueError, match=r"interval 1: treated: a gate on bad_share judges counts .* got a score"):
        list(judge_stream(ERRORS, [a_score]))
    rolled_back = [gross(minute, 60) for minute in range(4)]
    assert decisions(ERRORS, rolled_back)[-1] == "rollback"
    with pytest.raises(ValueError, match=r"interval 5: treated: a gate on bad_share judges counts .* got a score"):
        list(judge_stream(ERRORS, [*rolled_back, a_score]))
