"""Numbers from the literature: Newcombe, Statistics in Medicine 17 (1998), one paper for one share, one for two."""

import pytest

from rollout.interval_estimates import newcombe, quantile_bounds, wilson
from rollout.measurement import Histogram

Z95 = 1.959964


@pytest.mark.parametrize(
    ("bad", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_one_share_is_the_published_one(bad: int, total: int, low: float, high: float) -> None:
    assert wilson(bad, total, Z95) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("treated", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_the_interval_of_a_difference_is_the_published_one(
    treated: tuple[int, int], control: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(*treated, *control, z=Z95) == pytest.approx((low, high), abs=5e-5)


def test_no_event_at_all_gives_an_interval_that_starts_at_zero_and_says_how_little_is_known() -> None:
    low, high = wilson(0, 50)

    assert low == 0.0
    assert 0.1 < high < 0.3


def test_a_quantile_of_few_observations_is_bounded_widely_and_of_many_tightly() -> None:
    bounds = tuple(float(edge) for edge in range(10, 1010, 10))
    few = Histogram(bounds=bounds, counts=(*(1,) * 100, 0))
    many = Histogram(bounds=bounds, counts=(*(1000,) * 100, 0))

    narrow, wide = quantile_bounds(many, 0.95), quantile_bounds(few, 0.95)

    assert wide[0] < narrow[0] < 950 < narrow[1] < wide[1]
