"""What the router and the application counted while the split and the flags stood still, against what these say.

Counts are read back from Cloud Monitoring: requests per revision as the router counted them, requests per group as the
application did. Chance is given its binomial interval, exactly.
"""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import time

from google.cloud import monitoring_v3
from scipy.stats import binom

from activities.google_clients import GoogleClients
from tests.e2e.observer import Observer
from tests.sandbox.google import question

BETWEEN_LOOKS_SECONDS = 0.1
BY_CHANCE = 1e-4
"""How often chance alone takes a count out of its interval."""
BY_THE_ROUTER = ("run.googleapis.com/request_count", "resource.labels.revision_name")
BY_THE_APPLICATION = ("custom.googleapis.com/rollout/request_count", "metric.labels.group")
PUSHED_WITHIN_SECONDS = 0.5
"""Until every process has heard of a change of flags, and requests that had begun are counted."""


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
            split = (await observer.splits())[service]
            progress = await observer.progress()
            candidate = progress.candidates.get(service) if progress is not None else None
            if candidate is not None:
                (shown,) = await observer.shown()
                standing = Standing(split.share_of(candidate.revision), shown)
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
    metric, label = counter
    asked = question(metric, end, window=max(end - start, timedelta(seconds=1)), by=[label], project=project)
    kind, _, name = label.partition(".labels.")
    found = {}
    async for each in await google.metrics.list_time_series(request=asked):
        series = monitoring_v3.TimeSeries.pb(each)
        found[getattr(series, kind).labels[name]] = sum(point.value.int64_value for point in series.points)
    return found


def likely(count: int, of: int, share: float) -> bool:
    """Whether chance explains that `count` of `of` came where `share` of them should."""
    tail = BY_CHANCE / 2
    return bool(binom.cdf(count, of, share) > tail and binom.sf(count - 1, of, share) > tail)
