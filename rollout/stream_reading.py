"""Gates and intervals of a stream, from plain dictionaries; whatever is wrong is said by its field and value."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout import written_time
from rollout.field_problems import in_plain_words, shown, truth_for_a_number
from rollout.sequential_model import Group, GroupCounts, GroupLatencies, Interval, SequentialGate

T = TypeVar("T", SequentialGate, Interval)
FIRST_YEAR, LAST_YEAR = 1970, 9980
"""So that the interval before and the one after have a time too, be they as long as any may be, which is ten years."""
_NOT_ASKED = ("switch_off",)
"""Of a plan's gate: what follows from its verdict, and not what it is."""


def gate_of(given: Mapping[str, Any]) -> SequentialGate:
    """The gate that a dictionary says.

    Raises:
        ValueError: it says none; the text names the field, the value and what is allowed.
    """
    asked = {name: value for name, value in given.items() if name not in _NOT_ASKED} if _is_object(given) else given
    gate = _parsed(SequentialGate, asked, "gate")
    if truth := truth_for_a_number(asked):
        raise ValueError(f"gate: {truth}")
    return gate


def interval_of(given: Mapping[str, Any], number: int) -> Interval:
    """The interval that a dictionary says.

    Raises:
        ValueError: it says none; the text names the field, the value and what is allowed.
    """
    what = f"interval {number}"
    interval = _parsed(Interval, given, what)
    if not FIRST_YEAR <= interval.end.year <= LAST_YEAR:
        raise ValueError(f"{what}: end: a year from {FIRST_YEAR} to {LAST_YEAR}, got {shown(given['end'])}")
    for name, group in (("treated", interval.treated), ("control", interval.control)):
        if group is not None and (problem := _problem(group, given[name])):
            raise ValueError(f"{what}: {name}.{problem}")
    treated, control = interval.treated, interval.control
    if isinstance(treated, GroupLatencies) and isinstance(control, GroupLatencies) and treated.total and control.total:
        edges = treated.bounds_ms, control.bounds_ms
        if edges[0] != edges[1]:
            both = " and ".join(shown(list(one)) for one in edges)
            raise ValueError(f"{what}: bounds_ms: treated and control need the same edges, got {both}")
    return interval


def _problem(group: Group, given: Mapping[str, Any]) -> str:
    """What no metric can hold, or nothing."""
    if truth := truth_for_a_number(given):
        return truth
    match group:
        case GroupCounts(total=total) if total and "bad" not in given:
            return f"bad: is missing, got {shown(given)}"
        case GroupLatencies(bounds_ms=bounds) if any(not isfinite(edge) or edge < 0 for edge in bounds):
            wrong = next(edge for edge in bounds if not isfinite(edge) or edge < 0)
            return f"bounds_ms: finite edges from 0 on, as what lies above the last has its own count; got {wrong:g}"
    return ""


def _parsed(model: type[T], given: object, what: str) -> T:
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        problems = dict.fromkeys(_in_words(error) for error in invalid.errors() if _is_meant(given, error))
        raise ValueError(f"{what}: {'; '.join(problems)}") from invalid


def _is_object(given: object) -> bool:
    return isinstance(given, Mapping)


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
    return f"{place or 'all of it'}: {text}, got {shown(error['input'])}"


_GROUPS = ("treated", "control")
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "model_type": "an object of fields is expected",
    "finite_number": "a finite number is expected",
    "timezone_aware": written_time.EXPECTED,
}
