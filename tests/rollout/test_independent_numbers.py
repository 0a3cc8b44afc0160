"""The building blocks of the judge beside what others compute: scipy, numpy, and whole enumerations by fractions.

Nothing here is taken from this code. Where a number is written out, the call that gave it stands beside it.
"""

import dataclasses
import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import (  # type: ignore[import-untyped]
    binom,
    binomtest,
    chisquare,
    lognorm,
    norm,
    poisson,
    quantile_test,
)

from rollout.count_bets import Allowed
from rollout.detection import Flow, Regression, minutes_to_detect, slower_tail
from rollout.dispersion import Dispersion
from rollout.interval_estimates import newcombe, quantile_bounds, wilson
from rollout.measurement import Histogram
from rollout.power_card import error_regression
from rollout.sample_ratio import SampleRatio
from rollout.statistics import Mixture, fastest_stake

DAY, FOUR_HOURS = 1440.0, 240.0
AS_CONTROL = Allowed(margin=0.0, ratio=1.0)
Z95 = 1.959964


class TestTheMixture:
    """Cash flows into the bets at one part in a day of minutes, and bets flow back at one part in four hours."""

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=1, max_size=30), st.floats(0.1, 60))
    def test_is_the_hidden_markov_mixture_that_matrices_compute(
        self, logs: list[tuple[float, ...]], minutes: float
    ) -> None:
        begins, ends = minutes / DAY, minutes / FOUR_HOURS
        moves = np.array(
            [
                [1 - begins, *[ends] * 3],
                *[[begins / 3, *[1 - ends if row == arm else 0.0 for arm in range(3)]] for row in range(3)],
            ]
        )
        assert moves.sum(axis=0) == pytest.approx(1.0), "nothing is made and nothing is lost on the way"
        wealth, mixture = np.array([0.5, *[0.5 / 3] * 3]), Mixture.fresh(3)
        for log_factors in logs:
            wealth = np.diag([1.0, *np.exp(log_factors)]) @ moves @ wealth
            mixture = mixture.after(log_factors, minutes)

        assert (mixture.cash, *mixture.arms) == pytest.approx(tuple(wealth))

    def test_cannot_be_expected_to_grow_and_is_rarely_ever_large_where_no_bet_can_be(self) -> None:
        """All 2^14 ways of fair bets: one doubles a third of the time and halves else, the other stakes less."""
        chances = {math.log(2): Fraction(1, 3), math.log(0.5): Fraction(2, 3)}
        paid = math.log(sum(chance * math.exp(won / 2) for won, chance in chances.items()))
        ways = [(Mixture.fresh(2), Fraction(1), 1.0)]
        for _ in range(14):
            further = []
            for (mixture, chance, largest), (won, part) in product(ways, chances.items()):
                after = mixture.after((won, won / 2 - paid), 60.0)
                further.append((after, chance * part, max(largest, after.wealth)))
            ways = further

        assert sum(chance * mixture.wealth for mixture, chance, _ in ways) == pytest.approx(1.0, abs=1e-12)
        ever = {odds: float(sum(chance for _, chance, largest in ways if largest >= odds)) for odds in (1.5, 2, 4, 8)}
        assert all(0 < chance <= 1 / odds for odds, chance in ever.items()), ever


class TestBursts:
    """The first interval is compared with the third; three observations of 1.5 are believed beforehand."""

    def test_controls_disagreement_is_pearsons_chi_square_of_two_counts(self) -> None:
        """chisquare([9, 24]).statistic == 6.8181818 (scipy 1.17.1)"""
        known = Dispersion()
        for bad in (9, 15, 24):
            known = known.after(0, 0, bad, 1_000, 1.0)

        assert known.blocks[0].phi == pytest.approx((3 * 1.5 + 6.8181818) / (3 + 1), rel=1e-6)

    def test_a_fall_of_the_treated_is_measured_by_the_variance_of_a_binomial_split(self) -> None:
        """Of 40 bad events in two groups of a size treated has 26, and then 14, each ± binom(40, 1/2).var() == 10.

        It weighs four observations, beside one of control's own rate.
        """
        known = Dispersion()
        for bad in (26, 20, 14):
            known = known.after(bad, 1_000, 40 - bad, 1_000, 1.0)
        fell = (26 - 14) ** 2 / (2 * binom(40, 0.5).var())
        control = chisquare([14, 26]).statistic

        assert known.blocks[0].phi == pytest.approx((3 * 1.5 + 4 * fell + control) / (3 + 4 + 1), rel=1e-6)

    def test_bursts_of_geometric_size_have_the_variance_that_numpy_gives_them(self) -> None:
        """phi = 2m - 1: Poisson many bursts of mean size m, drawn a hundred thousand times."""
        draw = np.random.default_rng(1)
        sums = np.array([draw.geometric(1 / 4, size=size).sum() for size in draw.poisson(5, size=100_000)])
        known = Dispersion(blocks=(Dispersion().blocks[0],))
        bursty = dataclasses.replace(known, blocks=(dataclasses.replace(known.blocks[0], weighted=7e6, weight=1e6),))

        assert sums.var() / sums.mean() == pytest.approx(7, rel=0.03)
        assert (bursty.phi, bursty.burst) == (7, 4)


class TestShares:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 5_000), st.data())
    def test_the_interval_of_one_share_is_scipys(self, total: int, data: st.DataObject) -> None:
        bad = data.draw(st.integers(0, total))
        other = binomtest(bad, total).proportion_ci(confidence_level=0.999, method="wilson")

        assert wilson(bad, total, float(norm.isf(0.0005))) == pytest.approx((other.low, other.high), abs=1e-9)

    @settings(max_examples=60, deadline=None)
    @given(st.tuples(st.integers(0, 50), st.integers(50, 5_000)), st.tuples(st.integers(0, 50), st.integers(50, 5_000)))
    def test_the_interval_of_a_difference_is_put_together_of_scipys_two_as_newcombe_says(
        self, treated: tuple[int, int], control: tuple[int, int]
    ) -> None:
        share, reference = treated[0] / treated[1], control[0] / control[1]
        one, two = (
            binomtest(*group).proportion_ci(confidence_level=0.95, method="wilson") for group in (treated, control)
        )
        low = share - reference - math.hypot(share - one.low, two.high - reference)
        high = share - reference + math.hypot(one.high - share, reference - two.low)

        assert newcombe(*treated, *control, z=float(norm.isf(0.025))) == pytest.approx((low, high), abs=1e-9)

    @pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
    def test_a_quantiles_interval_is_that_of_the_ranks_that_scipy_gives(self, share: float) -> None:
        """One observation in each bucket of width 1, so that a rank is a value."""
        observed = np.arange(1, 10_001) - 0.5
        histogram = Histogram(bounds=tuple(map(float, range(1, 10_001))), counts=(*(1,) * 10_000, 0))
        other = quantile_test(observed, q=0, p=share).confidence_interval(confidence_level=0.999)

        assert quantile_bounds(histogram, share) == pytest.approx((other.low, other.high), abs=3.0)


class TestGroupsOfAnotherSize:
    @pytest.mark.parametrize(("planned", "users"), [(0.1, 100_000), (0.5, 100_000), (0.1, 3_000), (0.5, 750)])
    def test_the_mean_of_what_an_interval_wins_is_at_most_one_at_the_largest_share_that_is_tolerated(
        self, planned: float, users: int
    ) -> None:
        """Of requests that are known to come one by one: what is believed of clumps only makes it smaller."""
        fresh = SampleRatio(planned=planned, users=users)
        one_by_one = tuple(dataclasses.replace(block, weighted=1e6, weight=1e6) for block in fresh.clumps)
        asked = dataclasses.replace(fresh, clumps=one_by_one)
        for share in asked.tolerated:
            for size in (1, 40):
                chances = binom.pmf(np.arange(size + 1), size, share)
                won = [asked.after(treated, size - treated, 1.0) for treated in range(size + 1)]
                means = [
                    float(chances @ [bets.wealth for bets in way])
                    for way in zip(*((w.less, w.more) for w in won), strict=False)
                ]
                assert max(means) <= 1 + 1e-9
                if size == 1:
                    assert max(means) == pytest.approx(1.0), "and no smaller where nothing is cut off"


class TestThePowerCard:
    @pytest.mark.parametrize(("increase", "sigma"), [(0.1, 0.8), (0.3, 0.6), (1.0, 0.4)])
    def test_the_tail_of_slower_latencies_is_that_of_scipys_lognormal(self, increase: float, sigma: float) -> None:
        other = lognorm(sigma, scale=50 * (1 + increase)).sf(lognorm(sigma, scale=50).isf(0.05))

        assert slower_tail(0.05, increase, sigma) == pytest.approx(other, abs=1e-9)

    def test_a_single_bet_is_forecast_to_grow_as_enumerated_counts_let_it(self) -> None:
        """Without bursts, doubts or other bets; each count of a minute weighed by scipy's Poisson probabilities.

        8 errors a minute where 6 are allowed: the wealth of a bet on half as many again is followed by its mean log.
        """
        counts = np.arange(80)
        treated, control = poisson.pmf(counts, 8.0), poisson.pmf(counts, 6.0)
        stake = fastest_stake(1.5, 1.0, 1.0)
        growth = (treated @ counts) * math.log1p(stake) + (control @ counts) * math.log1p(-stake)
        flow = Flow(treated=500.0, control=500.0, minutes=1.0)
        regression = Regression(
            treated=0.016, control=0.012, harm=AS_CONTROL, beyond=AS_CONTROL, risk_ratios=(1.5,), prior_phi=1.0
        )
        begins, ends, cash, bet, minutes = 1 / DAY, 1 / FOUR_HOURS, 0.5, 0.5, 0
        while cash + bet < regression.needed:
            cash, bet = cash * (1 - begins) + ends * bet, (bet * (1 - ends) + cash * begins) * math.exp(growth)
            minutes += 1

        assert 50 < minutes < 100
        assert minutes_to_detect(flow, regression, 300.0) == pytest.approx(minutes, abs=1)

    def test_what_ended_bets_won_is_forecast_to_be_staked_again_where_latencies_are_compared_alone(self) -> None:
        """7.4 errors a minute where 6 are allowed, so slowly found that what ended bets won is a tenth of the time.

        Odds that are more than what the best run may bring, so that leaving it out does not matter.
        """
        stake = fastest_stake(1.5, 1.0, 1.0)
        growth = 7.4 * math.log1p(stake) + 6.0 * math.log1p(-stake)
        flow = Flow(treated=500.0, control=500.0, minutes=1.0)
        regression = Regression(0.0148, 0.012, AS_CONTROL, AS_CONTROL, (1.5,), prior_phi=1.0, needed=100_000.0)
        begins, ends, cash, bet, minutes = 1 / DAY, 1 / FOUR_HOURS, 0.5, 0.5, 0
        while cash + bet < regression.needed:
            before = bet
            bet = (bet * (1 - ends) + cash * begins) * math.exp(growth)
            cash = cash * (1 - begins) + ends * before
            minutes += 1

        assert minutes_to_detect(flow, regression, 3_000.0) == pytest.approx(minutes, rel=0.025)
        assert dataclasses.replace(regression, margin=0.01).largest_cash == 1.0

    def test_a_month_of_much_traffic_that_proves_nothing_is_forecast_as_not_found(self) -> None:
        """So many intervals are taken together in the end that what they win is beyond what a float holds."""
        flow = Flow(treated=100_000.0, control=11_000.0, minutes=1.0, phis=(10.0,) * 4)
        regression = error_regression(usual=0.1, margin=0.01, excess=0.01)

        assert minutes_to_detect(flow, regression, 43_200.0) is None
