"""What the application knows of its own users: counts and latencies since it started, by group."""

from bisect import bisect_right
from collections import defaultdict, deque
from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

Group = Literal["treated", "control"]

BUCKETS = 40
GROWTH = sqrt(2.0)
SCALE_MS = 1.0
_EDGES_MS = [SCALE_MS * GROWTH**index for index in range(BUCKETS + 1)]
_REMEMBERED = 1000


@dataclass(slots=True)
class Latencies:
    """Milliseconds in exponential buckets, with the sums that mean and deviation come from."""

    counts: list[int] = field(default_factory=lambda: [0] * (BUCKETS + 2))
    total: float = 0.0
    squares: float = 0.0

    def add(self, milliseconds: float) -> None:
        self.counts[bisect_right(_EDGES_MS, milliseconds)] += 1
        self.total += milliseconds
        self.squares += milliseconds**2

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class GroupMeasurements:
    """Totals of one group of users since the process started. `affected` are users who met a failure or a breach."""

    ok: int = 0
    errors: int = 0
    isolated: int = 0
    violated: int = 0
    cascades: int = 0
    legacy: int = 0
    request_latencies: Latencies = field(default_factory=Latencies)
    event_latencies: Latencies = field(default_factory=Latencies)
    affected: set[str] = field(default_factory=set)


@dataclass(slots=True)
class CohortMeasurements:
    """Totals of one part of the cohort, by the hash alone: who would be treated at which percentage."""

    ok: int = 0
    errors: int = 0
    request_latencies: Latencies = field(default_factory=Latencies)


class Recent:
    """The share of good ones among the last thousand; 1.0 before the first."""

    def __init__(self) -> None:
        self._seen: deque[bool] = deque(maxlen=_REMEMBERED)

    def note(self, *, good: bool) -> None:
        self._seen.append(good)

    @property
    def score(self) -> float:
        return sum(self._seen) / len(self._seen) if self._seen else 1.0


class Measurements:
    """Both groups, the parts of the cohort, and the recent scores that the health pages show."""

    def __init__(self) -> None:
        self.groups: dict[Group, GroupMeasurements] = {"treated": GroupMeasurements(), "control": GroupMeasurements()}
        self.cohorts: defaultdict[str, CohortMeasurements] = defaultdict(CohortMeasurements)
        self.isolation = Recent()
        self.websocket = Recent()
        self.factory = Recent()

    def scores(self) -> dict[str, float]:
        """By health page; `overall` is the worst of them."""
        scores = {"isolation": self.isolation.score, "websocket": self.websocket.score, "factory": self.factory.score}
        return {**scores, "overall": min(scores.values())}
