"""Draws of random counts: exact where numbers are small, by the normal approximation where they are large.

The standard library of Python 3.11 has no binomial and no Poisson draw, and numpy would be a heavy guest for four.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import exp, sqrt
from random import Random

_EXACT_BELOW = 30.0
_HALF = 0.5


def seeded(*parts: object) -> Random:
    """A generator that depends on `parts` alone: the same in every process and every run."""
    digest = blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))


def poisson(random: Random, mean: float) -> int:
    if mean <= 0.0:
        return 0
    if mean >= _EXACT_BELOW:
        return max(0, round(random.gauss(mean, sqrt(mean))))
    return _count_by_inversion(random.random(), exp(-mean), lambda k: mean / (k + 1))


def binomial(random: Random, trials: int, probability: float) -> int:
    if trials <= 0 or probability <= 0.0:
        return 0
    if probability >= 1.0:
        return trials
    if probability > _HALF:
        return trials - binomial(random, trials, 1.0 - probability)
    mean = trials * probability
    if mean >= _EXACT_BELOW:
        drawn = round(random.gauss(mean, sqrt(mean * (1.0 - probability))))
        return min(trials, max(0, drawn))
    odds = probability / (1.0 - probability)
    first = (1.0 - probability) ** trials
    return min(trials, _count_by_inversion(random.random(), first, lambda k: odds * (trials - k) / (k + 1)))


def multinomial(random: Random, trials: int, probabilities: Sequence[float]) -> list[int]:
    """How many of `trials` fall into each class; the probabilities sum to 1."""
    counts: list[int] = []
    left, rest = trials, 1.0
    for probability in probabilities[:-1]:
        drawn = binomial(random, left, min(1.0, probability / rest)) if left and rest > 0.0 else 0
        counts.append(drawn)
        left -= drawn
        rest -= probability
    counts.append(left)
    return counts


def _count_by_inversion(uniform: float, first: float, ratio: Callable[[int], float]) -> int:
    """The count at which the summed probabilities pass `uniform`; `ratio(k)` leads from the k-th to the next one."""
    count, term, rest = 0, first, uniform
    while rest > term > 0.0:
        rest -= term
        term *= ratio(count)
        count += 1
    return count
