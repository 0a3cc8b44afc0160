"""Simulated minutes of a service with a treated and a control group: healthy ones of several kinds, and regressions.

What production does to naive judges: load and errors that follow the day, incidents that hit both groups, single
instances that fail for a minute, errors that come in bursts spread over minutes, a cohort that was a little worse from
the start, and groups whose error rates wander slowly and apart. Further kinds are there to surprise the judge.
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
EVEN_SPREAD = (0.2,) * 5
LARGEST_BURST = 100
"""Of bursts whose sizes have a heavy tail."""
GLITCH = 0.5
"""The part of its requests that an instance loses in a minute in which it fails, or restarts."""
HOUR = 60
ECHO_MINUTES = 3.0
"""After which what an error brings has come, in the mean."""


@dataclass(frozen=True)
class Family:
    """One kind of healthy traffic.

    `burst` is the mean number of errors that come together, of geometric size; with a `tail` it is the exponent of the
    sizes' Pareto tail instead. `wobble` wanders slowly, `jitter` from minute to minute, both in each group by itself.
    """

    name: str
    daily: bool = False
    incidents: bool = False
    glitches: bool = False
    burst: float = 1.0
    cohort_offset: float = 0.0
    wobble: float = 0.0
    tail: float = 0.0
    spread: tuple[float, ...] = BURST_SPREAD
    jitter: float = 0.0
    growth: float = 0.0
    """Of load and error rate, in a day."""
    restarts: bool = False
    echoes: float = 0.0
    """How many more each error brings in the mean, as retries do that fail again: soon, and those bring more."""


FAMILIES = (
    Family("steady"),
    Family("diurnal", daily=True),
    Family("shared incidents", daily=True, incidents=True),
    Family("instance glitches", daily=True, incidents=True, glitches=True),
    Family("bursts", daily=True, incidents=True, burst=3.0),
    Family("cohort offset", daily=True, incidents=True, burst=3.0, cohort_offset=0.0015),
    Family("slow wobble", daily=True, wobble=0.25),
)
FURTHER = (
    Family("bursts with a heavy tail", daily=True, incidents=True, tail=1.5),
    Family("bursts of 12", daily=True, incidents=True, burst=12.0),
    Family("even bursts of 6", daily=True, incidents=True, burst=6.0, spread=EVEN_SPREAD),
    Family("jitter of 70 %", daily=True, incidents=True, jitter=0.7),
    Family("growth of 15 % a day", daily=True, incidents=True, growth=0.15),
    Family("restarts each hour", daily=True, incidents=True, restarts=True),
    Family("errors that bring errors", daily=True, incidents=True, echoes=0.6),
)
"""None of them was there when the judge was made. On other seeds they decided how often the best run is left out, how
much must remain without it, and what is asked beside a quiet group."""


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
    if family.restarts:
        added, control_added = _restarts(random, shares)
        treated_rate, control_rate = treated_rate + added, control_rate + control_added
    if family.jitter:
        treated_rate = treated_rate * _jitter(random, family, count)
        control_rate = control_rate * _jitter(random, family, count)
    return Minutes(
        treated=treated,
        treated_bad=bad_events(random, treated, np.minimum(treated_rate, 0.95), family),
        control=control,
        control_bad=bad_events(random, control, np.minimum(control_rate, 0.95), family),
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
    grown = (1 + family.growth) ** (at / DAY)
    return load * grown, rate * grown


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


def _jitter(random: np.random.Generator, family: Family, count: int) -> Rates:
    """A factor that is drawn anew each minute; its mean is 1, and `jitter` its standard deviation."""
    shape = 1 / family.jitter**2
    return random.gamma(shape, 1 / shape, count)


def _glitches(random: np.random.Generator, share: Rates) -> Rates:
    """Each instance loses half of its requests for one minute in two days; few instances dilute it less."""
    mine = np.maximum(INSTANCES * share, 1)
    return (random.random(len(share)) < mine / (2 * DAY)) * GLITCH / mine


def _restarts(random: np.random.Generator, share: Rates) -> tuple[Rates, Rates]:
    """Each instance restarts in a minute of the hour that is its own, and loses half of its requests in it."""
    at, own = np.arange(len(share)), random.integers(0, HOUR, INSTANCES)
    restarting = at[:, None] % HOUR == own
    treated = np.arange(INSTANCES) < np.maximum(np.round(INSTANCES * share), 1)[:, None]
    of_treated, of_control = (restarting & treated).sum(axis=1), (restarting & ~treated).sum(axis=1)
    mine = treated.sum(axis=1)
    return GLITCH * of_treated / mine, GLITCH * of_control / np.maximum(INSTANCES - mine, 1)


def bad_events(random: np.random.Generator, total: Counts, rate: Rates, family: Family) -> Counts:
    if family.echoes:
        return _echoing(random, total, rate, family)
    if family.burst <= 1 and not family.tail:
        return random.binomial(total, rate)
    left, rest = _begun(random, total * rate, family), 1.0
    spread = np.zeros_like(total)
    for later, part in enumerate(family.spread):
        now = random.binomial(left, min(1.0, part / rest)) if later < len(family.spread) - 1 else left
        spread[later:] += now[: len(total) - later]
        left, rest = left - now, rest - part
    return np.minimum(spread, total)


def _echoing(random: np.random.Generator, total: Counts, rate: Rates, family: Family) -> Counts:
    """As many in the long run as `rate` says, most of them brought by others."""
    own, fading = total * rate * (1 - family.echoes), np.exp(-1 / ECHO_MINUTES)
    bad, brought = np.zeros_like(total), 0.0
    for minute, expected in enumerate(own):
        bad[minute] = min(random.poisson(expected + brought), total[minute])
        brought = brought * fading + family.echoes * (1 - fading) * bad[minute]
    return bad


def _begun(random: np.random.Generator, expected: Rates, family: Family) -> Counts:
    """The errors of those bursts that begin in each minute."""
    if not family.tail:
        begun = random.poisson(expected / family.burst)
        return begun + np.where(begun > 0, random.negative_binomial(np.maximum(begun, 1), 1 / family.burst), 0)
    mean = (np.arange(1, LARGEST_BURST + 1) ** -family.tail).sum()
    begun = random.poisson(expected / mean)
    sizes = np.minimum(np.floor(random.random(begun.sum()) ** (-1 / family.tail)), LARGEST_BURST)
    minute = np.repeat(np.arange(len(expected)), begun)
    return np.bincount(minute, weights=sizes, minlength=len(expected)).astype(np.int64)
