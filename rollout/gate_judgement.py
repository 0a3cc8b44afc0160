"""How the answer to a gate is judged: a pure function of the gate and the samples of one window.

No data never passes and never fails. A value beyond its limit fails only where the window shows it beyond chance
(99.9 % interval); in between it is UNKNOWN and the soak's credit stands.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rollout.gates import (
    QUANTILES,
    AbsenceGate,
    Gate,
    MeasuredGate,
    ProbeGate,
    Statistic,
    ThresholdGate,
    VersusBaselineGate,
    VersusControlGate,
    ZeroToleranceGate,
)
from rollout.interval_estimates import newcombe, quantile_bounds, wilson
from rollout.measurement import Counts, Histogram, Level, Sample
from rollout.quantity import Limit
from rollout.verdict import Judgement, Lack, Verdict

SHARE_DIGITS, NUMBER_DIGITS = 6, 4


class Evidence(BaseModel):
    """What a gate is judged by: the window's samples per metric and group, and the stored baseline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: datetime
    samples: dict[str, dict[str, Sample]] = Field(default_factory=dict)
    baseline: Sample | None = None


def judge(name: str, gate: Gate, evidence: Evidence) -> Judgement:
    """The judgement of one window. Probes are judged where they are asked (`judge_probe`)."""
    match gate:
        case ThresholdGate() | VersusControlGate() | VersusBaselineGate():
            return _judge_measured(name, gate, evidence)
        case ZeroToleranceGate():
            return _judge_zero(name, gate, evidence, alive=True)
        case AbsenceGate():
            alive = _size(evidence.samples.get(gate.alive, {}).get(gate.group)) > 0
            return _judge_zero(name, gate, evidence, alive=alive)
        case ProbeGate():
            raise TypeError("a probe is judged by judge_probe, from what its endpoint answered")


def judge_probe(name: str, gate: ProbeGate, *, status: int | None, field: float | None, as_of: datetime) -> Judgement:
    """The judgement of one answer of an endpoint; `status` None means that it could not be reached."""

    def say(verdict: Verdict, value: str, reason: str) -> Judgement:
        return Judgement(
            gate=name, verdict=verdict, value=value, limit=gate.limit_in_words, reason=reason, sample=1, as_of=as_of
        )

    where = f"{gate.service} {gate.path}"
    if status is None:
        return say(Verdict.ERROR, "no answer", f"{where} could not be reached")
    if status != 200:  # noqa: PLR2004  (HTTP OK)
        return say(Verdict.FAIL, str(status), f"{where} answered {status}, wanted 200")
    if gate.at_least is None:
        return say(Verdict.PASS, "200", f"{where} answered 200")
    if field is None:
        return say(Verdict.ERROR, "200", f"{where} answered 200 without a number {gate.field!r}")
    shown = Limit(value=field, unit=gate.at_least.unit)
    verdict = Verdict.PASS if field >= gate.at_least.value else Verdict.FAIL
    return say(verdict, str(shown), f"{where} says {gate.field} {shown}, wanted at least {gate.at_least}")


def _size(sample: Sample | None) -> int:
    match sample:
        case None:
            return 0
        case Counts() | Histogram():
            return sample.total
        case Level():
            return sample.samples


def _judge_zero(name: str, gate: ZeroToleranceGate | AbsenceGate, evidence: Evidence, *, alive: bool) -> Judgement:
    groups = evidence.samples.get(gate.metric, {})
    sample = groups.get(gate.group)

    def say(verdict: Verdict, value: str, reason: str, lack: Lack = Lack.NOTHING) -> Judgement:
        return Judgement(
            gate=name, verdict=verdict, value=value, limit="0", reason=reason, lack=lack, as_of=evidence.as_of
        )

    if sample is not None and not isinstance(sample, Counts):
        return say(Verdict.ERROR, "–", f"{gate.title}: the metric holds a {sample.kind}, a count is needed")
    events = 0 if sample is None else sample.total
    if events > 0:
        return say(Verdict.FAIL, f"{events:,}", f"{gate.title}: {events:,} in the last interval, none is tolerated")
    if sample is None and isinstance(gate, ZeroToleranceGate):
        if groups:
            return say(Verdict.IDLE, "–", f"{gate.title}: nobody in the {gate.group} group was served")
        return say(Verdict.UNKNOWN, "–", f"{gate.title}: no data, and silence is not zero", Lack.DATA)
    if not alive:
        return say(Verdict.UNKNOWN, "–", f"{gate.title}: nothing shows that the source is alive", Lack.DATA)
    return say(Verdict.PASS, "0", f"{gate.title}: none")


def _judge_measured(name: str, gate: MeasuredGate, evidence: Evidence) -> Judgement:
    groups = evidence.samples.get(gate.metric, {})
    sample = groups.get(gate.group)
    size = _size(sample)

    def say(verdict: Verdict, value: str, reason: str, lack: Lack = Lack.NOTHING) -> Judgement:
        return Judgement(
            gate=name,
            verdict=verdict,
            value=value,
            limit=gate.limit_in_words,
            reason=f"{gate.title}: {reason}",
            sample=size,
            lack=lack,
            as_of=evidence.as_of,
        )

    if not groups:
        return say(Verdict.UNKNOWN, "–", "no data in the window", Lack.DATA)
    if sample is None or size == 0:
        return say(Verdict.IDLE, "–", f"the source answers, but the {gate.group} group had no traffic")
    if not _fits(gate.statistic, sample):
        return say(Verdict.ERROR, "–", f"{gate.statistic} cannot be taken from a {sample.kind}")
    if size < gate.minimum_sample:
        return say(
            Verdict.UNKNOWN, "–", f"{size:,} observations so far, {gate.minimum_sample:,} are needed", Lack.SAMPLE
        )
    if isinstance(gate, ThresholdGate):
        verdict, value, detail = _against_limit(gate, sample)
        return say(verdict, value, f"{detail}, limit {gate.limit_in_words}; {size:,} observations")
    reference = groups.get("control") if isinstance(gate, VersusControlGate) else evidence.baseline
    against = "control" if isinstance(gate, VersusControlGate) else "the baseline"
    if reference is None or _size(reference) < gate.minimum_sample or not _fits(gate.statistic, reference):
        return say(
            Verdict.UNKNOWN,
            _shown(gate.statistic, sample),
            f"{_size(reference):,} observations in {against}, {gate.minimum_sample:,} are needed",
            Lack.SAMPLE if reference is not None else Lack.DATA,
        )
    verdict, value, detail = _against_reference(gate, sample, reference, against)
    return say(
        verdict,
        value,
        f"{detail}, limit {gate.limit_in_words}; {size:,} and {_size(reference):,} observations",
    )


def _fits(statistic: Statistic, sample: Sample) -> bool:
    match sample:
        case Counts():
            return statistic in ("bad_share", "good_share")
        case Histogram():
            return statistic in QUANTILES or statistic == "mean"
        case Level():
            return statistic == "level"


def _estimate(statistic: Statistic, sample: Sample) -> tuple[float, float, float]:
    """Value, lower and upper bound. Means and levels carry no error estimate: their bounds are the value itself."""
    match sample:
        case Counts():
            low, high = wilson(sample.bad, sample.total)
            share = sample.bad / sample.total
            return (1 - share, 1 - high, 1 - low) if statistic == "good_share" else (share, low, high)
        case Histogram() if statistic in QUANTILES:
            return sample.quantile(QUANTILES[statistic]), *quantile_bounds(sample, QUANTILES[statistic])
        case Histogram():
            mean = sample.sum / sample.total
            return mean, mean, mean
        case Level():
            return sample.value, sample.value, sample.value


def _shown(statistic: Statistic, sample: Sample) -> str:
    value = _estimate(statistic, sample)[0]
    if statistic in ("bad_share", "good_share"):
        return f"{value * 100:.4g}%"
    return f"{value:.4g}"


def _against_limit(gate: ThresholdGate, sample: Sample) -> tuple[Verdict, str, str]:
    value, low, high = _estimate(gate.statistic, sample)
    limit = gate.limit.value
    # Six digits of a share, so that one violation in 100,000 does not read as 100 %.
    digits = SHARE_DIGITS if gate.limit.unit == "share" else NUMBER_DIGITS
    shown = str(Limit(value=float(f"{value:.{digits}g}"), unit=gate.limit.unit))
    if gate.at_least is not None:
        kept, broken = value >= limit, high < limit
    elif gate.below is not None:
        kept, broken = value < limit, low >= limit
    else:
        kept, broken = value <= limit, low > limit
    if kept:
        return Verdict.PASS, shown, shown
    if broken:
        return Verdict.FAIL, shown, shown
    return Verdict.UNKNOWN, shown, f"{shown}, beyond the limit but within chance"


def _against_reference(
    gate: VersusControlGate | VersusBaselineGate, sample: Sample, reference: Sample, against: str
) -> tuple[Verdict, str, str]:
    value, low, high = _estimate(gate.statistic, sample)
    other, other_low, other_high = _estimate(gate.statistic, reference)
    if isinstance(sample, Counts) and isinstance(reference, Counts) and gate.max_difference is not None:
        difference = value - other
        bounds = newcombe(sample.bad, sample.total, reference.bad, reference.total)
        shown = f"{difference * 100:+.2f} points"
        detail = (
            f"{value * 100:.2f} % against {other * 100:.2f} % in {against}: {shown}, "
            f"99.9 % interval {bounds[0] * 100:+.2f} to {bounds[1] * 100:+.2f}"
        )
        return _place(difference, bounds[0], gate.max_difference), shown, detail
    if other <= 0 or other_high <= 0:
        verdict = Verdict.PASS if value <= 0 else Verdict.UNKNOWN
        return verdict, f"{value:.4g}", f"{value:.4g} against {other:.4g} in {against}: no ratio to a zero"
    increase, lowest = value / other - 1, low / other_high - 1
    highest = high / other_low - 1 if other_low > 0 else float("inf")
    shown = f"{increase * 100:+.1f}%"
    detail = (
        f"{value:.4g} against {other:.4g} in {against}: {shown}, interval {lowest * 100:+.1f} to {highest * 100:+.1f} %"
    )
    return _place(increase, lowest, gate.max_increase or 0.0), shown, detail


def _place(value: float, low: float, limit: float) -> Verdict:
    if value <= limit:
        return Verdict.PASS
    return Verdict.FAIL if low > limit else Verdict.UNKNOWN
