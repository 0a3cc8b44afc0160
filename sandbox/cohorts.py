"""The parts of a cohort that synthetic users belong to: by their hash, whether or not anybody is exposed.

Users are ordered by their hash; the first tenth is labelled 10, the rest of the first half 50, all others 100. A share
of treated users takes the first ones. A sliver of treated users is an audience, which has a label of its own; where no
flags are followed, the treated are no part of a cohort.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sandbox.flag_watch import INTERNAL_SHARE
from sandbox.populations import TREATED, Population
from sandbox.sampling import binomial, multinomial, seeded

STEPS = (0.0, 0.1, 0.5, 1.0)
AUDIENCE = "audience"


@dataclass(frozen=True, slots=True)
class Part:
    label: str
    requests: int
    errors: int


def parts_of(population: Population) -> Iterator[Part]:
    """The population's requests and errors, dealt out; the same for every question about its interval."""
    share, treated = population.treated_share, population.group == TREATED
    if share is not None and treated and share <= INTERNAL_SHARE:
        yield Part(AUDIENCE, population.requests, population.errors)
        return
    if share is None or share <= INTERNAL_SHARE:
        first, last = 0.0, 1.0
    else:
        first, last = (0.0, share) if treated else (share, 1.0)
    widths = [max(0.0, min(high, last) - max(low, first)) for low, high in pairwise(STEPS)]
    whole = sum(widths) or 1.0
    random = seeded(population.seed, "cohort")
    requests = multinomial(random, population.requests, [width / whole for width in widths])
    left, of = population.errors, population.requests
    for step, count in zip(STEPS[1:], requests, strict=True):
        if count:
            errors = max(left - (of - count), min(count, binomial(random, left, count / of)))
            yield Part(f"{step * 100:g}", count, errors)
            left, of = left - errors, of - count
