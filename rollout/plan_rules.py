"""The rules between the parts of a plan: names that mean something, soaks that can be measured, exposure that rises.

Each rule yields what is broken as a place in the plan and a sentence that says what is allowed instead.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from rollout.exposure import FULL, OFF, exposure_of, order_of, treated_share
from rollout.gates import AbsenceGate, Gate, ProbeGate, VersusControlGate, can_be_conclusive, metrics_of
from rollout.measurement import GroupsByCohort, GroupsByRevision
from rollout.plan_parts import AttestCheck, Check, HttpCheck, LoadTestCheck, MonitoringCheck, Stage
from rollout.quantity import format_duration, format_share
from rollout.traffic import CANDIDATE_TAG, TAG_AND_SERVICE_MAX

if TYPE_CHECKING:
    from rollout.plan import RolloutPlan

Place = tuple[str | int, ...]
Broken = tuple[Place, str]

WHOLE = 100
CHECKS_BEFORE_A_PAGE = 3


def broken_rules(plan: "RolloutPlan") -> Iterator[Broken]:
    """Everything that is broken, in the order of the plan's fields."""
    yield from _times(plan)
    yield from _deadman(plan)
    yield from _services(plan)
    yield from _flags(plan)
    yield from _metrics(plan)
    for name, gate in plan.gates.items():
        yield from _gate(plan, name, gate)
    yield from _stage_names(plan)
    for index, stage in enumerate(plan.stages):
        yield from _stage(plan, index, stage)
    yield from _deployment(plan)
    yield from _rising(plan)
    yield from _control_groups(plan)


def _one_of(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"


def _undefined(place: Place, what: str, name: str, known: Mapping[str, object]) -> Iterator[Broken]:
    if name not in known:
        yield place, f"{what} {name!r} is not defined; defined are: {_one_of(known)}"


def _times(plan: "RolloutPlan") -> Iterator[Broken]:
    if not plan.check_interval:
        yield ("check_interval",), "must be longer than nothing"
    if not plan.baseline.window:
        yield ("baseline", "window"), "must be longer than nothing"


def _deadman(plan: "RolloutPlan") -> Iterator[Broken]:
    if plan.deadman is None:
        return
    least = plan.check_interval * CHECKS_BEFORE_A_PAGE
    if plan.deadman.page_after < least:
        yield (
            ("deadman", "page_after"),
            f"must be at least {CHECKS_BEFORE_A_PAGE} check intervals ({format_duration(least)})",
        )
    off_after = plan.deadman.flags_off_after
    if off_after is not None and off_after <= plan.deadman.page_after:
        yield ("deadman", "flags_off_after"), "must be longer than `page_after`: a person may still prevent it"
    if off_after is not None and not plan.flags:
        yield ("deadman", "flags_off_after"), "a plan without flags has none that could go off"


def _services(plan: "RolloutPlan") -> Iterator[Broken]:
    seen: dict[tuple[str, str, str], str] = {}
    for key, spec in plan.services.items():
        identity = (spec.project, spec.region, spec.service)
        if identity in seen:
            yield ("services", key, "service"), f"{spec.service!r} is named by {seen[identity]!r} already"
        seen[identity] = key
        longest = TAG_AND_SERVICE_MAX - len(CANDIDATE_TAG)
        if len(spec.service) > longest:
            problem = (
                f"at most {longest} characters: Cloud Run takes {TAG_AND_SERVICE_MAX} for a service and a tag of it, "
                f"and the candidate is tagged {CANDIDATE_TAG!r}"
            )
            yield ("services", key, "service"), problem


def _flags(plan: "RolloutPlan") -> Iterator[Broken]:
    for index, flag in enumerate(plan.flags):
        if flag in plan.flags[:index]:
            yield ("flags", index), f"flag {flag!r} stands twice"


def _metrics(plan: "RolloutPlan") -> Iterator[Broken]:
    projects = {service.project for service in plan.services.values()}
    for name, metric in plan.metrics.items():
        if metric.project is None and len(projects) > 1:
            problem = f"the services live in several projects ({_one_of(projects)}): say where this metric is stored"
            yield ("metrics", name, "project"), problem
        if isinstance(metric.groups, GroupsByRevision):
            yield from _undefined(
                ("metrics", name, "groups", "service"), "service", metric.groups.service, plan.services
            )


def _gate(plan: "RolloutPlan", name: str, gate: Gate) -> Iterator[Broken]:
    for metric in metrics_of(gate):
        field = "alive" if isinstance(gate, AbsenceGate) and metric == gate.alive else "metric"
        yield from _undefined(("gates", name, field), "metric", metric, plan.metrics)
        if getattr(gate, "group", "all") != "all" and metric in plan.metrics and plan.metrics[metric].groups is None:
            problem = f"metric {metric!r} tells no groups apart: give it `groups`, or ask for all"
            yield ("gates", name, "group"), problem
    if isinstance(gate, ProbeGate):
        yield from _undefined(("gates", name, "service"), "service", gate.service, plan.services)
    yield from _switch_off(plan, name, gate)
    window: timedelta | None = getattr(gate, "window", None)
    if window is not None and plan.check_interval and (window < plan.check_interval or window % plan.check_interval):
        problem = f"a window is a whole number of check intervals ({plan.check_interval.total_seconds():g}s)"
        yield ("gates", name, "window"), problem


def _switch_off(plan: "RolloutPlan", name: str, gate: Gate) -> Iterator[Broken]:
    if gate.switch_off is None:
        return
    place: Place = ("gates", name, "switch_off")
    if gate.action == "warn":
        yield place, "a gate that only warns turns nothing off: its `action` is hold, step_back or rollback"
    elif gate.switch_off.failing and gate.action != "hold":
        yield (*place, "failing"), f"a failure takes everything back ({gate.action}); beside single flags it is `hold`"
    if gate.switch_off.silent and isinstance(gate, ProbeGate | AbsenceGate):
        yield (*place, "silent"), f"{gate.kind} is never silent: a metric is, of another kind of gate"
    for field in ("silent", "failing"):
        flags: tuple[str, ...] = getattr(gate.switch_off, field)
        for position, flag in enumerate(flags):
            if flag not in plan.flags:
                yield (*place, field, position), f"flag {flag!r} is not one of: {_one_of(plan.flags)}"
            if flag in flags[:position]:
                yield (*place, field, position), f"flag {flag!r} stands twice"


def _stage_names(plan: "RolloutPlan") -> Iterator[Broken]:
    names = [stage.name for stage in plan.stages]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("stages", index, "name"), f"stage {name!r} stands twice; stage names are unique"


def _stage(plan: "RolloutPlan", index: int, stage: Stage) -> Iterator[Broken]:
    place: Place = ("stages", index)
    for position, gate in enumerate(stage.gates):
        yield from _undefined((*place, "gates", position), "gate", gate, plan.gates)
    actions = {plan.gates[gate].action for gate in stage.gates if gate in plan.gates}
    if actions == {"warn"}:
        yield (*place, "gates"), "a stage needs a gate that can stop it: every one here only warns"
    for where, check in stage.checks.placed():
        yield from _check(plan, (*place, *where), check)
        if isinstance(check, AttestCheck) and where[1] == "after":
            problem = "a statement is confirmed by the approval that begins a stage: use `before`"
            yield (*place, *where), problem
    yield from _exposure(plan, (*place, "exposure"), stage)
    yield from _soak(plan, place, stage)
    yield from _acceleration(plan, place, stage)


def _check(plan: "RolloutPlan", place: Place, check: Check) -> Iterator[Broken]:
    if isinstance(check, HttpCheck | LoadTestCheck) and check.service is not None:
        yield from _undefined((*place, "service"), "service", check.service, plan.services)
    if isinstance(check, MonitoringCheck):
        yield from _undefined((*place, "metric"), "metric", check.metric, plan.metrics)


def _exposure(plan: "RolloutPlan", place: Place, stage: Stage) -> Iterator[Broken]:
    for flag, exposure in stage.exposure.items():
        if flag != "*" and flag not in plan.flags:
            yield (*place, flag), f"flag {flag!r} is not one of: {_one_of(plan.flags)}"
        if isinstance(exposure, str) and exposure != OFF and exposure not in plan.audiences:
            audiences = _one_of(plan.audiences)
            yield place, f"{exposure!r} is neither off, full, a percentage such as 10% nor an audience ({audiences})"
        if not plan.flags and exposure != OFF:
            yield place, "a plan without flags has exposure off: its traffic carries the exposure"


def _soak(plan: "RolloutPlan", place: Place, stage: Stage) -> Iterator[Broken]:
    if plan.check_interval <= timedelta():
        return
    metrics = {name for gate in stage.gates if gate in plan.gates for name in metrics_of(plan.gates[gate])}
    delays = [plan.metrics[name].ingest_delay or timedelta() for name in metrics & set(plan.metrics)]
    needed = plan.check_interval + max(delays, default=timedelta())
    if stage.soak <= needed:
        problem = f"a soak is longer than check interval plus metric delay ({needed.total_seconds():g}s)"
        yield (*place, "soak"), problem
    if len(stage.steps) > 1 and stage.traffic_hold is None:
        yield (*place, "traffic"), "several traffic steps need `traffic_hold`: how long each is held"
    if stage.traffic_hold is not None and stage.traffic_hold * (len(stage.steps) - 1) >= stage.soak:
        yield (*place, "traffic_hold"), "the held traffic steps leave no soak for the last one"


def _acceleration(plan: "RolloutPlan", place: Place, stage: Stage) -> Iterator[Broken]:
    if stage.accelerate is None:
        return
    if not timedelta() < stage.accelerate.minimum_soak < stage.soak:
        problem = "longer than nothing and shorter than the stage's soak"
        yield (*place, "accelerate", "minimum_soak"), f"{problem} ({stage.soak.total_seconds():g}s)"
    gates = [plan.gates[name] for name in stage.gates if name in plan.gates]
    if not any(can_be_conclusive(gate) for gate in gates):
        problem = "needs a gate that compares shares or quantiles with control or baseline, and does more than warn"
        yield (*place, "accelerate"), problem


def _deployment(plan: "RolloutPlan") -> Iterator[Broken]:
    for index, stage in enumerate(plan.stages):
        if stage.deploy != (index == 0):
            yield ("stages", index, "deploy"), "the first stage deploys, and only the first"
    if plan.stages[0].percents[:1] != (0,):
        yield ("stages", 0, "traffic"), "the first stage's traffic begins at 0%: deployed and tested before it serves"


def _rising(plan: "RolloutPlan") -> Iterator[Broken]:
    named = {value for stage in plan.stages for value in stage.exposure.values() if isinstance(value, str)} - {OFF}
    if len(named) > 1:
        yield ("audiences",), f"all flags of a plan share one audience, the stages name {_one_of(named)}"
    ladder = sorted({-1.0, *(order_of(stage.exposure, flag) for stage in plan.stages for flag in plan.flags)})
    before = dict.fromkeys(plan.flags, 0)
    for index, stage in enumerate(plan.stages):
        for flag in plan.flags:
            step = ladder.index(order_of(stage.exposure, flag))
            if step < before[flag]:
                yield ("stages", index, "exposure"), f"exposure of {flag} falls; it rises from stage to stage"
            if step > before[flag] + 1:
                problem = f"exposure of {flag} skips a step that another flag or stage takes; up is one step at a time"
                yield ("stages", index, "exposure"), problem
            before[flag] = step
    shifted = [(index, stage.percents) for index, stage in enumerate(plan.stages) if stage.percents]
    for (_, earlier), (index, later) in pairwise(shifted):
        if later[0] < earlier[-1]:
            yield ("stages", index, "traffic"), "traffic falls; it rises from stage to stage"


def _cohorts(plan: "RolloutPlan") -> Iterator[Broken]:
    """A cohort is known by its hash: one key for all flags, and percentages that the application's label knows."""
    for name, metric in plan.metrics.items():
        if isinstance(metric.groups, GroupsByCohort) and plan.cohort is None:
            yield ("metrics", name, "groups"), "groups by cohort need the plan's `cohort`: one hash key for all flags"
    for index, stage in enumerate(plan.stages):
        for position, gate in enumerate(stage.gates):
            asked = plan.gates.get(gate)
            if asked is None or getattr(asked, "group", "all") != "treated":
                continue
            metrics = [plan.metrics[metric].groups for metric in metrics_of(asked) if metric in plan.metrics]
            steps = next((groups.steps for groups in metrics if isinstance(groups, GroupsByCohort)), None)
            shares = {exposure_of(stage.exposure, flag) for flag in plan.flags}
            if steps is not None and not (len(shares) == 1 and shares <= set(steps)):
                problem = (
                    f"gate {gate!r} tells users apart by cohort, which needs one percentage for all flags, and one "
                    f"that its metric's label knows: {', '.join(map(format_share, steps))}"
                )
                yield ("stages", index, "gates", position), problem


def _control_groups(plan: "RolloutPlan") -> Iterator[Broken]:
    percent = 0
    yield from _cohorts(plan)
    for index, stage in enumerate(plan.stages):
        percent = (stage.percents or (percent,))[-1]
        for position, name in enumerate(stage.gates):
            gate = plan.gates.get(name)
            if not isinstance(gate, VersusControlGate) or gate.metric not in plan.metrics:
                continue
            groups, place = plan.metrics[gate.metric].groups, ("stages", index, "gates", position)
            if groups is None:
                yield place, f"gate {name!r} compares with control, but {gate.metric!r} tells no groups apart"
            elif isinstance(groups, GroupsByRevision) and percent in (0, WHOLE):
                yield place, f"gate {name!r} compares revisions, but one of them has all the traffic here"
            elif not isinstance(groups, GroupsByRevision) and not 0 < treated_share(stage.exposure, plan.flags) < FULL:
                yield place, f"gate {name!r} compares with control, which needs an exposure between off and full"
