"""How latencies and utilisations of a healthy service are spread, and draws from it straight into buckets."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, inf, log, sqrt
from random import Random
from statistics import NormalDist

from sandbox.distributions import BucketLayout, Histogram
from sandbox.sampling import multinomial

MILLISECONDS = BucketLayout.exponential(buckets=40, growth=sqrt(2.0), scale=1.0)
"""1 ms to 17 minutes; each bucket is 41 % wider than the one below it."""

FRACTIONS = BucketLayout.linear(buckets=100, width=0.01, offset=0.0)

_UNIT = NormalDist()
_P95_DEVIATIONS = _UNIT.inv_cdf(0.95)
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Shape:
    """The chance of each bucket from `first` on, with the mean and the mean square of what falls into it."""

    layout: BucketLayout
    first: int
    chances: tuple[float, ...]
    means: tuple[float, ...]
    mean_squares: tuple[float, ...]

    def draw(self, random: Random, observations: int) -> Histogram:
        drawn = multinomial(random, observations, self.chances)
        counts = [0] * (len(self.layout.edges) + 1)
        counts[self.first : self.first + len(drawn)] = drawn
        return Histogram(
            self.layout,
            counts,
            sum(count * mean for count, mean in zip(drawn, self.means, strict=True)),
            sum(count * square for count, square in zip(drawn, self.mean_squares, strict=True)),
        )


@lru_cache(maxsize=512)
def lognormal(p95: float, sigma: float) -> Shape:
    """Latencies in milliseconds whose 95th percentile is `p95`; `sigma` is the deviation of their logarithm."""
    mu = log(p95) - _P95_DEVIATIONS * sigma

    def part_below(edge: float, power: int) -> float:
        """The part of the mean of X to the `power` that comes from values below `edge`."""
        moment = exp(power * mu + (power * sigma) ** 2 / 2)
        if edge <= 0.0 or edge == inf:
            return 0.0 if edge <= 0.0 else moment
        return moment * _UNIT.cdf((log(edge) - mu - power * sigma**2) / sigma)

    edges = (0.0, *MILLISECONDS.edges, inf)
    moments = [
        tuple(part_below(high, power) - part_below(low, power) for power in (0, 1, 2)) for low, high in pairwise(edges)
    ]
    return _trimmed(MILLISECONDS, [(chance, first, second) for chance, first, second in moments])


@lru_cache(maxsize=512)
def utilisation(mean: float, deviation: float) -> Shape:
    """Fractions around `mean`; what would lie outside 0 to 1 counts as just inside."""
    spread = NormalDist(mean, deviation)
    edges = FRACTIONS.edges
    moments = [(0.0, 0.0, 0.0)]
    for low, high in pairwise(edges):
        chance = spread.cdf(inf if high == edges[-1] else high) - spread.cdf(-inf if low == edges[0] else low)
        middle = (low + high) / 2
        moments.append((chance, chance * middle, chance * middle * middle))
    return _trimmed(FRACTIONS, moments)


def _trimmed(layout: BucketLayout, moments: list[tuple[float, float, float]]) -> Shape:
    """Without the buckets that nothing falls into, so that a draw costs only what can happen."""
    likely = [index for index, (chance, _, _) in enumerate(moments) if chance > _NEGLIGIBLE]
    first, last = likely[0], likely[-1] + 1
    kept = moments[first:last]
    total = sum(chance for chance, _, _ in kept)
    return Shape(
        layout,
        first,
        tuple(chance / total for chance, _, _ in kept),
        tuple(part / max(chance, _NEGLIGIBLE) for chance, part, _ in kept),
        tuple(part / max(chance, _NEGLIGIBLE) for chance, _, part in kept),
    )
