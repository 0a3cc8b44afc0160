"""What each gate has learnt over a soak: evidence that grows interval by interval and stays valid at every look.

It travels with the soak, so that a killed worker loses none of it. The gate's `window` is what people are shown, and
what ends a failure that only holds; the decision rests on the evidence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from rollout.changed_edges import out_of_sight
from rollout.gate_question import Question, interval_of, lies_inside_a_bucket
from rollout.gates import MeasuredGate, ThresholdGate, VersusControlGate
from rollout.measurement import Group, Sample
from rollout.sequential_gate import begin, doubt_about, step
from rollout.sequential_model import Evidence, Interval, SequentialJudgement
from rollout.sequential_state import SequentialState
from rollout.silence import Presence
from rollout.verdict import LEAVING, Judgement, Lack, Verdict
from rollout.window_reading import Reading, read, size_of

ROUND_ODDS_FROM = 10
LARGEST_ODDS_SHOWN = 1e6


def _is_empty(value: object) -> bool:
    return not value


class SoakEvidence(BaseModel):
    """One state per gate that is judged by evidence; `since` says which soak its sums belong to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: datetime
    states: dict[str, SequentialState] = Field(default_factory=dict)
    pasts: dict[str, datetime] = Field(default_factory=dict, exclude_if=_is_empty)
    """Of gates whose cohort has a past: until when, once it was asked for and is in the state."""
    presences: dict[str, Presence] = Field(default_factory=dict, exclude_if=_is_empty)
    """Of gates on treated users: whether any were heard."""


def of_soak(evidence: SoakEvidence | None, since: datetime, gates: Iterable[str]) -> SoakEvidence:
    """The evidence that a soak goes on with: its own, or what its gates carry over from the soak before it."""
    if evidence is None:
        return SoakEvidence(since=since)
    if evidence.since == since:
        return evidence
    carried = {name: _carried(evidence.states[name], since) for name in gates if name in evidence.states}
    return SoakEvidence(since=since, states={name: state for name, state in carried.items() if state is not None})


@dataclass(frozen=True)
class Measured:
    """A gate's samples per group: of the interval that ends at `end`, and summed over the gate's window.

    `seen` says for people how old that is.
    """

    end: datetime
    interval: Mapping[Group, Sample]
    window: Mapping[Group, Sample]
    baseline: Sample | None = None
    seen: str = ""


class _Ruling(NamedTuple):
    verdict: Verdict
    because: str = ""
    lack: Lack = Lack.NOTHING
    conclusive: bool = False


def weigh(
    name: str, gate: MeasuredGate, question: Question, state: SequentialState, measured: Measured
) -> tuple[SequentialState, Judgement]:
    """The gate's state and judgement after one more interval; an interval that is in the state already adds nothing.

    A healthy source without anybody to judge is IDLE and adds no evidence. Data that cannot be judged are ERROR.
    """
    try:
        interval = interval_of(question, gate, measured.interval, measured.end)
    except ValueError as problem:
        return state, _judgement(name, gate, measured, None, _Ruling(Verdict.ERROR, str(problem)))
    reading = _reading(gate, measured)
    if (absent := _nobody(gate, measured)) is not None:
        if interval.treated is None and interval.control is not None:
            # Control alone tells how errors come together; that nobody is treated is no missing data.
            state = step(question.asks, state, interval, in_words=False)[0].model_copy(update={"missing_in_a_row": 0})
        known = _ruling(gate, question, state, _standing(question, state))
        ruling = known if known.verdict in (Verdict.SUSPECT, Verdict.FAIL) else absent
        return state, _judgement(name, gate, measured, reading, ruling)
    try:
        after, judged = step(question.asks, state, interval, in_words=False)
    except ValueError as problem:
        return state, _judgement(name, gate, measured, None, _Ruling(Verdict.ERROR, str(problem)))
    if state.failed and gate.action not in LEAVING and reading is not None and reading.kept:
        after = _afresh(question, after)
        judged = _standing(question, after)
    ruling = _ruling(gate, question, after, judged)
    seen_beyond = reading is not None and reading.broken
    if ruling.verdict is Verdict.PASS and seen_beyond and lies_inside_a_bucket(question, measured.interval[gate.group]):
        ruling = _Ruling(Verdict.UNKNOWN, "the limit lies inside a bucket, whose edges prove nothing")
    if (
        ruling.verdict is Verdict.PASS
        and question.asks.statistic == "p95"
        and (hidden := out_of_sight(interval.control))
    ):
        ruling = _Ruling(Verdict.UNKNOWN, hidden)
    return after, _judgement(name, gate, measured, reading, ruling, _past_in_words(after))


def _past_in_words(state: SequentialState) -> str:
    history = state.keys[0].history
    return "" if history is None else history.in_words()


def first_state(question: Question, since: datetime) -> SequentialState:
    """No evidence; intervals from `since` on that are missing may still come."""
    return begin(question.asks).model_copy(update={"newest": since})


def _standing(question: Question, state: SequentialState) -> SequentialJudgement:
    """What the evidence says as it is."""
    assert state.newest is not None, "a state begins with the soak"  # noqa: S101
    return step(question.asks, state, Interval(end=state.newest), in_words=False)[1]


def _judgement(
    name: str, gate: MeasuredGate, measured: Measured, reading: Reading | None, ruling: _Ruling, past: str = ""
) -> Judgement:
    said = filter(None, (reading.words if reading is not None else "", ruling.because, past, measured.seen))
    return Judgement(
        gate=name,
        verdict=ruling.verdict,
        value=reading.value if reading is not None else "–",
        limit=gate.limit_in_words,
        reason=f"{gate.title}: {'; '.join(said)}",
        sample=size_of(measured.window.get(gate.group)),
        lack=ruling.lack,
        conclusive=ruling.conclusive,
        as_of=measured.end,
    )


def _reading(gate: MeasuredGate, measured: Measured) -> Reading | None:
    """What people are shown of the window; None where a side of the comparison is missing."""
    sample = measured.window.get(gate.group)
    reference = measured.window.get("control") if isinstance(gate, VersusControlGate) else measured.baseline
    if sample is None or not size_of(sample):
        return None
    if not isinstance(gate, ThresholdGate) and not size_of(reference):
        return None
    return read(gate, sample, reference)


def _nobody(gate: MeasuredGate, measured: Measured) -> _Ruling | None:
    """What is said of an interval that has nobody to judge, or nobody to compare with."""
    if not size_of(measured.interval.get(gate.group)):
        return _Ruling(Verdict.IDLE, f"the source answers, but the {gate.group} group had no traffic")
    if isinstance(gate, VersusControlGate) and not size_of(measured.interval.get("control")):
        return _Ruling(Verdict.UNKNOWN, "no data of the control group in the last interval", Lack.DATA)
    return None


def _ruling(gate: MeasuredGate, question: Question, state: SequentialState, judged: SequentialJudgement) -> _Ruling:
    total = state.keys[0].total
    match judged.verdict:
        case Verdict.FAIL:
            return _Ruling(Verdict.FAIL, _proof(gate, state, judged.evidence))
        case Verdict.SUSPECT if state.sample is not None and state.sample.alarmed:
            return _Ruling(Verdict.SUSPECT, state.sample.in_words())
        case Verdict.SUSPECT:
            found = judged.evidence
            lacking = doubt_about(state, found) or _lacking(found)
            because = f"harm is proven ({_odds(found.harm)}), but {lacking}"
            return _Ruling(Verdict.SUSPECT, because)
        case _ if question.asks.statistic == "p95" and not state.edges:
            return _Ruling(Verdict.UNKNOWN, "learning where control's p95 lies", Lack.SAMPLE)
        case _ if total < question.asks.minimum_sample:
            needed = f"{total:,} observations so far, {question.asks.minimum_sample:,} are needed"
            return _Ruling(Verdict.UNKNOWN, needed, Lack.SAMPLE)
        case _:
            return _Ruling(Verdict.PASS, conclusive=judged.decision == "advance")


def _lacking(found: Evidence) -> str:
    """What a failure needs besides, once harm is proven."""
    if found.beyond >= found.beyond_needed:
        return f"not beyond doubt, for which {found.harm_needed:,.0f} to 1 are needed"
    return f"not beyond what is tolerated ({_odds(found.beyond)}; {found.beyond_needed:g} to 1 are needed)"


def _proof(gate: MeasuredGate, state: SequentialState, evidence: Evidence) -> str:
    if evidence.harm < evidence.harm_needed or evidence.beyond < evidence.beyond_needed:
        # The fuse, or what must be zero: said last, after what was measured, which people read in the window already.
        return state.failed.rpartition("; ")[2]
    if isinstance(gate, VersusControlGate):
        return f"harm is proven ({_odds(evidence.harm)}), and beyond what is tolerated ({_odds(evidence.beyond)})"
    return f"beyond the limit is proven ({_odds(evidence.harm)})"


def _odds(odds: float) -> str:
    if odds > LARGEST_ODDS_SHOWN:
        return f"more than {LARGEST_ODDS_SHOWN:,.0f} to 1"
    if odds < 1:
        return "less than 1 to 1"
    return f"{odds:,.0f} to 1" if odds >= ROUND_ODDS_FROM else f"{odds:.1f} to 1"


def _carried(state: SequentialState, since: datetime) -> SequentialState | None:
    """Evidence goes on into the next soak; sums, the early pass, gaps, and what the groups' sizes say do not.

    Where it spoke against the rollout, a person has decided to go on all the same: it begins anew.
    """
    if state.failed or state.harm_odds >= state.hold_needed:
        return None
    keys = tuple(keys.without_sums() for keys in state.keys)
    return state.model_copy(update={"keys": keys, "newest": since, "gaps": (), "missing_in_a_row": 0, "sample": None})


def _afresh(question: Question, state: SequentialState) -> SequentialState:
    """Where a failure that only held is over, evidence begins again; what was learnt about the metric stays."""
    fresh = begin(question.asks)
    keys = tuple(
        new.model_copy(update={"dispersion": old.dispersion, "history": old.history})
        for new, old in zip(fresh.keys, state.keys, strict=True)
    )
    return state.model_copy(update={"keys": keys, "failed": ""})
