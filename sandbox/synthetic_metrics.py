"""Which metrics the synthetic load produces, and how each follows from the populations of an interval."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Literal

from sandbox.cohorts import parts_of
from sandbox.distributions import Histogram, merge
from sandbox.load_shapes import lognormal, utilisation
from sandbox.populations import TREATED, Population
from sandbox.sampling import seeded
from sandbox.time_series import CUMULATIVE, DELTA, DISTRIBUTION, GAUGE, INT64

Labels = tuple[tuple[str, str], ...]
Reading = tuple[Labels, Callable[[], Any]]
"""Metric labels of a series, and what draws its value of the interval: only a series that is asked for is drawn."""

LATENCY_P95_MS = 180.0
_LATENCY_SIGMA = 0.5
WEBSOCKET_P95_MS = 45.0
_WEBSOCKET_SIGMA = 0.4
_CPU_MEAN = 0.35
_CPU_DEVIATION = 0.08
_MEMORY_MEAN = 0.55
_MEMORY_DEVIATION = 0.03
_REQUESTS_PER_INSTANCE_SECOND = 20.0


@dataclass(frozen=True, slots=True)
class SyntheticMetric:
    """A metric of every service. `by` says what makes its series: the users' group, the revision that served, or
    all users of the service, whose part of the cohort is then a label.

    `read` is given the populations of one such series family and yields the series with their values.
    """

    type: str
    kind: int
    value_type: int
    unit: str
    description: str
    labels: tuple[str, ...]
    by: Literal["group", "revision", "cohort"]
    read: Callable[[Sequence[Population]], Iterator[Reading]]


def instances(population: Population) -> int:
    return ceil(population.requests / population.seconds / _REQUESTS_PER_INSTANCE_SECOND)


def _count(*, of: Callable[[Population], int], **labels: str) -> Callable[[Sequence[Population]], Iterator[Reading]]:
    def read(populations: Sequence[Population]) -> Iterator[Reading]:
        yield tuple(labels.items()), lambda: sum(map(of, populations))

    return read


def _outcomes(label: str, good: str, bad: str, of: Callable[[Population], int]) -> Callable[..., Iterator[Reading]]:
    """An application's counter that exists, at zero if need be, for both outcomes as soon as there is traffic."""

    def read(populations: Sequence[Population]) -> Iterator[Reading]:
        yield ((label, good),), lambda: sum(each.requests - of(each) for each in populations)
        yield ((label, bad),), lambda: sum(map(of, populations))

    return read


def _response_codes(populations: Sequence[Population]) -> Iterator[Reading]:
    """Cloud Run's own counter: a response code that did not occur has no point."""
    errors = sum(each.errors for each in populations)
    served = sum(each.requests for each in populations) - errors
    for code, count in (("200", served), ("500", errors)):
        if count:
            yield (("response_code", code), ("response_code_class", f"{code[0]}xx")), partial(int, count)


def _spread(aspect: str, draw: Callable[[Population, str], Histogram]) -> Callable[..., Iterator[Reading]]:
    def read(populations: Sequence[Population]) -> Iterator[Reading]:
        yield (), lambda: merge(draw(each, aspect) for each in populations)

    return read


def _cohort_outcomes(populations: Sequence[Population]) -> Iterator[Reading]:
    parts = [part for each in populations for part in parts_of(each)]
    for label in dict.fromkeys(part.label for part in parts):
        of = [part for part in parts if part.label == label]
        yield (("cohort", label), ("outcome", "ok")), partial(sum, [part.requests - part.errors for part in of])
        yield (("cohort", label), ("outcome", "error")), partial(sum, [part.errors for part in of])


def _cohort_latencies(populations: Sequence[Population]) -> Iterator[Reading]:
    parts = [(each, part) for each in populations for part in parts_of(each)]
    for label in dict.fromkeys(part.label for _, part in parts):
        of = [(each, part.requests) for each, part in parts if part.label == label]
        yield (("cohort", label),), partial(_latencies_of, of, label)


def _latencies_of(parts: Sequence[tuple[Population, int]], label: str) -> Histogram:
    drawn = []
    for population, requests in parts:
        shape = lognormal(LATENCY_P95_MS * population.latency_factor, _LATENCY_SIGMA)
        drawn.append(shape.draw(seeded(population.seed, "cohort latency", label), requests))
    return merge(drawn)


def _latencies(population: Population, aspect: str) -> Histogram:
    shape = lognormal(LATENCY_P95_MS * population.latency_factor, _LATENCY_SIGMA)
    return shape.draw(seeded(population.seed, aspect), population.requests)


def _websocket_latencies(population: Population, aspect: str) -> Histogram:
    shape = lognormal(WEBSOCKET_P95_MS * population.websocket_factor, _WEBSOCKET_SIGMA)
    return shape.draw(seeded(population.seed, aspect), population.requests)


def _cpu(population: Population, aspect: str) -> Histogram:
    shape = utilisation(min(1.0, _CPU_MEAN * population.cpu_factor), _CPU_DEVIATION)
    return shape.draw(seeded(population.seed, aspect), _container_readings(population))


def _memory(population: Population, aspect: str) -> Histogram:
    shape = utilisation(min(1.0, _MEMORY_MEAN * population.memory_factor), _MEMORY_DEVIATION)
    return shape.draw(seeded(population.seed, aspect), _container_readings(population))


def _container_readings(population: Population) -> int:
    """One reading per instance and second."""
    return max(1, round(instances(population) * population.seconds))


def _active_instances(populations: Sequence[Population]) -> Iterator[Reading]:
    yield (("state", "active"),), lambda: sum(map(instances, populations))


def _legacy(population: Population) -> int:
    return 0 if population.group == TREATED else population.requests


def _affected(population: Population) -> int:
    """Made-up users ask once each."""
    return min(population.requests, population.errors + population.violations)


_OWN = "custom.googleapis.com/rollout"
_RUN = "run.googleapis.com"
METRICS = {
    metric.type: metric
    for metric in (
        SyntheticMetric(
            f"{_OWN}/request_count",
            CUMULATIVE,
            INT64,
            "1",
            "Requests by the users' group and their outcome",
            ("group", "outcome"),
            "group",
            _outcomes("outcome", "ok", "error", lambda each: each.errors),
        ),
        SyntheticMetric(
            f"{_OWN}/request_latencies",
            CUMULATIVE,
            DISTRIBUTION,
            "ms",
            "Time to answer a request",
            ("group",),
            "group",
            _spread("latency", _latencies),
        ),
        SyntheticMetric(
            f"{_OWN}/cohort_request_count",
            CUMULATIVE,
            INT64,
            "1",
            "Requests by the part of the cohort that the user is in, exposed or not, and their outcome",
            ("cohort", "outcome"),
            "cohort",
            _cohort_outcomes,
        ),
        SyntheticMetric(
            f"{_OWN}/cohort_request_latencies",
            CUMULATIVE,
            DISTRIBUTION,
            "ms",
            "Time to answer a request, by the part of the cohort that the user is in",
            ("cohort",),
            "cohort",
            _cohort_latencies,
        ),
        SyntheticMetric(
            f"{_OWN}/isolation_checks",
            CUMULATIVE,
            INT64,
            "1",
            "Requests checked for state shared with another user",
            ("group", "outcome"),
            "group",
            _outcomes("outcome", "isolated", "violated", lambda each: each.violations),
        ),
        SyntheticMetric(
            f"{_OWN}/cascade_failures",
            CUMULATIVE,
            INT64,
            "1",
            "Failures that spread from one user's request to another's",
            ("group",),
            "group",
            _count(of=lambda each: each.cascades),
        ),
        SyntheticMetric(
            f"{_OWN}/websocket_event_latencies",
            CUMULATIVE,
            DISTRIBUTION,
            "ms",
            "Time from an event to its delivery over a WebSocket",
            ("group",),
            "group",
            _spread("websocket", _websocket_latencies),
        ),
        SyntheticMetric(
            f"{_OWN}/legacy_path_requests",
            CUMULATIVE,
            INT64,
            "1",
            "Requests that took the code path from before the feature",
            ("group",),
            "group",
            _count(of=_legacy),
        ),
        SyntheticMetric(
            f"{_OWN}/users_affected",
            CUMULATIVE,
            INT64,
            "1",
            "Users who met a failure or a breach of isolation",
            ("group",),
            "group",
            _count(of=_affected),
        ),
        SyntheticMetric(
            f"{_RUN}/request_count",
            DELTA,
            INT64,
            "1",
            "Requests that reached a revision",
            ("response_code", "response_code_class"),
            "revision",
            _response_codes,
        ),
        SyntheticMetric(
            f"{_RUN}/request_latencies",
            DELTA,
            DISTRIBUTION,
            "ms",
            "Time inside the container to answer a request",
            (),
            "revision",
            _spread("latency", _latencies),
        ),
        SyntheticMetric(
            f"{_RUN}/container/cpu/utilizations",
            DELTA,
            DISTRIBUTION,
            "1",
            "CPU utilisation of the containers",
            (),
            "revision",
            _spread("cpu", _cpu),
        ),
        SyntheticMetric(
            f"{_RUN}/container/memory/utilizations",
            DELTA,
            DISTRIBUTION,
            "1",
            "Memory utilisation of the containers",
            (),
            "revision",
            _spread("memory", _memory),
        ),
        SyntheticMetric(
            f"{_RUN}/container/instance_count",
            GAUGE,
            INT64,
            "1",
            "Running instances",
            ("state",),
            "revision",
            _active_instances,
        ),
    )
}
