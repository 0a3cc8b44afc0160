"""The past of a stage's cohort, before anybody of it was exposed: asked for once, and kept as what it taught.

A comparison allows what the cohort was worse by before. That past is closed when the stage begins, so whoever asks for
it again, after a lost heartbeat or in another process, learns the same. Silence in it is no error: less is known then,
and less is allowed. A source that fails is one: what is judged waits until it has answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rollout.cohort_history import CohortHistory
from rollout.gate_question import Question, interval_of, question_of
from rollout.gates import VersusControlGate
from rollout.look_ahead import Visibility
from rollout.measurement import IntervalMeasurement, TimeSeriesQuery
from rollout.sequential_evidence import with_history
from rollout.sequential_gate import begin, step
from rollout.sequential_state import SequentialState
from rollout.soak import SoakState, align_down
from rollout.soak import begin as begin_soak
from rollout.soak_evidence import SoakEvidence
from rollout.watch import BoundGate, Past

MOST_INTERVALS = 1_440
"""Of the past, the newest: a day of minutes."""


@dataclass(frozen=True)
class PastAnswers:
    """What the monitoring system said of the past, by metric, or why it could not be read."""

    intervals: Mapping[str, Sequence[IntervalMeasurement]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def past_to_ask(
    gates: Mapping[str, BoundGate], evidence: SoakEvidence, visibility: Visibility
) -> dict[str, tuple[TimeSeriesQuery, Past]]:
    """What is still to be asked for, by metric: pasts that are wholly visible and not in the evidence yet."""
    wanted: dict[str, tuple[TimeSeriesQuery, Past]] = {}
    for name, bound in gates.items():
        past = bound.past
        if past is None or name in evidence.pasts:
            continue
        metric, query = next(iter(bound.queries.items()))
        if past.until <= visibility.until([metric]):
            wanted[metric] = (query, past)
    return wanted


def with_pasts(
    gates: Mapping[str, BoundGate], evidence: SoakEvidence, soak: SoakState, answers: PastAnswers
) -> SoakEvidence:
    """The evidence that knows the pasts which were answered."""
    states, pasts = dict(evidence.states), dict(evidence.pasts)
    for name, bound in gates.items():
        metric = next(iter(bound.queries), "")
        if bound.past is None or name in pasts or metric not in answers.intervals:
            continue
        question = question_of(bound.gate, bound.baseline, soak.interval, bound.planned_share, bound.users)
        if question is not None and isinstance(bound.gate, VersusControlGate):
            states[name] = _taught(question, bound.gate, states.get(name), answers.intervals[metric], soak.since)
        pasts[name] = bound.past.until
    return evidence.model_copy(update={"states": states, "pasts": pasts})


def _taught(
    question: Question,
    gate: VersusControlGate,
    carried: SequentialState | None,
    measured: Sequence[IntervalMeasurement],
    since: datetime,
) -> SequentialState:
    """The state that a soak begins with. One that was carried over learns of this cohort alone, not of bursts again."""
    learner = begin(question.asks) if carried is None else _without_a_past(carried)
    for each in measured:
        try:
            interval = interval_of(question, gate, each.groups, each.end).model_copy(update={"exposed": False})
            if carried is None:
                learner = step(question.asks, learner, interval)[0]
            else:
                learner = with_history(question.asks, learner, interval)
        except ValueError:
            # Of another form than what is judged: it teaches nothing.
            continue
    if carried is None:
        keys = tuple(key.model_copy(update={"history": key.history or CohortHistory()}) for key in learner.keys)
        return learner.model_copy(update={"keys": keys, "newest": since, "gaps": (), "missing_in_a_row": 0})
    histories = [key.history or CohortHistory() for key in learner.keys]
    keys = tuple(
        key.model_copy(update={"history": history}) for key, history in zip(carried.keys, histories, strict=True)
    )
    return carried.model_copy(update={"keys": keys})


def _without_a_past(state: SequentialState) -> SequentialState:
    keys = tuple(key.model_copy(update={"history": None}) for key in state.keys)
    return state.model_copy(update={"keys": keys})


def past_of(flags_off_since: datetime, exposed_at: datetime, window: timedelta, interval: timedelta) -> Past | None:
    """The past to be asked for, in whole intervals; None where there is none.

    From where every flag was off, at most `window` before the first user of the cohort was exposed.
    """
    until = align_down(exposed_at, interval)
    since = begin_soak(flags_off_since, interval).since
    since = max(since, align_down(until - window, interval), until - MOST_INTERVALS * interval)
    return Past(since=since, until=until) if since < until else None
