"""The p95 gate on simulated latencies: its array form, and what it finds where there is much traffic."""

import numpy as np
import pytest

from bench.gate_latencies import by_the_judge, together
from bench.gate_latency_fleet import judge_latency_fleet
from bench.latency_traffic import KINDS, USUAL, Latencies, Trial, drawn

FIRST_SEED = 2_000_000


@pytest.mark.parametrize("kind", [USUAL, KINDS[6], KINDS[7]], ids=lambda kind: kind.name)
@pytest.mark.parametrize("per_second", [1.0, 20.0])
def test_the_fleet_and_the_judge_name_the_same_minute(kind: Latencies, per_second: float) -> None:
    trial = Trial(kind, per_second, 300, 0.5, 0.3, 60)
    treated, control = together(drawn(trial, FIRST_SEED + seed) for seed in range(3))

    found = judge_latency_fleet(kind.bounds_ms, treated, control, increase=0.1).rolled_back
    said = [by_the_judge(kind.bounds_ms, ours, theirs) or 0 for ours, theirs in zip(treated, control, strict=True)]

    assert found.tolist() == said
    assert any(said)


@pytest.mark.parametrize(("per_second", "increase"), [(20.0, 0.2), (500.0, 0.15)])
def test_a_few_slow_minutes_at_the_start_roll_back_no_healthy_candidate_and_a_slow_one_is_found(
    per_second: float, increase: float
) -> None:
    few, many = 6, 60
    slow = Trial(USUAL, per_second, many, increase=increase)
    for seed in range(3):
        one = drawn(slow, FIRST_SEED + seed)
        healthy = drawn(Trial(USUAL, per_second, many), FIRST_SEED + seed)
        after = np.concatenate([one.treated[:few], healthy.treated[few:]]).astype(np.int32)
        control = np.concatenate([one.control[:few], healthy.control[few:]]).astype(np.int32)

        assert by_the_judge(USUAL.bounds_ms, after, control) is None
        assert by_the_judge(USUAL.bounds_ms, one.treated.astype(np.int32), one.control.astype(np.int32)) is not None


def test_a_slow_candidate_is_found_though_much_traffic_has_shown_for_hours_how_far_groups_wander() -> None:
    trial = Trial(USUAL, 500.0, 480 + 240, increase=0.15, onset=480)
    treated, control = together(drawn(trial, FIRST_SEED + seed) for seed in range(6))

    found = judge_latency_fleet(USUAL.bounds_ms, treated, control, increase=0.1).rolled_back

    assert (found == 0).sum() + (found > trial.onset).sum() == len(found), "none before it was slow"
    assert (found > trial.onset).sum() >= len(found) - 1
