"""From a plan to what one running rollout asks: queries with their project and group values, gates with their data."""

from collections.abc import Mapping

from rollout import exposure as exposures
from rollout.flags import Audience, Exposure
from rollout.gates import Gate, ProbeGate, VersusBaselineGate, VersusControlGate, metrics_of
from rollout.measurement import GroupsByCohort, GroupsByLabel, GroupsByRevision, Sample, TimeSeriesQuery
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.traffic import WHOLE, Candidate, ServiceAnchor
from rollout.watch import BoundGate, Past


def query_for(
    plan: RolloutPlan,
    metric_name: str,
    anchors: Mapping[str, ServiceAnchor],
    candidates: Mapping[str, Candidate],
    stage: Stage | None = None,
) -> TimeSeriesQuery:
    """A plan's metric bound to a rollout, at a stage of it, or where it is asked for first.

    Before the deployment there is no candidate, and so no treated revision.
    """
    metric = plan.metrics[metric_name]
    project = metric.project or next(iter(plan.services.values())).project
    match metric.groups:
        case None:
            return TimeSeriesQuery(project=project, metric=metric)
        case GroupsByLabel(treated=treated, control=control):
            return TimeSeriesQuery(project=project, metric=metric, treated=treated, control=control)
        case GroupsByCohort():
            share = cohort_share(plan, stage) if stage is not None else first_cohort_share(plan)
            return TimeSeriesQuery(project=project, metric=metric, cohort=share)
        case GroupsByRevision(service=service):
            return TimeSeriesQuery(
                project=project,
                metric=metric,
                treated=candidates[service].revision if service in candidates else None,
                control=anchors[service].stable if service in anchors else None,
            )


def cohort_share(plan: RolloutPlan, stage: Stage) -> float | None:
    """Which part of the cohort the stage treats, where that is one percentage for all flags and not everybody."""
    shares = {exposures.exposure_of(stage.exposure, flag) for flag in plan.flags}
    share = shares.pop() if len(shares) == 1 else exposures.OFF
    return share if isinstance(share, float) and share < exposures.FULL else None


def first_cohort_share(plan: RolloutPlan) -> float | None:
    return next((share for stage in plan.stages if (share := cohort_share(plan, stage)) is not None), None)


def baseline_queries(plan: RolloutPlan) -> dict[str, TimeSeriesQuery]:
    """The metrics that some gate of some stage compares with the time before the first change."""
    used = {name for stage in plan.stages for name in stage.gates}
    gates = [plan.gates[name] for name in sorted(used)]
    names = sorted({gate.metric for gate in gates if isinstance(gate, VersusBaselineGate)})
    return {name: query_for(plan, name, {}, {}) for name in names}


def bind_gates(
    plan: RolloutPlan,
    stage: Stage,
    baseline: Mapping[str, Sample],
    anchors: Mapping[str, ServiceAnchor],
    candidates: Mapping[str, Candidate],
    past: Past | None = None,
) -> dict[str, BoundGate]:
    """The gates of a stage with all they need to be asked. `past` is the time before any cohort was exposed."""
    bound: dict[str, BoundGate] = {}
    for name in stage.gates:
        gate = plan.gates[name]
        bound[name] = BoundGate(
            gate=gate,
            queries={metric: query_for(plan, metric, anchors, candidates, stage) for metric in metrics_of(gate)},
            baseline=baseline.get(gate.metric) if isinstance(gate, VersusBaselineGate) else None,
            base_url=candidates[gate.service].url if isinstance(gate, ProbeGate) else None,
            planned_share=planned_share(plan, stage, gate),
            users=plan.users,
            past=past if is_of_a_cohort(plan, gate) else None,
            treated_share=treated_share(plan, stage, gate),
        )
    return bound


def is_of_a_cohort(plan: RolloutPlan, gate: Gate) -> bool:
    """Whether the gate compares a cohort whose past can be asked for."""
    return isinstance(gate, VersusControlGate) and isinstance(plan.metrics[gate.metric].groups, GroupsByCohort)


def treated_share(plan: RolloutPlan, stage: Stage, gate: Gate) -> float | None:
    """The least part of the users, or of the traffic, that the stage treats; None where nobody knows: an audience."""
    metrics = metrics_of(gate)
    groups = plan.metrics[metrics[-1]].groups if metrics else None
    if isinstance(groups, GroupsByRevision):
        reached = plan.stages[: plan.stages.index(stage) + 1]
        moved = [percent for earlier in reached for percent in earlier.percents if percent]
        steps = [percent for percent in stage.steps if percent] or moved[-1:]
        return min(steps) / WHOLE if steps else None
    shares = [exposures.order_of(stage.exposure, flag) for flag in plan.flags]
    return min(shares) if groups is not None and shares and min(shares) > 0 else None


def planned_share(plan: RolloutPlan, stage: Stage, gate: Gate) -> float | None:
    """The part of the requests that the stage wants treated; None where the plan does not say so.

    It is known where users carry their group with them, every flag has the same share of users, and the candidate has
    all of the traffic. What an audience makes is not known; beside a share of users it is taken for little.
    """
    if not isinstance(gate, VersusControlGate):
        return None
    if not isinstance(plan.metrics[gate.metric].groups, GroupsByLabel | GroupsByCohort):
        return None
    reached = plan.stages[: plan.stages.index(stage) + 1]
    moved = [percent for earlier in reached for percent in earlier.percents]
    split = len(stage.steps) > 1 or (any(earlier.deploy for earlier in reached) and moved[-1:] != [WHOLE])
    return None if split else cohort_share(plan, stage)


def ladder_of(plan: RolloutPlan) -> tuple[Exposure, ...]:
    """Every exposure that a stage asks for, from off upwards: the steps that the flag store lets a flag climb."""
    documents = {exposures.order_of({}, ""): exposures.document_of(exposures.OFF, "off")}
    for stage in plan.stages:
        for flag in plan.flags:
            value = exposures.exposure_of(stage.exposure, flag)
            order = exposures.order_of(stage.exposure, flag)
            documents.setdefault(order, exposures.document_of(value, stage.name))
    return tuple(documents[order] for order in sorted(documents))


def stages_of(plan: RolloutPlan) -> dict[str, dict[str, Exposure]]:
    """What each stage of the plan shows of each flag."""
    return {
        stage.name: {
            flag: exposures.document_of(exposures.exposure_of(stage.exposure, flag), stage.name) for flag in plan.flags
        }
        for stage in plan.stages
    }


def audience_of(plan: RolloutPlan) -> Audience:
    """The people that an audience exposure of this plan means; nobody where no stage names one."""
    named = {value for stage in plan.stages for value in stage.exposure.values() if isinstance(value, str)}
    for name, spec in plan.audiences.items():
        if name in named:
            return Audience(domains=spec.email_domains, users=spec.user_ids)
    return Audience(domains=(), users=())
