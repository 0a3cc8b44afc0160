"""What a gate keeps between two intervals stays below 4,096 bytes: whatever is measured, however much, however long."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.cohort_history import CohortHistory
from rollout.control_curve import (
    MOST_EDGES,
    MOST_EDGES_KEPT,
    ControlCurve,
    edges_around_p95,
    edges_of_p95,
    exceedance_ratio,
)
from rollout.measurement import LARGEST_COUNT
from rollout.sequential_gate import GAPS_KEPT, begin, step
from rollout.sequential_model import GroupCounts, GroupLatencies, GroupScore, Interval, SequentialGate
from rollout.sequential_state import SequentialState

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LARGEST_STATE = 4_096
TEN_YEARS = 10 * 365 * 24 * 60
"""In intervals of a minute."""
P95 = {"kind": "versus_control", "statistic": "p95", "max_increase": "10%"}
GATES = [
    {"kind": "versus_control", "max_difference": "1%"},
    P95,
    {"kind": "threshold", "at_most": "1%"},
    {"kind": "threshold", "statistic": "level", "at_least": "99%"},
    {"kind": "zero_tolerance"},
]


def size(state: SequentialState) -> int:
    return len(state.model_dump_json().encode())


def bounds(edges: int) -> tuple[float, ...]:
    """As many as are asked for from 1 ms to 100 s, with all their digits."""
    return tuple(10 ** (5 * edge / (edges - 1)) for edge in range(edges))


def latencies(edges: int, total: int, slow_from: float) -> GroupLatencies:
    """Most requests around one bucket, falling by half with each twentieth of the edges."""
    weights = [int(10**9 * 2.0 ** (-abs(bucket / edges - slow_from) * 20)) for bucket in range(edges + 1)]
    return GroupLatencies(bounds_ms=bounds(edges), counts=tuple(total * each // sum(weights) for each in weights))


def one_interval(gate: SequentialGate, edges: int, minute: int, requests: int, bad: float) -> Interval:
    """A tenth are treated; `bad` is their bad share, or how far they are slower, and control has half of it."""
    end, exposed, treated = NOON + minute * MINUTE, minute > 10, requests // 10
    if gate.statistic == "p95":
        groups = latencies(edges, treated, 0.5 + bad / 4), latencies(edges, requests, 0.5)
        return Interval(end=end, exposed=exposed, treated=groups[0], control=groups[1])
    if gate.statistic == "level":
        return Interval(end=end, exposed=exposed, treated=GroupScore(score=1 - bad, total=treated))
    return Interval(
        end=end,
        exposed=exposed,
        treated=GroupCounts(total=treated, bad=int(treated * bad)),
        control=GroupCounts(total=requests, bad=int(requests * bad / 2)),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(GATES),
    st.sampled_from((None, "10%")),
    st.sampled_from((3, 20, 40, MOST_EDGES_KEPT, MOST_EDGES_KEPT + 1, 100, MOST_EDGES, MOST_EDGES + 1, 700)),
    st.integers(0, 15).map(lambda power: 10**power),
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 1), st.floats(0.001, 1)), min_size=1, max_size=60),
)
def test_a_state_that_is_read_between_intervals_stays_small_and_is_the_one_that_never_was_written(
    asked: dict[str, str], planned: str | None, edges: int, most: int, drawn: list[tuple[int, float, float]]
) -> None:
    of_control = {"planned_share": planned} if planned and asked["kind"] == "versus_control" else {}
    gate = SequentialGate.model_validate(asked | of_control)
    straight = resumed = begin(gate)
    minute = 0
    for after, bad, part in drawn:
        minute += after
        interval = one_interval(gate, edges, minute, max(1, int(most * part)), bad**4)
        straight, said = step(gate, straight, interval)
        resumed, again = step(gate, resumed, interval)

        assert size(resumed) < LARGEST_STATE
        resumed = SequentialState.model_validate_json(resumed.model_dump_json())
        assert (resumed, again) == (straight, said)


@pytest.mark.parametrize("edges", [MOST_EDGES_KEPT, MOST_EDGES])
def test_no_state_is_larger_than_one_in_which_every_number_is_as_large_as_ten_years_make_it(edges: int) -> None:
    gate = SequentialGate.model_validate(P95 | {"planned_share": "10%"})
    state, minute = begin(gate), 0
    while len(state.gaps) < GAPS_KEPT or minute < 300:
        minute += 1 if minute % 10 else 2
        state, _ = step(gate, state, one_interval(gate, edges, minute, LARGEST_COUNT, 0.01))
    most = TEN_YEARS * LARGEST_COUNT
    sums = {"bad": most, "total": most, "control_bad": most, "control_total": most}
    keys = []
    for key in state.keys:
        average, dispersion = replace(key.average, total=most), replace(key.dispersion, events=most)
        long = {"history": CohortHistory(bad=most, control_bad=most), "average": average, "dispersion": dispersion}
        keys.append(key.model_copy(update=sums | long))
    assert state.curve is not None
    # What fades is that of some days at most.
    curve = replace(state.curve, tenths=(3_000 * 10 * LARGEST_COUNT,) * len(state.curve.tenths))

    longest = {"keys": tuple(keys), "curve": curve, "failed": "x" * 300, "missing_in_a_row": TEN_YEARS}

    assert size(state.model_copy(update=longest)) < LARGEST_STATE


def test_more_requests_in_an_interval_than_there_are_is_a_mistake_that_is_named() -> None:
    with pytest.raises(ValidationError, match="total"):
        GroupCounts(total=LARGEST_COUNT + 1)
    with pytest.raises(ValidationError, match="counts: at most 1,000,000,000,000,000 together"):
        GroupLatencies(bounds_ms=(1, 2, 3), counts=(0, LARGEST_COUNT, 1, 0))


@pytest.mark.parametrize(("edges", "requests"), [(MOST_EDGES_KEPT + 1, 400), (100, 3_000), (MOST_EDGES, 1_000_000)])
def test_of_many_edges_those_are_compared_and_say_what_the_whole_histogram_would(edges: int, requests: int) -> None:
    gate, faded = SequentialGate.model_validate(P95), [0.0] * (edges + 1)
    state = begin(gate)
    compared: tuple[int, ...] = ()
    for minute in range(1, 200):
        control = latencies(edges, requests + minute, 0.5)
        compared = compared or edges_of_p95(tuple(faded))
        state, _ = step(gate, state, Interval(end=NOON + minute * MINUTE, treated=control, control=control))
        faded = [0.5 ** (1 / 1440) * old + new for old, new in zip(faded, control.counts, strict=True)]

    assert state.curve is not None
    assert state.edges == compared
    assert state.compared_ms == bounds(edges)[compared[0]]
    assert sum(state.curve.counts) == pytest.approx(sum(faded), rel=1e-3)
    for edge in compared:
        (ratio,) = state.curve.exceedance_ratios(bounds(edges), edge, [0.1])
        assert ratio == pytest.approx(exceedance_ratio(tuple(faded), bounds(edges), edge, 0.1), rel=1e-3)
        assert ratio > 1


@pytest.mark.parametrize("edges", [MOST_EDGES_KEPT, MOST_EDGES])
def test_a_state_of_before_that_was_too_large_goes_on_with_the_edges_it_had_and_is_small(edges: int) -> None:
    gate, control = SequentialGate.model_validate(P95), latencies(edges, 100_000, 0.5)
    compared = edges_around_p95(tuple(map(float, control.counts)), 0.06)
    of_before = {
        "packed": False,
        "edges": compared,
        "bounds_ms": control.bounds_ms,
        "control_counts": tuple(map(float, control.counts)),
    }
    written = begin(gate).model_copy(update=of_before).model_dump_json()
    state = SequentialState.model_validate_json(written)

    after, said = step(gate, state, Interval(end=NOON, treated=control, control=control))

    assert '"control_counts":[' in written
    assert state.model_dump_json() == written
    assert size(after) < LARGEST_STATE / 2
    assert (after.edges, after.compared_ms) == (compared, state.compared_ms)
    assert after.keys[0].total == control.total
    assert said.verdict == "PASS"


def test_a_histogram_of_more_edges_than_are_kept_is_read_at_some_of_them_and_loses_no_request() -> None:
    fine = latencies(2 * MOST_EDGES + 1, 10_000, 0.5)

    coarse = fine.at_fewer_edges()

    assert len(coarse.bounds_ms) <= MOST_EDGES
    assert coarse.total == fine.total
    for edge, bound in enumerate(coarse.bounds_ms):
        assert coarse.at_or_above(edge) == fine.at_or_above(fine.bounds_ms.index(bound))
    assert latencies(MOST_EDGES, 10_000, 0.5).at_fewer_edges() == latencies(MOST_EDGES, 10_000, 0.5)


def test_buckets_that_change_are_learnt_anew_however_many_of_them_were_kept() -> None:
    gate = SequentialGate.model_validate(P95)
    state = begin(gate)
    for minute, edges in enumerate([100] * 3 + [101] * 3, start=1):
        control = latencies(edges, 5_000, 0.5)
        state, said = step(gate, state, Interval(end=NOON + minute * MINUTE, treated=control, control=control))
        learnt = bool(state.edges)
        assert learnt == (minute not in (1, 4))

    assert said.verdict == "PASS"


def counted(curve: ControlCurve, minutes: Sequence[tuple[int, ...]]) -> ControlCurve:
    for counts in minutes:
        curve = curve.after(counts, 1.0)
    return curve


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 10**16)] * 4), min_size=1, max_size=5))
def test_a_count_that_fades_is_kept_to_the_tenth_and_lost_nowhere(minutes: list[tuple[int, ...]]) -> None:
    faded = [0.0] * 4
    for counts in minutes:
        faded = [round(old * 0.5 ** (1 / 1440) + new, 1) for old, new in zip(faded, counts, strict=True)]

    assert counted(ControlCurve.fresh((1.0, 2.0, 3.0)), minutes).counts == tuple(faded)
