"""What the judge is measured on is as the bench says: healthy traffic is healthy, bursts are as large as said."""

import numpy as np
import pytest

from bench.gate_traffic import BASE_ERRORS, FAMILIES, FURTHER, LARGEST_BURST, Family, Minutes, minutes

HOURS = 24 * 60


def drawn(family: Family, seed: int, *, share: float = 0.5, per_second: float = 20.0) -> Minutes:
    random = np.random.default_rng([seed, 77])
    flat = np.full(HOURS, share)
    return minutes(random, family, per_second=per_second, shares=flat, excess=np.zeros(HOURS))


@pytest.mark.parametrize("family", FAMILIES + FURTHER, ids=lambda family: family.name)
def test_healthy_traffic_fails_as_often_in_both_groups_on_average(family: Family) -> None:
    days = [drawn(family, seed) for seed in range(120)]
    rates = np.array([[d.treated_bad.sum() / d.treated.sum(), d.control_bad.sum() / d.control.sum()] for d in days])
    differences = rates[:, 0] - rates[:, 1]
    error = differences.std(ddof=1) / np.sqrt(len(days))

    assert abs(differences.mean()) < 4 * error
    assert rates.min() > BASE_ERRORS / 10


def test_bursts_with_a_heavy_tail_bring_as_many_errors_as_others_and_some_of_them_dozens() -> None:
    alone = Family("bursts of every size", tail=1.5)
    days = [drawn(alone, seed, per_second=1.0) for seed in range(100)]
    together = sum(day.treated_bad.sum() for day in days) / sum(day.treated.sum() for day in days)
    largest = max(int(day.treated_bad.max()) for day in days)

    assert together == pytest.approx(BASE_ERRORS, rel=0.1)
    assert LARGEST_BURST / 5 < largest <= LARGEST_BURST


def test_even_bursts_last_five_minutes_and_restarts_come_once_an_hour() -> None:
    even, restarts = (
        next(family for family in FURTHER if family.name.startswith(name)) for name in ("even", "restart")
    )
    assert even.spread == (0.2,) * 5

    only_restarts = drawn(Family("restarts", restarts=True), 1, share=0.1, per_second=500.0)
    bad = only_restarts.treated_bad / only_restarts.treated
    in_each_hour = (bad > 0.1).reshape(-1, 60)
    assert restarts.restarts
    assert set(in_each_hour.sum(axis=1)) <= {1, 2}, "two instances, perhaps in the same minute"
    assert (in_each_hour == in_each_hour[0]).all(), "each in a minute of its own, every hour"
