"""What an hour of synthetic users left behind, read as Cloud Monitoring tells it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from local.redis_server import RedisServer
from sandbox.options import InstalledService
from tests.sandbox.flag_documents import GROUP, put, until
from tests.sandbox.google import (
    INSTALLED,
    Google,
    Reducer,
)
from tests.sandbox.moving_clock import MovingClock

OWN, RUN = "custom.googleapis.com/rollout", "run.googleapis.com"
GROUP_LABEL = "metric.labels.group"
REVISION_LABEL = "resource.labels.revision_name"
HOUR = timedelta(hours=1)
FLAGGED = InstalledService(**{**INSTALLED.model_dump(), "flag_group": GROUP})
REQUESTS_PER_HOUR = 200 * 3600


async def hour_of(google: Google, clock: MovingClock) -> datetime:
    """Let an hour pass, and as much time as its points need to become visible; answers the hour's end."""
    end = clock.skip(hours=1)
    clock.skip(minutes=2)
    return end


async def expose(google: Google, redis_server: RedisServer, text: str, share: float) -> None:
    await put(redis_server.url, text)
    shares = await google.sandbox.follow_flags(GROUP)
    await until(lambda: shares.latest == share)


async def by_label(google: Google, metric: str, end: datetime, label: str, **asked: Any) -> dict[str, Any]:
    """The values of the last hour before `end`, by one label."""
    found = await google.series(metric, end, window=HOUR, by=[label], **asked)
    owner, _, name = label.split(".")
    return {getattr(each, owner).labels[name]: each.points[0].value for each in found}


async def counts(google: Google, metric: str, end: datetime, label: str, only: str = "") -> dict[str, int]:
    return {key: value.int64_value for key, value in (await by_label(google, metric, end, label, only=only)).items()}


async def p95s(google: Google, metric: str, end: datetime, label: str) -> dict[str, float]:
    values = await by_label(google, metric, end, label, reducer=Reducer.REDUCE_PERCENTILE_95)
    return {key: value.double_value for key, value in values.items()}


def near(share: float) -> Any:
    """Five standard deviations around a share of an hour's requests."""
    deviation = (share * (1 - share) / REQUESTS_PER_HOUR) ** 0.5
    return pytest.approx(share, abs=5 * deviation)


async def total(google: Google, metric: str, end: datetime) -> int:
    (series,) = await google.series(metric, end, window=HOUR)
    value = series.points[0].value
    return int(value.distribution_value.count if value.HasField("distribution_value") else value.int64_value)
