"""Whatever an interval of a stream holds is judged, or refused with its number, its field and its value."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.gates import judge_stream
from rollout.sequential_model import SequentialGate
from rollout.stream_reading import LAST_YEAR
from tests.rollout.streams import ERRORS, NONE_AT_ALL, NOON, P95, SCORE, THRESHOLD, Interval, traffic

LATENCY = {"bounds_ms": [10, 20, 30], "counts": [1, 1, 1, 1]}
COUNTS = {"total": 900, "bad": 1}


@pytest.mark.parametrize(
    ("gate", "groups", "said"),
    [
        (
            ERRORS,
            {"treated": {"total": 10**15 + 1, "bad": 0}},
            "treated.total: Input should be less than or equal to 1000000000000000, got 1000000000000001",
        ),
        (ERRORS, {"treated": {"total": 10**400, "bad": 0}, "control": COUNTS}, "treated.total: Input should be less"),
        (ERRORS, {"treated": {"total": 10**5000, "bad": 0}, "control": COUNTS}, "got a number of thousands of digits"),
        (ERRORS, {"treated": {"total": 10}, "control": COUNTS}, "treated.bad: is missing, got {'total': 10}"),
        (ERRORS, {"treated": {"total": 900, "bad": True}}, "treated.bad: a number is expected, got True"),
        (SCORE, {"treated": {"score": True}}, "treated.score: a number is expected, got True"),
        (
            P95,
            {"treated": LATENCY, "control": {**LATENCY, "counts": [1, 1, False, 1]}},
            "control.counts: a number is expected, got [1, 1, False, 1]",
        ),
        (ERRORS, {"treated": {"total": math.nan, "bad": 0}}, "treated.total: a finite number is expected, got nan"),
        (
            P95,
            {"treated": {**LATENCY, "counts": [2**62] * 4}, "control": LATENCY},
            "treated: counts: at most 1,000,000,000,000,000 together, got 18,446,744,073,709,551,616",
        ),
        (
            P95,
            {"treated": {**LATENCY, "bounds_ms": [10, 20, math.inf]}, "control": LATENCY},
            "treated.bounds_ms: finite edges from 0 on, as what lies above the last has its own count; got inf",
        ),
        (
            P95,
            {"treated": LATENCY, "control": {**LATENCY, "bounds_ms": [-1, 20, 30]}},
            "control.bounds_ms: finite edges",
        ),
        (
            P95,
            {"treated": LATENCY, "control": {**LATENCY, "bounds_ms": [10, 20, 40]}},
            "bounds_ms: treated and control need the same edges, got [10.0, 20.0, 30.0] and [10.0, 20.0, 40.0]",
        ),
        (
            SCORE,
            {"treated": {"score": 99.5, "total": 5}},
            "treated.score: Input should be less than or equal to 1, got",
        ),
    ],
)
def test_what_no_metric_can_hold_is_refused_with_its_field_and_value(
    gate: dict[str, Any], groups: Interval, said: str
) -> None:
    with pytest.raises(ValueError, match=r"^interval 1: ") as refused:
        list(judge_stream(gate, [{"end": "2026-11-23T12:00:00Z", **groups}]))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "end", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:00Z", "9981-01-01T00:00:00Z", "9999-12-31T23:59:00Z"]
)
def test_an_end_that_leaves_no_time_around_it_is_refused(end: str) -> None:
    with pytest.raises(ValueError, match="interval 1: end: a year from 1970 to 9980, got"):
        list(judge_stream(ERRORS, [{"end": end}]))


@pytest.mark.parametrize("end", [5, 1_764_000_000, 1_764_000_000_000, 17.5, True, "5", "1764000000", "2026-11-24"])
def test_an_end_that_is_no_time_is_refused_and_never_taken_for_seconds_since_some_year(end: object) -> None:
    with pytest.raises(
        ValueError, match=r"^interval 1: end: a time with its zone is expected, such as 2026-"
    ) as refused:
        list(judge_stream(ERRORS, [{"end": end}]))
    assert str(refused.value).endswith(f"got {end!r}")


def test_the_longest_intervals_have_a_time_after_the_last_end_that_is_taken_too() -> None:
    ends = [NOON.isoformat(), *[f"{LAST_YEAR}-12-31T23:59:59Z"] * 2]
    judged = list(judge_stream({**NONE_AT_ALL, "interval": "3660d"}, [{"end": end, "treated": COUNTS} for end in ends]))
    assert [one.decision for one in judged] == ["rollback"] * 3


def test_the_largest_count_that_is_taken_is_judged() -> None:
    counts = {"total": 10**15, "bad": 10**12}
    groups = {"treated": counts, "control": counts}
    ends = ((NOON + timedelta(minutes=minute)).isoformat() for minute in range(50))
    assert {one.decision for one in judge_stream(ERRORS, ({"end": end, **groups} for end in ends))} <= {
        "continue",
        "advance",
    }


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ("0s", "gate: interval: longer than nothing, such as 1m, got '0s'"),
        (timedelta(minutes=-1), "gate: interval: longer than nothing, such as 1m, got datetime.timedelta(days=-1"),
        ("-1m", "gate: interval: a duration is a number with a unit: 500ms, 90s, 15m, 48h, 7d, got '-1m'"),
    ],
)
def test_intervals_without_a_length_are_refused(interval: object, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(said)}"):
        list(judge_stream({**ERRORS, "interval": interval}, []))
    with pytest.raises(ValidationError, match="interval"):
        SequentialGate.model_validate({**ERRORS, "interval": interval})


@pytest.mark.parametrize("count", ["minimum_sample", "users"])
def test_true_is_no_count_of_a_gate_either(count: str) -> None:
    with pytest.raises(ValueError, match=f"^gate: {count}: a number is expected, got True$"):
        list(judge_stream({**ERRORS, count: True}, []))


def test_a_plans_gate_may_name_flags_that_it_turns_off() -> None:
    asked = {**ERRORS, "action": "hold", "switch_off": {"silent": ["websocket_isolation"]}}
    assert {one.decision for one in judge_stream(asked, traffic(40, excess=0.05))} == {"continue", "hold"}


NUMBERS = st.one_of(
    st.integers(-1, 50),
    st.sampled_from(
        [0, 1, 2**53, 2**63 - 1, 2**63, 10**30, 1e308, 1e-320, -0.0, 0.5, math.nan, math.inf, True, "7", None]
    ),
)
EDGES_OF_ANY_KIND = st.one_of(
    st.just([10, 20, 30]), st.just([0, 1e-300, 1e300]), st.lists(NUMBERS, max_size=5), st.just([1, 2, 3, 4])
)
GROUPS = st.one_of(
    st.none(),
    st.fixed_dictionaries({"total": NUMBERS, "bad": NUMBERS}),
    st.fixed_dictionaries({"bounds_ms": EDGES_OF_ANY_KIND, "counts": st.lists(NUMBERS, max_size=6)}),
    st.fixed_dictionaries({"score": NUMBERS, "total": NUMBERS}),
    st.just([]),
    st.just({}),
)
ENDS = st.one_of(
    st.integers(-30, 30).map(lambda minute: (NOON + timedelta(minutes=minute)).isoformat()),
    st.datetimes(datetime(1970, 1, 2), datetime(LAST_YEAR, 12, 30), timezones=st.just(UTC)).map(datetime.isoformat),  # noqa: DTZ001
    st.sampled_from(["", "now", "2026-11-23", "2026-11-23T12:00:00", None, 0, 1e30]),
)
ANYTHING = st.fixed_dictionaries(
    {"end": ENDS, "treated": GROUPS, "control": GROUPS}, optional={"exposed": st.booleans()}
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([ERRORS, P95, SCORE, THRESHOLD, NONE_AT_ALL, {**ERRORS, "planned_share": "10%"}]), st.data())
def test_whatever_an_interval_holds_is_judged_or_refused_in_words(gate: dict[str, Any], data: st.DataObject) -> None:
    sound = st.fixed_dictionaries({"end": ENDS, "treated": GROUPS, "control": GROUPS}).filter(
        lambda one: accepted(gate, one)
    )
    intervals = [*data.draw(st.lists(sound, max_size=12)), data.draw(ANYTHING)]
    try:
        for judgement in judge_stream(gate, intervals):
            json.loads(judgement.model_dump_json(), parse_constant=pytest.fail)
    except ValueError as problem:
        refused = str(problem)
    else:
        refused = "interval"
    assert refused.startswith("interval")
    assert len(refused) < 2_000


def accepted(gate: dict[str, Any], interval: Interval) -> bool:
    try:
        return bool([*judge_stream(gate, [interval])])
    except ValueError:
        return False


SIZES = st.sampled_from([0, 1, 2, 5, 50, 1_000, 10**6, 10**12, 10**14])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.lists(SIZES, min_size=4, max_size=4), st.lists(SIZES, min_size=4, max_size=4)), max_size=12),
    st.sampled_from([[10, 20, 30], [0, 1e-300, 1e300], [1e-320, 1e-310, 1], [1, 1.0000001, 1.0000002]]),
    st.sampled_from(["0.01%", "10%", "900%"]),
    st.booleans(),
)
def test_latencies_of_any_size_at_any_edges_are_judged(
    counts: list[tuple[list[int], list[int]]], edges: list[float], increase: str, exposed: bool
) -> None:
    gate = {**P95, "max_increase": increase}
    intervals = [
        {
            "end": (NOON + timedelta(minutes=minute)).isoformat(),
            "treated": {"bounds_ms": edges, "counts": treated},
            "control": {"bounds_ms": edges, "counts": control},
            "exposed": exposed or minute > 6,
        }
        for minute, (treated, control) in enumerate(counts)
    ]
    for judgement in judge_stream(gate, intervals):
        json.loads(judgement.model_dump_json(), parse_constant=pytest.fail)
