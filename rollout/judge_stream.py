"""The judge on anybody's own data: a gate and intervals as plain dictionaries in, a judgement per interval out."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from rollout.changed_edges import out_of_sight
from rollout.sequential_gate import step
from rollout.sequential_model import Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState
from rollout.sequential_wording import absent
from rollout.stream_pace import StreamPace, begin_at, with_room_for_a_gap
from rollout.stream_reading import gate_of, interval_of
from rollout.verdict import Verdict
from rollout.worse_since import WorseSince


def judge_stream(gate: Mapping[str, Any], intervals: Iterable[Mapping[str, Any]]) -> Iterator[SequentialJudgement]:
    """Judge each interval as it comes; late, duplicate, missing and out-of-order ones may.

    `gate`: the fields of `SequentialGate`, as in a plan: {"kind": "versus_control", "statistic": "bad_share",
    "max_difference": "1%"}, or "p95" with "max_increase", or {"kind": "threshold", "statistic": "good_share",
    "at_least": "99.5%"}, or {"kind": "zero_tolerance"}.
    `intervals`: {"end": RFC 3339, "treated": …, "control": …}; a group is {"total", "bad"}, {"bounds_ms", "counts"} or
    {"score", "total"}. A group that is missing, or None, had no data; a total of 0 says that nobody was there.
    "exposed": false marks an interval in which the treated cohort did not have the features yet: it is not judged, but
    a difference that was there before is allowed from then on, once it is known to 15 %. "planned_share": "10%" in the
    gate holds where the groups have other sizes. "interval": "5m" there is the intervals' length: a minute, or less
    where they come more densely, unless said.

    Raises:
        ValueError: the gate or an interval is malformed; the text names the field, the value and what is allowed.
    """
    return _judged(gate_of(gate), intervals)


def _judged(gate: SequentialGate, intervals: Iterable[Mapping[str, Any]]) -> Iterator[SequentialJudgement]:
    length_is_said = "interval" in gate.model_fields_set
    state: SequentialState | None = None
    pace: StreamPace | None = None
    worse = WorseSince()
    heard_until: datetime | None = None
    for number, given in enumerate(intervals, start=1):
        interval = interval_of(given, number)
        if state is None or pace is None or state.newest is None:
            state, pace = begin_at(gate, interval.end), StreamPace(gate.interval, interval.end, (interval.end,))
        elif not length_is_said:
            before, pace = pace, pace.after(interval.end)
            state = pace.room_for_earlier(state, before)
            gate = gate.model_copy(update={"interval": pace.length})
        try:
            state = with_room_for_a_gap(gate, state, interval.end)
            state, judgement = _step(gate, state, interval, heard_until or pace.first - pace.length)
        except ValueError as problem:
            raise ValueError(f"interval {number}: {problem}") from problem
        if state.missing_in_a_row == 0:
            heard_until = state.newest
        worse = worse.after(state, judgement)
        yield _told(gate, judgement, worse.in_words(gate, state, judgement))


def _step(
    gate: SequentialGate, state: SequentialState, interval: Interval, silent_since: datetime
) -> tuple[SequentialState, SequentialJudgement]:
    """The state and the judgement after one more interval of a stream."""
    lack = absent(gate, interval)
    if lack and lack[0] is Verdict.IDLE and state.newest is not None and interval.end > state.newest:
        state, judgement = step(gate, state.model_copy(update={"missing_in_a_row": 0}), interval)
        return state.model_copy(update={"missing_in_a_row": 0}), judgement
    state, judgement = step(gate, state, interval, silent_since=silent_since)
    hidden = out_of_sight(interval.control) if gate.statistic == "p95" and judgement.verdict is Verdict.PASS else ""
    if hidden:
        blind = {"decision": "continue", "verdict": Verdict.UNKNOWN, "reason": f"{gate.title}: {hidden}"}
        judgement = judgement.model_copy(update=blind)
    return state, judgement


def _told(gate: SequentialGate, judgement: SequentialJudgement, since: str) -> SequentialJudgement:
    """The judgement that begins with what was measured since it became worse."""
    if not since:
        return judgement
    about = f"{gate.title}: "
    whole = judgement.reason.removeprefix(about)
    return judgement.model_copy(update={"reason": f"{about}{since}; in all {whole}"})
