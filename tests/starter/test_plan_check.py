"""`rollout plan check`: every gate is tried on what its metrics say now, and on a breach, before a rollout needs it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.gate_trial import try_gates
from activities.monitoring import SourceRefusal
from rollout.gate_trial import GateFinding, in_a_sentence
from rollout.gates import Gate, ThresholdGate
from rollout.measurement import (
    Counts,
    Group,
    Histogram,
    IntervalMeasurement,
    Sample,
    TimeSeriesQuery,
)
from rollout.plan import RolloutPlan
from rollout.quantity import Limit
from starter.plan_file import load_plan
from tests.checkout import PLANS
from tests.rollout.samples import NOON, latencies
from tests.starter.command_line import QUICK_PLAN, Rollout
from tests.workflows.traffic_source import TrafficSource

SHIPPED = ["request-isolation.yaml", "rehearsal.yaml", "traffic-canary.yaml"]
Change = Callable[[str, Sample | None], Sample | None]


class Changed(TrafficSource):
    """The usual traffic of healthy users, all of them untreated, but for some metrics."""

    def __init__(self, change: Change | None = None, refused: str = "") -> None:
        super().__init__(nobody_treated)
        self._change = change or (lambda _metric, healthy: healthy)
        self._refused = refused

    async def measure(
        self, query: TimeSeriesQuery, *, start: datetime, end: datetime, interval: timedelta
    ) -> list[IntervalMeasurement]:
        if self._refused and query.metric.type.endswith(self._refused):
            raise SourceRefusal("Cloud Monitoring refused it: 403 permission denied")
        measured = await super().measure(query, start=start, end=end, interval=interval)
        return [self._altered(query.metric.type, each) for each in measured]

    def _altered(self, metric: str, measured: IntervalMeasurement) -> IntervalMeasurement:
        groups: dict[Group, Sample] = {}
        for group, healthy in measured.groups.items():
            if (sample := self._change(metric, healthy)) is not None:
                groups[group] = sample
        return measured.model_copy(update={"groups": groups})


async def nobody_treated() -> float:
    return 0.0


def shipped(file: str = "request-isolation.yaml") -> RolloutPlan:
    return load_plan(PLANS / file)


async def found(plan: RolloutPlan, source: TrafficSource) -> dict[str, GateFinding]:
    return {finding.gate: finding for finding in await try_gates(plan, source, NOON)}


@pytest.mark.parametrize("file", SHIPPED)
async def test_every_gate_of_a_shipped_plan_has_data_and_fires_on_a_plain_breach(file: str) -> None:
    told = await try_gates(shipped(file), Changed(), NOON)

    assert {finding.gate: finding.breach for finding in told if finding.level != "ok"} == {}
    assert in_a_sentence(told) == "every gate has data and fires"


async def test_a_metric_that_says_nothing_is_a_warning_and_a_fault_where_the_start_needs_a_baseline() -> None:
    def silent(metric: str, healthy: Sample | None) -> Sample | None:
        return None if metric.endswith(("request_count", "isolation_checks")) else healthy

    told = await found(shipped(), Changed(silent))

    assert (told["isolation_score"].level, told["isolation_score"].data) == (
        "warn",
        "isolation: no data in the last 1 h",
    )
    assert told["isolation_score"].breach.startswith("fires after ")
    assert "at 1,000 observations an interval" in told["isolation_score"].breach
    assert told["backend_errors_dark"].level == "bad"
    assert told["backend_errors_dark"].data.endswith("; the start is refused without a baseline")


async def test_a_metric_that_cannot_be_read_is_a_fault_with_its_reason() -> None:
    told = await found(shipped(), Changed(refused="isolation_checks"))

    assert told["isolation_score"].level == "bad"
    assert told["isolation_score"].data == "isolation: Cloud Monitoring refused it: 403 permission denied"
    assert told["backend_errors"].level == "ok"


async def test_what_a_gate_turns_off_alone_is_told_beside_its_action() -> None:
    told = await found(shipped(), Changed())

    assert told["websocket_events"].action == "hold"
    assert told["websocket_events"].reaction == "hold; silent: websocket_isolation off"
    assert told["backend_errors"].reaction == "rollback"


async def test_a_metric_of_the_wrong_kind_is_a_fault() -> None:
    def counted(metric: str, healthy: Sample | None) -> Sample | None:
        return Counts(total=1_000) if metric.endswith("websocket_event_latencies") and healthy else healthy

    told = await found(shipped(), Changed(counted))

    assert told["websocket_events"].level == "bad"
    assert "p95 cannot be taken from counts" in told["websocket_events"].data


async def test_a_limit_that_the_metrics_buckets_cannot_show_is_found_because_the_gate_does_not_fire() -> None:
    plan = shipped()
    gate = plan.gates["websocket_events"]
    assert isinstance(gate, ThresholdGate)
    beyond = gate.model_copy(update={"at_most": Limit(value=60_000.0, unit="ms")})
    gates: dict[str, Gate] = {**plan.gates, "websocket_events": beyond}

    told = await found(plan.model_copy(update={"gates": gates}), Changed())

    assert told["websocket_events"].level == "bad"
    assert told["websocket_events"].breach.startswith("does not fire: ")
    assert "above the last bucket edge" in told["websocket_events"].breach


async def test_latencies_that_are_all_in_the_first_bucket_cannot_be_compared_with_before() -> None:
    def quick(metric: str, healthy: Sample | None) -> Sample | None:
        slow = latencies(12_000, 50.0)
        first = Histogram(bounds=slow.bounds, counts=(12_000, *(0 for _ in slow.bounds)), sum=12_000.0)
        return first if metric.endswith("latencies") and isinstance(healthy, Histogram) else healthy

    told = await found(shipped(), Changed(quick))

    assert told["backend_p95_baseline"].breach.startswith("does not fire: ")


def test_the_command_asks_the_monitoring_system_and_says_what_it_found(command: Rollout) -> None:
    said = command("plan", "check", QUICK_PLAN)

    assert said.code == 0, said.err
    assert "fires after 0.5 s" in said.out or "fires after 500 ms" in said.out
    assert said.out.splitlines()[-1].startswith("Every gate ")
    (gate,) = command("plan", "check", QUICK_PLAN, "--json").json["gates"]
    assert (gate["gate"], gate["action"]) == ("cascades", "rollback")


def test_what_the_monitoring_system_knows_of_the_past_is_played_and_saved_to_be_played_again(
    command: Rollout, tmp_path: Path
) -> None:
    until = datetime.now(UTC)
    since, kept = (until - timedelta(seconds=20)).isoformat(), tmp_path / "kept.jsonl"

    asked = command("what-if", QUICK_PLAN, "--from", since, "--to", until.isoformat(), "--save", kept, "--json")
    again = command("what-if", QUICK_PLAN, "--from", since, "--data", kept, "--json")

    assert asked.code in (0, 1), asked.err
    assert asked.json["timeline"]
    assert (again.code, again.json) == (asked.code, asked.json)


def test_the_commands_name_what_is_not_there_and_end_with_code_2(command: Rollout, tmp_path: Path) -> None:
    written = QUICK_PLAN.read_text().replace(
        "    exposure: 10%\n",
        "    exposure: 10%\n    checks: {before: [{kind: secret, project: example-shop, name: db-password}]}\n",
    )
    plan = tmp_path / "quick.yaml"
    plan.write_text(written)

    checked = command("plan", "check", plan)
    assert checked.code == 2
    assert "bad  secret db-password (latest): projects/example-shop/secrets/db-password/versions/latest is not" in (
        checked.out
    )
    assert command("plan", "check", plan, "--json").json["needs"][0]["level"] == "bad"
    examined = command("doctor", "--plan", plan)
    assert examined.code == 2
    assert "bad  secret db-password (latest)" in examined.out
    assert "flag store: answers" in examined.out
