"""Shares against a limit of their own: bursts are learnt from the treated group alone, and pass for no breach."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from bench.gate_thresholds import JUST_WITHIN, KINDS, LIMIT, fleet, judge_shares
from bench.gate_traffic import Family
from rollout.best_run import RUN
from rollout.capped_bets import FEE_WITHOUT_CONTROL, capped_bets
from rollout.dispersion import Dispersion
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState
from rollout.statistics import ERROR_RATIOS, fastest_stake, log_factor, log_won
from tests.rollout.test_capped_bets import of_bursts
from tests.rollout.test_sequential_exact import bursts

GATE = SequentialGate.model_validate({"kind": "threshold", "statistic": "good_share", "at_least": "99.5%"})
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ONE_BY_ONE, OF_TEN = KINDS[0].family, KINDS[2].family
AN_HOUR = 60
RECORDED = (Path(__file__).parent / "recorded_state_of_a_limit.json").read_text().strip()
"""Of six intervals from 12:00 to 12:06, the one that ended at 12:04 missing."""


def interval(minute: int, bad: int, total: int = 120) -> Interval:
    return Interval(end=NOON + timedelta(minutes=minute), treated=GroupCounts(total=total, bad=bad))


def judged(state: SequentialState, bad: list[int]) -> list[SequentialJudgement]:
    said = []
    for minute, one in enumerate(bad, start=1):
        state, judgement = step(GATE, state, interval(minute, one))
        said.append(judgement)
    return said


def phi_of(counts: list[tuple[int, int]]) -> float:
    dispersion = Dispersion()
    for bad, total in counts:
        dispersion = dispersion.after(bad, total, 0, 0, 1.0)
    return dispersion.phi


def drawn(family: Family, rates: list[float], seed: int, per_second: float = 20.0) -> list[tuple[int, int]]:
    total, bad = fleet(family, per_second, np.array(rates), seed + 1, risen_to=0.1)
    return [(int(one), int(of)) for one, of in zip(bad[seed], total[seed], strict=True)]


@pytest.mark.parametrize("risk_ratio", ERROR_RATIOS)
@pytest.mark.parametrize("size", [1.0, 1.25, 2.0, 6.0])
@pytest.mark.parametrize("expected", [0.03, 0.6, 3.0])
class TestTheMeanOfWhatAnIntervalMultipliesTheWealthByAtTheLimit:
    def test_is_at_most_one_for_bursts_of_the_size_they_are_taken_for(
        self, risk_ratio: float, size: float, expected: float
    ) -> None:
        """Geometric bursts that arrive independently; smaller ones win less than nothing."""
        stake, requests = fastest_stake(risk_ratio, 0.0, size), 1_000
        margin = expected / requests
        of_size, of_half = (
            sum(
                chance
                * math.exp(
                    log_factor(
                        log_won(bad, 0, share=0.0, stake=stake, burst=size), margin=margin, stake=stake, total=requests
                    )
                )
                for bad, chance in enumerate(bursts(expected, each))
                if chance
            )
            for each in (size, (size + 1) / 2)
        )
        assert of_half <= of_size + 1e-9
        assert of_size <= 1 + 1e-9


@pytest.mark.parametrize("size", [1.0, 1.05, 1.16, 1.25, 1.5, 2.0, 6.0, 20.0])
@pytest.mark.parametrize("expected", [0.01, 0.1, 0.6, 3.0, 15.0, 75.0])
def test_the_mean_is_at_most_one_for_the_second_bettor_too_who_believes_less_of_bursts(
    size: float, expected: float
) -> None:
    chances = of_bursts(expected, size)
    for bet in capped_bets(1, 0, share=0.0, burst=size, known=1.0, risk_ratios=ERROR_RATIOS, stake_of=fastest_stake):
        won = np.arange(len(chances)) * bet.won - bet.stake * expected
        assert float((chances * np.exp(np.minimum(won, bet.largest) - FEE_WITHOUT_CONTROL)).sum()) <= 1


@pytest.mark.parametrize("risk_ratio", ERROR_RATIOS)
@pytest.mark.parametrize("burst", [1.0, 1.25, 2.0, 30.0])
def test_no_other_stake_is_expected_to_grow_faster_without_control(risk_ratio: float, burst: float) -> None:
    """`risk_ratio` bad events come for each one that the limit allows."""

    def loss(stake: float) -> float:
        return stake - risk_ratio * log_won(1, 0, share=0.0, stake=stake, burst=burst)

    best = minimize_scalar(loss, bounds=(0, risk_ratio), method="bounded", options={"xatol": 1e-9})

    assert loss(fastest_stake(risk_ratio, 0.0, burst)) <= best.fun + 1e-9


def test_the_size_of_bursts_is_learnt_from_the_treated_group_alone() -> None:
    independent, of_ten = (
        np.median([phi_of(drawn(family, [JUST_WITHIN] * 8 * AN_HOUR, seed)) for seed in range(9)])
        for family in (ONE_BY_ONE, OF_TEN)
    )
    assert independent < 1.7
    assert 0.6 * 19 < of_ten < 1.6 * 19, "the variance of bursts of geometric size is 2 * mean - 1 times as large"


def test_a_breach_that_begins_passes_for_no_burst() -> None:
    healthy, breach = [0.001] * 6 * AN_HOUR, [0.02] * 2 * AN_HOUR
    phis = [phi_of(drawn(ONE_BY_ONE, healthy + breach, seed)) for seed in range(9)]

    assert np.median(phis) < 2.0


def test_the_array_form_and_the_judge_name_the_same_minute() -> None:
    found = []
    for family, per_second, bad in ((ONE_BY_ONE, 20.0, 0.015), (OF_TEN, 20.0, 0.04), (ONE_BY_ONE, 1.0, 0.1)):
        rates = np.where(np.arange(6 * AN_HOUR) < 2 * AN_HOUR, 0.001, bad)
        total, violations = fleet(family, per_second, rates, 2, risen_to=0.1)
        expected = judge_shares(total, violations, limit=LIMIT)
        for row in range(len(total)):
            state, at = begin(GATE), 0
            for minute in range(len(rates)):
                one = interval(minute + 1, int(violations[row, minute]), int(total[row, minute]))
                state, judgement = step(GATE, state, one)
                if judgement.decision == "rollback":
                    at = minute + 1
                    break
            found.append((at, int(expected[row])))

    assert all(ours == theirs > 0 for ours, theirs in found), found


def test_clusters_that_keep_the_limit_roll_nothing_back() -> None:
    each = [fleet(OF_TEN, per_second, np.full(1_440, JUST_WITHIN), 60) for per_second in (1.0, 20.0, 500.0)]
    total, bad = (np.concatenate(counts) for counts in zip(*each, strict=True))

    assert not judge_shares(total, bad, limit=LIMIT).any()


def test_independent_violations_beyond_the_limit_are_found_within_an_hour_and_a_quarter() -> None:
    at = judge_shares(*fleet(ONE_BY_ONE, 20.0, np.full(300, 0.01), 60, risen_to=0.1), limit=LIMIT)

    assert np.median(np.where(at == 0, math.inf, at)) <= 75


def test_one_burst_holds_and_does_not_roll_back() -> None:
    burst = [0, 1, 0] * 5 + [8] * 6 + [0] * 30
    state = begin(GATE)
    all_of_it = state.model_copy(update={"keys": (state.keys[0].model_copy(update={"best_run": None}),)})

    assert "rollback" in {judgement.decision for judgement in judged(all_of_it, burst)}
    said = judged(state, burst)
    assert {judgement.decision for judgement in said} == {"continue", "hold"}
    assert any(f"too much of that is one run of {RUN} intervals" in judgement.reason for judgement in said)


def test_control_that_comes_alone_teaches_nothing_of_a_share_that_is_held_against_a_limit() -> None:
    state = begin(GATE.model_copy(update={"statistic": "bad_share"}))
    gate = SequentialGate.model_validate({"kind": "threshold", "at_most": "0.5%"})
    for minute in range(1, 30):
        alone = Interval(end=NOON + timedelta(minutes=minute), control=GroupCounts(total=900, bad=90 * (minute % 2)))
        state, _ = step(gate, state, alone)

    assert state.keys[0].dispersion == Dispersion()


def test_a_state_of_before_bursts_were_learnt_goes_on_as_it_began() -> None:
    state = SequentialState.model_validate_json(RECORDED)
    for minute in range(7, 20):
        bad = 9 if minute in (10, 11) else minute % 3
        state, judgement = step(GATE, state, interval(minute, bad))

    assert (judgement.evidence.harm, judgement.evidence.beyond) == pytest.approx((8.174904542296476,) * 2, rel=1e-9)
    assert state.keys[0].dispersion.phi == 1.5
    assert not state.keys[0].by_own_rates
    assert SequentialState.model_validate_json(state.model_dump_json()) == state
