"""What is known of a gate before a rollout depends on it: what its metrics say now, and whether it fires on a breach.

Pure: what was asked of the monitoring system, and how, stands in `activities/gate_trial.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.exposure import treated_share
from rollout.gates import Gate, MeasuredGate, ProbeGate, VersusBaselineGate, VersusControlGate, metrics_of
from rollout.measurement import Group, Sample
from rollout.plan import RolloutPlan
from rollout.plan_parts import Stage
from rollout.power_card import AUDIENCE_SHARE, Forecast, blind_spots
from rollout.power_card import Usual as UsualTraffic
from rollout.sample_sums import times
from rollout.synthetic_breach import SEEN_PER_INTERVAL, Usual, assumed, try_breach
from rollout.traffic import WHOLE
from rollout.watch import BoundGate
from rollout.window_reading import fits, size_of
from rollout.wording import duration_in_words

Standing = Literal["ok", "warn", "bad"]
_WORSE: dict[Standing, int] = {"ok": 0, "warn": 1, "bad": 2}


class GateFinding(BaseModel):
    """`data`: what the gate's metrics say now. `breach`: how soon it fails when something plainly breaks its limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: str
    title: str
    action: str
    reaction: str = Field(default="", description="the action, and which flags the gate turns off alone")
    stages: list[str]
    level: Standing
    data: str
    breach: str
    forecasts: tuple[Forecast, ...] = Field(default=(), description="how soon it finds regressions, stage by stage")


@dataclass(frozen=True)
class MetricAnswer:
    """What a metric said of the past, over all groups; None where it was silent.

    `total` of the time that was looked at, `baseline` as much for the plan's whole baseline, `usual` of one interval;
    `traffic` is what the forecasts go by.
    """

    level: Standing
    text: str
    total: Sample | None = None
    baseline: Sample | None = None
    usual: Sample | None = None
    traffic: UsualTraffic | None = None
    groups: Collection[Group] = ()


@dataclass(frozen=True)
class _Remark:
    level: Standing
    text: str


def stages_of(plan: RolloutPlan) -> dict[str, list[Stage]]:
    """The gates that some stage uses, in the order of the plan, with their stages."""
    used = {name: [stage for stage in plan.stages if name in stage.gates] for name in plan.gates}
    return {name: stages for name, stages in used.items() if stages}


def finding(
    plan: RolloutPlan,
    name: str,
    stages: Sequence[Stage],
    answers: Mapping[str, MetricAnswer],
    forecasts: Sequence[Forecast] = (),
) -> GateFinding:
    """What the answers of its metrics, and a breach made from them, show of one gate. `forecasts` are of all gates."""
    gate = plan.gates[name]
    remarks = [_Remark(answers[metric].level, answers[metric].text) for metric in metrics_of(gate)]
    if isinstance(gate, ProbeGate):
        remarks = [_Remark("ok", "asked at the candidate's own address, once it is deployed")]
    remarks += _unfit(gate, answers)
    breach = _breach(plan, name, stages[0], answers)
    return GateFinding(
        gate=name,
        title=gate.title,
        action=gate.action,
        reaction=gate.reaction_in_words,
        stages=[stage.name for stage in stages],
        level=max((breach.level, *(remark.level for remark in remarks)), key=_WORSE.__getitem__),
        data="; ".join(remark.text for remark in remarks),
        breach=breach.text,
        forecasts=tuple(forecast for forecast in forecasts if forecast.gate == name),
    )


def in_a_sentence(found: Sequence[GateFinding]) -> str:
    """The sum of the findings."""
    bad = [one.gate for one in found if one.level == "bad"]
    warned = [one.gate for one in found if one.level == "warn"]
    if bad:
        return f"gates that could not do their work: {', '.join(bad)}"
    if warned:
        return f"every gate fires; without full data so far: {', '.join(warned)}"
    return "every gate has data and fires"


def faults(found: Sequence[GateFinding]) -> list[str]:
    """A sentence for each gate that could not do its work."""
    return [f"{one.gate}: {one.data}; on a plain breach it {one.breach}" for one in found if one.level == "bad"]


def too_slow(found: Sequence[GateFinding]) -> list[str]:
    """A sentence for each gate that goes back, and would not find twice its limit within the soak of a stage."""
    return blind_spots(forecast for one in found for forecast in one.forecasts)


def too_slow_in_a_sentence(found: Sequence[GateFinding]) -> str:
    """The sum of these; nothing where there is none."""
    blind = list(dict.fromkeys(one.gate for one in found for forecast in one.forecasts if forecast.is_blind))
    if not blind:
        return ""
    return (
        f"a regression of twice the limit would pass unseen, at this traffic, within the soak of a stage: "
        f"{', '.join(blind)}; `rollout plan check` says when it would be found, and what would do"
    )


def _unfit(gate: Gate, answers: Mapping[str, MetricAnswer]) -> list[_Remark]:
    """Why what a metric says is not what the gate needs."""
    if not isinstance(gate, MeasuredGate):
        return []
    answer = answers[gate.metric]
    if answer.total is None:
        baseline = isinstance(gate, VersusBaselineGate) and answer.level != "bad"
        return [_Remark("bad", "the start is refused without a baseline")] if baseline else []
    if not fits(gate.statistic, answer.total):
        return [_Remark("bad", f"{gate.statistic} cannot be taken from {answer.total.kind}")]
    if isinstance(gate, VersusBaselineGate) and size_of(answer.baseline) < gate.minimum_sample:
        return [_Remark("bad", f"{gate.minimum_sample:,} are needed of a baseline")]
    if isinstance(gate, VersusControlGate) and "control" not in answer.groups:
        return [_Remark("warn", "no series of the control group among them")]
    return []


def _treated(plan: RolloutPlan, stage: Stage) -> float:
    """The smallest share of users that the stage shows anything to."""
    if plan.flags:
        return max(AUDIENCE_SHARE, treated_share(stage.exposure, plan.flags))
    # Without flags it is the share of the traffic, which rises inside the stage.
    return min((percent for percent in stage.percents if percent), default=WHOLE) / WHOLE


def _breach(plan: RolloutPlan, name: str, first: Stage, answers: Mapping[str, MetricAnswer]) -> _Remark:
    """How soon the gate fails on a plain breach at the usual traffic, in the stage where fewest people are exposed."""
    gate = plan.gates[name]
    if isinstance(gate, ProbeGate):
        return _Remark("ok", "fires at once")
    usual: dict[str, Usual] = {}
    for metric in metrics_of(gate):
        sample = answers[metric].usual
        unfit = sample is not None and isinstance(gate, MeasuredGate) and not fits(gate.statistic, sample)
        usual[metric] = assumed(gate) if sample is None or unfit else Usual(sample, assumed=False)
    baseline = None
    if isinstance(gate, VersusBaselineGate):
        baseline = answers[gate.metric].baseline or times(usual[gate.metric].sample, gate.minimum_sample)
    bound = BoundGate(gate=gate, baseline=baseline)
    trial = try_breach(name, bound, usual, treated=_treated(plan, first), interval=plan.check_interval)
    if trial.fires_after is None:
        return _Remark("bad", f"does not fire: {trial.said}")
    taken = any(one.assumed for one in usual.values())
    at = f"at {SEEN_PER_INTERVAL:,} observations an interval" if taken else "at this traffic"
    return _Remark("ok", f"fires after {duration_in_words(trial.fires_after)} {at}, in {first.name}")
