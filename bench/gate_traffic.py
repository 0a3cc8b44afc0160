"""Simulated minutes of a service with a treated and a control group: healthy ones of several kinds, and regressions.

What production does to naive judges: load and errors that follow the day, incidents that hit both groups, single
instances that fail for a minute, errors that come in bursts spread over minutes, a cohort that was a little worse from
the start, and groups whose error rates wander slowly and apart.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Rates = npt.NDArray[np.float64]
DAY = 1_440
INSTANCES = 20
BASE_ERRORS = 0.005
BURST_SPREAD = (0.4, 0.24, 0.14, 0.09, 0.05, 0.08)
"""Which part of a burst's errors falls in which minute after its beginning."""


@dataclass(frozen=True)
class Family:
    """One kind of healthy traffic. `burst` is the mean number of errors that come together."""

    name: str
    daily: bool = False
    incidents: bool = False
    glitches: bool = False
    burst: float = 1.0
    cohort_offset: float = 0.0
    wobble: float = 0.0


FAMILIES = (
    Family("steady"),
    Family("diurnal", daily=True),
    Family("shared incidents", daily=True, incidents=True),
    Family("instance glitches", daily=True, incidents=True, glitches=True),
    Family("bursts", daily=True, incidents=True, burst=3.0),
    Family("cohort offset", daily=True, incidents=True, burst=3.0, cohort_offset=0.0015),
    Family("slow wobble", daily=True, wobble=0.25),
)


@dataclass(frozen=True)
class Minutes:
    """Counts of each minute, one entry per minute."""

    treated: Counts
    treated_bad: Counts
    control: Counts
    control_bad: Counts


def minutes(
    random: np.random.Generator,
    family: Family,
    *,
    per_second: float,
    shares: Rates,
    excess: Rates,
) -> Minutes:
    """As many minutes as `shares` has; `excess` is what the candidate adds to the treated error rate, per minute."""
    count = len(shares)
    load, rate = _load_and_rate(random, family, count)
    treated = random.poisson(60 * per_second * load * shares)
    control = random.poisson(60 * per_second * load * (1 - shares))
    offset = family.cohort_offset * random.standard_normal()
    treated_rate = np.maximum(rate + offset, 0.2 * rate) * _wobble(random, family, count) + excess
    control_rate = rate * _wobble(random, family, count)
    if family.glitches:
        treated_rate = treated_rate + _glitches(random, shares)
        control_rate = control_rate + _glitches(random, 1 - shares)
    return Minutes(
        treated=treated,
        treated_bad=_bad(random, treated, np.minimum(treated_rate, 0.95), family.burst),
        control=control,
        control_bad=_bad(random, control, np.minimum(control_rate, 0.95), family.burst),
    )


def _load_and_rate(random: np.random.Generator, family: Family, count: int) -> tuple[Rates, Rates]:
    at = np.arange(count)
    load, rate = np.ones(count), np.full(count, BASE_ERRORS)
    if family.daily:
        phase = random.random()
        load = (1 + 0.6 * np.sin(2 * np.pi * (at / DAY + phase))) * random.gamma(100, 0.01, count)
        rate = rate * (1 + 0.5 * np.sin(2 * np.pi * (at / DAY + phase + 0.15)))
    if family.incidents:
        for start in np.flatnonzero(random.random(count) < 1 / DAY):
            rate[start : start + 1 + random.geometric(0.1)] *= 1 + random.exponential(5)
    return load, rate


def _wobble(random: np.random.Generator, family: Family, count: int) -> Rates:
    """A factor that wanders on its own, with a memory of about an hour."""
    if not family.wobble:
        return np.ones(count)
    kept = 0.98
    steps = random.standard_normal(count) * family.wobble * np.sqrt(1 - kept**2)
    wandering = np.empty(count)
    value = 0.0
    for index, step in enumerate(steps):
        value = kept * value + step
        wandering[index] = value
    return np.exp(wandering)


def _glitches(random: np.random.Generator, share: Rates) -> Rates:
    """Each instance loses half of its requests for one minute in two days; few instances dilute it less."""
    mine = np.maximum(INSTANCES * share, 1)
    return (random.random(len(share)) < mine / (2 * DAY)) * 0.5 / mine


def _bad(random: np.random.Generator, total: Counts, rate: Rates, burst: float) -> Counts:
    if burst <= 1:
        return random.binomial(total, rate)
    begun = random.poisson(total * rate / burst)
    errors = begun + np.where(begun > 0, random.negative_binomial(np.maximum(begun, 1), 1 / burst), 0)
    spread, left, rest = np.zeros_like(total), errors, 1.0
    for later, part in enumerate(BURST_SPREAD):
        now = random.binomial(left, min(1.0, part / rest)) if later < len(BURST_SPREAD) - 1 else left
        spread[later:] += now[: len(total) - later]
        left, rest = left - now, rest - part
    return np.minimum(spread, total)
