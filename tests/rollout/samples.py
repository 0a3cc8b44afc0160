"""Short ways to write evidence in tests."""

from datetime import UTC, datetime, timedelta
from math import erf, log, sqrt

from rollout.gate_judgement import WindowSamples
from rollout.measurement import Counts, Group, Histogram, Sample

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GROUPS: dict[str, Group] = {"treated": "treated", "control": "control", "all": "all"}
EDGES = tuple(10.0 * 2 ** (step / 2) for step in range(20))


def counts(total: int, bad: int = 0) -> Counts:
    return Counts(total=total, bad=bad)


def latencies(total: int, median_ms: float, sigma: float = 0.8) -> Histogram:
    """A lognormal distribution cut into buckets that are 41 % wide."""
    shares = [0.5 * (1 + erf(log(edge / median_ms) / (sigma * sqrt(2)))) for edge in EDGES]
    cumulative = [round(total * share) for share in shares]
    filled = [high - low for low, high in zip([0, *cumulative], [*cumulative, total], strict=True)]
    return Histogram(bounds=EDGES, counts=tuple(filled), sum=total * median_ms)


def window(metric: str = "m", baseline: Sample | None = None, **groups: Sample) -> WindowSamples:
    samples: dict[str, dict[Group, Sample]] = {metric: {GROUPS[name]: sample for name, sample in groups.items()}}
    return WindowSamples(as_of=NOON, samples=samples if groups else {}, baseline=baseline)
