"""The power card: how soon a gate finds a regression, said before a start, and close to what the judge does."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.gate_fleet import judge_fleet
from bench.gate_thresholds import KINDS, judge_shares
from bench.gate_traffic import Family, bad_events
from bench.gates import together
from bench.power_card import CASES, HISTORY, MARGIN, WITHIN, Case, Compared, drawn, forecast
from rollout.detection import Flow, minutes_to_detect
from rollout.overdispersion import BLOCKS
from rollout.power_card import Forecast, Usual, blind_spots, breach, error_regression, forecasts, usual_of
from rollout.quantity import parse_duration
from starter.plan_file import load_plan
from tests.checkout import PLANS
from tests.rollout.samples import MINUTE, counts, latencies

PLAN = PLANS / "traffic-canary.yaml"


def canary_errors(per_second: float) -> Forecast:
    plan = load_plan(PLAN)
    found = forecasts(plan, dict.fromkeys(plan.metrics, Usual(60 * per_second, 0.005)))
    (one,) = [one for one in found if (one.gate, one.stage) == ("errors_against_stable", "canary")]
    return one


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family.name}-{case.per_second:g}-{case.excess}")
def test_a_forecast_is_within_half_as_much_again_of_what_the_judge_takes(case: Case) -> None:
    trials = [drawn(case, seed) for seed in (range(100, 125) if case.per_second > 1 else range(60))]
    said = float(np.median([forecast(case, trial) for trial in trials]))

    # Whoever is not found by then is too late already, however much later that would be.
    latest = HISTORY + math.ceil(min(WITHIN * said, case.longest))
    at = judge_fleet(together(trials).between(HISTORY, latest), max_difference=MARGIN).rolled_back

    found = Compared(said, float(np.median(np.where(at == 0, np.inf, at))))
    assert found.factor <= WITHIN, found


def test_more_traffic_and_larger_regressions_are_found_sooner() -> None:
    slow, quick = canary_errors(1), canary_errors(20)

    for one in (slow, quick):
        after = [found.after for found in one.findings if found.after is not None]
        assert after == sorted(after, reverse=True)
        assert len(after) == 3
    assert all(
        a.after is not None and b.after is not None and a.after > b.after
        for a, b in zip(slow.findings, quick.findings, strict=True)
    )


def test_a_soak_too_short_for_its_traffic_is_said_with_what_would_do() -> None:
    assert blind_spots([canary_errors(20)]) == []
    (sentence,) = blind_spots([canary_errors(1)])

    assert sentence.startswith(
        "errors_against_stable in canary: a regression of twice its limit (+2 points) is found in"
    )
    assert "and the soak is 2 h: a soak of 3 h" in sentence
    assert sentence.endswith("times the traffic of the treated group would do")


def test_what_would_do_does() -> None:
    (sentence,) = blind_spots([canary_errors(1)])
    times = float(sentence.rsplit(" times the traffic", 1)[0].rsplit(" ", 1)[1])

    assert not canary_errors(times).is_blind
    assert canary_errors(1).soak == parse_duration("2h")


@pytest.mark.parametrize(("phi", "larger"), [(25.0, 80.0), (100.0, 400.0)], ids=["of control", "of the treated"])
def test_bursts_are_forecast_as_large_as_a_gate_learns_them_that_begins_now(phi: float, larger: float) -> None:
    """Control's own rate tells up to a hundred times chance, the treated residual ten times that."""
    far_from_the_best_run = replace(error_regression(usual=0.005, margin=0.01, excess=0.02), needed=1e6)
    sooner, later = (
        minutes_to_detect(Flow(120.0, 1080.0, 1.0, (1.0, each, 1.0, 1.0)), far_from_the_best_run, within=30_000.0)
        for each in (phi, larger)
    )

    assert sooner is not None
    assert later is not None
    assert later > 2 * sooner


def test_nothing_is_forecast_of_a_metric_that_says_nothing_or_is_read_and_not_counted() -> None:
    plan = load_plan(PLAN)

    assert forecasts(plan, {}) == []
    assert {one.gate for one in forecasts(plan, {"cpu": Usual(10)})} == set()
    assert usual_of([counts(0)], MINUTE) is None


def test_the_spread_of_latencies_is_taken_from_their_buckets() -> None:
    usual = usual_of([latencies(10_000, 50.0, sigma=0.8)], MINUTE)

    assert usual is not None
    assert usual.sigma == pytest.approx(0.8, rel=0.1)


def test_errors_that_come_together_are_known_from_the_past() -> None:
    lonely = usual_of([counts(1_000, 5 + step % 3) for step in range(60)], MINUTE)
    together = usual_of([counts(1_000, 40 if step % 10 == 0 else 1) for step in range(60)], MINUTE)

    assert lonely is not None
    assert together is not None
    assert max(lonely.phis) <= 3 < max(together.phis)


@pytest.mark.parametrize(
    ("family", "per_second", "bad"),
    [
        (KINDS[0].family, 1.0, 0.025),
        (KINDS[0].family, 20.0, 0.01),
        (KINDS[0].family, 20.0, 0.025),
        (KINDS[1].family, 500.0, 0.01),
        (KINDS[2].family, 500.0, 0.01),
    ],
    ids=lambda value: value.name if isinstance(value, Family) else None,
)
def test_a_forecast_against_a_limit_is_within_half_as_much_again_too(
    family: Family, per_second: float, bad: float
) -> None:
    random, minutes = np.random.default_rng(701), 600
    treated = random.poisson(6 * per_second, (60, minutes)).astype(np.float64)
    violations = np.array([bad_events(random, one.astype(np.int64), np.full(minutes, bad), family) for one in treated])
    at = judge_shares(treated, violations.astype(np.float64), limit=0.005)
    phi = 2 * family.burst - 1

    said = minutes_to_detect(Flow(6 * per_second, 0.0, 1.0, (phi,) * len(BLOCKS)), breach(0.005, bad), within=30_000.0)

    judged = float(np.median(np.where(at == 0, np.inf, at)))
    assert said is not None
    assert max(said / judged, judged / said) <= WITHIN, (said, judged)
