"""What the router and the application counted while the split and the flags stood still, against what these say.

Counts are read back from Cloud Monitoring: requests per revision as the router counted them, requests per group as the
application did. Chance is given its binomial interval, exactly.
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from google.cloud import monitoring_v3
from scipy.stats import binom  # type: ignore[import-untyped]
from temporalio.exceptions import ApplicationError

from activities.google_clients import GoogleClients
from tests.e2e.observer import Observer
from tests.sandbox.google import Aligner, Reducer, question

BETWEEN_LOOKS_SECONDS = 0.1
BY_CHANCE = 1e-4
"""How often chance alone takes a count out of its interval."""
OWN, RUN = "custom.googleapis.com/rollout", "run.googleapis.com"
GROUP, REVISION = "metric.labels.group", "resource.labels.revision_name"
BY_THE_ROUTER = (f"{RUN}/request_count", REVISION)
BY_THE_APPLICATION = (f"{OWN}/request_count", GROUP)
PUSHED_WITHIN_SECONDS = 1.5
"""Until every process has heard of a change of flags, on a busy machine too, and what had begun is counted."""


@dataclass(frozen=True, order=True)
class Standing:
    """The candidate's share of the traffic in percent, and what the flags show to whom."""

    percent: int
    shown: str


@dataclass
class Stretch:
    """Seconds of the wall clock between which a standing was read again and again."""

    first: float
    last: float


@dataclass
class Standings:
    """Everything that stood, with when."""

    of: dict[Standing, Stretch] = field(default_factory=dict)

    async def watch(self, observer: Observer, service: str) -> None:
        """Read until cancelled."""
        while True:
            began = time()
            progress = await observer.progress()
            if progress is not None and progress.current.step_entered is not None:
                # What a busy machine does not answer in time is asked for again.
                with suppress(ApplicationError):
                    split, (shown,) = (await observer.splits())[service], await observer.shown()
                    standing = Standing(split.share_of(progress.candidates[service].revision), shown)
                    self.of.setdefault(standing, Stretch(began, began)).last = began
            await asyncio.sleep(BETWEEN_LOOKS_SECONDS)


def counted_within(stretch: Stretch, sample_seconds: float) -> tuple[datetime, datetime]:
    """The whole sample intervals of a stretch in which nothing changed any more."""
    start = math.ceil((stretch.first + PUSHED_WITHIN_SECONDS) / sample_seconds) * sample_seconds
    end = math.floor(stretch.last / sample_seconds) * sample_seconds
    assert end > start, f"it stood for {stretch.last - stretch.first:.1f} s only"
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


async def counts(
    google: GoogleClients, counter: tuple[str, str], project: str, start: datetime, end: datetime
) -> dict[str, int]:
    """A counter's total between two moments, by its label."""
    found = await _by_label(google, counter, question(counter[0], end, **_asked(counter[1], project, start, end)))
    return {label: sum(point.value.int64_value for point in series.points) for label, series in found.items()}


async def observations(
    google: GoogleClients, distribution: tuple[str, str], project: str, start: datetime, end: datetime
) -> dict[str, int]:
    """How many observations a distribution took between two moments, by its label."""
    metric, label = distribution
    found = await _by_label(google, distribution, question(metric, end, **_asked(label, project, start, end)))
    return {
        label: sum(point.value.distribution_value.count for point in series.points) for label, series in found.items()
    }


async def instances(google: GoogleClients, project: str, start: datetime, end: datetime) -> int:
    """The most instances that one revision ever had."""
    asked = {**_asked(REVISION, project, start, end), "aligner": Aligner.ALIGN_MAX, "reducer": Reducer.REDUCE_MAX}
    metric = f"{RUN}/container/instance_count"
    found = await _by_label(google, (metric, REVISION), question(metric, end, **asked))
    most: int = max(point.value.int64_value for series in found.values() for point in series.points)
    return most


def _asked(label: str, project: str, start: datetime, end: datetime) -> dict[str, Any]:
    return {"window": max(end - start, timedelta(seconds=1)), "by": [label], "project": project}


async def _by_label(
    google: GoogleClients, metric: tuple[str, str], asked: monitoring_v3.ListTimeSeriesRequest
) -> dict[str, Any]:
    kind, _, name = metric[1].partition(".labels.")
    found: dict[str, Any] = {}
    async for each in await google.metrics.list_time_series(request=asked):
        series = monitoring_v3.TimeSeries.pb(each)
        found[getattr(series, kind).labels[name]] = series
    return found


def likely(count: int, of: int, share: float) -> bool:
    """Whether chance explains that `count` of `of` came where `share` of them should."""
    tail = BY_CHANCE / 2
    return bool(binom.cdf(count, of, share) > tail and binom.sf(count - 1, of, share) > tail)
