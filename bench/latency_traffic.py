"""Simulated latencies of a treated and a control group: healthy ones of several kinds, and regressions of the p95.

What makes latencies hard to compare: all of them wander with load, each group wanders a little by itself with a memory
of minutes or hours, buckets are wide and lie anywhere, some services have a second hump of slow requests, and an
incident lets some requests time out in both groups.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter  # type: ignore[import-untyped]
from scipy.stats import norm  # type: ignore[import-untyped]

from bench.gate_latency_peers import LatencyMinutes
from bench.gate_traffic import DAY, Counts, Rates

USUAL_BOUNDS_MS = tuple(round(10 * 2 ** (half_step / 2), 3) for half_step in range(16))
BETWEEN_BOUNDS_MS = tuple(round(10 * 2 ** (half_step / 2 + 0.25), 3) for half_step in range(16))
DOUBLING_BOUNDS_MS = tuple(10.0 * 2**step for step in range(11))
MEDIAN_MS, SIGMA = 60.0, 0.8
TOGETHER = 0.05
SLOW_SHARE, SLOW_MEDIAN_MS, HUMP_SIGMA = 0.1, 500.0, 0.4
DAILY_SWING, LOAD_SWING = 0.2, 0.6
INCIDENT_MINUTES, TIMED_OUT = 30, 0.02


@dataclass(frozen=True)
class Latencies:
    """One kind of service. `apart` is how far each group wanders by itself, `memory` for how many minutes."""

    name: str
    apart: float = 0.02
    memory: float = 49.5
    bounds_ms: tuple[float, ...] = USUAL_BOUNDS_MS
    daily: bool = False
    two_humps: bool = False
    incidents: bool = False


USUAL = Latencies("wander apart by 2 % for an hour")
KINDS = (
    USUAL,
    Latencies("by 3 %", apart=0.03),
    Latencies("for 20 minutes", memory=20.0),
    Latencies("for 4 hours", memory=240.0),
    Latencies("with the day", daily=True),
    Latencies("edges elsewhere", bounds_ms=BETWEEN_BOUNDS_MS),
    Latencies("edges twice as far apart", bounds_ms=DOUBLING_BOUNDS_MS),
    Latencies("a tenth is slow", two_humps=True),
    Latencies("2 % time out in incidents", incidents=True),
)


@dataclass(frozen=True)
class Trial:
    """One simulated stretch of so many requests a second. From minute `onset` on the treated take `increase` longer."""

    kind: Latencies
    per_second: float
    length: int
    second_half: float = 0.1
    increase: float = 0.0
    onset: int = 0


def drawn(trial: Trial, seed: int) -> LatencyMinutes:
    kind = trial.kind
    usual = kind == USUAL and trial.second_half == 0.1  # noqa: PLR2004  (these are the numbers of former figures)
    which = [] if usual else [*(ord(letter) for letter in kind.name), int(trial.second_half * 100)]
    random = np.random.default_rng([seed, int(trial.per_second), int(trial.increase * 100), trial.onset, *which])
    kept = 1 - 1 / (kind.memory + 0.5)
    together, of_treated, of_control = (
        _wandering(random, trial.length, sd, kept if sd != TOGETHER else 0.98)
        for sd in (TOGETHER, kind.apart, kind.apart)
    )
    at = np.arange(trial.length)
    load, timed_out = np.ones(trial.length), np.zeros(trial.length)
    if kind.daily:
        day = np.sin(2 * np.pi * (at / DAY + random.random()))
        together, load = together + DAILY_SWING * day, 1 + LOAD_SWING * day
    if kind.incidents:
        for start in np.flatnonzero(random.random(trial.length) < 1 / DAY):
            timed_out[start : start + INCIDENT_MINUTES] = TIMED_OUT
    slower = np.where(at >= trial.onset, np.log1p(trial.increase), 0.0)
    share = np.where(at < trial.length / 2, 0.1, trial.second_half)
    per_minute = 60 * trial.per_second * load
    return LatencyMinutes(
        bounds_ms=kind.bounds_ms,
        usual_edge=_usual_edge(kind),
        treated=_latencies(random, per_minute * share, together + of_treated + slower, timed_out, kind),
        control=_latencies(random, per_minute * (1 - share), together + of_control, timed_out, kind),
    )


def _wandering(random: np.random.Generator, length: int, deviation: float, kept: float) -> Rates:
    steps = random.standard_normal(length) * deviation * np.sqrt(1 - kept**2)
    wandering: Rates = lfilter([1.0], [1.0, -kept], steps)
    return wandering


def _latencies(
    random: np.random.Generator, per_minute: Rates, shift: Rates, timed_out: Rates, kind: Latencies
) -> Counts:
    """A row of buckets for each minute, whose latencies are moved by `shift`."""
    below = _below(kind, shift)
    below *= 1 - timed_out[:, None]
    edge = np.zeros((len(shift), 1))
    shares = np.diff(np.concatenate([edge, below, edge + 1], axis=1), axis=1)
    rows: Counts = random.multinomial(random.poisson(per_minute), shares)
    return rows


def _below(kind: Latencies, shift: Rates) -> Rates:
    """The share of requests below each bound, for each minute."""
    if not kind.two_humps:
        return _lognormal(kind, MEDIAN_MS, SIGMA, shift)
    fast, slow = (_lognormal(kind, median, HUMP_SIGMA, shift) for median in (MEDIAN_MS, SLOW_MEDIAN_MS))
    humps: Rates = (1 - SLOW_SHARE) * fast + SLOW_SHARE * slow
    return humps


def _lognormal(kind: Latencies, median: float, sigma: float, shift: Rates) -> Rates:
    below: Rates = norm.cdf((np.log(kind.bounds_ms) - np.log(median) - shift[:, None]) / sigma)
    return below


def _usual_edge(kind: Latencies) -> int:
    """The bound nearest to the p95 that these latencies usually have."""
    return int(np.argmin(np.abs(_below(kind, np.zeros(1))[0] - 0.95)))
