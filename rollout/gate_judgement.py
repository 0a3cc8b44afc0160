"""How the answer to a gate is judged from one window alone: a pure function of the gate and the window's samples.

For what is counted once per interval, for probes, and for values that carry no count of good and bad: means, levels,
quantiles against control. Shares and latencies are judged by evidence over the whole soak (`soak_evidence`).

No data never passes and never fails. A value beyond its limit fails only where the window shows it beyond chance
(99.9 % interval); in between it is UNKNOWN and the soak's credit stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rollout.gates import (
    AbsenceGate,
    Gate,
    MeasuredGate,
    ProbeGate,
    ThresholdGate,
    VersusBaselineGate,
    VersusControlGate,
    ZeroToleranceGate,
)
from rollout.measurement import Counts, Group, Sample
from rollout.quantity import Limit
from rollout.verdict import Judgement, Lack, Verdict
from rollout.window_reading import fits, read, shown, size_of


@dataclass(frozen=True)
class WindowSamples:
    """What a gate is judged by: the window's samples per metric and group, and the stored baseline.

    `seen` says for people how old that is.
    """

    as_of: datetime
    samples: Mapping[str, Mapping[Group, Sample]] = field(default_factory=dict)
    baseline: Sample | None = None
    seen: str = ""

    def told(self, what: str) -> str:
        return f"{what}; {self.seen}" if self.seen else what


def judge(name: str, gate: Gate, window: WindowSamples) -> Judgement:
    """The judgement of one window. Probes are judged where they are asked (`judge_probe`)."""
    match gate:
        case ThresholdGate() | VersusControlGate() | VersusBaselineGate():
            return _judge_measured(name, gate, window)
        case ZeroToleranceGate():
            return _judge_zero(name, gate, window, alive=True)
        case AbsenceGate():
            alive = size_of(window.samples.get(gate.alive, {}).get(gate.group)) > 0
            return _judge_zero(name, gate, window, alive=alive)
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
    limit = Limit(value=field, unit=gate.at_least.unit)
    verdict = Verdict.PASS if field >= gate.at_least.value else Verdict.FAIL
    return say(verdict, str(limit), f"{where} says {gate.field} {limit}, wanted at least {gate.at_least}")


def _judge_zero(name: str, gate: ZeroToleranceGate | AbsenceGate, window: WindowSamples, *, alive: bool) -> Judgement:
    groups = window.samples.get(gate.metric, {})
    sample = groups.get(gate.group)

    def say(verdict: Verdict, value: str, reason: str, lack: Lack = Lack.NOTHING) -> Judgement:
        return Judgement(
            gate=name,
            verdict=verdict,
            value=value,
            limit="0",
            reason=window.told(reason),
            lack=lack,
            as_of=window.as_of,
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


def _judge_measured(name: str, gate: MeasuredGate, window: WindowSamples) -> Judgement:
    groups = window.samples.get(gate.metric, {})
    sample = groups.get(gate.group)
    size = size_of(sample)

    def say(verdict: Verdict, value: str, reason: str, lack: Lack = Lack.NOTHING) -> Judgement:
        return Judgement(
            gate=name,
            verdict=verdict,
            value=value,
            limit=gate.limit_in_words,
            reason=window.told(f"{gate.title}: {reason}"),
            sample=size,
            lack=lack,
            as_of=window.as_of,
        )

    if not groups:
        return say(Verdict.UNKNOWN, "–", "no data in the window", Lack.DATA)
    if sample is None or size == 0:
        return say(Verdict.IDLE, "–", f"the source answers, but the {gate.group} group had no traffic")
    if not fits(gate.statistic, sample):
        return say(Verdict.ERROR, "–", f"{gate.statistic} cannot be taken from a {sample.kind}")
    if size < gate.minimum_sample:
        needed = f"{size:,} observations so far, {gate.minimum_sample:,} are needed"
        return say(Verdict.UNKNOWN, "–", needed, Lack.SAMPLE)
    reference: Sample | None = None
    if not isinstance(gate, ThresholdGate):
        reference = groups.get("control") if isinstance(gate, VersusControlGate) else window.baseline
        if reference is None or size_of(reference) < gate.minimum_sample or not fits(gate.statistic, reference):
            against = "control" if isinstance(gate, VersusControlGate) else "the baseline"
            return say(
                Verdict.UNKNOWN,
                shown(gate.statistic, sample),
                f"{size_of(reference):,} observations in {against}, {gate.minimum_sample:,} are needed",
                Lack.SAMPLE if reference is not None else Lack.DATA,
            )
    reading = read(gate, sample, reference)
    if reading.kept:
        return say(Verdict.PASS, reading.value, reading.words)
    if reading.broken:
        return say(Verdict.FAIL, reading.value, reading.words)
    return say(Verdict.UNKNOWN, reading.value, f"beyond the limit but within chance: {reading.words}")
