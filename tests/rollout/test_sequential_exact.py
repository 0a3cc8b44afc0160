"""What the judge promises without any simulation: means by enumeration, and states that do not depend on the way.

The probabilities come from scipy, the value of Robbins' mixture from a formula written out here anew.
"""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.stats import binom, nbinom, norm, poisson  # type: ignore[import-untyped]

from rollout.confidence_sequence import PASS_TUNED_AT, Average
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate
from rollout.sequential_state import SequentialState
from rollout.statistics import ERROR_RATIOS, LATENCY_RATIOS, fastest_stake, log_factor, log_won, stake_for

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Shares = npt.NDArray[np.float64]
GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
MANY = 120
"""Bad events beyond which the distributions below have nothing left that a double could show."""


def mean_of_factor(treated: Shares, control: Shares, sizes: tuple[int, int], **bet: float) -> float:
    """The mean over every pair of counts, given the probability of each count in either group."""
    by_treated = sum(p * math.exp(log_of_factor(k, 0, sizes, bet)) for k, p in enumerate(treated))
    idle = log_of_factor(0, 0, sizes, bet)
    by_control = sum(p * math.exp(log_of_factor(0, k, sizes, bet) - idle) for k, p in enumerate(control))
    return float(by_treated * by_control)


def log_of_factor(bad: int, control_bad: int, sizes: tuple[int, int], bet: dict[str, float]) -> float:
    treated, control = sizes
    share = bet["ratio"] * treated / control
    won = log_won(bad, control_bad, share=share, stake=bet["stake"], burst=bet["burst"])
    return log_factor(won, margin=bet["margin"], stake=bet["stake"], total=treated)


def bursts(expected: float, mean_size: float) -> Shares:
    """Counts of Poisson many bursts, each of geometric size: n bursts hold k events as a negative binomial says."""
    counts = np.arange(6 * MANY)
    most = int(poisson.isf(1e-15, expected / mean_size)) + 1
    shares = np.where(counts == 0, poisson.pmf(0, expected / mean_size), 0.0)
    for number in range(1, most + 1):
        of_number = nbinom.pmf(counts - number, number, 1 / mean_size)
        shares = shares + poisson.pmf(number, expected / mean_size) * of_number
    return np.asarray(shares, dtype=np.float64)


@pytest.mark.parametrize("risk_ratio", ERROR_RATIOS)
@pytest.mark.parametrize(
    ("sizes", "rate"), [((120, 1_080), 0.005), ((30, 30), 0.02), ((6, 54), 0.1), ((600, 600), 0.0)]
)
@pytest.mark.parametrize(("margin", "ratio"), [(0.0005, 1.0), (0.005, 1.0), (0.0, 1.3)])
class TestTheMeanOfTheBetOnTheBoundary:
    def test_is_at_most_one_for_independent_requests(
        self, risk_ratio: float, sizes: tuple[int, int], rate: float, margin: float, ratio: float
    ) -> None:
        stake = stake_for(risk_ratio, ratio * sizes[0] / sizes[1], 1.0)
        treated = binom.pmf(np.arange(sizes[0] + 1), sizes[0], margin + ratio * rate)
        control = binom.pmf(np.arange(sizes[1] + 1), sizes[1], rate)

        assert mean_of_factor(treated, control, sizes, margin=margin, ratio=ratio, stake=stake, burst=1.0) <= 1 + 1e-9

    def test_is_at_most_one_for_arrivals_of_bursts_and_smaller_where_they_are_taken_for_longer(
        self, risk_ratio: float, sizes: tuple[int, int], rate: float, margin: float, ratio: float
    ) -> None:
        share = ratio * sizes[0] / sizes[1]
        stake = stake_for(risk_ratio, share, 4.0)
        treated = bursts(sizes[0] * (margin + ratio * rate), 3.0)
        control = bursts(sizes[1] * rate, 3.0)

        right, cautious = (
            mean_of_factor(treated, control, sizes, margin=margin, ratio=ratio, stake=stake, burst=burst)
            for burst in (3.0, 4.0)
        )
        assert cautious <= right + 1e-12
        assert right <= 1 + 1e-9


@given(st.integers(0, 40), st.integers(0, 40), st.floats(1.01, 25), st.floats(1, 8), st.floats(0, 4))
def test_the_longer_bursts_are_taken_to_be_the_less_a_bet_wins(
    bad: int, control_bad: int, risk_ratio: float, burst: float, more: float
) -> None:
    stake = stake_for(risk_ratio, 0.1, burst + more)
    shorter, longer = (
        log_of_factor(bad, control_bad, (100, 1_000), {"margin": 0.005, "ratio": 1.0, "stake": stake, "burst": size})
        for size in (burst, burst + more)
    )
    assert longer <= shorter + 1e-9


@pytest.mark.parametrize("risk_ratio", LATENCY_RATIOS)
@pytest.mark.parametrize("share", [0.01, 0.12, 1.2, 9.0])
@pytest.mark.parametrize("burst", [1.0, 1.05, 2.0, 30.0])
def test_no_other_stake_is_expected_to_grow_faster_where_slow_requests_come_in_bursts(
    risk_ratio: float, share: float, burst: float
) -> None:
    """For one bad event expected in control, `share * risk_ratio` are among the treated."""

    def loss(stake: float) -> float:
        won = log_won(1, 0, share=share, stake=stake, burst=burst) * share * risk_ratio
        return -won - log_won(0, 1, share=share, stake=stake, burst=burst)

    largest = (1 - 1e-9) / (burst * share)
    best = minimize_scalar(loss, bounds=(0, largest), method="bounded", options={"xatol": largest * 1e-9})
    stake = fastest_stake(risk_ratio, share, burst)

    assert 0 < burst * share * stake < 1, "more could lose everything"
    assert loss(stake) <= best.fun + 1e-12


def test_at_the_bound_on_the_average_the_one_sided_normal_mixture_is_just_worth_one_in_beta() -> None:
    """Robbins' mixture over positive drifts, 2 exp(s²p / 2g) Φ(s √(p/g)) / √g with g = pv + 1, from its own formula."""
    average, beta = Average(), 0.05
    for _ in range(90):
        average = average.after(0.001, 100.0, 60.0, 1_000)
    prior = (-2 * math.log(2 * beta) + math.log(1 - 2 * math.log(2 * beta))) / (60.0 * PASS_TUNED_AT)
    grown = prior * 90 * 60.0 + 1
    above = average.bound(beta) * 90 * 100.0 - 90 * 100.0 * 0.001

    worth = 2 * math.exp(above**2 * prior / (2 * grown)) * norm.cdf(above * math.sqrt(prior / grown)) / math.sqrt(grown)

    assert 1 / beta <= worth <= 1.1 / beta


counts = st.tuples(st.integers(0, 12), st.integers(0, 40))


def interval(minute: int, bad: tuple[int, int] | None) -> Interval:
    end = NOON + timedelta(minutes=minute)
    if bad is None:
        return Interval(end=end, treated=GroupCounts(total=0), control=None)
    return Interval(end=end, treated=GroupCounts(total=120, bad=bad[0]), control=GroupCounts(total=1_080, bad=bad[1]))


def after(state: SequentialState, intervals: list[Interval]) -> SequentialState:
    for one in intervals:
        state, _ = step(GATE, state, one)
    return state


@settings(max_examples=40, deadline=None)
@given(st.lists(counts, min_size=1, max_size=40), st.data())
def test_stopping_anywhere_writing_the_state_and_going_on_changes_nothing(
    bad: list[tuple[int, int]], data: st.DataObject
) -> None:
    intervals = [interval(minute, one) for minute, one in enumerate(bad)]
    cut = data.draw(st.integers(0, len(intervals)))

    first = after(begin(GATE), intervals[:cut]).model_dump_json()
    resumed = after(SequentialState.model_validate_json(first), intervals[cut:])

    assert resumed == after(begin(GATE), intervals)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | counts, min_size=1, max_size=40))
def test_an_interval_in_which_nobody_was_there_is_no_evidence(bad: list[tuple[int, int] | None]) -> None:
    intervals = [interval(minute, one) for minute, one in enumerate(bad)]
    with_empty = after(begin(GATE), intervals)
    without = after(begin(GATE), [one for one, counted in zip(intervals, bad, strict=True) if counted is not None])

    assert with_empty.keys == without.keys


@settings(max_examples=40, deadline=None)
@given(st.lists(counts, min_size=2, max_size=20), st.data())
def test_intervals_that_come_again_in_any_order_change_nothing(bad: list[tuple[int, int]], data: st.DataObject) -> None:
    intervals = [interval(minute, one) for minute, one in enumerate(bad)]
    again = data.draw(st.lists(st.sampled_from(intervals), max_size=20))

    assert after(after(begin(GATE), intervals), again) == after(begin(GATE), intervals)
