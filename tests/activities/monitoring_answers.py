"""Answers of Cloud Monitoring written by hand, and what is made of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rollout.measurement import (
    BadLabel,
    GroupsByLabel,
    IntervalMeasurement,
    Metric,
    TimeSeriesQuery,
    ValueKind,
)
from tests.activities.scripted_monitoring import Listed, Script, scripted

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COHORT = GroupsByLabel(label="metric.labels.group", treated="new", control="old")
ERRORS = BadLabel(label="metric.labels.outcome", values=("error", "timeout"))


def query(value: ValueKind = "count", **parts: Any) -> TimeSeriesQuery:
    return TimeSeriesQuery(
        project="shop-production", metric=Metric(type="custom.googleapis.com/rollout/requests", value=value, **parts)
    )


def series(*values: dict[str, Any], ending: datetime = NOON, **labels: str) -> dict[str, Any]:
    """A series of points, newest first as the API gives them, each closing the minute before the one in front of it."""
    points = []
    for back, value in enumerate(values):
        end = ending - back * MINUTE
        points.append({"interval": {"start_time": end - MINUTE, "end_time": end}, "value": value})
    return {"metric": {"labels": labels}, "points": points}


def whole(number: int) -> dict[str, Any]:
    return {"int64_value": number}


def real(number: float) -> dict[str, Any]:
    return {"double_value": number}


def buckets(counts: list[int], options: dict[str, Any], mean: float = 0.0, count: int | None = None) -> dict[str, Any]:
    distribution = {"count": sum(counts) if count is None else count, "mean": mean, "bucket_counts": counts}
    return {"distribution_value": {**distribution, "bucket_options": options}}


async def measured(asked: TimeSeriesQuery, *answers: Listed, minutes: int = 3) -> list[IntervalMeasurement]:
    async with scripted(Script(listed=list(answers))) as source:
        return await source.measure(asked, start=NOON - minutes * MINUTE, end=NOON, interval=MINUTE)
