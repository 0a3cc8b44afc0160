"""The judge on anybody's own data: a gate and intervals as plain dictionaries in, a judgement per interval out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout.field_problems import in_plain_words
from rollout.sequential_gate import begin, step
from rollout.sequential_model import Interval, SequentialGate, SequentialJudgement

T = TypeVar("T", SequentialGate, Interval)
LONGEST_VALUE = 120


def judge_stream(gate: Mapping[str, Any], intervals: Iterable[Mapping[str, Any]]) -> Iterator[SequentialJudgement]:
    """Judge each interval as it comes; late, duplicate, missing and out-of-order ones may.

    `gate`: the fields of `SequentialGate`, as in a plan: {"kind": "versus_control", "statistic": "bad_share",
    "max_difference": "1%"}, or "p95" with "max_increase", or {"kind": "threshold", "statistic": "good_share",
    "at_least": "99.5%"}, or {"kind": "zero_tolerance"}.
    `intervals`: {"end": RFC 3339, "treated": …, "control": …}; a group is {"total", "bad"}, {"bounds_ms", "counts"} or
    {"score", "total"}. A group that is missing, or None, had no data. "exposed": false marks an interval in which the
    treated cohort did not have the features yet: it is not judged, but a difference that was there before is allowed
    from then on, once it is known to 15 %. "planned_share": "10%" in the gate holds where the groups have other sizes.

    Raises:
        ValueError: the gate or an interval is malformed; the text names the field, the value and what is allowed.
    """
    judged = _parsed(SequentialGate, gate, "gate")
    return _judged(judged, intervals)


def _judged(gate: SequentialGate, intervals: Iterable[Mapping[str, Any]]) -> Iterator[SequentialJudgement]:
    state = begin(gate)
    for number, interval in enumerate(intervals, start=1):
        parsed = _parsed(Interval, interval, f"interval {number}")
        try:
            state, judgement = step(gate, state, parsed)
        except ValueError as problem:
            raise ValueError(f"interval {number}: {problem}") from problem
        yield judgement


def _parsed(model: type[T], given: object, what: str) -> T:
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        problems = dict.fromkeys(_in_words(error) for error in invalid.errors() if _is_meant(given, error))
        raise ValueError(f"{what}: {'; '.join(problems)}") from invalid


def _is_meant(given: object, error: ErrorDetails) -> bool:
    """Whether an error is of the kind of group that was written; a union tells those of every other kind too."""
    name, *inside = error["loc"] or ("",)
    group = given.get(name) if isinstance(given, Mapping) else None
    if name not in _GROUPS or not inside:
        return True
    fields = set(group) if isinstance(group, Mapping) else set()
    if fields & {"bounds_ms", "counts"}:
        return "GroupLatencies" in str(inside[0])
    return ("GroupScore" if "score" in fields else "GroupCounts") in str(inside[0])


def _in_words(error: ErrorDetails) -> str:
    loc = error["loc"]
    place = ".".join(str(part) for part in (loc[:1] + loc[2:] if loc[:1] and loc[0] in _GROUPS else loc))
    text = _WORDS.get(error["type"], in_plain_words(error))
    value = repr(error["input"])
    shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
    return f"{place or 'all of it'}: {text}, got {shown}"


_GROUPS = ("treated", "control")
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "model_type": "an object of fields is expected",
    "finite_number": "a finite number is expected",
    "timezone_aware": "a time with its zone is expected, such as 2026-11-24T12:00:00Z",
}
