"""Groups whose latencies wander apart: told from a regression, and from what moves both of them."""

import math
from random import Random

import pytest

from rollout.sequential_state import Keys
from rollout.statistics import Mixture
from rollout.wander import Wander

KEYS = {"harm": Mixture.fresh(1), "beyond": Mixture.fresh(1), "dispersion": Wander()}
TREATED, CONTROL, SLOW = 1_000, 9_000, 0.1
HOURS = 8


def slow(random: Random, total: int, share: float) -> int:
    """Independent requests, near enough to a normal distribution at these sizes."""
    return round(random.gauss(total * share, math.sqrt(total * share * (1 - share))))


def learnt(together: float, apart: float, *, treated: int = TREATED) -> Wander:
    """After hours in which the share of slow requests swings for both groups, and for the treated alone."""
    random, wander = Random(7), Wander()  # noqa: S311  (simulated traffic, not a secret)
    control = TREATED + CONTROL - treated
    for minute in range(HOURS * 60):
        swing = SLOW * (1 + together * math.sin(minute / 230))
        own = swing * (1 + apart * math.sin(minute / 40))
        wander = wander.after(slow(random, treated, own), treated, slow(random, control, swing), control, 1.0)
    return wander


def test_a_day_that_moves_both_groups_is_no_wandering_and_groups_that_move_apart_are() -> None:
    assert learnt(together=0.5, apart=0.0).phi < 2.0 < learnt(together=0.0, apart=0.2).phi


def test_what_was_learnt_of_few_treated_grows_where_more_of_them_could_tell_more() -> None:
    """Forty-five calm minutes at a half: alone they would halve it."""
    few = learnt(together=0.0, apart=0.2)
    more = few
    for _ in range(45):
        more = more.after(500, 5_000, 500, 5_000, 1.0)

    assert more.phi > 1.2 * few.phi


def test_a_regression_that_begins_is_not_taken_for_wandering() -> None:
    before = learnt(together=0.0, apart=0.0)
    after = before
    for _ in range(120):
        after = after.after(150, TREATED, 900, CONTROL, 1.0)

    assert after.phi <= before.phi + 0.1


def test_incidents_that_both_groups_share_hide_no_regression_for_hours_in_gates_that_begin_now() -> None:
    now, before = Keys.model_validate(KEYS | {"by_own_rates": True}), Keys.model_validate(KEYS)
    for minute in range(HOURS * 60):
        times = 4 if minute % 120 < 10 else 1
        counts = (100 * times, TREATED, 900 * times, CONTROL)
        now, before = (
            keys.model_copy(update={"dispersion": keys.dispersion_after(*counts, 1.0)}) for keys in (now, before)
        )

    assert now.dispersion.phi < 0.5 * before.dispersion.phi


def test_nothing_is_learnt_from_an_interval_without_a_slow_request() -> None:
    wander = Wander()
    for _ in range(200):
        wander = wander.after(0, TREATED, 0, CONTROL, 1.0)
    assert wander.phi == pytest.approx(Wander().phi)


def test_a_key_tolerates_the_more_of_the_limit_the_further_groups_wander_apart() -> None:
    usual, most = 0.6, 0.8
    calm, swinging = (learnt(together=0.5, apart=apart) for apart in (0.0, 0.8))

    assert calm.tolerated(usual, most) == usual
    assert swinging.tolerated(usual, most) == pytest.approx(most)
