"""Distributions come with all their buckets, and are added up, or found to be none."""

from math import inf, nan
from typing import Any

import pytest

from rollout.measurement import (
    Counts,
    Histogram,
    SourceFailure,
    ValueKind,
)
from tests.activities.monitoring_answers import COHORT, buckets, measured, query, real, series, whole
from tests.activities.scripted_monitoring import page


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({"exponential_buckets": {"num_finite_buckets": 3, "growth_factor": 2.0, "scale": 10.0}}, (10, 20, 40, 80)),
        ({"linear_buckets": {"num_finite_buckets": 3, "width": 5.0, "offset": 1.0}}, (1, 6, 11, 16)),
        ({"explicit_buckets": {"bounds": [1.0, 5.0, 25.0, 125.0]}}, (1, 5, 25, 125)),
    ],
)
async def test_distributions_come_whole_with_the_edges_of_their_buckets(
    options: dict[str, Any], bounds: tuple[float, ...]
) -> None:
    (interval,) = await measured(query("distribution"), page([series(buckets([1, 2, 3, 4, 5], options, mean=20.0))]))
    assert interval.groups == {"all": Histogram(bounds=bounds, counts=(1, 2, 3, 4, 5), sum=300.0)}


async def test_empty_buckets_at_the_end_may_be_left_out() -> None:
    (interval,) = await measured(
        query("distribution"), page([series(buckets([1, 2], {"explicit_buckets": {"bounds": [1.0, 5.0, 25.0]}}))])
    )
    assert interval.groups == {"all": Histogram(bounds=(1, 5, 25), counts=(1, 2, 0, 0))}


async def test_distributions_of_groups_add_up_bucket_by_bucket() -> None:
    options = {"explicit_buckets": {"bounds": [1.0]}}
    answer = page(
        [
            series(buckets([1, 2], options, mean=2.0), group="new"),
            series(buckets([3, 4], options, mean=1.0), group="old"),
        ]
    )
    (interval,) = await measured(query("distribution", groups=COHORT), answer)
    assert interval.groups["all"] == Histogram(bounds=(1.0,), counts=(4, 6), sum=13.0)


async def test_groups_whose_buckets_are_of_another_kind_are_told_apart_and_not_added_where_they_differ() -> None:
    """The same edges, told as exponential, linear and explicit ones, are the same; others are refused by both kinds."""
    exponential = {"exponential_buckets": {"num_finite_buckets": 1, "growth_factor": 2.0, "scale": 10.0}}
    linear = {"linear_buckets": {"num_finite_buckets": 1, "width": 10.0, "offset": 10.0}}
    explicit = {"explicit_buckets": {"bounds": [10.0, 20.0]}}
    new = series(buckets([1, 2, 3], exponential, mean=1.0), group="new")
    answer = page(
        [
            new,
            series(buckets([1, 0, 1], linear, mean=1.0), group="old"),
            series(buckets([0, 0, 5], explicit, mean=1.0), group="robots"),
        ]
    )
    (interval,) = await measured(query("distribution", groups=COHORT), answer)
    assert interval.groups["all"] == Histogram(bounds=(10.0, 20.0), counts=(2, 2, 9), sum=13.0)

    finer = series(buckets([1, 1, 1, 1], {"explicit_buckets": {"bounds": [5.0, 10.0, 20.0]}}), group="old")
    with pytest.raises(SourceFailure, match="cannot be added: the metric changed its form"):
        await measured(query("distribution", groups=COHORT), page([new, finer]))


async def test_whole_and_real_points_of_one_series_are_counts_alike() -> None:
    before, last = await measured(query(), page([series(real(3.0), whole(4))]))
    assert (before.groups["all"], last.groups["all"]) == (Counts(total=4), Counts(total=3))


async def test_an_empty_distribution_without_buckets_is_silence() -> None:
    assert await measured(query("distribution"), page([series(buckets([], {}))])) == []


EXPLICIT = {"explicit_buckets": {"bounds": [1.0]}}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (buckets([], {}, count=3), "without buckets"),
        (buckets([1, 2], EXPLICIT, count=4), "do not add up"),
        (buckets([1, 1, 1], EXPLICIT), "do not add up"),
        (buckets([1, 2], EXPLICIT, mean=nan), "a mean of nan"),
        (buckets([1, 2, 3], {"explicit_buckets": {"bounds": [2.0, 1.0]}}), "edges that are not finite and ascending"),
        (buckets([1, 2, 3], {"explicit_buckets": {"bounds": [1.0, inf]}}), "edges that are not finite and ascending"),
        (buckets([1, 2], {"explicit_buckets": {"bounds": [nan]}}), "edges that are not finite and ascending"),
        (
            buckets([1], {"exponential_buckets": {"num_finite_buckets": 9, "growth_factor": 1e200, "scale": 1.0}}),
            "edges that are not finite and ascending",
        ),
        (whole(3), "answers with int64_value; the plan says that it is a distribution"),
        ({"bool_value": True}, "answers with bool_value"),
        ({}, "answers with None"),
    ],
)
async def test_what_is_no_sound_distribution_is_refused(value: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceFailure, match=why):
        await measured(query("distribution"), page([series(value)]))


@pytest.mark.parametrize("value", ["count", "level"])
async def test_a_distribution_is_no_number(value: ValueKind) -> None:
    with pytest.raises(SourceFailure, match=f"the plan says that it is a {value}"):
        await measured(query(value), page([series(buckets([1, 2], EXPLICIT))]))
