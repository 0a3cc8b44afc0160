"""The shipped plans say what the plan document says; each number here was taken from it, not from the plan."""

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from rollout.exposure import FULL, OFF
from rollout.gates import (
    Gate,
    ProbeGate,
    SwitchOff,
    ThresholdGate,
    VersusBaselineGate,
    VersusControlGate,
    ZeroToleranceGate,
    metrics_of,
)
from rollout.interval_estimates import newcombe, wilson
from rollout.measurement import GroupsByLabel, GroupsByRevision
from rollout.plan import RolloutPlan
from rollout.plan_parts import LoadTestCheck
from rollout.verdict import Action
from starter.plan_file import load_plan
from tests.checkout import PLANS

ALL = sorted(PLANS.glob("*.yaml"))


@pytest.fixture(scope="module")
def seven_days() -> RolloutPlan:
    return load_plan(PLANS / "request-isolation.yaml")


@pytest.fixture(scope="module")
def rehearsal() -> RolloutPlan:
    return load_plan(PLANS / "rehearsal.yaml")


@pytest.fixture(scope="module")
def traffic_canary() -> RolloutPlan:
    return load_plan(PLANS / "traffic-canary.yaml")


def gates_of(plan: RolloutPlan, stage: str) -> dict[str, Gate]:
    (found,) = [candidate for candidate in plan.stages if candidate.name == stage]
    return {name: plan.gates[name] for name in found.gates}


def limits_on(plan: RolloutPlan, stage: str, metric_type: str) -> list[tuple[str, str, str, Action]]:
    """Kind, statistic, limit and action of a stage's gates on metrics of a type, without repeats."""
    found = {
        (gate.kind, getattr(gate, "statistic", "count"), gate.limit_in_words, gate.action)
        for gate in gates_of(plan, stage).values()
        if any(plan.metrics[metric].type.endswith(metric_type) for metric in metrics_of(gate))
    }
    return sorted(found)


def test_there_are_the_three_plans() -> None:
    assert [path.stem for path in ALL] == ["rehearsal", "request-isolation", "traffic-canary"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_plan_agrees_with_the_published_schema(path: Path) -> None:
    document = YAML(typ="safe", pure=True).load(path.read_text())
    jsonschema.Draft202012Validator(RolloutPlan.model_json_schema()).validate(document)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_plan_is_named_as_its_file_and_survives_json(path: Path) -> None:
    plan = load_plan(path)
    assert plan.name == path.stem
    assert RolloutPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_plan_defines_nothing_that_it_does_not_use(path: Path) -> None:
    plan = load_plan(path)
    used = {name for stage in plan.stages for name in stage.gates}
    assert set(plan.gates) == used
    assert set(plan.metrics) == {metric for gate in plan.gates.values() for metric in metrics_of(gate)}


def test_the_seven_days_are_five_stages_that_soak_168_hours(seven_days: RolloutPlan) -> None:
    hours = [(stage.name, stage.soak / timedelta(hours=1)) for stage in seven_days.stages]
    assert hours == [("deploy-off", 2), ("internal", 24), ("canary", 48), ("staged", 48), ("full", 46)]
    assert seven_days.soak == timedelta(days=7)


def test_the_seven_days_expose_nobody_then_the_team_then_10_50_and_100_percent(seven_days: RolloutPlan) -> None:
    assert [stage.exposure for stage in seven_days.stages] == [
        {"*": OFF},
        {"*": "internal"},
        {"*": 0.1},
        {"*": 0.5},
        {"*": FULL},
    ]
    assert seven_days.flags == ("request_isolation", "factory_pattern", "websocket_isolation")
    assert seven_days.cohort == "request_isolation"
    assert seven_days.audiences["internal"].email_domains == ("netrasystems.ai",)


def test_the_seven_days_concern_the_two_production_services(seven_days: RolloutPlan) -> None:
    assert {key: seven_days.service_ref(key).resource_name for key in seven_days.services} == {
        "backend": "projects/netra-production/locations/us-central1/services/netra-backend-production",
        "auth": "projects/netra-production/locations/us-central1/services/netra-auth-service-production",
    }


def test_the_new_revision_takes_the_traffic_dark_in_the_first_stage(seven_days: RolloutPlan) -> None:
    first = seven_days.stages[0]
    assert first.deploy
    assert first.percents == (0, 10, 50, 100)
    assert first.traffic_hold == timedelta(minutes=10)
    assert all(not stage.traffic for stage in seven_days.stages[1:])


def test_the_isolation_score_is_100_percent_inside_and_99_5_outside(seven_days: RolloutPlan) -> None:
    assert limits_on(seven_days, "internal", "isolation_checks") == [("threshold", "good_share", "≥ 100%", "rollback")]
    for stage in ("canary", "staged"):
        assert limits_on(seven_days, stage, "isolation_checks") == [("threshold", "good_share", "≥ 99.5%", "rollback")]


def test_errors_stay_below_0_1_percent_inside_and_within_one_point_of_control_outside(seven_days: RolloutPlan) -> None:
    assert limits_on(seven_days, "internal", "/request_count") == [("threshold", "bad_share", "< 0.1%", "rollback")]
    for stage in ("canary", "staged"):
        assert limits_on(seven_days, stage, "/cohort_request_count") == [
            ("versus_control", "bad_share", "≤ +1 point", "rollback")
        ]


def test_the_p95_stays_within_5_percent_of_before_and_10_percent_of_control(seven_days: RolloutPlan) -> None:
    for stage in ("internal", "full"):
        assert limits_on(seven_days, stage, "/request_latencies") == [("versus_baseline", "p95", "≤ +5%", "hold")]
    for stage in ("canary", "staged"):
        assert limits_on(seven_days, stage, "/cohort_request_latencies") == [
            ("versus_control", "p95", "≤ +10%", "rollback")
        ]


def test_one_cascade_failure_rolls_back_in_every_stage(seven_days: RolloutPlan) -> None:
    for stage in seven_days.stages:
        (gate,) = [gate for gate in gates_of(seven_days, stage.name).values() if isinstance(gate, ZeroToleranceGate)]
        assert (seven_days.metrics[gate.metric].type, gate.action, gate.group) == (
            "custom.googleapis.com/rollout/cascade_failures",
            "rollback",
            "all",
        )


def test_websocket_events_take_100_ms_at_most_wherever_somebody_has_the_feature(seven_days: RolloutPlan) -> None:
    for stage in ("internal", "canary", "staged", "full"):
        assert limits_on(seven_days, stage, "websocket_event_latencies") == [("threshold", "p95", "≤ 100ms", "hold")]


def test_where_websocket_events_fall_silent_their_flag_alone_is_turned_off_in_every_stage_that_exposes_it(
    seven_days: RolloutPlan,
) -> None:
    exposing = [stage for stage in seven_days.stages if stage.exposure != {"*": "off"}]

    assert len(exposing) == 4
    for stage in exposing:
        (events,) = [seven_days.gates[name] for name in stage.gates if seven_days.gates[name].switch_off is not None]
        assert events.switch_off == SwitchOff(silent=("websocket_isolation",))
        assert (events.title, events.action) == ("WebSocket event p95", "hold")


def test_cpu_and_memory_of_both_services_rise_by_10_percent_at_most_in_every_stage(seven_days: RolloutPlan) -> None:
    for stage in seven_days.stages:
        compared = [
            name
            for name, gate in gates_of(seven_days, stage.name).items()
            if isinstance(gate, VersusBaselineGate) and gate.max_increase == pytest.approx(0.1)
        ]
        assert sorted(compared) == ["auth_cpu", "auth_memory", "backend_cpu", "backend_memory"]


def test_full_exposure_is_watched_by_the_ladder_of_alerts(seven_days: RolloutPlan) -> None:
    assert limits_on(seven_days, "full", "isolation_checks") == [
        ("threshold", "good_share", "≥ 95%", "rollback"),
        ("threshold", "good_share", "≥ 99%", "hold"),
        ("threshold", "good_share", "≥ 99.5%", "warn"),
    ]
    assert limits_on(seven_days, "full", "/request_count") == [
        ("threshold", "bad_share", "≤ 0.1%", "warn"),
        ("threshold", "bad_share", "≤ 0.5%", "warn"),
        ("threshold", "bad_share", "≤ 1%", "hold"),
        ("threshold", "bad_share", "≤ 5%", "rollback"),
    ]
    saturation = [gate for gate in gates_of(seven_days, "full").values() if gate.limit_in_words == "≤ 90%"]
    assert {gate.action for gate in saturation} == {"hold"}
    assert len(saturation) == 2


def test_the_first_stage_asks_both_services_how_they_are_and_compares_with_before(seven_days: RolloutPlan) -> None:
    gates = gates_of(seven_days, "deploy-off").values()
    assert {(g.service, g.path) for g in gates if isinstance(g, ProbeGate)} == {
        ("backend", "/health/overall"),
        ("auth", "/health/overall"),
    }
    assert not any(isinstance(gate, VersusControlGate) for gate in gates)


def test_one_approval_confirms_the_checklist_before_the_first_change_and_no_other_is_needed(
    seven_days: RolloutPlan,
) -> None:
    assert [stage.name for stage in seven_days.stages if stage.needs_approval] == ["deploy-off"]
    statements = " ".join(seven_days.stages[0].statements).lower()
    for item in (
        "secret",
        "database",
        "load balancer",
        "websocket tests",
        "request isolation tests",
        "factory pattern",
        "singleton",
        "architecture compliance",
        "dashboards",
        "error rate alerts",
        "response time monitoring",
        "cascade failure detection",
        "feature flag health",
    ):
        assert item in statements
    assert {"redis", "monitoring", "secret"} <= {check.kind for check in seven_days.stages[0].checks.before}


def test_a_hundred_users_load_the_staged_release_for_an_hour_with_mixed_traffic_and_isolation_monitored(
    seven_days: RolloutPlan,
) -> None:
    loads = {
        stage.name: check
        for stage in seven_days.stages
        for _, check in stage.checks.placed()
        if isinstance(check, LoadTestCheck)
    }
    assert list(loads) == ["staged"]
    load = loads["staged"]
    assert (load.service, load.concurrent_users, load.duration) == ("backend", 100, timedelta(seconds=3600))
    assert load.mixed_traffic
    assert load.monitor_isolation


def test_one_bad_request_in_the_smallest_sample_fails_no_gate_that_tolerates_any(seven_days: RolloutPlan) -> None:
    for name, gate in seven_days.gates.items():
        if isinstance(gate, ThresholdGate) and gate.statistic == "bad_share":
            assert wilson(1, gate.minimum_sample)[0] < gate.limit.value, name
        if isinstance(gate, ThresholdGate) and gate.statistic == "good_share" and gate.limit.value < 1:
            assert 1 - wilson(1, gate.minimum_sample)[0] > gate.limit.value, name
        if isinstance(gate, VersusControlGate | VersusBaselineGate) and gate.max_difference is not None:
            assert newcombe(1, gate.minimum_sample, 0, gate.minimum_sample)[0] < gate.max_difference, name


def test_the_rehearsal_is_the_same_rollout_in_about_a_minute(seven_days: RolloutPlan, rehearsal: RolloutPlan) -> None:
    assert [stage.name for stage in rehearsal.stages] == [stage.name for stage in seven_days.stages]
    assert [stage.exposure for stage in rehearsal.stages] == [stage.exposure for stage in seven_days.stages]
    assert (rehearsal.services, rehearsal.flags, rehearsal.cohort, rehearsal.audiences) == (
        seven_days.services,
        seven_days.flags,
        seven_days.cohort,
        seven_days.audiences,
    )
    assert rehearsal.name != seven_days.name
    assert rehearsal.environment == "rehearsal"
    assert timedelta(seconds=50) <= rehearsal.soak <= timedelta(seconds=75)
    assert not any(stage.needs_approval for stage in rehearsal.stages)


def test_a_plan_reads_the_metrics_of_its_own_environment_only(seven_days: RolloutPlan, rehearsal: RolloutPlan) -> None:
    for plan in (seven_days, rehearsal):
        for metric in plan.metrics.values():
            if isinstance(metric.groups, GroupsByLabel):
                assert f'resource.labels.namespace = "{plan.environment}"' in metric.filter


def test_without_flags_the_split_carries_the_exposure(traffic_canary: RolloutPlan) -> None:
    assert traffic_canary.flags == ()
    assert [stage.percents for stage in traffic_canary.stages] == [(0, 10), (50,), (100,)]
    assert isinstance(traffic_canary.metrics["requests"].groups, GroupsByRevision)
    assert isinstance(traffic_canary.gates["errors_against_stable"], VersusControlGate)
