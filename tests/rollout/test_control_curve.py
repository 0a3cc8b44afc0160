"""What control's own curve tells: where its p95 is asked of, and never more slower requests than there are."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.control_curve import LEARNT_FROM, edges_of_p95, exceedance_ratio
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupLatencies, Interval, SequentialGate

COUNTS = st.lists(st.integers(0, 10**9).map(float), min_size=5, max_size=5)
BOUNDS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
OF_A_CACHE = (1_200, 5_700, 2_550, 20, 20, 290, 170, 50)
"""Hits up to 25 ms; misses, 5.5 %, around 200 ms. The p95 lies above 100 ms, which 5.1 % exceed."""


@given(COUNTS, st.integers(0, 3), st.floats(0.0001, 100))
def test_no_more_than_all_requests_are_ever_predicted_above_an_edge(
    counts: list[float], edge: int, increase: float
) -> None:
    above = (sum(counts[edge + 1 :]) + 0.5) / (sum(counts) + 1)

    assert (
        1 <= exceedance_ratio(tuple(counts), (10.0, 20.0, 40.0, 80.0), edge, increase) <= max(1, 1 / above) * (1 + 1e-9)
    )


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ((500, 300, 112, 40, 30, 18), (2, 3)),
        ((500, 300, 135, 40, 20, 5), (2, 3)),
        ((500, 300, 145, 25, 20, 10), (1, 2)),
        ((900, 40, 6, 30, 20, 4), (2, 3)),
        ((500, 300, 145, 3, 2, 50), (3, 4)),
        ((10, 10, 10, 10, 10, 950), (3, 4)),
    ],
    ids=["within a bucket", "further above an edge", "at an edge, steep", "flat below", "flat above", "beyond"],
)
def test_the_p95_is_asked_of_at_its_own_bucket_or_at_an_edge_that_is_the_p95_and_the_one_below(
    counts: tuple[int, ...], edges: tuple[int, ...]
) -> None:
    assert edges_of_p95(tuple(map(float, counts))) == edges


@given(st.lists(st.integers(0, 10**6).map(float), min_size=4, max_size=40))
def test_the_p95_never_lies_above_both_edges_unless_they_are_the_last(counts: list[float]) -> None:
    edges = edges_of_p95(tuple(counts))

    if sum(counts) < LEARNT_FROM:
        assert edges == ()
    else:
        lower, upper = edges
        assert 1 <= lower == upper - 1
        assert upper == len(counts) - 2 or sum(counts[upper + 1 :]) <= 0.06 * sum(counts)


@pytest.mark.parametrize(("began_before", "compared"), [(False, 100.0), (True, 10.0)])
def test_a_gate_that_began_before_goes_on_to_ask_at_the_edges_it_would_have_asked_at(
    began_before: bool, compared: float
) -> None:
    gate = SequentialGate.model_validate({"kind": "versus_control", "statistic": "p95", "max_increase": "10%"})
    state = begin(gate)
    if began_before:
        state = state.model_copy(
            update={"keys": tuple(keys.model_copy(update={"by_own_rates": False}) for keys in state.keys)}
        )
    for minute in (1, 2):
        control = GroupLatencies(bounds_ms=BOUNDS, counts=OF_A_CACHE)
        end = datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
        state, _ = step(gate, state, Interval(end=end, treated=control, control=control))

    assert state.compared_ms == compared
