"""How bursts of bad events are told from a regression: from the past, quickly, and without being blinded by it."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from statistics import mean, median

import numpy as np
import pytest

from bench.gate_fleet import FleetCounts, judge_fleet
from bench.gate_traffic import DAY, FURTHER, minutes
from bench.gates import together
from rollout.dispersion import LARGEST_FALL, LARGEST_TERM_BEFORE, Dispersion
from rollout.sequential_gate import begin, step
from rollout.sequential_model import Group, GroupCounts, Interval, SequentialGate

START = datetime(2026, 1, 1, tzinfo=UTC)
TREATED, CONTROL = 120, 1_080
"""Requests a minute: 20 a second, a tenth of them treated."""
BASE = 0.005
LATER_AT_MOST = 20
"""Minutes until two points more errors, one by one, are found that begin after some quiet time."""
GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})


def poisson(random: Random, expected: float) -> int:
    """Knuth's product of uniforms; exact, and quick enough for small numbers."""
    count, product, limit = 0, random.random(), math.exp(-expected)
    while product > limit:
        count, product = count + 1, product * random.random()
    return count


def bad(random: Random, expected: float, burst: float) -> int:
    """Poisson many bursts of geometric size, `expected` bad events in all."""
    bursts = poisson(random, expected / burst)
    return sum(1 + int(math.log(random.random()) / math.log(1 - 1 / burst)) if burst > 1 else 1 for _ in range(bursts))


def traffic(seed: int, *, onset: int, minutes: int, burst: float = 1.0) -> Iterator[Interval]:
    """Two points more errors among the treated from `onset` on."""
    random = Random(seed)  # noqa: S311  (simulated traffic, not a secret)
    for minute in range(minutes):
        rate = BASE + (0.02 if minute >= onset else 0.0)
        yield Interval(
            end=START + timedelta(minutes=minute + 1),
            treated=GroupCounts(total=TREATED, bad=min(TREATED, bad(random, TREATED * rate, burst))),
            control=GroupCounts(total=CONTROL, bad=min(CONTROL, bad(random, CONTROL * BASE, burst))),
        )


def minutes_to_rollback(seed: int, onset: int) -> float:
    """From the onset; negative for a false alarm."""
    state = begin(GATE)
    for minute, interval in enumerate(traffic(seed, onset=onset, minutes=onset + 240)):
        state, judgement = step(GATE, state, interval)
        if judgement.decision == "rollback":
            return minute + 1 - onset
    return math.inf


def _counts(group: Group | None) -> tuple[int, int]:
    assert isinstance(group, GroupCounts)
    return group.total, group.bad


def learnt(seed: int, burst: float, minutes: int, *, treated: bool = True) -> float:
    dispersion = Dispersion()
    for interval in traffic(seed, onset=minutes, minutes=minutes, burst=burst):
        counts, control = interval.treated, interval.control
        assert isinstance(counts, GroupCounts)
        assert isinstance(control, GroupCounts)
        of_treated = (counts.bad, counts.total) if treated else (0, 0)
        dispersion = dispersion.after(*of_treated, control.bad, control.total, 1.0)
    return dispersion.phi


def test_independent_errors_are_known_as_such_within_two_hours() -> None:
    assert mean(learnt(seed, burst=1, minutes=120) for seed in range(20)) < 1.6


@pytest.mark.parametrize("burst", [3.0, 5.0])
def test_bursts_are_known_with_their_size_within_two_hours(burst: float) -> None:
    """The variance of bursts of geometric size is 2 * mean - 1 times that of single events."""
    phi = mean(learnt(seed, burst, minutes=120) for seed in range(20))

    assert 0.8 * (2 * burst - 1) < phi < 1.6 * (2 * burst - 1)


def test_control_alone_tells_of_bursts_before_anybody_is_treated() -> None:
    assert mean(learnt(seed, burst=1, minutes=120, treated=False) for seed in range(20)) < 1.6
    assert mean(learnt(seed, burst=5, minutes=120, treated=False) for seed in range(20)) > 6


@pytest.mark.parametrize("onset", [30, 120, 360])
def test_a_regression_that_begins_later_does_not_hide_as_noise(onset: int) -> None:
    later = median(minutes_to_rollback(seed, onset=onset) for seed in range(15))

    assert 0 < later <= LATER_AT_MOST


def test_no_healthy_half_day_is_taken_back_however_errors_come() -> None:
    rows = []
    for burst, seed in product((1.0, 3.0, 5.0), range(6)):
        half_day = traffic(seed, onset=720, minutes=720, burst=burst)
        rows.append([(*_counts(interval.treated), *_counts(interval.control)) for interval in half_day])
    treated, treated_bad, control, control_bad = np.moveaxis(np.array(rows, dtype=np.float64), -1, 0)

    fleet = FleetCounts(treated, treated_bad, control, control_bad)

    assert not judge_fleet(fleet, max_difference=0.01).rolled_back.any()


def test_what_one_instance_loses_in_much_traffic_is_learnt_whole_and_an_incident_of_control_is_not() -> None:
    """Of 15,000 requests a minute in each group, one of ten instances loses half of its own once in twenty minutes."""
    rare, shared = (Dispersion(), Dispersion()), (Dispersion(), Dispersion())
    for minute in range(240):
        lost, worse = 750 if minute % 20 == 0 else 0, 1_500 if minute % 120 < 10 else 0
        rare = _both(rare, 75 + lost, 75)
        shared = _both(shared, 75 + worse, 75 + worse)

    assert rare[1].phi > 2 * rare[0].phi
    assert shared[1].phi == shared[0].phi


def _both(known: tuple[Dispersion, Dispersion], bad: int, control_bad: int) -> tuple[Dispersion, Dispersion]:
    """As it was learnt before, and as it is."""
    before, now = known
    return (
        before.after(bad, 15_000, control_bad, 15_000, 1.0, largest_term=LARGEST_TERM_BEFORE),
        now.after(bad, 15_000, control_bad, 15_000, 1.0, largest_term=LARGEST_TERM_BEFORE, largest_fall=LARGEST_FALL),
    )


def test_instances_that_restart_by_the_clock_in_much_traffic_are_not_taken_back() -> None:
    """Where a single instance is not learnt whole, some of these are."""
    restarts = next(family for family in FURTHER if family.restarts)
    shares, nothing = np.where(np.arange(2 * DAY) < DAY, 0.1, 0.5), np.zeros(2 * DAY)
    drawn = [
        minutes(np.random.default_rng(seed), restarts, per_second=500.0, shares=shares, excess=nothing)
        for seed in range(100)
    ]

    assert not judge_fleet(together(drawn), max_difference=0.01).rolled_back.any()


def test_a_regression_does_not_pass_for_bursts_because_what_fails_more_often_also_varies_more() -> None:
    """Five times control's rate, each error by itself: phi is 1, and by control's rate for both it would be 2.5."""
    of_all, of_each = [], []
    for seed in range(20):
        by_common, by_own = Dispersion(), Dispersion()
        for interval in traffic(seed, onset=0, minutes=240):
            treated, control = interval.treated, interval.control
            assert isinstance(treated, GroupCounts)
            assert isinstance(control, GroupCounts)
            counts = (treated.bad, treated.total, control.bad, control.total)
            by_common = by_common.after(*counts, 1.0, by_own_rates=False)
            by_own = by_own.after(*counts, 1.0)
        of_all.append(by_common.phi)
        of_each.append(by_own.phi)

    assert mean(of_all) > 2.2
    assert mean(of_each) < 1.6
