"""The judgements of all measured gates for one closed interval, from this stage's data only.

The activity that looks (`activities/gate_watch.py`) fetches; everything decided from what it fetched is decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce

from rollout.foresight import Foresight
from rollout.gate_judgement import WindowSamples, judge
from rollout.gate_question import Question
from rollout.gates import Gate, MeasuredGate, ProbeGate, VersusControlGate, metrics_of
from rollout.interval_series import IntervalSeries
from rollout.measurement import Group, Sample, SourceFailure
from rollout.moments import time_of_day
from rollout.sequential_state import SequentialState
from rollout.silence import Presence, Traffic, traffic_of
from rollout.soak import SoakState
from rollout.soak_evidence import Measured, SoakEvidence, first_state, weigh
from rollout.verdict import Judgement, Lack, Verdict
from rollout.watch import BoundGate
from rollout.wording import duration_in_words

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Answers:
    """What the monitoring system said, per metric: its intervals, or why there are none; and when it said so."""

    at: datetime
    intervals: Mapping[str, IntervalSeries] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    past_failures: Mapping[str, str] = field(default_factory=dict)
    """Why the past of a cohort is not known yet: a gate that compares with it cannot be judged before."""

    def hold(self, metric: str, end: datetime) -> bool:
        """Whether there are data of this metric for the interval that ends at `end`."""
        return metric in self.intervals and self.intervals[metric].at(end) is not None


@dataclass(frozen=True)
class _ClosedInterval:
    """The interval of a soak that is judged, and what was answered of it; `seen` says for people how old that is."""

    answers: Answers
    end: datetime
    soak: SoakState
    seen: str


def judge_interval(
    gates: Mapping[str, BoundGate],
    answers: Answers,
    end: datetime,
    soak: SoakState,
    evidence: SoakEvidence,
    foresight: Foresight | None = None,
) -> tuple[dict[str, Judgement], SoakEvidence]:
    """The judgements of the measured gates for the interval that ends at `end`, and the evidence with it.

    With `foresight`, what was judged in an earlier look of the same watch is not judged again.
    """
    foresight = Foresight() if foresight is None else foresight
    closed = _ClosedInterval(answers, end, soak, _age_in_words(end, answers.at, soak.interval))
    judgements: dict[str, Judgement] = {}
    states = dict(evidence.states)
    for name, bound in gates.items():
        if isinstance(bound.gate, ProbeGate):
            continue
        if (no_answer := _no_answer(name, bound, closed)) is not None:
            judgements[name] = no_answer
            continue
        after, judgements[name] = _judged_once(name, bound, closed, states.get(name), foresight)
        if after is not None:
            states[name] = after
    heard = {} if end <= soak.judged_until else _heard(gates, closed, evidence.presences)
    for name, presence in heard.items():
        if judgements[name].verdict is Verdict.IDLE and presence.is_telling(gates[name].treated_share):
            judgements[name] = _missed(gates[name].gate, judgements[name], presence, closed.seen)
    return judgements, evidence.model_copy(update={"states": states, "presences": evidence.presences | heard})


def _judged_once(
    name: str, bound: BoundGate, closed: _ClosedInterval, before: SequentialState | None, foresight: Foresight
) -> tuple[SequentialState | None, Judgement]:
    """The gate's state and judgement, from an earlier look where that had the same data."""
    intervals = closed.answers.intervals
    series = tuple(intervals[metric] for metric in metrics_of(bound.gate) if metric in intervals)
    known = foresight.recall(name, closed.end, series, before, closed.seen)
    if known is not None:
        return known
    question = foresight.question(name, bound, closed.soak.interval)
    after, judgement = _judged(name, bound, closed, before, question)
    foresight.remember(name, series, before, after, judgement, closed.seen)
    return after, judgement


def _judged(
    name: str, bound: BoundGate, closed: _ClosedInterval, before: SequentialState | None, question: Question | None
) -> tuple[SequentialState | None, Judgement]:
    """The gate's state and judgement; a gate that is judged by its window alone has no state."""
    gate = bound.gate
    if question is None:
        return before, _judge_window(name, bound, closed)
    assert isinstance(gate, MeasuredGate), "only what is measured is asked interval by interval"  # noqa: S101
    state = before or first_state(question, closed.soak.since)
    return weigh(name, gate, question, state, _measured(gate, bound, closed))


def _heard(
    gates: Mapping[str, BoundGate], closed: _ClosedInterval, before: Mapping[str, Presence]
) -> dict[str, Presence]:
    """Whether treated users were heard in this interval, for each gate that asks for them and has data."""
    held = {metrics_of(bound.gate)[-1] for bound in gates.values() if metrics_of(bound.gate)}
    intervals = closed.answers.intervals
    measured = {metric: intervals[metric].at(closed.end) for metric in held & intervals.keys()}
    heard_of = {metric: traffic_of(found.groups) for metric, found in measured.items() if found is not None}
    traffic = {metric: found for metric, found in heard_of.items() if found is not None}
    everywhere = reduce(Traffic.plus, traffic.values(), Traffic())
    heard = {}
    for name, bound in gates.items():
        if _own_group(bound.gate) != "treated" or (metric := metrics_of(bound.gate)[-1]) not in traffic:
            continue
        here = traffic[metric]
        elsewhere = Traffic(treated=everywhere.treated - here.treated, others=everywhere.others - here.others)
        heard[name] = before.get(name, Presence()).after(here, elsewhere, closed.end, closed.soak.interval)
    return heard


def _missed(gate: Gate, idle: Judgement, presence: Presence, seen: str) -> Judgement:
    """An idle gate whose treated users should have been there: too small a sample, which a person learns of in time."""
    reason = f"{gate.title}: {presence.in_words(idle.as_of)}; {seen}"
    return idle.model_copy(update={"verdict": Verdict.UNKNOWN, "lack": Lack.SAMPLE, "reason": reason, "silent": True})


def has_data(gates: Mapping[str, BoundGate], answers: Answers, end: datetime) -> bool:
    """Whether every measured gate has its data for the interval that ends at `end`."""
    asked = [metrics_of(bound.gate) for bound in gates.values()]
    return all(answers.hold(metrics[-1], end) for metrics in asked if metrics)


def _no_answer(name: str, bound: BoundGate, closed: _ClosedInterval) -> Judgement | None:
    """Why the gate cannot be judged at all: its source failed, or nothing came for this interval."""

    def say(verdict: Verdict, why: str, lack: Lack = Lack.NOTHING, *, silent: bool = False) -> Judgement:
        return Judgement(
            gate=name,
            verdict=verdict,
            reason=f"{bound.gate.title}: {why}",
            limit=bound.gate.limit_in_words,
            lack=lack,
            silent=silent,
            as_of=closed.end,
        )

    metrics, answers = metrics_of(bound.gate), closed.answers
    for metric in metrics:
        if metric in answers.failures:
            return say(Verdict.ERROR, answers.failures[metric])
        if bound.past is not None and metric in answers.past_failures:
            return say(Verdict.ERROR, answers.past_failures[metric])
    if not answers.hold(metrics[-1], closed.end):
        why = f"no data for the interval that ended at {time_of_day(closed.end, answers.at, seconds=True)}"
        # Where nothing at all arrives, it is the way here that is silent, and nobody knows about the users.
        anything = any(answers.hold(metric, closed.end) for metric in answers.intervals)
        return say(Verdict.UNKNOWN, why, Lack.DATA, silent=anything)
    return None


def _measured(gate: MeasuredGate, bound: BoundGate, closed: _ClosedInterval) -> Measured:
    series, end = closed.answers.intervals[gate.metric], closed.end
    newest = series.at(end)
    interval = newest.groups if newest is not None else {}
    try:
        window = _window(series, max(closed.soak.since, end - gate.window), end, gate)
    except SourceFailure:
        # The window spans a change of the metric's form; the interval alone says what is known of the new one.
        window = interval
    return Measured(end=end, interval=interval, window=window, baseline=bound.baseline, seen=closed.seen)


def _judge_window(name: str, bound: BoundGate, closed: _ClosedInterval) -> Judgement:
    gate, end = bound.gate, closed.end
    start = max(closed.soak.since, end - (gate.window if isinstance(gate, MeasuredGate) else closed.soak.interval))
    samples: dict[str, Mapping[Group, Sample]] = {}
    for metric in metrics_of(gate):
        if metric in closed.answers.intervals:
            try:
                samples[metric] = _window(closed.answers.intervals[metric], start, end, gate)
            except SourceFailure as failure:
                reason = f"{gate.title}: {failure}"
                return Judgement(gate=name, verdict=Verdict.ERROR, reason=reason, limit=gate.limit_in_words, as_of=end)
    judgement = judge(name, gate, WindowSamples(as_of=end, samples=samples, baseline=bound.baseline, seen=closed.seen))
    if judgement.verdict is Verdict.PASS and not _served(gate, closed):
        return judgement.model_copy(update={"verdict": Verdict.IDLE})
    return judgement


def _served(gate: Gate, closed: _ClosedInterval) -> bool:
    """Whether the gate's group appears in the newest interval itself, not only earlier in the window."""
    newest = closed.answers.intervals[metrics_of(gate)[-1]].at(closed.end)
    return newest is not None and _own_group(gate) in newest.groups


def _window(series: IntervalSeries, start: datetime, end: datetime, gate: Gate) -> Mapping[Group, Sample]:
    """The gate's groups summed over the window. Any other group's newest sample stands for the source's being alive."""
    newest = series.at(end)
    found = {} if newest is None else dict(newest.groups)
    for group in {_own_group(gate), "control"} if isinstance(gate, VersusControlGate) else {_own_group(gate)}:
        if (total := series.window(start, end, group)) is not None:
            found[group] = total
    return found


def _own_group(gate: Gate) -> Group:
    return "all" if isinstance(gate, ProbeGate) else gate.group


def _age_in_words(end: datetime, seen_at: datetime, interval: timedelta) -> str:
    moment = time_of_day(end, seen_at, seconds=interval < MINUTE)
    return f"data until {moment}, {duration_in_words(seen_at - end)} old"
