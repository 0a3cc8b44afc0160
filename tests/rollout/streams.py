# ruff: noqa: S311  (seeded data for tests, no secrets)
"""Streams of intervals as others write them, from seeded chance, and when the judge first rolls back."""

import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rollout.gates import judge_stream

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERRORS = {"kind": "versus_control", "statistic": "bad_share", "max_difference": "1%", "title": "error rate"}
P95 = {"kind": "versus_control", "statistic": "p95", "max_increase": "10%"}
SCORE = {"kind": "threshold", "statistic": "level", "at_least": "99.5%"}
THRESHOLD = {"kind": "threshold", "statistic": "bad_share", "at_most": "1%"}
NONE_AT_ALL = {"kind": "zero_tolerance"}
Interval = dict[str, Any]
WIDE: list[float] = [5, 10, 25, 50, 75, 100, 150, 200, 300, 500, 1000]
NARROW = [round(1.4**power, 4) for power in range(1, 22)]


def near(source: random.Random, mean: float) -> int:
    """A count that scatters as independent events do."""
    return max(0, round(source.gauss(mean, math.sqrt(mean))))


def traffic(
    count: int, *, seconds: int = 60, excess: float = 0.0, onset: int = 0, both: float = 0.0, seed: int = 1
) -> Iterator[Interval]:
    """20 requests a second, 10 % treated, 0.3 % errors; from `onset` on more of them in treated, or in both groups."""
    source = random.Random(seed)
    for index in range(count):
        shared = 0.003 + (both if index >= onset else 0.0)
        share = shared + (excess if index >= onset else 0.0)
        total, other = 2 * seconds, 18 * seconds
        yield {
            "end": (NOON + timedelta(seconds=seconds * index)).isoformat(),
            "treated": {"total": total, "bad": min(total, near(source, total * share))},
            "control": {"total": other, "bad": min(other, near(source, other * shared))},
        }


def histogram(source: random.Random, total: int, edges: list[float], factor: float = 1.0) -> Interval:
    below = [0.5 * (1 + math.erf(math.log(edge / (60 * factor)) / (0.6 * math.sqrt(2)))) for edge in edges]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    return {"bounds_ms": edges, "counts": [near(source, total * share) for share in shares]}


def latencies(count: int, edges: Callable[[int], list[float]], *, slower: int | None = None) -> Iterator[Interval]:
    """A lognormal in buckets that may be others in each interval; treated takes half as long again from `slower` on."""
    source = random.Random(1)
    for index in range(count):
        factor = 1.5 if slower is not None and index >= slower else 1.0
        yield {
            "end": (NOON + timedelta(minutes=index)).isoformat(),
            "treated": histogram(source, 120, edges(index), factor),
            "control": histogram(source, 1080, edges(index)),
        }


def first_rollback(gate: dict[str, Any], intervals: list[Interval]) -> int | None:
    decisions = [judgement.decision for judgement in judge_stream(gate, intervals)]
    return decisions.index("rollback") if "rollback" in decisions else None
