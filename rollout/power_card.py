"""The power card: how long each gate of a plan takes to find a regression, in each stage, at the traffic there is.

For shares and latencies, which are judged by evidence over the whole soak. What is judged by its window alone (means,
levels, other quantiles against control) is not forecast; a count that must stay 0 fails with its first event.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, log

from pydantic import BaseModel, ConfigDict

from rollout.best_run import LARGEST_TERM
from rollout.control_curve import LEARNT_FROM
from rollout.count_bets import Allowed
from rollout.counting import points_allowed
from rollout.detection import INDEPENDENT, Flow, Regression, minutes_to_detect, slower_tail
from rollout.dispersion import PRIOR_PHI, Dispersion
from rollout.exposure import treated_share
from rollout.gates import QUANTILES, MeasuredGate, ThresholdGate, VersusBaselineGate, VersusControlGate
from rollout.latency_evidence import LATENCY_BEYOND_SHARE, LATENCY_HARM_SHARE
from rollout.measurement import Counts, Histogram, Sample
from rollout.overdispersion import PRIOR_WEIGHTS
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.quantity import format_share
from rollout.sequential_model import CONVICTION_NEEDED, LATENCY_BEYOND_NEEDED
from rollout.share_evidence import BEYOND_SHARE, HARM_SHARE
from rollout.statistics import ERROR_RATIOS, LATENCY_RATIOS
from rollout.traffic import WHOLE
from rollout.verdict import LEAVING
from rollout.wander import PRIOR_WANDER
from rollout.wording import duration_in_words

TIMES_THE_LIMIT = (1.0, 2.0, 5.0)
"""How far beyond what was usual a regression lies, in parts of what the gate allows."""
MUST_BE_FOUND = 2.0
"""A gate that goes back has to find this much within its soak."""
LONGEST = timedelta(days=30)
AUDIENCE_SHARE = 0.01
"""The share of users that an audience is taken for: how many its people are, no plan says."""
USUAL_SIGMA = 0.8
"""Of the logarithm of latencies, where nothing is measured."""
MOST_TRAFFIC = 1024.0
"""Times what there is; beyond that nobody is told to have more."""
MINUTE = timedelta(minutes=1)
BELIEVED = 0.1
"""Pairs of blocks that count as seen in a past that holds none."""
_P95_Z = 1.645


@dataclass(frozen=True)
class Usual:
    """What a metric says without a regression: requests of all groups per interval, their bad share, how much bad ones
    come together (`phis`), and how widely latencies are spread (`sigma`).
    """

    requests: float
    bad_share: float = 0.0
    phis: tuple[float, ...] = INDEPENDENT
    sigma: float = USUAL_SIGMA


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Frozen):
    """A regression in words, and after which time it is expected to be found; None: not within 30 days."""

    times_the_limit: float
    regression: str
    after: timedelta | None


class Forecast(_Frozen):
    """One gate in one stage."""

    gate: str
    stage: str
    action: str
    soak: timedelta
    treated_per_minute: float
    findings: tuple[Finding, ...]
    remedy: str = ""
    """What would do, where a regression of twice the limit is not found within the soak."""

    @property
    def is_blind(self) -> bool:
        """Whether the gate goes back, and would not find a regression of twice its limit within the soak."""
        return bool(self.remedy)


def forecasts(plan: RolloutPlan, usual: Mapping[str, Usual]) -> list[Forecast]:
    """A forecast for each gate and stage that has one; metrics that are missing from `usual` said nothing."""
    found: list[Forecast] = []
    for stage, share in _shares(plan):
        for name in stage.gates:
            gate = plan.gates[name]
            if not isinstance(gate, MeasuredGate) or gate.metric not in usual:
                continue
            forecast = _forecast(plan, stage, name, gate, usual[gate.metric], share)
            if forecast is not None:
                found.append(forecast)
    return found


def by_stage(plan: RolloutPlan, found: Iterable[Forecast]) -> list[Forecast]:
    """In the order of the plan's stages."""
    order = {stage.name: position for position, stage in enumerate(plan.stages)}
    return sorted(found, key=lambda forecast: order[forecast.stage])


def blind_spots(found: Iterable[Forecast]) -> list[str]:
    """A sentence for each gate that goes back and would not find twice its limit within its soak."""
    said = []
    for one in found:
        if one.is_blind:
            missed = next(each for each in one.findings if each.times_the_limit == MUST_BE_FOUND)
            takes = f"in about {duration_in_words(missed.after)}" if missed.after else "not even in 30 days"
            said.append(
                f"{one.gate} in {one.stage}: a regression of twice its limit ({missed.regression}) is found {takes}, "
                f"and the soak is {duration_in_words(one.soak)}: {one.remedy}"
            )
    return said


def usual_of(samples: Sequence[Sample], interval: timedelta) -> Usual | None:
    """What intervals of the past say, each over all groups; None where they are no counts and no histograms."""
    counted = [sample for sample in samples if isinstance(sample, Counts)]
    if counted:
        total, bad = sum(sample.total for sample in counted), sum(sample.bad for sample in counted)
        phis = learnt_phis([(sample.bad, sample.total) for sample in counted], interval / MINUTE)
        return Usual(total / len(counted), bad / total, phis) if total else None
    measured = [sample for sample in samples if isinstance(sample, Histogram) and sample.total]
    if not measured:
        return None
    requests = sum(sample.total for sample in measured) / len(measured)
    spread = [log(sample.quantile(0.95) / max(sample.quantile(0.5), 1e-9)) / _P95_Z for sample in measured]
    return Usual(requests, sigma=max(0.1, sum(spread) / len(spread)))


def learnt_phis(past: Iterable[tuple[int, int]], minutes: float) -> tuple[float, ...]:
    """Per block length, what (bad, total) of past intervals say, read as the judge reads its control group.

    Hardly anything is left of what the judge believes before it has seen anything: the forecast begins with that by
    itself, and a judge that watches for hours learns more than the past hour tells.
    """
    dispersion = Dispersion()
    for bad, total in past:
        if total:
            dispersion = dispersion.after(0, 0, bad, total, minutes, largest_term=LARGEST_TERM)
    return tuple(
        max(1.0, (block.weighted - PRIOR_PHI * without) / (block.weight - without))
        for block, without in zip(dispersion.blocks, (prior - BELIEVED for prior in PRIOR_WEIGHTS), strict=True)
    )


def error_regression(usual: float, margin: float, excess: float) -> Regression:
    """Errors against control that rise by `excess` where `margin` is allowed."""
    return Regression(
        treated=min(1.0, usual + excess),
        control=usual,
        harm=Allowed(HARM_SHARE * margin, 1.0),
        beyond=Allowed(BEYOND_SHARE * margin, 1.0),
        risk_ratios=ERROR_RATIOS,
        needed=CONVICTION_NEEDED,
        margin=margin,
    )


def _shares(plan: RolloutPlan) -> Iterable[tuple[Stage, float]]:
    """Each stage with the share of requests that its treated group makes up once it has fully risen."""
    moved = 0.0
    for stage in plan.stages:
        if plan.flags:
            share = treated_share(stage.exposure, plan.flags)
            yield stage, max(share, AUDIENCE_SHARE) if share > 0 else 0.0
        else:
            moved = stage.percents[-1] / WHOLE if stage.percents else moved
            yield stage, moved


def _forecast(
    plan: RolloutPlan, stage: Stage, name: str, gate: MeasuredGate, usual: Usual, share: float
) -> Forecast | None:
    treated = usual.requests * (share if gate.group == "treated" else 1.0)
    control = usual.requests * (1 - share) if isinstance(gate, VersusControlGate) else 0.0
    if treated <= 0 or (isinstance(gate, VersusControlGate) and control <= 0):
        return None
    flow = Flow(treated, control, plan.check_interval / MINUTE, usual.phis)
    findings = []
    for factor in TIMES_THE_LIMIT:
        regression = _regression(gate, usual, factor)
        if regression is None:
            return None
        findings.append(
            Finding(
                times_the_limit=factor,
                regression=_in_words(gate, factor),
                after=_rounded(minutes_to_detect(flow, regression, LONGEST / MINUTE)),
            )
        )
    twice = next(each for each in findings if each.times_the_limit == MUST_BE_FOUND)
    blind = gate.action in LEAVING and (twice.after is None or twice.after > stage.soak)
    return Forecast(
        gate=name,
        stage=stage.name,
        action=gate.action,
        soak=stage.soak,
        treated_per_minute=treated / flow.minutes,
        findings=tuple(findings),
        remedy=_remedy(gate, stage, flow, usual, twice) if blind else "",
    )


def _regression(gate: MeasuredGate, usual: Usual, factor: float) -> Regression | None:
    """None where the gate is judged by its window alone, or by its first bad event."""
    match gate:
        case VersusControlGate(statistic="bad_share"):
            margin = gate.max_difference or 0.0
            return error_regression(usual.bad_share, margin, factor * margin)
        case VersusControlGate(statistic="p95"):
            return _slower(gate.max_increase or 0.0, factor, 0.05, usual.sigma)
        case ThresholdGate(statistic="bad_share" | "good_share"):
            allowed = 1 - gate.limit.value if gate.at_least is not None else gate.limit.value
            return breach(allowed, factor * allowed) if allowed > 0 else None
        case ThresholdGate() if gate.statistic in QUANTILES and gate.at_least is None:
            tail = 1 - QUANTILES[gate.statistic]
            return breach(tail, slower_tail(tail, factor - 1, usual.sigma))
        case VersusBaselineGate() if gate.max_difference is not None:
            return breach(usual.bad_share + gate.max_difference, usual.bad_share + factor * gate.max_difference)
        case VersusBaselineGate() if gate.statistic in QUANTILES:
            tail, increase = 1 - QUANTILES[gate.statistic], gate.max_increase or 0.0
            allowed = slower_tail(tail, increase, usual.sigma)
            return breach(allowed, slower_tail(tail, factor * increase, usual.sigma))
    return None


def breach(allowed: float, share: float) -> Regression:
    """A share against a fixed limit: both keys allow the same."""
    limit = Allowed(allowed, 1.0)
    return Regression(min(1.0, share), 0.0, limit, limit, ERROR_RATIOS)


def _slower(increase: float, factor: float, tail: float, sigma: float) -> Regression:
    """p95 against control, as requests beyond control's p95."""
    harm, beyond = (
        slower_tail(tail, part * increase, sigma) / tail for part in (LATENCY_HARM_SHARE, LATENCY_BEYOND_SHARE)
    )
    treated = slower_tail(tail, factor * increase, sigma)
    return Regression(
        treated,
        tail,
        Allowed(0.0, harm),
        Allowed(0.0, beyond),
        LATENCY_RATIOS,
        learnt=LEARNT_FROM,
        prior_phi=PRIOR_WANDER,
        beyond_needed=LATENCY_BEYOND_NEEDED,
    )


def _in_words(gate: MeasuredGate, factor: float) -> str:
    if isinstance(gate, ThresholdGate):
        if gate.statistic == "good_share" or (gate.statistic == "bad_share" and gate.at_least is not None):
            return f"{format_share(factor * (1 - gate.limit.value))} bad"
        if gate.statistic == "bad_share":
            return f"{format_share(factor * gate.limit.value)} bad"
        return f"{gate.statistic} {gate.limit.value * factor:g}{'ms' if gate.limit.unit == 'ms' else ''}"
    if gate.max_difference is not None:
        return points_allowed(gate.max_difference * factor)
    return f"{gate.statistic} +{format_share((gate.max_increase or 0.0) * factor)}"


def _remedy(gate: MeasuredGate, stage: Stage, flow: Flow, usual: Usual, twice: Finding) -> str:
    """The soak that would do, and how much more traffic."""
    ways = [f"a soak of {duration_in_words(twice.after)}"] if twice.after is not None else []
    regression = _regression(gate, usual, MUST_BE_FOUND)
    factor = _enough(flow, regression, stage.soak / MINUTE) if regression is not None else None
    if factor is not None:
        whose = "all users" if gate.group == "all" else f"the {gate.group} group"
        ways.append(f"{factor:g} times the traffic of {whose}")
    would = " or ".join(ways)
    return f"{would} would do" if would else "no soak and no traffic would do; a wider limit would"


def _enough(flow: Flow, regression: Regression, within: float) -> float | None:
    """The smallest whole multiple of the traffic, in steps of a quarter more, with which it is found in time."""
    factor = 1.0
    while factor <= MOST_TRAFFIC:
        factor = max(factor + 1, ceil(factor * 1.25))
        if minutes_to_detect(flow.times(factor), regression, within) is not None:
            return factor
    return None


def _rounded(minutes: float | None) -> timedelta | None:
    return None if minutes is None else timedelta(seconds=round(minutes * 60, 1))
