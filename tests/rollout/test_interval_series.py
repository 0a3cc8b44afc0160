"""A window's sum must be what adding its intervals would give, whatever came, went or changed in between."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.interval_series import DROPPED_AT_ONCE, IntervalSeries
from rollout.measurement import Counts, Group, Histogram, IntervalMeasurement, Level, Sample, SourceFailure
from rollout.sample_sums import merge, times
from tests.rollout.samples import MINUTE, NOON, counts, latencies


def measured(*samples: Sample | None) -> list[IntervalMeasurement]:
    """One interval a minute; None is an interval in which the group had no sample."""
    return [
        IntervalMeasurement(end=NOON + minute * MINUTE, groups={} if sample is None else {"treated": sample})
        for minute, sample in enumerate(samples, start=1)
    ]


def window(series: IntervalSeries, first: int, last: int, group: Group = "treated") -> Sample | None:
    return series.window(NOON + first * MINUTE, NOON + last * MINUTE, group)


COUNTS = st.builds(
    lambda total, bad: Counts(total=total, bad=min(bad, total)), st.integers(0, 10**6), st.integers(0, 10**6)
)
HISTOGRAMS = st.tuples(*[st.integers(0, 10**6)] * 4).map(
    lambda filled: Histogram(bounds=(1.0, 5.0, 9.0), counts=filled)
)


@given(st.one_of(st.lists(st.none() | COUNTS, max_size=30), st.lists(st.none() | HISTOGRAMS, max_size=30)), st.data())
def test_a_window_is_the_sum_of_its_intervals(samples: list[Sample | None], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(samples)))
    series = IntervalSeries(measured(*samples)[:split])
    series.extend(measured(*samples))
    first = data.draw(st.integers(0, len(samples)))
    last = data.draw(st.integers(first, len(samples)))
    assert window(series, first, last) == merge(sample for sample in samples[first:last] if sample is not None)


def test_levels_average_by_their_sample_counts() -> None:
    series = IntervalSeries(measured(Level(value=9.0), Level(value=2.0, samples=3), Level(value=4.0)))
    assert window(series, 1, 3) == Level(value=2.5, samples=4)


def test_a_window_in_which_a_group_appears_or_is_gone_holds_only_what_was_there() -> None:
    series = IntervalSeries(measured(None, counts(5, 1), None, None))
    assert window(series, 0, 4) == counts(5, 1)
    assert window(series, 2, 4) is None
    assert window(series, 0, 4, "control") is None


def test_a_change_of_bucket_edges_or_of_type_is_refused_only_while_the_window_spans_it() -> None:
    narrow, wide = latencies(10, 50.0), Histogram(bounds=(1.0,), counts=(3, 4))
    series = IntervalSeries(measured(narrow, narrow, wide, wide, counts(7), narrow))
    for first, last in [(0, 3), (1, 4), (3, 5), (0, 6), (1, 6)]:
        with pytest.raises(SourceFailure, match="changed its form"):
            window(series, first, last)
    assert window(series, 2, 4) == Histogram(bounds=(1.0,), counts=(6, 8))
    assert window(series, 4, 5) == counts(7)
    assert window(series, 5, 6) == narrow


def test_a_number_that_is_not_finite_spoils_the_windows_that_hold_it_and_no_later_one() -> None:
    series = IntervalSeries(measured(Level(value=1.0), Level(value=float("nan")), Level(value=3.0)))
    with pytest.raises(SourceFailure, match="not finite"):
        window(series, 0, 3)
    assert window(series, 2, 3) == Level(value=3.0)


def test_intervals_that_nobody_asks_for_any_more_are_forgotten_without_changing_the_others() -> None:
    minutes = 2 * DROPPED_AT_ONCE
    series = IntervalSeries(measured(*(counts(minute) for minute in range(minutes))))
    kept_from = DROPPED_AT_ONCE + 10
    before = window(series, 0, minutes), window(series, kept_from, minutes)

    whole, series = series, series.after(NOON + kept_from * MINUTE)

    assert (window(whole, 0, minutes), window(whole, kept_from, minutes)) == before
    assert len(series) == minutes - kept_from
    assert window(series, kept_from, minutes) == before[1]
    assert series.at(NOON + kept_from * MINUTE) is None
    newest = series.at(NOON + minutes * MINUTE)
    assert newest is not None
    assert newest.groups["treated"] == counts(minutes - 1)


def test_extending_with_what_is_known_changes_nothing() -> None:
    known = measured(counts(1), counts(2), counts(4))
    series = IntervalSeries(known)
    series.extend(known[1:])
    assert [window(series, *pair) for pair in pairwise(range(4))] == [counts(1), counts(2), counts(4)]
    assert len(series) == len(known)
    assert series.at(NOON + timedelta(hours=1)) is None


def test_a_part_of_few_observations_in_many_buckets_is_still_there() -> None:
    spread = Histogram(bounds=(1.0, 2.0, 4.0), counts=(3, 3, 3, 1), sum=25.0)

    tenth = times(spread, 0.1)

    assert isinstance(tenth, Histogram)
    assert (sum(tenth.counts), tenth.sum) == (1, 2.5)
    assert times(spread, 1.0) == spread
