"""Who was served in one sample interval, by which revision, and what came of it: the source of every synthetic metric.

A population is the treated or the control users on one revision. Its expected numbers follow from the recorded past
(split, treated share, behaviour of the image); the drawn numbers depend on the seed and the interval alone, so that
the same question always has the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox.behaviours import Behaviour, Behaviours
from sandbox.clock import SECOND
from sandbox.history import History
from sandbox.resource_names import ServiceName
from sandbox.run_services import ObservedTraffic
from sandbox.sampling import binomial, poisson, seeded

TREATED = "treated"
CONTROL = "control"

BASE_ERROR_RATE = 0.0002
_ALL_TRAFFIC = 100
_SECONDS_PER_MINUTE = 60


@dataclass(slots=True)
class ServicePast:
    """What is recorded of one service. Without a share of a flag group, treated is whom the candidate serves."""

    name: ServiceName
    since: int
    environment: str
    flag_group: str | None
    traffic: History[ObservedTraffic]
    treated_share: History[float] | None


@dataclass(slots=True)
class Population:
    """Users of one group on one revision in one interval: drawn counts, and factors averaged over the requests."""

    revision: str
    group: str
    seed: str
    seconds: float
    requests: int = 0
    errors: int = 0
    violations: int = 0
    cascades: int = 0
    latency_factor: float = 1.0
    websocket_factor: float = 1.0
    cpu_factor: float = 1.0
    memory_factor: float = 1.0
    treated_share: float | None = None
    """Of all users at the end of the interval, where flags decide it."""


@dataclass(slots=True)
class _Expected:
    """Sums over the pieces of an interval, each weighed by the requests expected in it."""

    requests: float = 0.0
    errors: float = 0.0
    violations: float = 0.0
    cascades: float = 0.0
    latency: float = 0.0
    websocket: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0

    def add(self, requests: float, minutes: float, behaviour: Behaviour, *, treated: bool) -> None:
        error_rate = BASE_ERROR_RATE + behaviour.error_rate + (behaviour.treated_error_rate if treated else 0.0)
        latency = behaviour.latency_factor * (behaviour.treated_latency_factor if treated else 1.0)
        self.requests += requests
        self.errors += requests * min(1.0, error_rate)
        self.violations += requests * behaviour.isolation_violation_rate
        self.cascades += minutes * behaviour.cascade_failures_per_minute
        self.latency += requests * latency
        self.websocket += requests * behaviour.websocket_latency_factor
        self.cpu += requests * behaviour.cpu_factor
        self.memory += requests * behaviour.memory_factor


def populations_of(
    past: ServicePast,
    behaviours: Behaviours,
    *,
    index: int,
    period: int,
    requests_per_second: float,
    seed: int,
) -> list[Population]:
    """Everybody `past`'s service served in the sample interval `(index * period, (index + 1) * period]`.

    `period` is in microseconds. Populations without a request are left out.
    """
    expected: dict[tuple[str, str], _Expected] = {}
    for start, end in pairwise(_cuts(past, behaviours, index * period, (index + 1) * period)):
        seconds = (end - start) / SECOND
        traffic = past.traffic.at(start)
        for share in traffic.shares:
            behaviour = behaviours.at(share.image, start)
            requests = requests_per_second * seconds * share.percent / _ALL_TRAFFIC
            treated = _treated_share(past, start, is_candidate=share.revision == traffic.candidate)
            for group, part in ((TREATED, treated), (CONTROL, 1.0 - treated)):
                if part > 0.0:
                    sums = expected.setdefault((share.revision, group), _Expected())
                    minutes = seconds / _SECONDS_PER_MINUTE * part
                    sums.add(requests * part, minutes, behaviour, treated=group == TREATED)
    drawn = (
        _draw(revision, group, sums, f"{seed}|{past.name}|{revision}|{group}|{index}", period / SECOND)
        for (revision, group), sums in expected.items()
    )
    treated_share = None if past.treated_share is None else past.treated_share.at((index + 1) * period - 1)
    served = [population for population in drawn if population.requests]
    for population in served:
        population.treated_share = treated_share
    return served


def _cuts(past: ServicePast, behaviours: Behaviours, start: int, end: int) -> Sequence[int]:
    """The interval's ends and every instant between them at which something changed."""
    between = {*past.traffic.changes_between(start, end), *behaviours.changes_between(start, end)}
    if past.treated_share is not None:
        between.update(past.treated_share.changes_between(start, end))
    return [start, *sorted(between), end]


def _treated_share(past: ServicePast, instant: int, *, is_candidate: bool) -> float:
    if past.treated_share is None:
        return 1.0 if is_candidate else 0.0
    return past.treated_share.at(instant)


def _draw(revision: str, group: str, expected: _Expected, seed: str, seconds: float) -> Population:
    random = seeded(seed, "counts")
    population = Population(revision, group, seed, seconds, requests=poisson(random, expected.requests))
    if not population.requests:
        return population
    whole = expected.requests
    population.errors = binomial(random, population.requests, expected.errors / whole)
    population.violations = binomial(random, population.requests, min(1.0, expected.violations / whole))
    population.cascades = poisson(random, expected.cascades)
    population.latency_factor = round(expected.latency / whole, 6)
    population.websocket_factor = round(expected.websocket / whole, 6)
    population.cpu_factor = round(expected.cpu / whole, 6)
    population.memory_factor = round(expected.memory / whole, 6)
    return population
