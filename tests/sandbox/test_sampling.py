"""Random counts: right on average and in spread, on both sides of the switch to the approximation, and repeatable."""

from collections.abc import Callable
from math import sqrt
from random import Random
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.load_shapes import lognormal, utilisation
from sandbox.sampling import binomial, multinomial, poisson, seeded

DRAWS = 4000


def drawn(draw: Callable[[Random], int]) -> list[int]:
    random = seeded("a test")
    return [draw(random) for _ in range(DRAWS)]


@pytest.mark.parametrize("mean", [0.2, 3.0, 29.0, 31.0, 12_000.0])
def test_poisson_draws_have_the_mean_and_the_spread_asked_for(mean: float) -> None:
    counts = drawn(lambda random: poisson(random, mean))

    assert fmean(counts) == pytest.approx(mean, abs=5 * sqrt(mean / DRAWS))
    assert pstdev(counts) == pytest.approx(sqrt(mean), rel=0.08)


@pytest.mark.parametrize(("trials", "chance"), [(10, 0.3), (100, 0.05), (12_000, 0.0002), (12_000, 0.06), (50, 0.97)])
def test_binomial_draws_have_the_mean_and_the_spread_asked_for(trials: int, chance: float) -> None:
    counts = drawn(lambda random: binomial(random, trials, chance))
    deviation = sqrt(trials * chance * (1 - chance))

    assert fmean(counts) == pytest.approx(trials * chance, abs=5 * deviation / sqrt(DRAWS))
    assert pstdev(counts) == pytest.approx(deviation, rel=0.08)


@given(
    seed=st.integers(0, 2**32),
    trials=st.integers(0, 20_000),
    weights=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=20),
)
@settings(max_examples=50, deadline=None)
def test_a_multinomial_draw_loses_nobody_and_is_never_negative(seed: int, trials: int, weights: list[float]) -> None:
    chances = [weight / sum(weights) for weight in weights]
    counts = multinomial(seeded(seed), trials, chances)

    assert sum(counts) == trials
    assert min(counts) >= 0
    assert len(counts) == len(chances)


def test_a_seed_gives_the_same_numbers_in_every_process() -> None:
    assert seeded(1, "requests", 5).random() == 0.7709677378226781
    assert seeded(1, "requests", 6).random() == 0.7636093654214742


@pytest.mark.parametrize("p95", [45.0, 180.0, 234.0, 1800.0])
def test_drawn_latencies_have_the_percentile_asked_for(p95: float) -> None:
    histogram = lognormal(p95, 0.5).draw(seeded("a test"), 200_000)

    assert histogram.count == 200_000
    assert histogram.percentile(0.95) == pytest.approx(p95, rel=0.1)


def test_drawn_utilisations_have_the_mean_asked_for() -> None:
    assert utilisation(0.35, 0.08).draw(seeded("a test"), 50_000).mean == pytest.approx(0.35, abs=0.002)


def test_a_utilisation_never_leaves_its_range() -> None:
    histogram = utilisation(1.0, 0.08).draw(seeded("a test"), 10_000)

    assert histogram.counts[0] == histogram.counts[-1] == 0
    assert histogram.count == 10_000
