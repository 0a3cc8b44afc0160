"""What control's own curve predicts of slower requests: never more of them than there are."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.control_curve import exceedance_ratio

COUNTS = st.lists(st.integers(0, 10**9).map(float), min_size=5, max_size=5)


@given(COUNTS, st.integers(0, 3), st.floats(0.0001, 100))
def test_no_more_than_all_requests_are_ever_predicted_above_an_edge(
    counts: list[float], edge: int, increase: float
) -> None:
    above = (sum(counts[edge + 1 :]) + 0.5) / (sum(counts) + 1)

    assert (
        1 <= exceedance_ratio(tuple(counts), (10.0, 20.0, 40.0, 80.0), edge, increase) <= max(1, 1 / above) * (1 + 1e-9)
    )
