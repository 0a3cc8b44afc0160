"""One look at a soaking stage: what a look is given, what it leaves behind, and how its answers are judged.

The activity that looks (`activities/gate_watch.py`) fetches; everything decided from what it fetched is decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.flags import Exposure, FlagSnapshot
from rollout.gate_judgement import Evidence, judge
from rollout.gates import Gate, ProbeGate, VersusControlGate, metrics_of
from rollout.interval_series import IntervalSeries
from rollout.measurement import Group, Sample, SourceFailure, TimeSeriesQuery
from rollout.soak import SoakState, Suspension, Transition
from rollout.traffic import ServiceRef, TrafficSplit
from rollout.verdict import Judgement, Lack, Verdict

DRIFT = "drift"
"""The name under which flags and traffic that nobody expected appear among the gates' judgements."""

# The API takes points that are at most 25 hours old; a gap older than this will not be filled any more.
LATEST_ARRIVAL = timedelta(hours=25)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BoundGate(_Frozen):
    """A gate with everything it needs to be asked: its queries bound to this rollout, its baseline, its address."""

    gate: Gate
    queries: dict[str, TimeSeriesQuery] = Field(default_factory=dict)
    baseline: Sample | None = None
    base_url: str | None = None


class ExpectedTraffic(_Frozen):
    service: ServiceRef
    split: TrafficSplit


class Expected(_Frozen):
    """What the rollout last set; anything else is drift."""

    environment: str
    group: str
    fence: int
    flags: dict[str, Exposure]
    traffic: tuple[ExpectedTraffic, ...]


class WatchRequest(_Frozen):
    """Watch a stage until its soak has `target` credit, or something happens that a person or the rollout must know."""

    stage: str
    soak: SoakState
    target: timedelta
    gates: dict[str, BoundGate]
    suspensions: tuple[Suspension, ...] = ()
    expected: Expected


class WatchBeat(_Frozen):
    """The state after a look, carried in heartbeat details: a cache for the next look and a window for people."""

    soak: SoakState
    judgements: tuple[Judgement, ...]
    as_of: datetime


class WatchReport(_Frozen):
    """Why a watch came back.

    `latched` means that the kill switch is set in the flag store itself: somebody pulled it, or the watch did, because
    the store had lost what the rollout wrote; `why` says which.
    """

    transition: Transition | Literal["credit_complete", "latched"]
    why: str = ""
    soak: SoakState
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True)
class Answers:
    """What the monitoring system said, per metric: its intervals, or why there are none."""

    intervals: Mapping[str, IntervalSeries] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def hold(self, metric: str, end: datetime) -> bool:
        """Whether there are data of this metric for the interval that ends at `end`."""
        return metric in self.intervals and self.intervals[metric].at(end) is not None


def judge_interval(
    gates: Mapping[str, BoundGate], answers: Answers, end: datetime, since: datetime, interval: timedelta
) -> dict[str, Judgement]:
    """The judgements of all measured gates for the interval that ends at `end`, from this stage's data only."""
    judgements: dict[str, Judgement] = {}
    for name, bound in gates.items():
        if isinstance(bound.gate, ProbeGate):
            continue
        judgements[name] = _judge_bound(name, bound, answers, end, since, interval)
    return judgements


def has_data(gates: Mapping[str, BoundGate], answers: Answers, end: datetime) -> bool:
    """Whether every measured gate has its data for the interval that ends at `end`."""
    return all(answers.hold(metric, end) for bound in gates.values() for metric in metrics_of(bound.gate))


def _judge_bound(
    name: str, bound: BoundGate, answers: Answers, end: datetime, since: datetime, interval: timedelta
) -> Judgement:
    gate = bound.gate
    window: timedelta = getattr(gate, "window", interval)
    own: Group = getattr(gate, "group", "all")
    wanted: tuple[Group, ...] = (own, "control") if isinstance(gate, VersusControlGate) else (own,)
    samples: dict[str, dict[str, Sample]] = {}
    for metric in metrics_of(gate):
        if metric in answers.failures:
            return _no_answer(name, bound, end, Verdict.ERROR, answers.failures[metric], Lack.NOTHING)
        if metric == gate_metric(gate) and not answers.hold(metric, end):
            reason = f"no data for the interval that ended at {end:%H:%M:%S}"
            return _no_answer(name, bound, end, Verdict.UNKNOWN, reason, Lack.DATA)
        try:
            samples[metric] = _window(answers, metric, max(since, end - window), end, wanted)
        except SourceFailure as failure:
            return _no_answer(name, bound, end, Verdict.ERROR, str(failure), Lack.NOTHING)
    judgement = judge(name, gate, Evidence(as_of=end, samples=samples, baseline=bound.baseline))
    if judgement.verdict is Verdict.PASS and not _served(gate, answers, end):
        return judgement.model_copy(update={"verdict": Verdict.IDLE})
    return judgement


def gate_metric(gate: Gate) -> str | None:
    """The metric whose fresh data a gate cannot do without."""
    metrics = metrics_of(gate)
    return metrics[-1] if metrics else None


def _served(gate: Gate, answers: Answers, end: datetime) -> bool:
    """Whether the gate's group appears in the newest interval itself, not only earlier in the window."""
    metric = gate_metric(gate)
    if metric is None:
        return True
    newest = answers.intervals[metric].at(end)
    return newest is not None and getattr(gate, "group", "all") in newest.groups


def _window(
    answers: Answers, metric: str, start: datetime, end: datetime, wanted: tuple[Group, ...]
) -> dict[str, Sample]:
    """The wanted groups summed over the window. Of any other group the last sample stands for its presence."""
    series = answers.intervals.get(metric)
    if series is None:
        return {}
    newest = series.at(end)
    found: dict[str, Sample] = {}
    if newest is not None:
        found |= {group: newest.groups[group] for group in newest.groups.keys() - {*wanted}}
    for group in wanted:
        if (total := series.window(start, end, group)) is not None:
            found[group] = total
    return found


def _no_answer(name: str, bound: BoundGate, end: datetime, verdict: Verdict, why: str, lack: Lack) -> Judgement:
    return Judgement(
        gate=name,
        verdict=verdict,
        reason=f"{bound.gate.title}: {why}",
        limit=bound.gate.limit_in_words,
        lack=lack,
        as_of=end,
    )


def judge_drift(
    expected: Expected,
    snapshot: FlagSnapshot | str,
    traffic: Sequence[tuple[ExpectedTraffic, TrafficSplit | str]],
    as_of: datetime,
) -> Judgement:
    """Flags and traffic as read now against what the rollout last set. A string says why something was not read."""
    unread = [text for text in (snapshot, *(split for _, split in traffic)) if isinstance(text, str)]
    different = [] if isinstance(snapshot, str) else _flag_differences(expected, snapshot)
    for wanted, split in traffic:
        if isinstance(split, TrafficSplit) and split.shares != wanted.split.shares:
            different.append(
                f"{wanted.service.service} serves {split.in_words()}, the rollout set {wanted.split.in_words()}"
            )
    verdict = Verdict.FAIL if different else Verdict.ERROR if unread else Verdict.PASS
    reason = "; ".join(different or unread) or "flags and traffic are as the rollout set them"
    return Judgement(
        gate=DRIFT,
        verdict=verdict,
        reason=reason,
        value=f"{len(different)} foreign" if different else "none",
        limit="none",
        as_of=as_of,
    )


def lost_by_the_store(expected: Expected, snapshot: FlagSnapshot | None) -> str:
    """What a store has forgotten that holds nothing, or less than the rollout wrote, in words."""
    if snapshot is None:
        return f"the flag store has lost its data: it holds nothing, the rollout is at epoch {expected.fence}"
    return f"the flag store has lost writes: it is at epoch {snapshot.epoch}, the rollout at {expected.fence}"


def _flag_differences(expected: Expected, snapshot: FlagSnapshot) -> list[str]:
    return [
        f"flag {flag} is {snapshot.flags[flag].in_words() if flag in snapshot.flags else 'missing'}, "
        f"the rollout set {wanted.in_words()}"
        for flag, wanted in sorted(expected.flags.items())
        if flag not in snapshot.flags
        or (snapshot.flags[flag].exposure, snapshot.flags[flag].bp) != (wanted.exposure, wanted.bp)
    ]
